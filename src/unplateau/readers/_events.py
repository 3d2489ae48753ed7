"""One protobuf Event of TensorBoard, decoded by hand: only what a scalar needs.

Event: 1 wall_time (double), 2 step (varint), 5 summary. Summary: repeated 1 value. Value: 1 tag,
2 simple_value (float), 8 tensor, 9 metadata. Tensor: 1 dtype, 2 shape, 4 tensor_content, 5 float_val, 6 double_val,
7 int_val, 10 int64_val. From tensorflow/core/util/event.proto, summary.proto and tensor.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
#: DataType numbers of tensorflow/core/framework/types.proto that numpy can view
TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}
TYPED = {5: "<f4", 6: "<f8"}  # fields of a tensor that hold fixed-width values
VALUES = 4096  # scalars of one event that are kept


@dataclass(frozen=True, slots=True)
class Point:
    """A scalar and where its bytes lie in the event, so that others like it are found by comparison."""

    tag: bytes
    step: int
    value: float
    step_at: int = 0
    step_size: int = 0
    value_at: int = 0
    value_type: np.dtype[np.generic] = np.dtype("<f4")  # noqa: RUF009 - a dtype is immutable
    fixed: bool = False  # the event begins with its time, and value bytes are of fixed width


def varint(data: bytes, at: int) -> tuple[int, int]:
    r"""The number at ``at`` and the place after it; raises ``ValueError`` past ten bytes.

    >>> varint(b"\xac\x02", 0)
    (300, 2)
    """
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift > 63:
            raise ValueError("a varint of more than ten bytes")


def fields(data: bytes, at: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Each field of the message in ``data[at:stop]``: number, wire type, start and stop of its content.

    Raises ``ValueError`` where the bytes are not a message.
    """
    while at < stop:
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            start, (_, at) = at, varint(data, at)
        elif wire == BYTES:
            size, start = varint(data, at)
            at = start + size
        elif wire in {FIXED64, FIXED32}:
            start, at = at, at + (8 if wire == FIXED64 else 4)
        else:
            raise ValueError(f"wire type {wire}")
        if at > stop:
            raise ValueError("a field runs past its message")
        yield number, wire, start, at


def decode(event: bytes) -> list[Point]:
    r"""The scalars of one Event.

    >>> event = b"\x09" + bytes(8) + b"\x10\x07\x2a\x0d\x0a\x0b\x0a\x04loss\x15\x00\x00\x80\x3f"
    >>> [(p.tag, p.step, p.value) for p in decode(event)]
    [(b'loss', 7, 1.0)]
    """
    step = step_at = step_size = 0
    summaries: list[tuple[int, int]] = []
    timed = event[:1] == b"\x09"
    for number, wire, start, stop in fields(event, 0, len(event)):
        if number == 2 and wire == VARINT:
            unsigned, _ = varint(event, start)
            step, step_at, step_size = unsigned - (unsigned >> 63 << 64), start, stop - start
        elif number == 5 and wire == BYTES:
            summaries.append((start, stop))
    values = [
        (start, stop)
        for low, high in summaries
        for number, wire, start, stop in fields(event, low, high)
        if number == 1 and wire == BYTES
    ]
    points = []
    for low, high in values[:VALUES]:
        found = _value(event, low, high)
        if found:
            tag, value, at, kind = found
            points.append(Point(tag, step, value, step_at, step_size, at, kind, timed and at > 0))
    return points


Scalar = tuple[bytes, float, int, "np.dtype[np.generic]"]


def _value(event: bytes, low: int, high: int) -> Scalar | None:
    tag = b""
    found: tuple[int, int, np.dtype[np.generic]] | None = None
    for number, wire, start, stop in fields(event, low, high):
        if number == 1 and wire == BYTES:
            tag = event[start:stop]
        elif number == 2 and wire == FIXED32:
            found = start, stop, np.dtype("<f4")
        elif number == 8 and wire == BYTES:
            found = _tensor(event, start, stop)
    if found is None or not tag:
        return None
    start, stop, kind = found
    if kind.itemsize != stop - start:
        return None
    return tag, float(np.frombuffer(event[start:stop], kind)[0]), start, kind


def _tensor(event: bytes, low: int, high: int) -> tuple[int, int, np.dtype[np.generic]] | None:
    """Where the one value of a tensor lies; None for more values than one, or types that are no number."""
    dtype = 0
    content: tuple[int, int] | None = None
    typed: tuple[int, int, np.dtype[np.generic]] | None = None
    for number, wire, start, stop in fields(event, low, high):
        if number == 1 and wire == VARINT:
            dtype = varint(event, start)[0]
        elif number == 4 and wire == BYTES and stop > start:
            content = start, stop
        elif number in TYPED and wire in {BYTES, FIXED32, FIXED64}:
            typed = start, stop, np.dtype(TYPED[number])
    if typed:
        return typed
    return (*content, np.dtype(TYPES[dtype])) if content and dtype in TYPES else None
