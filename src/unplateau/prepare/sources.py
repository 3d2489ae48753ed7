"""What documents come from: parquet, arrow, JSONL and text, in files, folders, globs and URLs.

``survey`` finds the files, tells the text column, and cuts them into parts: a range of row groups, a range of
bytes of lines, a text file. A part can be read by itself, anywhere, and gives the same documents each time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import UnreadableError, UsageError, printable

Kind = Literal["parquet", "arrow", "jsonl", "text"]

PART = 32 << 20  # bytes of file that one part holds: some seconds of work, so that little is lost to a crash
SMALLEST_PART = 1 << 20  # bytes; below, starting a part costs more than what it divides
PARTS = 64  # parts that a small job is cut into, so that its workers end together
BATCH = 2 << 20  # characters of text that are held at once; gigatoken's rate is flat from 1 MB on
ROWS = 1024  # documents in a batch at most
NAMED = 20  # lines on damage that are kept for one part
LARGEST = 16 << 20  # characters of one document, five times War and Peace: a longer one is no document
SUFFIXES: Mapping[str, Kind] = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
}
PACKED = (".gz", ".zst", ".zstd")
SPLITS = (
    "train",
    "validation",
    "valid",
    "val",
    "dev",
    "test",
)  # as Hugging Face's datasets names files of splits
#: text columns by how often data sets name them so
TEXT = ("text", "content", "raw_content", "document", "body", "article", "story")
#: metadata that is worth its memory: what a split can be unfair in, and what --where is asked for
META = ("score", "int_score", "language", "language_score", "dump", "url", "date", "source")
#: name -> text column and metadata columns, from the data sets' cards
PRESETS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "fineweb": ("text", ("dump", "url", "date", "language", "language_score")),
    "fineweb-edu": ("text", ("dump", "url", "date", "language", "language_score", "score", "int_score")),
}
EXTRA = "pip install 'unplateau[prepare]'"

Row = tuple[str, Mapping[str, Any]]  # a text, and what stands beside it


@dataclass(frozen=True, slots=True)
class Document:
    """One text, what its row said beside it, and which slice of its part it comes from."""

    text: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    place: int = 0


@dataclass(frozen=True, slots=True)
class File:
    """A source file: where it lies, what it is, its bytes on disk."""

    path: str
    kind: Kind
    size: int


@dataclass(frozen=True, slots=True)
class Slice:
    """Units ``start <= unit < stop`` of a file: row groups of parquet, bytes of anything else."""

    path: str
    kind: Kind
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Part:
    """A restartable piece of the sources: small files together, or a slice of a large one."""

    number: int
    slices: tuple[Slice, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """How documents are read: columns, a condition, and what becomes of damage.

    ``limit`` is how many documents a part gives at most. ``whole`` keeps a long text file as one document.
    """

    text: str = ""
    meta: tuple[str, ...] = ()
    where: str = ""
    skip: bool = False
    whole: bool = False
    limit: int | None = None
    preset: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """The files found, the parts that they were cut into, the columns, what the user should know, and what is left out."""

    files: tuple[File, ...]
    parts: tuple[Part, ...]
    reading: Reading
    notes: tuple[str, ...]
    damaged: tuple[str, ...] = ()


@dataclass
class Skipped:
    """What could not be read: counted, and the first few named; the first is raised where nothing is to be skipped."""

    skip: bool
    count: int = 0
    named: list[str] = field(default_factory=list)
    most: int = NAMED
    unmet: int = 0  # documents, whole ones, that do not meet ``--where``

    def __call__(self, line: str) -> None:
        """Note ``line``, or raise it as ``UnreadableError``."""
        if not self.skip:
            raise UnreadableError(f"{line} (--on-error skip leaves it out)")
        self.count += 1
        if len(self.named) < self.most:
            self.named.append(line)


def survey(sources: Sequence[str], reading: Reading | None = None) -> Survey:
    """Find the files of ``sources``, their text column and metadata, and cut them into parts.

    Raises ``UnreadableError`` for a source that is not there or holds no text, ``UsageError`` for a preset, a
    column or a condition that can't be meant.
    """
    from ._columns import columns
    from ._files import find

    reading = reading or Reading()
    if reading.preset and reading.preset not in PRESETS:
        raise UsageError(f"no preset is called {printable(reading.preset)!r}; known: {', '.join(PRESETS)}")
    skipped = Skipped(reading.skip, most=sys.maxsize)
    files, notes = find(sources, skipped)
    reading, told = columns(files, reading)
    parts = tuple(cut(files, skipped))
    return Survey(tuple(files), parts, reading, (*notes, *told), tuple(skipped.named))


def parts_of(sources: Sequence[str], reading: Reading | None = None) -> list[Part]:
    """The parts of ``survey``."""
    return list(survey(sources, reading).parts)


def documents(
    part: Part, reading: Reading | None = None, skipped: Skipped | None = None
) -> Iterator[list[Document]]:
    """The documents of a part in their order, in lists of about ``BATCH`` characters.

    Raises ``UnreadableError`` for what is damaged, unless ``skipped`` takes note of it.
    """
    from . import _formats

    reading = reading or Reading()
    skipped = skipped or Skipped(reading.skip)
    left = reading.limit
    for batch in _formats.batches(part, reading, skipped):
        yield batch if left is None else batch[:left]
        if left is not None and (left := left - len(batch)) <= 0:
            return


def short(path: str) -> str:
    """A file's last two names, which fit a line."""
    return printable("/".join(path.partition("?")[0].replace("\\", "/").split("/")[-2:]))


def cut(files: Sequence[File], skipped: Skipped | None = None) -> Iterator[Part]:
    """Parts of about a 64th of all bytes, 1 to 32 MB each: the same for any number of workers.

    A file that is too damaged to be cut is told to ``skipped``.
    """
    from . import _formats

    target = min(PART, max(SMALLEST_PART, sum(f.size for f in files) // PARTS))
    held: list[Slice] = []
    size = number = 0
    for file in files:
        for piece, weight in _formats.slices(file, target, skipped or Skipped(skip=False)):
            held.append(piece)
            size += weight
            if size >= target:
                yield Part(number, tuple(held))
                held, size, number = [], 0, number + 1
    if held:
        yield Part(number, tuple(held))
