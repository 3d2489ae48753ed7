"""How each kind of file is cut into slices, and a slice read into documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, BinaryIO, Protocol

from ..errors import UnreadableError, UsageError, printable, why
from ..unpack import DamagedError, gunzipped, unzstd
from ._where import where
from .sources import (
    BATCH,
    EXTRA,
    LARGEST,
    META,
    PRESETS,
    TEXT,
    Document,
    File,
    Part,
    Reading,
    Skipped,
    Slice,
    binary,
)

PIECE = 1 << 20  # bytes read at once
HEAD_LINES = 100  # lines of JSONL that the columns are told from
ROWS = 1024  # documents in a batch at most
#: characters after which a long text file is cut, at the next blank line: some 4,000 tokens, so that one per cent
#: of a single book can be held out
TEXT_DOCUMENT = 1 << 14
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

Row = tuple[str, Mapping[str, Any]]


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
                    f"{name_of(piece)}: a document of {len(text):,} characters; expected {LARGEST:,} at most"
                )
                continue
            if meets is not None and not meets(meta):
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
        skipped(f"can't read {name_of(piece)}: {error.strerror or why(error)}")


def name_of(piece: Slice) -> str:
    """A slice's file, short enough for a line: its last two names."""
    return printable("/".join(piece.path.partition("?")[0].replace("\\", "/").split("/")[-2:]))


# ---------------------------------------------------------------- columns


def columns(files: Sequence[File], reading: Reading) -> tuple[Reading, list[str]]:
    """``reading`` with its text and metadata columns filled in, and what the user should know."""
    needed = where(reading.where).columns if reading.where else ()
    tables = [f for f in files if f.kind != "text"]
    if not tables:
        if needed:
            raise UsageError(f"--where names {', '.join(needed)}, but text files have no columns")
        return reading, []
    known = _schema(tables[0])
    preset = PRESETS.get(reading.preset, ("", ()))
    text = reading.text or preset[0] or _text(known, tables[0])
    shown = printable(", ".join(known), 300)
    for name in (text, *needed):
        if name not in known:
            raise UnreadableError(f"{_short(tables[0])} has no column {printable(name)!r}; found: {shown}")
    if not known[text]:
        raise UnreadableError(
            f"{_short(tables[0])}: column {printable(text)!r} holds no text; found: {shown}"
        )
    meta = [n for n in (*(preset[1] or META), *needed) if n in known and n != text]
    named = f"text column: {text}" + (f"; metadata: {', '.join(dict.fromkeys(meta))}" if meta else "")
    return replace(reading, text=text, meta=tuple(dict.fromkeys(meta))), [named]


def _text(known: Mapping[str, bool], file: File) -> str:
    texts = [n for n, is_text in known.items() if is_text]
    if found := next((n for n in TEXT if n in texts), None):
        return found
    if len(texts) == 1:
        return texts[0]
    raise UnreadableError(
        f"can't tell which column of {_short(file)} is the text; found: {printable(', '.join(known), 300)}; "
        "name it with --text-column"
    )


def _short(file: File) -> str:
    return name_of(Slice(file.path, file.kind, 0, 0))


def _schema(file: File) -> dict[str, bool]:
    """The columns of a file, and whether each holds strings."""
    if file.kind == "jsonl":
        return _json_schema(file)
    pa = arrow()
    try:
        if file.kind == "parquet":
            with parquet(file.path) as opened_file:
                schema = opened_file.schema_arrow
        else:
            with binary(file.path) as stream:
                schema = _table(stream).schema
    except (OSError, pa.ArrowException) as error:
        raise UnreadableError(f"{_short(file)} is no {file.kind}: {why(error)}") from None
    kinds = pa.types
    return {f.name: kinds.is_string(f.type) or kinds.is_large_string(f.type) for f in schema}


def _json_schema(file: File) -> dict[str, bool]:
    import msgspec

    found: dict[str, bool] = {}
    piece = Slice(file.path, "jsonl", 0, -1)
    for number, (_, line) in enumerate(lines(piece, Skipped(skip=True))):
        if number >= HEAD_LINES:
            break
        if not number and line.lstrip().startswith(b"["):
            raise UnreadableError(
                f"{_short(file)} is a JSON array; expected one object per line: jq -c '.[]' FILE makes it so"
            )
        try:
            row = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if isinstance(row, dict):
            found |= {k: found.get(k, False) or isinstance(v, str) for k, v in row.items()}
    if not found:
        raise UnreadableError(
            f"{_short(file)} holds no JSON objects in its first lines; expected one per line"
        )
    return found


