"""The few lines of a printed log that a reader asks for, found by marks; a line's far end is not looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import isfinite

from ..source import Source
from ._records import Recorder
from ._text import Place, lead

LINE = 20_000  # bytes of one line that are looked at; the longest that matters, fairseq's arguments, has 8 kB
#: lines about the machine, for ``Book.machine``; each begins with a literal, so that finding them is cheap
MACHINE = (
    rb"OutOfMemoryError|CUDA out of memory|Killed\b|KeyboardInterrupt|CUDA error:|slurmstepd: error: \*\*\*"
    rb"|DUE TO TIME LIMIT|oom-kill|received signal|SIGTERM|Segmentation fault|MiB \||\n\| {1,6}\d{1,3} {1,4}\w"
)
VALUE = re.compile(rb"[+-]?(?:\d{1,3}(?:,\d{3}){1,6}|\d{1,19})(?:\.\d{0,24})?(?:[eE][+-]?\d{1,3})?")
WHOLE = re.compile(r"-?\d{1,18}")
REAL = re.compile(r"[+-]?(?:\d{1,18}(?:\.\d{0,24})?|\.\d{1,24})(?:[eE][+-]?\d{1,3})?")
LITERALS = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None, "": None}


def marked(source: Source, mark: re.Pattern[bytes]) -> Iterator[tuple[bytes, str]]:
    """Each line that holds ``mark``, and where it stands; one without a newline is where the log was cut."""
    for piece in source.pieces():
        text, place = lead(piece)
        yield from marked_in(text, place, mark)


def marked_in(text: bytes, place: Place, mark: re.Pattern[bytes]) -> Iterator[tuple[bytes, str]]:
    """The same for one piece that ``lead`` gave."""
    reached = 0
    while found := mark.search(text, reached):
        begin = (
            found.start() + 1 if text[found.start()] == 10 else text.rfind(b"\n", reached, found.start()) + 1
        )
        begin = max(begin, reached)
        end = text.find(b"\n", found.end())
        end = len(text) if end < 0 else end
        line = text[begin : min(end, begin + LINE)].rstrip(b"\r")
        yield (line + b"\n" if end < len(text) else line), place.at(begin - 1)
        reached = end


def number(raw: bytes) -> float | None:
    """A number as trainers print it, thousands separators and all, or None.

    >>> number(b" 1,234.5 "), number(b"-1e-3"), number(b"nan"), number(b"n/a"), number(b"1_0")
    (1234.5, -0.001, nan, None, None)
    """
    raw = raw.strip()
    if raw.lower() in {b"nan", b"inf", b"-inf", b"-nan", b"+inf"}:
        return float(raw)
    return float(raw.replace(b",", b"")) if len(raw) < 64 and VALUE.fullmatch(raw) else None


def literal(raw: str) -> bool | int | float | str | None:
    """A setting as Python or YAML prints it: true, 12, 1e-3, or the text without quotes; None where empty or 1e999.

    >>> literal("False"), literal("12"), literal("6e-4"), literal("'adamw'"), literal("None")
    (False, 12, 0.0006, 'adamw', None)
    """
    raw = raw.strip()
    if raw in LITERALS:
        return LITERALS[raw]
    if WHOLE.fullmatch(raw):
        return int(raw)
    if REAL.fullmatch(raw):
        value = float(raw)
        return value if isfinite(value) else None
    return raw.strip("'\"")[:200]


def settle(rec: Recorder, names: Mapping[str, tuple[str, str]], key: str, raw: str, where: str) -> None:
    """A setting of the trainer as our fact, where ``names`` (its key -> our name and unit) has one for it.

    A fact that is settled already is left as it is: echoes repeat themselves.
    """
    if key not in names:
        return
    name, unit = names[key]
    value = literal(raw)
    if value is not None and name not in rec.facts:
        rec.fact(name, value, unit, where)
