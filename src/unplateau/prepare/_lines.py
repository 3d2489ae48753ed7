"""JSONL and plain text, packed or not: cut at any byte, and read a block at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, BinaryIO

from ..errors import printable, why
from ..unpack import DamagedError, gunzipped, unzstd
from ._files import binary
from .sources import LARGEST, File, Reading, Row, Skipped, Slice, short

PIECE = 1 << 20  # bytes read at once
#: characters after which a long text file is cut, at the next blank line: some 4,000 tokens, so that one per cent
#: of a single book can be held out
TEXT_DOCUMENT = 1 << 14
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
BOM = b"\xef\xbb\xbf"  # that editors on Windows put before UTF-8
ESCAPED = re.compile("[\udc80-\udcff]")  # bytes that are no UTF-8, as "surrogateescape" shows them


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
    place, lost = begin, piece.start > 0
    held: list[bytes] = []  # of a line whose end is not seen yet
    size = 0
    with opened(piece.path) as file:
        try:
            for block in blocks(file, piece.path, begin):
                first, *found = block.split(b"\n")
                if lost:
                    place += len(first) + (1 if found else 0)
                    lost = not found
                else:
                    held.append(first)
                    size += len(first)
                    found = [b"".join(held), *found] if found else found
                if found:
                    rest = found.pop()
                    for line in found:
                        if 0 <= piece.stop <= place:
                            return
                        yield place, line if place else line.removeprefix(BOM)
                        place += len(line) + 1
                    held, size = [rest], len(rest)
                if 0 <= piece.stop <= place:
                    return
                if size > 4 * LARGEST:  # bytes of one character at most
                    skipped(f"{short(piece.path)}, byte {place:,}: a line of more than {4 * LARGEST:,} bytes")
                    place, held, size, lost = place + size, [], 0, True
        except DamagedError as error:
            skipped(f"{short(piece.path)} is damaged after {place + size:,} bytes: {error}")
            return
    if size:
        yield place, b"".join(held) if place else b"".join(held).removeprefix(BOM)


def json_rows(piece: Slice, reading: Reading, skipped: Skipped) -> Iterator[Row]:
    import msgspec

    decode = msgspec.json.Decoder().decode
    for place, line in lines(piece, skipped):
        if not line or line.isspace():
            continue
        try:
            row = json_of(line, decode)
            text = row[reading.text]
        except ValueError as error:
            skipped(f"{short(piece.path)}, byte {place:,}: a line that is no JSON: {why(error)}")
            continue
        except (KeyError, TypeError, IndexError):
            skipped(f"{short(piece.path)}, byte {place:,}: no object with {printable(reading.text)!r}")
            continue
        if isinstance(text, str):
            yield text, {m: row.get(m) for m in reading.meta}
        elif text is not None:
            skipped(f"{short(piece.path)}, byte {place:,}: {printable(reading.text)!r} is no string")


def json_of(line: bytes, decode: Callable[[bytes], Any]) -> Any:
    """A line as ``decode`` of msgspec's has it, else as Python's json has it, which reads what it writes itself.

    Python writes NaN, and half of a surrogate pair where a text was cut there. Raises ``ValueError``.
    """
    try:
        return decode(line)
    except (ValueError, RecursionError) as error:
        try:
            return json.loads(line.decode())
        except (ValueError, RecursionError):
            raise ValueError(why(error)) from None


def text_rows(piece: Slice, reading: Reading, skipped: Skipped) -> Iterator[Row]:
    from ._text import documents_of

    length = None if reading.whole else TEXT_DOCUMENT
    try:
        with opened(piece.path) as file:
            for number, text in enumerate(documents_of(blocks(file, piece.path), length, LARGEST), 1):
                if not text.isascii() and (bad := ESCAPED.search(text)):
                    byte = ord(bad[0]) - 0xDC00
                    skipped(f"{short(piece.path)}, document {number:,}: byte 0x{byte:02x} is no UTF-8")
                else:
                    yield text, {}
    except DamagedError as error:
        skipped(f"{short(piece.path)} is damaged: {why(error)}")