# ---------------------------------------------------------------- parquet, arrow


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


def _table(stream: BinaryIO) -> Any:
    """An arrow stream, as datasets' save_to_disk writes them, or an arrow file."""
    ipc = arrow().ipc
    head = stream.read(6)
    stream.seek(0)
    return ipc.open_file(stream) if head == b"ARROW1" else ipc.open_stream(stream)


def _parquet_slices(file: File, target: int) -> Iterator[tuple[Slice, int]]:
    pa = arrow()
    try:
        with parquet(file.path) as opened_file:
            meta = opened_file.metadata
            rows = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    except (OSError, pa.ArrowException) as error:
        raise UnreadableError(f"{_short(file)} is no parquet: {why(error)}; fetch it again") from None
    total, begin, held = max(1, sum(rows)), 0, 0
    for number, count in enumerate(rows, 1):
        held += count
        weight = file.size * held // total
        if weight >= target or number == len(rows):
            yield Slice(file.path, "parquet", begin, number), weight
            begin, held = number, 0


def _parquet_rows(piece: Slice, reading: Reading, skipped: Skipped) -> Iterator[Row]:
    with parquet(piece.path) as file:
        names = set(file.schema_arrow.names)
        if reading.text not in names:
            skipped(f"{name_of(piece)} has no column {printable(reading.text)!r}")
            return
        wanted = [reading.text, *(m for m in reading.meta if m in names)]
        for group in range(piece.start, piece.stop):
            rows = _rows_at_once(file.metadata.row_group(group))
            made = lambda g=group, r=rows: file.iter_batches(r, [g], wanted, use_threads=False)  # noqa: E731
            yield from _tabular(made, f"{name_of(piece)}, row group {group}", reading, skipped)


