"""Settings changed in the text of a Python config: the literal alone is replaced, all else stays as it stands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ._python import _assignment, tree_of

ENDS = re.compile(r"\r\n|\r|\n")  # what ends a line in Python, and nothing else does
OLD = 60  # characters of a replaced expression that its comment keeps
LONG_WAY = "  # was "


def edit(text: str, changes: Mapping[str, Any], was: Mapping[str, Any], eol: str) -> str:
    r"""``text`` with ``changes``; what it does not set, or sets by code, is set at its end.

    >>> print(edit("a = 2 * 8  # rows\nb = 1\n", {"a": 32, "c": 0.5}, {"c": 0.1}, "\n"), end="")
    a = 32  # rows  # was 2 * 8
    b = 1
    c = 0.5  # was 0.1
    """
    starts = [0, *(match.end() for match in ENDS.finditer(text))]
    places = dict(_places(text, starts))
    here = {key: places[key] for key in changes if key in places}
    for key, (start, end) in sorted(here.items(), key=lambda found: -found[1][0]):
        text = _replaced(text, start, end, key, repr(changes[key]))
    missing = {key: value for key, value in changes.items() if key not in here}
    return appended(text, [_line(key, value, was) for key, value in missing.items()], eol)


def _line(key: str, value: Any, was: Mapping[str, Any]) -> str:
    return f"{key} = {value!r}" + (f"{LONG_WAY}{was[key]!r}" if was.get(key) is not None else "")


def appended(text: str, lines: list[str], eol: str) -> str:
    """``text`` with further lines at its end; a last line without an end gets one first."""
    if lines and text and not text.endswith(("\n", "\r")):
        text += eol
    return text + "".join(line + eol for line in lines)


def _places(text: str, starts: list[int]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Where the value of each setting stands that the file sets last by an assignment; first and last character."""
    last: dict[str, ast.expr] = {}
    for node in tree_of(text, "config").body:
        if (assigned := _assignment(node)) is not None:
            last[assigned[0]] = assigned[1]
            continue
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store | ast.Del):
                last.pop(part.id, None)
    for key, value in last.items():
        start = _offset(text, starts, value.lineno, value.col_offset)
        end = _offset(text, starts, value.end_lineno or value.lineno, value.end_col_offset or 0)
        between = text[start:end]
        if not (ENDS.search(between) and "#" in between):  # its comments would go with it
            yield key, (start, end)


def _offset(text: str, starts: list[int], line: int, column: int) -> int:
    """The tree counts columns in bytes of UTF-8."""
    start = starts[line - 1]
    stop = starts[line] if line < len(starts) else len(text)
    return start + len(text[start:stop].encode()[:column].decode())


def _replaced(text: str, start: int, end: int, key: str, new: str) -> str:
    old = (
        " ".join(text[start:end].replace("\\", " ").split())
        if ENDS.search(text[start:end])
        else text[start:end]
    )
    old = old if len(old) <= OLD else old[: OLD - 1] + "…"
    match = ENDS.search(text, end)
    stop = match.start() if match else len(text)
    rest = text[end:stop].rstrip()
    begins = max((line.end() for line in ENDS.finditer(text, 0, start)), default=0)
    whose = f"  # {key} was " if ";" in text[begins:start] + rest.partition("#")[0] else LONG_WAY
    return f"{text[:start]}{new}{rest}{whose}{old}{text[stop:]}"
