"""Parquet and Arrow: cut at row groups, and read a batch of rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, BinaryIO

from ..errors import UnreadableError, printable, why
from ._files import binary, looks
from .sources import BATCH, EXTRA, LARGEST, ROWS, File, Reading, Row, Skipped, Slice, short

PIECE = 1 << 20  # bytes read at once


def arrow() -> Any:
    """pyarrow, or one line that says what to install."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        raise UnreadableError(f"parquet needs pyarrow, which is not installed: {EXTRA}") from None
    return pa


@contextmanager
def parquet(path: str) -> Iterator[Any]:
    """A parquet file, open; no more than a page at once in memory."""
    pa = arrow()
    # of a local file its own reader is faster than Python's
    place = nullcontext(path) if "://" not in path else binary(path)
    with place as source, pa.parquet.ParquetFile(source, pre_buffer=False, buffer_size=PIECE) as file:
        yield file


def table(stream: BinaryIO) -> Any:
    """An arrow stream, as datasets' save_to_disk writes them, or an arrow file."""
    ipc = arrow().ipc
    head = stream.read(6)
    stream.seek(0)
    return ipc.open_file(stream) if head == b"ARROW1" else ipc.open_stream(stream)


def parquet_slices(file: File, target: int) -> Iterator[tuple[Slice, int]]:
    pa = arrow()
    try:
        with parquet(file.path) as opened_file:
            meta = opened_file.metadata
            rows = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    except (OSError, pa.ArrowException) as error:
        raise UnreadableError(
            f"{short(file.path)} is no parquet, or damaged{looks(file.path)}: {why(error)}"
        ) from None
    total, begin, held = max(1, sum(rows)), 0, 0
    for number, count in enumerate(rows, 1):
        held += count
        weight = file.size * held // total
        if weight >= target or number == len(rows):
            yield Slice(file.path, "parquet", begin, number), weight
            begin, held = number, 0


def parquet_rows(piece: Slice, reading: Reading, skipped: Skipped) -> Iterator[Row]:
    with parquet(piece.path) as file:
        names = set(file.schema_arrow.names)
        if reading.text not in names:
            skipped(f"{short(piece.path)} has no column {printable(reading.text)!r}")
            return
        wanted = [reading.text, *(m for m in reading.meta if m in names)]
        for group in range(piece.start, piece.stop):
            if (size := _text_bytes(file.metadata.row_group(group), reading.text)) > 4 * LARGEST:
                skipped(
                    f"{short(piece.path)}, row group {group}: documents of {size:,} bytes; expected {LARGEST:,} characters at most"
                )
                continue
            rows = _rows_at_once(file.metadata.row_group(group))
            made = lambda g=group, r=rows: file.iter_batches(r, [g], wanted, use_threads=False)  # noqa: E731
            yield from _tabular(made, f"{short(piece.path)}, row group {group}", reading, skipped)


def _text_bytes(group: Any, text: str) -> int:
    """Bytes of a document in a row group, as many in all by as many rows: a page must fit the memory to be read."""
    columns = (group.column(i) for i in range(group.num_columns))
    size = sum(c.total_uncompressed_size for c in columns if c.path_in_schema == text)
    return int(size // max(1, group.num_rows))


def _rows_at_once(group: Any) -> int:
    """Rows that hold about a ``BATCH`` of bytes."""
    return int(max(1, min(ROWS, BATCH * group.num_rows // max(1, group.total_byte_size))))


def arrow_rows(piece: Slice, reading: Reading, skipped: Skipped) -> Iterator[Row]:
    with binary(piece.path) as stream:

        def made() -> Iterator[Any]:
            found = table(stream)
            if hasattr(found, "num_record_batches"):
                return (found.get_batch(i) for i in range(found.num_record_batches))
            return iter(found)

        yield from _tabular(made, short(piece.path), reading, skipped)


def _tabular(
    made: Callable[[], Iterator[Any]], name: str, reading: Reading, skipped: Skipped
) -> Iterator[Row]:
    """Rows of record batches; a damaged page ends its row group."""
    pa = arrow()
    row = 0
    try:
        for batch in made():
            if reading.text not in batch.schema.names:
                skipped(f"{name} has no column {printable(reading.text)!r}")
                return
            column = batch.column(reading.text)
            if not is_text(column.type) and not is_binary(column.type):
                skipped(f"{name}: column {printable(reading.text)!r} holds {column.type}, no text")
                return
            texts = _strings(column, f"{name}, row", row, skipped)
            names = [m for m in reading.meta if m in batch.schema.names]
            values = [batch.column(m).to_pylist() for m in names]
            for text, *meta in zip(texts, *values, strict=True):
                if text is not None:
                    yield text, dict(zip(names, meta, strict=True))
            row += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        skipped(f"{name} is damaged after {row:,} rows: {why(error)}")


def is_text(kind: Any) -> bool:
    """Whether a column of this type of Arrow's holds strings, in whatever form."""
    kinds = arrow().types
    if kinds.is_dictionary(kind):
        return is_text(kind.value_type)
    views = getattr(kinds, "is_string_view", lambda _: False)  # since pyarrow 16
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or views(kind))


def is_binary(kind: Any) -> bool:
    """Whether a column of this type holds bytes, which may be text without saying so."""
    kinds = arrow().types
    return bool(kinds.is_binary(kind) or kinds.is_large_binary(kind))


def _strings(column: Any, name: str, row: int, skipped: Skipped) -> list[str | None]:
    """A column's texts; None for a missing one, for one that is no UTF-8, and for one that is too long."""
    if column.nbytes <= LARGEST and not is_binary(column.type):
        try:
            found: list[str | None] = column.to_pylist()
        except UnicodeDecodeError:
            pass
        else:
            return found
    return [_string(value, f"{name} {number:,}", skipped) for number, value in enumerate(column, row + 1)]


def _string(value: Any, name: str, skipped: Skipped) -> str | None:
    """One text of a column in which something is wrong, or may be."""
    if hasattr(value, "as_buffer") and (held := value.as_buffer()) is not None and held.size > 4 * LARGEST:
        skipped(f"{name}: a document of {held.size:,} bytes; expected {LARGEST:,} characters at most")
        return None
    try:
        text = value.as_py()
        return text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        skipped(f"{name} is no UTF-8: {error.reason}")
        return None
