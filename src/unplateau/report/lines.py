"""Lines of a report: wrapped to the width of the terminal, coloured only where colour is wanted."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import printable

WIDTH = 80  # columns; wider text is harder to read, and logs of CI are cut there
NARROWEST = 40  # columns; below this the lines are left to the terminal
LONGEST = 2000  # characters of one foreign sentence
#: SGR codes (ECMA-48) by what they say
INK = {"title": "1", "bad": "1;31", "good": "32", "doubt": "33", "dim": "2"}


@dataclass(frozen=True, slots=True)
class Line:
    """A paragraph of a report, before it is wrapped.

    ``indent`` columns stand before its first line, ``hang`` before the others; a ``whole`` line is
    never wrapped (a row of a chart); ``cut`` keeps only the first line and marks the cut.
    """

    text: str = ""
    ink: str = ""
    indent: int = 0
    hang: int = 0
    whole: bool = False
    cut: bool = False


def render(lines: Iterable[Line], width: int = WIDTH, *, colour: bool = False) -> str:
    r"""The text of ``lines``, ending in a newline.

    >>> print(render([Line("one two three", indent=2, hang=4)], 40), end="")
      one two three
    >>> render([Line("hot", "bad")], colour=True)
    '\x1b[1;31mhot\x1b[0m\n'
    """
    width = max(NARROWEST, width)
    out = [_inked(row, line.ink if colour else "") for line in lines for row in _rows(line, width)]
    return "\n".join(out) + "\n"


def _rows(line: Line, width: int) -> Sequence[str]:
    if line.whole:
        return [line.text[:width]]
    text = printable(line.text, LONGEST)
    rows = textwrap.wrap(
        text,
        width,
        initial_indent=" " * line.indent,
        subsequent_indent=" " * line.hang,
        break_on_hyphens=False,
    )
    if line.cut and len(rows) > 1:
        return [rows[0][: width - 2].rstrip(" ,;:") + " …"]
    return rows or [""]


def _inked(row: str, ink: str) -> str:
    return f"\x1b[{INK[ink]}m{row}\x1b[0m" if ink and row.strip() else row
