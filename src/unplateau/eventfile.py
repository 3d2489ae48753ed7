"""TensorBoard's event files, written by hand: scalars need one message of three fields, and no package.

A record: its length (uint64), that length's masked CRC-32C, the message, its masked CRC-32C
(tensorflow/core/lib/io/record_writer.cc); the message is Event of tensorflow/core/util/event.proto.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from pathlib import Path

from crc32c import crc32c

from .durable import told

VERSION = b"brain.Event:2"
STRING = 7  # DT_STRING of tensorflow/core/framework/types.proto
MASK = 0xA282EAD8  # added to a CRC that was turned by 15 bits, crc32c.h


class EventFile:
    """``events.out.tfevents...`` in a folder of its own; one for each process that worked on the run."""

    def __init__(self, folder: Path) -> None:
        now = time.time()
        with told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self.path = folder / f"events.out.tfevents.{now:.6f}.unplateau"
            self._file = self.path.open("xb")
        self._write(_double(1, now) + _bytes(3, VERSION))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """One event with all ``values`` of a step."""
        one = b"".join(_bytes(1, _bytes(1, tag.encode()) + _float(2, value)) for tag, value in values.items())
        self._write(_double(1, time.time()) + _key(2, 0) + _varint(step) + _bytes(5, one))

    def add_text(self, step: int, tag: str, text: str) -> None:
        """One event with a text, which TensorBoard's text plugin shows as Markdown."""
        plugin = _bytes(1, _bytes(1, b"text"))  # SummaryMetadata.plugin_data.plugin_name
        tensor = (
            _key(1, 0) + _varint(STRING) + _bytes(2, _bytes(2, _key(1, 0) + _varint(1)))
        )  # its shape is (1,)
        tensor += _bytes(8, text.encode("utf-8", "replace"))
        value = _bytes(1, f"{tag}/text_summary".encode()) + _bytes(8, tensor) + _bytes(9, plugin)
        self._write(_double(1, time.time()) + _key(2, 0) + _varint(step) + _bytes(5, _bytes(1, value)))

    def _write(self, message: bytes) -> None:
        length = struct.pack("<Q", len(message))
        with told(self.path):
            self._file.write(length + _masked(length) + message + _masked(message))
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF)


def _key(number: int, wire: int) -> bytes:
    return bytes([number << 3 | wire])


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first.

    >>> _varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _bytes(number: int, data: bytes) -> bytes:
    return _key(number, 2) + _varint(len(data)) + data


def _double(number: int, value: float) -> bytes:
    return _key(number, 1) + struct.pack("<d", value)


def _float(number: int, value: float) -> bytes:
    return _key(number, 5) + struct.pack("<f", value)
