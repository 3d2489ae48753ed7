"""What readers of printed logs share: the shape of a number, lines in order, several runs in one file.

Patterns here begin with a literal newline, for that is what the regex engine finds fastest; ``scan`` puts
one in front of the first line. All are bounded, so a line of any length costs time in proportion to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..errors import printable
from ..run import Run
from ..source import Piece, Source
from ._records import Recorder

#: a number as C and Python print it, captured
NUMBER = rb"([+-]?(?:\d{1,18}(?:\.\d{0,24})?(?:[eE][+-]?\d{1,3})?|[nN]a[nN]|[iI]nf))"
STEP = rb"(\d{1,18})"
#: what must follow a number at the end of a line: the line's end, or, where the log was cut just there,
#: as many decimals as the format prints ("val loss 3.1" may have been 3.1415)
END4 = rb"(?:(?=[\s,|;)])|(?:(?<=\.\d{4})|(?<=nan)|(?<=inf))\Z)"
END6 = rb"(?:(?=[\s,|;)])|(?:(?<=\.\d{6})|(?<=nan)|(?<=inf))\Z)"
NEAR = 1000  # bytes of a line that are looked at; records and facts are shorter

#: what schedulers, launchers and quoting put before a record: a time stamp, a rank, an indent
PREFIX = re.compile(
    rb"\n(?!iter |step|saving )(?:[ \t>]{1,8}|\[(?:rank|default)\d{1,5}\]:? ?|\d{1,5}: {1,2}"
    rb"|\[?(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d[.,\d]{0,10}(?:Z|[+-]\d\d:?\d\d)?\]?:? {1,4})"
    rb"(?=iter \d|[Ss]tep[ :]{1,12}\d|s:\d|\[(?:eval|train)\] |val loss |validation loss: |Overriding"
    rb"|tokens per iteration|found vocab_size|Initializing |Resuming |number of parameters: |num (?:non-)?decayed)"
)
DEATH = re.compile(
    rb"[\w.]{0,40}OutOfMemoryError\b|CUDA out of memory|(?<!\w)Killed\b|KeyboardInterrupt\b|CUDA error:"
    rb"|slurmstepd: error: \*\*\*|DUE TO TIME LIMIT|oom-kill|received signal|SIGTERM|Segmentation fault"
)
CARD = re.compile(rb"^\|\s{1,6}\d{1,3}\s{1,4}(\w[\w .()/-]{2,40}?)\s{2,30}(?:On|Off|N/A)\s")
CARD_MEMORY = re.compile(rb"/\s{0,8}(\d{1,7})MiB \|")


@dataclass(slots=True)
class Place:
    """Counts lines forward through one piece, so that naming many lines costs one pass."""

    text: bytes  # the piece with a newline in front
    line: int
    _reached: int = 1

    def at(self, position: int) -> str:
        """The source of a fact whose line's newline lies at ``position``; positions must not fall."""
        ends = self.text.count(b"\n", self._reached, position + 1)
        bare = self.text.count(b"\r\n", self._reached, position + 1)
        self.line += ends - bare
        self._reached = max(self._reached, position + 1)
        return f"log line {self.line}"


def bare(data: bytes) -> bytes:
    r"""``data`` with a newline in front, and its records without prefixes.

    >>> bare(b"2024-05-01T10:00:00Z iter 10: loss 2\n[rank0]: step 20: train loss 1\n")
    b'\niter 10: loss 2\nstep 20: train loss 1\n'
    """
    return PREFIX.sub(b"\n", b"\n" + data)


def lead(piece: Piece) -> tuple[bytes, Place]:
    """The text of a piece with a newline in front, and its line counter."""
    text = bare(piece.data)
    return text, Place(text, piece.line)


def scan(source: Source, pattern: re.Pattern[bytes]) -> Iterator[tuple[re.Match[bytes], Place]]:
    """Each match of ``pattern`` in the log, in order, with the counter that names its line."""
    for piece in source.pieces():
        text, place = lead(piece)
        for match in pattern.finditer(text):
            yield match, place


