"""TensorBoard event files: TFRecords of protobuf Events, decoded by hand, every CRC checked.

A record is ``length u64, masked crc32c of length u32, data, masked crc32c of data u32``. The scalars of
one tag differ from each other only in time, step and value, so records are grouped by length, the first
of a group is decoded as a template, and numpy decodes all others that match it byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableError, printable
from ..run import Run
from ..source import Source
from . import Options, Reader
from ._events import Point, decode
from ._names import series_of
from ._records import Recorder
from ._units import in_nats

HEADER, CRC = Struct("<QI"), Struct("<I")
FRAME = HEADER.size + CRC.size  # bytes around the data of a record
CHUNK = 1 << 22  # bytes decoded at once
RECORD_LIMIT = 1 << 22  # bytes; longer records hold images, graphs or text, never a scalar alone
FIRST_LIMIT = 1 << 40  # bytes; no record is longer, whatever its checksum says
TEMPLATES = 64  # layouts that are tried on one group of equal length before the rest go one by one
TAGS = 2048  # tags that are kept; a file with more has a histogram or a hash in its tags
CERTAIN = 10**9  # records: the version record at the start settles the format
MAGIC = b"brain.Event:"  # of the version record, "brain.Event:2"
DEEPEST = 8  # folders below the one given
Bytes = NDArray[np.uint8]


def sniff(sample: bytes, name: str) -> int:
    """The version record at the start, or the file's name."""
    if sample[:64].find(MAGIC) >= 0:
        return CERTAIN
    return int("tfevents" in name and not name.endswith((".json", ".csv", ".txt")))


def read(source: Source, options: Options) -> list[Run]:
    """The one run of an event file; empty when it holds no scalar."""
    return _run([source], options, source.name)


def read_folder(path: Path, options: Options) -> list[Run]:
    """Each folder with event files, at or below ``path``, as one run, its files in order of time.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as empty:
    ...     read_folder(Path(empty), Options())
    []
    """
    if not path.is_dir():
        raise UnreadableError(f"{path.name} is not a folder")
    files = sorted(_event_files(path))
    runs: list[Run] = []
    for folder, group in groupby(files, key=lambda file: file.parent):
        ordered = sorted(group, key=_when)
        name = path.name if folder == path else folder.relative_to(path).as_posix()
        runs += _run([Source(file) for file in ordered], options, name)
    return runs


def _event_files(path: Path) -> Iterator[Path]:
    for folder, inner, files in os.walk(path):
        if len(Path(folder).relative_to(path).parts) >= DEEPEST:
            inner.clear()
        yield from (Path(folder) / name for name in files if "tfevents" in name)


def _when(path: Path) -> tuple[int, str]:
    """The second in ``events.out.tfevents.SECOND.host``, then the name."""
    stamp = path.name.partition("tfevents.")[2].split(".")[0]
    return (int(stamp) if stamp.isdecimal() and len(stamp) < 16 else 0, path.name)


def _run(sources: list[Source], options: Options, name: str) -> list[Run]:
    points = _Points(Recorder(name, "tensorboard"), options)
    for source in sources:
        before = len(source.notes)
        frames = _Frames(source)
        for chunk, starts, lengths in frames:
            points.take(chunk, starts, lengths)
        for note in [*source.notes[before:], *frames.damage()]:
            points.rec.warn(note)
    return [] if points.rec.empty else [in_nats(points.finish(), options)]


