"""Lines of a report: wrapped to the width of the terminal, coloured only where colour is wanted."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

from ..errors import printable

WIDTH = 80  # columns; wider text is harder to read, and logs of CI are cut there
NARROWEST = 40  # columns; below this the lines are left to the terminal
LONGEST = 2000  # characters of one foreign sentence
SECOND = "\0"  # stands for the second column of a wide character until lines are cut; printable text has none
#: SGR codes (ECMA-48) by what they say
INK = {"title": "1", "bad": "1;31", "good": "32", "doubt": "33", "dim": "2"}


@dataclass(frozen=True, slots=True)
class Line:
    """A paragraph of a report, before it is wrapped.

    ``indent`` columns stand before its first line, ``hang`` before the others; a ``whole`` line is
    never wrapped (a row of a chart); where ``most`` is not 0, no more rows than that are kept, and the
    cut is marked.
    """

    text: str = ""
    ink: str = ""
    indent: int = 0
    hang: int = 0
    whole: bool = False
    most: int = 0


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
    rows = textwrap.wrap(
        _spaced(printable(line.text, LONGEST)),
        width,
        initial_indent=" " * line.indent,
        subsequent_indent=" " * line.hang,
        break_on_hyphens=False,
    )
    if line.most and len(rows) > line.most:
        rows = [*rows[: line.most - 1], _marked(rows[line.most - 1], width)]
    return [row.replace(SECOND, "") for row in rows] or [""]


def _spaced(text: str) -> str:
    """``text`` with as many characters as it fills columns: those that fill two (UAX 11) get a second one."""
    if text.isascii():
        return text
    return "".join(c + SECOND if east_asian_width(c) in "WF" else c for c in text)


def _marked(row: str, width: int) -> str:
    """The row with a mark that it was cut, at the end of a word where it has more than one."""
    room = width - 2
    if len(row) > room:
        words = row[:room].rpartition(" ")[0]
        row = words if words.strip() else row[:room]
    return row.rstrip(" ,;:(") + " …"


def _inked(row: str, ink: str) -> str:
    return f"\x1b[{INK[ink]}m{row}\x1b[0m" if ink and row.strip() else row