def count(pattern: re.Pattern[bytes]) -> Callable[[bytes, str], int]:
    """A reader's ``sniff``: how often ``pattern`` matches."""

    def sniff(sample: bytes, name: str) -> int:  # noqa: ARG001
        return sum(1 for _ in pattern.finditer(bare(sample)))

    return sniff


def words(raw: bytes) -> str:
    """Foreign bytes as text for a fact: printable, at most 200 characters."""
    return printable(raw.decode("utf-8", "replace").strip(), 200)


def whole(raw: bytes) -> int:
    """A whole number with thousands separators.

    >>> whole(b"524,288")
    524288
    """
    return int(raw.replace(b",", b""))


@dataclass(slots=True)
class Book:
    """The runs of one file, in order; each is written by its own recorder."""

    name: str
    format: str
    unit: str = "nats"
    runs: list[Recorder] = field(default_factory=list)
    last: int = -1  # the highest step logged by the present run
    death: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if not self.runs:
            self.runs.append(Recorder(self.name, self.format, self.unit))

    @property
    def now(self) -> Recorder:
        return self.runs[-1]

    def begin(self, name: str | None = None) -> Recorder:
        """Start the next run; one that never logged a point is forgotten with its facts."""
        self._bury()
        if self.now.empty:
            self.runs.pop()
        self.runs.append(Recorder(name or self.name, self.format, self.unit))
        self.last = -1
        return self.now

    def at(self, step: int) -> Recorder:
        """The run that a record of ``step`` belongs to: step 0 after later steps begins another."""
        if step == 0 and self.last > 0:
            self.begin()
        self.last = max(self.last, step)
        self.death = None  # it lived on
        return self.now

    def other(self, line: bytes, place: Place, match: re.Match[bytes]) -> None:
        """A line that is no record of the format."""
        if len(line) > 5 and (DEATH.search(line) or line.startswith(b"|")):
            self.machine(line, place.at(match.start()))

    def machine(self, line: bytes, where: str) -> None:
        """Facts that any trainer's output may show: the cards, and why it died."""
        if DEATH.search(line):
            self.death = self.death or (words(line), where)
        elif "gpu" not in self.now.facts and (card := CARD.match(line)):
            self.now.fact("gpu", words(card[1]), "", where)
        elif "gpu_memory" not in self.now.facts and (memory := CARD_MEMORY.search(line)):
            self.now.fact("gpu_memory", int(memory[1]) << 20, "bytes", where)

    def _bury(self) -> None:
        if self.death is not None:
            self.now.fact("killed", self.death[0], "", self.death[1])
            self.death = None

    def finish(self) -> list[Run]:
        """The runs that logged something; those of one name are numbered."""
        self._bury()
        runs = [r for r in self.runs if not r.empty]
        names = [r.name for r in runs]
        for i, recorder in enumerate(runs):
            if names.count(recorder.name) > 1 and names[:i].count(names[i]):
                recorder.name = f"{names[i]} ({names[: i + 1].count(names[i])})"
        return [recorder.finish() for recorder in runs]


@dataclass(frozen=True, slots=True)
class Stated:
    """A fact that a line states: ``prefix`` begins the line, ``value`` finds it in the rest."""

    prefix: bytes
    name: str
    unit: str = ""
    value: re.Pattern[bytes] = re.compile(rb"\s{0,8}([^\n|]{1,200})")
    of: Callable[[bytes], object] = words


def stated(rec: Recorder, line: bytes, where: str, table: tuple[Stated, ...]) -> None:
    """Record what ``line`` states, by the first entry of ``table`` that knows it."""
    for entry in table:
        if line.startswith(entry.prefix) and (found := entry.value.match(line, len(entry.prefix))):
            rec.fact(entry.name, entry.of(found[1]), entry.unit, where)


COUNT = re.compile(rb"\D{0,40}?(\d[\d,]{0,20})(?![\d.,]*\d)")
