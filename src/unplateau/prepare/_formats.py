"""Each kind of file by the module that reads it: how it is cut into slices, and a slice read into documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from ..errors import UnreadableError, why
from ._lines import byte_slices, json_rows, text_rows
from ._tables import arrow_rows, parquet_rows, parquet_slices
from ._where import where
from .sources import BATCH, LARGEST, ROWS, Document, File, Part, Reading, Row, Skipped, Slice, short


class Rows(Protocol):
    """A slice's rows: text and metadata, damaged ones told to ``skipped``."""

    def __call__(self, piece: Slice, reading: Reading, skipped: Skipped) -> Iterator[Row]: ...


def batches(part: Part, reading: Reading, skipped: Skipped) -> Iterator[list[Document]]:
    """The part's documents that meet the condition, some ``BATCH`` characters at once."""
    meets = where(reading.where) if reading.where else None
    held: list[Document] = []
    size = 0
    for place, piece in enumerate(part.slices):
        for text, meta in _read(piece, reading, skipped):
            if len(text) > LARGEST:
                skipped(
                    f"{short(piece.path)}: a document of {len(text):,} characters; expected {LARGEST:,} at most"
                )
                continue
            if meets is not None and not meets(meta):
                skipped.unmet += 1
                continue
            held.append(Document(text, meta, place))
            size += len(text)
            if size >= BATCH or len(held) >= ROWS:
                yield held
                held, size = [], 0
    if held:
        yield held


def _read(piece: Slice, reading: Reading, skipped: Skipped) -> Iterator[Row]:
    """The rows of a slice; a file that has gone since it was surveyed is one line."""
    try:
        yield from READ[piece.kind](piece, reading, skipped)
    except OSError as error:
        skipped(f"can't read {short(piece.path)}: {error.strerror or why(error)}")


def _whole(file: File, _target: int) -> Iterator[tuple[Slice, int]]:
    yield Slice(file.path, file.kind, 0, -1), file.size


SLICES: Mapping[str, Callable[[File, int], Iterator[tuple[Slice, int]]]] = {
    "parquet": parquet_slices,
    "arrow": _whole,
    "jsonl": byte_slices,
    "text": _whole,
}
READ: Mapping[str, Rows] = {
    "parquet": parquet_rows,
    "arrow": arrow_rows,
    "jsonl": json_rows,
    "text": text_rows,
}


def slices(file: File, target: int, skipped: Skipped) -> Iterator[tuple[Slice, int]]:
    """Slices of a file of about ``target`` bytes where its kind can be cut, each with its bytes."""
    try:
        yield from SLICES[file.kind](file, target)
    except UnreadableError as error:
        skipped(str(error))
