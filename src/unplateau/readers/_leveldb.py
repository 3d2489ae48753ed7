"""The record log that W&B writes: LevelDB's layout of 32 KiB blocks, each record with its checksum.

A file begins with ``:W&B``, 0xBEE1 and a version. A record's header is checksum (4 bytes), length (2), type (1):
1 whole, 2 first, 3 middle, 4 last part; no header crosses a block. The checksum is CRC-32 of type and
content as W&B writes it, or LevelDB's own masked CRC-32C.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAGIC = b":W&B\xe1\xbe"
HEADER = struct.Struct("<IHB")
FILE_HEADER = 7  # bytes before the first record
BLOCK = 1 << 15
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4
LARGEST = 64 << 20  # bytes of one record
TRIES = 20_000  # places tried in all, to find the next record after damage
MASK = 0xA282EAD8


@dataclass(slots=True)
class Damage:
    """What was met while reading."""

    records: int = 0
    first_at: int = -1  # byte
    cut: bool = False
    tries: int = TRIES

    def at(self, place: int) -> None:
        self.records += 1
        if self.first_at < 0:
            self.first_at = place


def frame(payload: bytes, kind: int = WHOLE) -> bytes:
    """One record as W&B writes it."""
    return HEADER.pack(zlib.crc32(bytes([kind]) + payload), len(payload), kind) + payload


def records(pieces: Iterable[bytes], damage: Damage) -> Iterator[bytes]:
    r"""The records of a file given in pieces of any size; damaged ones are left out and counted.

    >>> met = Damage()
    >>> list(records([MAGIC + b"\0" + frame(b"one"), frame(b"two")[:-1]], met)), met.cut
    ([b'one'], True)
    """
    parts: list[bytes] = []
    for kind, content in _fragments(pieces, damage):
        if kind in (WHOLE, FIRST):
            parts = []
        elif not parts:
            continue  # the first part was lost
        parts.append(content)
        if kind in (WHOLE, LAST):
            yield b"".join(parts)
            parts = []
        elif sum(map(len, parts)) > LARGEST:
            parts = []
    damage.cut = damage.cut or bool(parts)


def _fragments(pieces: Iterable[bytes], damage: Damage) -> Iterator[tuple[int, bytes]]:
    for number, block in enumerate(_blocks(pieces)):
        at = 0 if number else FILE_HEADER
        whole = len(block) == BLOCK
        while at + HEADER.size <= len(block):
            checksum, length, kind = HEADER.unpack_from(block, at)
            stop = at + HEADER.size + length
            if not (kind or length or checksum):
                break  # zeros fill a block that ends, and a file that was made larger before it was written
            if WHOLE <= kind <= LAST and stop <= len(block) and _sound(block, at, stop, checksum):
                yield kind, block[at + HEADER.size : stop]
                at = stop
                continue
            if not whole and stop > len(block):
                damage.cut = True
            else:
                damage.at(number * BLOCK + at)
            at = _next(block, at + 1, damage)
        if not whole and 0 < len(block) - at < HEADER.size:
            damage.cut = True


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        data = rest + piece if rest else piece
        whole = len(data) // BLOCK * BLOCK
        for at in range(0, whole, BLOCK):
            yield data[at : at + BLOCK]
        rest = data[whole:]
    if rest:
        yield rest


def _sound(block: bytes, at: int, stop: int, checksum: int) -> bool:
    content = block[at + HEADER.size - 1 : stop]  # the type, then the content
    return zlib.crc32(content) == checksum or _masked(content) == checksum


def _masked(content: bytes) -> int:
    from crc32c import crc32c

    crc: int = crc32c(content)
    return (((crc >> 15) | (crc << 17)) + MASK) & 0xFFFFFFFF


def _next(block: bytes, at: int, damage: Damage) -> int:
    """The place of the next sound record, or the end of the block."""
    while at + HEADER.size <= len(block) and damage.tries > 0:
        checksum, length, kind = HEADER.unpack_from(block, at)
        stop = at + HEADER.size + length
        if WHOLE <= kind <= LAST and length and stop <= len(block):
            damage.tries -= 1
            if zlib.crc32(block[at + HEADER.size - 1 : stop]) == checksum:
                return at
        at += 1
    return len(block)
