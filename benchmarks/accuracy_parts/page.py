"""Markdown: tables and numbers as the house prints them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; raises ``ValueError`` without rows, since an empty table says that nothing was measured.

    >>> print(table(["cause", "right"], [["capacity", 3]]))
    | cause | right |
    |---|---|
    | capacity | 3 |
    """
    body = ["| " + " | ".join(map(shown, row)) + " |" for row in rows]
    if not body:
        raise ValueError(f"a table of {', '.join(head)} has no rows: nothing was measured")
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *body])


def shown(value: object) -> str:
    """
    >>> shown(0.00371), shown(None), shown("a"), shown(float("nan"))
    ('.0037', '', 'a', 'none')
    """
    if value is None:
        return ""
    if isinstance(value, float):
        return number(value) if isfinite(value) else "none"
    return str(value).replace("|", "\\|")


def number(value: float) -> str:
    """Two digits, without the zero before the point."""
    if value == 0:
        return "0"
    text = f"{value:.2g}" if abs(value) < 10 else f"{value:.0f}"
    if "e" in text:
        text = f"{value:.6f}".rstrip("0")
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def percent(part: int, whole: int) -> str:
    """
    >>> percent(2, 40), percent(0, 0)
    ('5 % (2 of 40)', 'none measured')
    """
    if not whole:
        return "none measured"
    share = 100 * part / whole
    return f"{share:.0f} % ({part} of {whole})" if share >= 10 else f"{share:.2g} % ({part} of {whole})"