def _rows_at_once(group: Any) -> int:
    """Rows that hold about a ``BATCH`` of bytes."""
    return int(max(1, min(ROWS, BATCH * group.num_rows // max(1, group.total_byte_size))))


def _arrow_rows(piece: Slice, reading: Reading, skipped: Skipped) -> Iterator[Row]:
    with binary(piece.path) as stream:

        def made() -> Iterator[Any]:
            table = _table(stream)
            if hasattr(table, "num_record_batches"):
                return (table.get_batch(i) for i in range(table.num_record_batches))
            return iter(table)

        yield from _tabular(made, name_of(piece), reading, skipped)


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
            texts = _strings(batch.column(reading.text), f"{name}, row", row, skipped)
            names = [m for m in reading.meta if m in batch.schema.names]
            values = [batch.column(m).to_pylist() for m in names]
            for text, *meta in zip(texts, *values, strict=True):
                if text is not None:
                    yield text, dict(zip(names, meta, strict=True))
            row += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        skipped(f"{name} is damaged after {row:,} rows: {why(error)}")


def _strings(column: Any, name: str, row: int, skipped: Skipped) -> list[str | None]:
    """A column's texts; None for a missing one and for one that is no UTF-8."""
    try:
        found: list[str | None] = column.to_pylist()
    except UnicodeDecodeError:
        found = []
        for number, value in enumerate(column, row + 1):
            try:
                found.append(value.as_py())
            except UnicodeDecodeError as error:
                skipped(f"{name} {number:,} is no UTF-8: {why(error)}")
                found.append(None)
    return found


# ---------------------------------------------------------------- lines, text


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """A file or URL, closed again."""
    with closing(binary(path)) as file:
        yield file


def is_packed(path: str) -> bool:
    """True for gzip and zstd, by the first bytes."""
    with opened(path) as file:
        return file.read(4).startswith((GZIP, ZSTD))


def blocks(file: BinaryIO, path: str, start: int = 0) -> Iterator[bytes]:
    """Unpacked bytes from ``start`` on (0 for packed files), at most ``PIECE`` at once.

    Raises ``DamagedError`` where packed data is cut or damaged, and where the file can't be read.
    """
    try:
        magic = file.read(4)
        file.seek(start)
        if magic.startswith(ZSTD):
            yield from unzstd(file, PIECE)
        elif magic.startswith(GZIP):
            yield from gunzipped(file, PIECE)
        else:
            yield from iter(lambda: file.read(PIECE), b"")
    except OSError as error:
        raise DamagedError(f"can't read {printable(path)}: {why(error)}") from None


def _byte_slices(file: File, target: int) -> Iterator[tuple[Slice, int]]:
    if file.size <= target or is_packed(file.path):
        yield Slice(file.path, file.kind, 0, -1), file.size
        return
    for begin in range(0, file.size, target):
        end = min(begin + target, file.size)
        yield Slice(file.path, file.kind, begin, end), end - begin


def _whole(file: File, _target: int) -> Iterator[tuple[Slice, int]]:
    yield Slice(file.path, file.kind, 0, -1), file.size


def lines(piece: Slice, skipped: Skipped) -> Iterator[tuple[int, bytes]]:
    """The lines that begin in a slice, with the byte each begins at; one beyond ``LARGEST`` is skipped unread."""
    begin = max(0, piece.start - 1)  # the byte before tells whether a line begins right at the slice
    place, rest, lost = begin, b"", piece.start > 0
    with opened(piece.path) as file:
        try:
            for block in blocks(file, piece.path, begin):
                found = (rest + block).split(b"\n") if not lost else block.split(b"\n")
                if lost:
                    if len(found) == 1:
                        place += len(block)
                        continue
                    place += len(found.pop(0)) + 1
                    lost = False
                rest = found.pop()
                for line in found:
                    if 0 <= piece.stop <= place:
                        return
                    yield place, line
                    place += len(line) + 1
                if 0 <= piece.stop <= place:
                    return
                if len(rest) > 4 * LARGEST:  # bytes of one character at most
                    skipped(f"{name_of(piece)}, byte {place:,}: a line of more than {4 * LARGEST:,} bytes")
                    place, rest, lost = place + len(rest), b"", True
        except DamagedError as error:
            skipped(f"{name_of(piece)} is damaged after {place + len(rest):,} bytes: {error}")
            return
    if rest and not lost:
        yield place, rest


def _json_rows(piece: Slice, reading: Reading, skipped: Skipped) -> Iterator[Row]:
    import msgspec

    decode = msgspec.json.Decoder().decode
    for place, line in lines(piece, skipped):
        if not line or line.isspace():
            continue
        try:
            row = decode(line)
            text = row[reading.text]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            skipped(f"{name_of(piece)}, byte {place:,}: a line that is no JSON: {why(error)}")
            continue
        except (KeyError, TypeError, IndexError):
            skipped(f"{name_of(piece)}, byte {place:,}: an object without {printable(reading.text)!r}")
            continue
        if isinstance(text, str):
            yield text, {m: row.get(m) for m in reading.meta}
        elif text is not None:
            skipped(f"{name_of(piece)}, byte {place:,}: {printable(reading.text)!r} is no string")


def _text_rows(piece: Slice, reading: Reading, skipped: Skipped) -> Iterator[Row]:
    from ._text import documents_of

    try:
        with opened(piece.path) as file:
            for text in documents_of(
                blocks(file, piece.path), None if reading.whole else TEXT_DOCUMENT, LARGEST
            ):
                yield text, {}
    except (DamagedError, UnicodeDecodeError) as error:
        skipped(f"{name_of(piece)} is no UTF-8 text: {why(error)}")


SLICES: Mapping[str, Callable[[File, int], Iterator[tuple[Slice, int]]]] = {
    "parquet": _parquet_slices,
    "arrow": _whole,
    "jsonl": _byte_slices,
    "text": _whole,
}
READ: Mapping[str, Rows] = {
    "parquet": _parquet_rows,
    "arrow": _arrow_rows,
    "jsonl": _json_rows,
    "text": _text_rows,
}


def slices(file: File, target: int) -> Iterator[tuple[Slice, int]]:
    """Slices of a file of about ``target`` bytes where its kind can be cut, each with its bytes."""
    return SLICES[file.kind](file, target)
