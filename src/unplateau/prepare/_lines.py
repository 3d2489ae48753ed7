"""JSONL and plain text, packed or not: cut at any byte, and read a block at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import BinaryIO

from ..errors import printable, why
from ..unpack import DamagedError, gunzipped, unzstd
from .sources import LARGEST, File, Reading, Row, Skipped, Slice, binary, short

PIECE = 1 << 20  # bytes read at once
#: characters after which a long text file is cut, at the next blank line: some 4,000 tokens, so that one per cent
#: of a single book can be held out
TEXT_DOCUMENT = 1 << 14
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


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


def byte_slices(file: File, target: int) -> Iterator[tuple[Slice, int]]:
    if file.size <= target or is_packed(file.path):
        yield Slice(file.path, file.kind, 0, -1), file.size
        return
    for begin in range(0, file.size, target):
        end = min(begin + target, file.size)
        yield Slice(file.path, file.kind, begin, end), end - begin


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
                    skipped(f"{short(piece.path)}, byte {place:,}: a line of more than {4 * LARGEST:,} bytes")
                    place, rest, lost = place + len(rest), b"", True
        except DamagedError as error:
            skipped(f"{short(piece.path)} is damaged after {place + len(rest):,} bytes: {error}")
            return
    if rest and not lost:
        yield place, rest


def json_rows(piece: Slice, reading: Reading, skipped: Skipped) -> Iterator[Row]:
    import msgspec

    decode = msgspec.json.Decoder().decode
    for place, line in lines(piece, skipped):
        if not line or line.isspace():
            continue
        try:
            row = decode(line)
            text = row[reading.text]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            skipped(f"{short(piece.path)}, byte {place:,}: a line that is no JSON: {why(error)}")
            continue
        except (KeyError, TypeError, IndexError):
            skipped(f"{short(piece.path)}, byte {place:,}: an object without {printable(reading.text)!r}")
            continue
        if isinstance(text, str):
            yield text, {m: row.get(m) for m in reading.meta}
        elif text is not None:
            skipped(f"{short(piece.path)}, byte {place:,}: {printable(reading.text)!r} is no string")


def text_rows(piece: Slice, reading: Reading, skipped: Skipped) -> Iterator[Row]:
    from ._text import documents_of

    try:
        with opened(piece.path) as file:
            for text in documents_of(
                blocks(file, piece.path), None if reading.whole else TEXT_DOCUMENT, LARGEST
            ):
                yield text, {}
    except (DamagedError, UnicodeDecodeError) as error:
        skipped(f"{short(piece.path)} is no UTF-8 text: {why(error)}")