@dataclass(slots=True)
class _Frames:
    """Chunks of an event file, with the start and length of the data of each sound record in them."""

    source: Source
    bad: int = 0
    first_bad: int = -1  # byte
    skipped: int = 0  # bytes between records that no frame fits
    resumed: int = -1  # byte at which the first lost frame was found again
    cut_at: int = -1  # byte at which a last record begins that is not whole
    _known: dict[int, int] = field(default_factory=dict)  # length -> its masked checksum

    def __iter__(self) -> Iterator[tuple[bytes, list[int], list[int]]]:
        rest, base, skip, frame = b"", 0, 0, 0
        for block in _chunks(self.source):
            if skip >= len(block):  # inside a record that is too long to hold
                skip -= len(block)
                continue
            chunk = rest + block[skip:]
            starts, lengths, frame, used = self._walk(chunk, base)
            if starts:
                yield chunk, starts, lengths
            frame += base
            base, rest, skip = base + used, chunk[used:], max(0, used - len(chunk))
        if rest or skip:
            self.cut_at = frame

    def _walk(self, chunk: bytes, base: int) -> tuple[list[int], list[int], int, int]:
        """Starts and lengths, where the last frame begins, and how many bytes are done with."""
        from crc32c import crc32c

        starts: list[int] = []
        lengths: list[int] = []
        frame, position, size, view = 0, 0, len(chunk), memoryview(chunk)
        header, crc, known = HEADER.unpack_from, CRC.unpack_from, self._known
        while position + FRAME <= size:
            frame = position
            length, check = header(chunk, position)
            if known.get(length) != check and not self._sound_length(length, check):
                found = _next_frame(chunk, position + 1)
                self._lost(base + position, found - position, base + found)
                position = found
                continue
            start = position + 12
            stop = start + length
            if length > RECORD_LIMIT:
                position = stop + 4
                continue
            if stop + 4 > size:
                break
            value = crc32c(view[start:stop])
            if (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF == crc(chunk, stop)[0]:
                starts.append(start)
                lengths.append(length)
            else:
                self._damaged(base + position)
            position = stop + 4
        return starts, lengths, frame if position > size else position, position

    def _sound_length(self, length: int, check: int) -> bool:
        if length > FIRST_LIMIT or _masked(HEADER.pack(length, 0)[:8]) != check:
            return False
        if len(self._known) < 1 << 16:
            self._known[length] = check
        return True

    def _damaged(self, offset: int) -> None:
        self.bad += 1
        if self.first_bad < 0:
            self.first_bad = offset

    def _lost(self, offset: int, skipped: int, found: int) -> None:
        if not self.skipped or self.resumed != offset:
            self._damaged(offset)
        self.skipped += skipped
        self.resumed = found

    def damage(self) -> list[str]:
        """What was wrong with the file, with byte offsets."""
        notes = []
        name = printable(self.source.name)
        if self.bad:
            lost = f", {self.skipped:,} bytes passed over to find the next" if self.skipped else ""
            notes.append(
                f"{name}: {self.bad:,} damaged records left out, first at byte {self.first_bad:,}{lost}"
            )
        if self.cut_at >= 0:
            notes.append(f"{name}: the last record, at byte {self.cut_at:,}, is not whole: the file was cut")
        return notes


def _chunks(source: Source) -> Iterator[bytes]:
    """The file's bytes, ``CHUNK`` at a time."""
    held: list[bytes] = []
    for block in source.blocks():
        held.append(block)
        if sum(map(len, held)) >= CHUNK:
            yield b"".join(held)
            held = []
    yield b"".join(held)


def _masked(data: bytes) -> int:
    from crc32c import crc32c

    value = crc32c(data)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _table() -> NDArray[np.uint32]:
    """CRC-32C of single bytes, by Castagnoli's reversed polynomial."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1).astype(np.uint32)
    return table


def _next_frame(chunk: bytes, start: int) -> int:
    """The first offset from ``start`` whose 12 bytes are a header with the right checksum, else near the end."""
    table, data = _table(), np.frombuffer(chunk, np.uint8)
    last = len(chunk) - 12
    step = 1 << 18
    for low in range(start, last + 1, step):
        high = min(low + step, last + 1)
        # a length below 2^24 has five zero bytes on top
        zero = data[low + 3 : high + 7] == 0
        n = high - low
        at = low + np.flatnonzero(
            zero[:n] & zero[1 : n + 1] & zero[2 : n + 2] & zero[3 : n + 3] & zero[4 : n + 4]
        )
        if not len(at):
            continue
        crc = np.full(len(at), 0xFFFFFFFF, np.uint32)
        for i in range(8):
            crc = table[(crc ^ data[at + i]) & 0xFF] ^ (crc >> np.uint32(8))
        crc = ~crc
        masked = ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)
        stored = sum(
            (data[at + 8 + i].astype(np.uint32) << np.uint32(8 * i) for i in range(1, 4)),
            data[at + 8].astype(np.uint32),
        )
        hits = at[masked == stored]
        if len(hits):
            return int(hits[0])
    return max(start, last + 1)


@dataclass(slots=True)
class _Points:
    """Turns records into points and points into series."""

    rec: Recorder
    options: Options
    names: dict[bytes, str] = field(default_factory=dict)
    left_out: int = 0

    def take(self, chunk: bytes, starts: list[int], lengths: list[int]) -> None:
        """All records of one chunk, in the order of the log within each tag."""
        data = np.frombuffer(chunk, np.uint8)
        start, length = np.array(starts, np.int64), np.array(lengths, np.int64)
        found: dict[bytes, list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]] = {}
        order = np.argsort(length, kind="stable")
        edges = np.flatnonzero(np.diff(length[order])) + 1
        for where in np.split(start[order], edges):
            size = int(length[np.searchsorted(start, where[0])])
            for tag, at, step, value in _group(data, where, size):
                found.setdefault(tag, []).append((at, step, value))
        for tag, parts in found.items():
            at, step, value = (np.concatenate(x) for x in zip(*parts, strict=True))
            order = np.argsort(at, kind="stable")
            name = self._name(tag)
            if name:
                self.rec.rows((name,), step[order], [value[order]])

    def _name(self, tag: bytes) -> str:
        name = self.names.get(tag)
        if name is not None:
            return name
        if len(self.names) >= TAGS:
            self.left_out += 1
            return ""
        name = self.names[tag] = self._choose(printable(tag.decode("utf-8", "replace"), 200))
        return name

    def _choose(self, tag: str) -> str:
        asked = {key: series for series, key in self.options.columns.items()}
        name = asked.get(tag) or series_of(tag) or tag
        if name == tag:
            return tag
        if name in self.names.values() or (name in self.options.columns and tag not in asked):
            self.rec.warn(f"tag {tag!r} kept under its own name: {name} is another tag already")
            return tag
        self.rec.warn(f"read tag {tag!r} as {name}")
        return name

    def finish(self) -> Run:
        if self.left_out:
            self.rec.warn(
                f"{self.left_out:,} groups of points of further tags left out: more than {TAGS:,} tags"
            )
        return self.rec.finish()


Group = tuple[bytes, NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def _group(data: Bytes, where: NDArray[np.int64], size: int) -> Iterator[Group]:
    """The scalars of all records of one length: tag, place, step, value; template by template."""
    for _ in range(TEMPLATES):
        if not len(where) or not size:
            return
        first = data[where[0] : where[0] + size].tobytes()
        points = _points(first)
        if len(points) == 1 and points[0].fixed:
            same, group = _match(data, where, first, points[0])
            yield group
            where = where[~same]
        else:
            yield from _singles(where[:1], [points])
            where = where[1:] if points else _without(data, where, first)
    yield from _singles(where, [_points(data[i : i + size].tobytes()) for i in where.tolist()])


def _without(data: Bytes, where: NDArray[np.int64], first: bytes) -> NDArray[np.int64]:
    """The rest of a group whose first record holds no scalar: those that do not equal it but for time."""
    rows = _rows(data, where, len(first))[:, 9:]
    return where[(rows != np.frombuffer(first, np.uint8)[9:]).any(axis=1)] if len(first) > 9 else where[:0]


def _rows(data: Bytes, where: NDArray[np.int64], size: int) -> Bytes:
    """The ``size`` bytes at each place: shape (n, size)."""
    return np.lib.stride_tricks.sliding_window_view(data, size)[where] if size else data[:0].reshape(0, 0)


def _points(event: bytes) -> list[Point]:
    try:
        return decode(event)
    except (ValueError, IndexError, StructError):
        return []  # sound by its checksum, but not an Event: written by another program


def _singles(where: NDArray[np.int64], events: list[list[Point]]) -> Iterator[Group]:
    for at, points in zip(where.tolist(), events, strict=True):
        for point in points:
            yield point.tag, np.array([at]), np.array([point.step]), np.array([point.value])


def _match(
    data: Bytes, where: NDArray[np.int64], first: bytes, point: Point
) -> tuple[NDArray[np.bool_], Group]:
    """Those that differ from the template only in time, step and value, decoded."""
    template = np.frombuffer(first, np.uint8)
    rows = _rows(data, where, len(first))
    step_at, step_size, value_at, value_type = (
        point.step_at,
        point.step_size,
        point.value_at,
        point.value_type,
    )
    free = np.zeros(len(first), np.bool_)
    free[1:9] = True
    free[step_at : step_at + step_size] = True
    free[value_at : value_at + value_type.itemsize] = True
    same = (rows[:, ~free] == template[~free]).all(axis=1)
    varint = rows[:, step_at : step_at + step_size]
    more = template[step_at : step_at + step_size] >= 0x80
    same &= ((varint >= 0x80) == more).all(axis=1)
    rows, varint = rows[same], varint[same]
    step = np.zeros(len(rows), np.uint64)
    for i in range(step_size):
        step |= (varint[:, i].astype(np.uint64) & np.uint64(0x7F)) << np.uint64(7 * i)
    raw = np.ascontiguousarray(rows[:, value_at : value_at + value_type.itemsize])
    value = raw.view(value_type)[:, 0].astype(np.float64)
    return same, (point.tag, where[same], step.view(np.int64), value)


READER = Reader(
    name="tensorboard",
    about="TensorBoard event files (events.out.tfevents.*), simple values and scalar tensors",
    sniff=sniff,
    read=read,
    maps=True,
)
