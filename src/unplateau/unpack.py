"""gzip and zstd in bounded pieces: all that lies before a cut or damage is given, then ``DamagedError``.

Python's own ``GzipFile`` gives nothing of a member whose end is missing until its buffer is full; and no
reader of zstd says that a file was cut.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

PACKED = 1 << 16  # bytes of gzip that are taken at once
# bytes of zstd taken at once: a block has at least 4 bytes and at most 128 KiB (RFC 8878), so 32 MiB come out
PACKED_ZSTD = 1 << 10
WINDOW = 1 << 27  # bytes; the largest window that the zstd command line reads by default
GZIP_FORMAT = 31  # of zlib: the largest window, and gzip's header and checksum
CUT = "it ends within its packed data"


class DamagedError(Exception):
    """The packed file is cut or damaged here; what came before is good."""


def gunzipped(file: BinaryIO, piece: int) -> Iterator[bytes]:
    r"""The content of all members, at most ``piece`` bytes at once.

    >>> import gzip, io
    >>> b"".join(gunzipped(io.BytesIO(gzip.compress(b"step 1\n") + gzip.compress(b"step 2\n")), 1 << 20))
    b'step 1\nstep 2\n'
    """
    member, packed, begun = zlib.decompressobj(GZIP_FORMAT), b"", False
    while packed := packed or file.read(PACKED):
        if not begun and not (packed := packed.lstrip(b"\0")):
            continue  # members may be padded with zeros
        begun, before = True, member.copy()
        try:
            block = member.decompress(packed, piece)
        except zlib.error as error:
            yield from _byte_by_byte(before, packed)
            raise DamagedError(str(error)) from None
        if block:
            yield block
        packed = member.unconsumed_tail
        if member.eof:
            packed, member, begun = member.unused_data, zlib.decompressobj(GZIP_FORMAT), False
    if begun:
        yield from filter(None, [member.flush()])  # what the last piece had no room for
        raise DamagedError(CUT)


def _byte_by_byte(member: Any, packed: bytes) -> Iterator[bytes]:
    """What comes before the byte that zlib can't understand."""
    for i in range(len(packed)):
        try:
            block = member.decompress(packed[i : i + 1])
        except zlib.error:
            return
        if block:
            yield block


def unzstd(file: BinaryIO, piece: int) -> Iterator[bytes]:
    """The content of all frames, at most ``piece`` bytes at once."""
    import zstandard

    frames = zstandard.ZstdDecompressor(max_window_size=WINDOW)
    frame, packed, begun = frames.decompressobj(), b"", False
    while packed := packed or file.read(PACKED_ZSTD):
        begun = True
        try:
            block = frame.decompress(packed)
        except zstandard.ZstdError as error:
            raise DamagedError(str(error).removeprefix("zstd decompress error: ")) from None
        packed = b""
        yield from (block[i : i + piece] for i in range(0, len(block), piece))
        if frame.eof:
            packed, frame, begun = frame.unused_data, frames.decompressobj(), False
    if begun:
        raise DamagedError(CUT)
