"""A log that grows: what happened to it since the last look, and its bytes from all parts that it was rotated into.

Each look opens the file: a network file system answers ``stat`` from a cache that may be seconds old, and looks at
the server when a file is opened (nfs(5), close-to-open). No change is missed by a reader that only counts bytes: the
bytes before the last known end are held against what stood there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UnreadableError
from ..source import GZIP, PIECE, ZSTD, Source

Change = Literal["same", "new", "grown", "replaced", "cut", "rewritten", "gone"]

MARK = 64  # bytes before the known end that are held against what stands there now
NEWS = 1 << 20  # bytes of news that are looked at; where there are more, the log is read again
FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NONBLOCK", "O_BINARY"))
OLDER = 64  # rotated parts that are read, at most
#: what logrotate, Python's logging and cluster tools call the older parts: train.log.1, train.log.2.gz,
#: train.log-20261122, train.log.2026-11-22_10.zst
ROTATED = re.compile(r"(?:\.(\d{1,3})|[.-](\d{4}-?\d\d-?\d\d(?:[-_T.]?[\d-]{2,8})?))(?:\.gz|\.zst)?")


@dataclass(slots=True)
class Growing:
    """One file, looked at again and again.

    ``size``: bytes at the last look; ``written``: when it was last written, seconds since 1970.
    """

    path: Path
    there: bool = False
    size: int = 0
    written: float = 0.0
    _id: tuple[int, int] = (0, 0)
    _stamp: int = 0
    _mark: bytes = b""

    @property
    def id(self) -> tuple[int, int]:
        """Device and inode at the last look: a file keeps them when it is renamed."""
        return self._id

    @property
    def state(self) -> tuple[object, ...]:
        """What differs when anything was written to it: whether it is there, which file it is, its size and time."""
        return self.there, self._id, self.size, self._stamp

    def look(self) -> Change:
        """What happened since the look before; the first look at a file that is there finds it new."""
        try:
            handle = os.open(self.path, FLAGS)
        except OSError:
            was, self.there = self.there, False
            return "gone" if was else "same"
        try:
            return self._seen(handle)
        finally:
            os.close(handle)

    def _seen(self, handle: int) -> Change:
        now = os.fstat(handle)
        told = (now.st_dev, now.st_ino), now.st_size, now.st_mtime_ns
        if self.there and told == (self._id, self.size, self._stamp):
            return "same"
        change = self._change(handle, now)
        self.there, self.written = True, now.st_mtime_ns / 1e9
        self._id, self.size, self._stamp = told
        start = max(0, self.size - MARK)
        self._mark = _at(handle, start, self.size - start)
        return change

    def _change(self, handle: int, now: os.stat_result) -> Change:
        if not self.there:
            return "new"
        if (now.st_dev, now.st_ino) != self._id:
            return "replaced"
        if now.st_size < self.size:
            return "cut"
        before = _at(handle, self.size - len(self._mark), len(self._mark))
        if before != self._mark or now.st_size == self.size:
            return "rewritten"
        return "grown"

    def lines_from(self, start: int) -> tuple[bytes, int] | None:
        """Whole lines from byte ``start`` on, and where they end; None where they are too many to look at."""
        if not start <= self.size <= start + NEWS:
            return None
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                found = file.read(self.size - start)
        except OSError:
            return None
        whole = found[: found.rfind(b"\n") + 1]
        return whole, start + len(whole)


def _at(handle: int, start: int, size: int) -> bytes:
    """So many bytes from ``start``; nothing of what has no places, like a pipe."""
    try:
        os.lseek(handle, start, os.SEEK_SET)
        return os.read(handle, size)
    except OSError:
        return b""


def older_parts(path: Path) -> tuple[Path, ...]:
    """The parts that ``path`` was rotated into, the oldest first.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = Path(folder) / "train.log"
    ...     for name in ("train.log", "train.log.1", "train.log.10.gz", "train.log.2", "train.log.txt"):
    ...         (Path(folder) / name).touch()
    ...     [part.name for part in older_parts(log)]
    ['train.log.10.gz', 'train.log.2', 'train.log.1']
    """
    try:
        names = [entry.name for entry in os.scandir(path.parent) if entry.name.startswith(path.name)]
    except OSError:
        return ()
    matched = [(ROTATED.fullmatch(name, len(path.name)), name) for name in names]
    # dates first, as they rise; numbers fall: train.log.1 is the newest
    found = [(m[2] or "~", -int(m[1] or 0), name) for m, name in matched if m]
    # where a part lies both packed and not, it is being packed: the one that is not is whole
    by_part = {(date, number): name for date, number, name in sorted(found, reverse=True)}
    return tuple(path.parent / name for _, name in sorted(by_part.items()))[-OLDER:]


class Joined(Source):
    """A log with the parts that it was rotated into, read as one; the last up to its last whole line.

    ``until``: bytes of the last part that are read; a line that is being written is not.
    """

    def __init__(self, path: Path, parts: tuple[Path, ...] = (), until: int | None = None) -> None:
        super().__init__(path)
        self.parts, self.until = parts, until

    @property
    def compressed(self) -> bool:
        """Whether the sample is of the start alone."""
        return bool(self.parts) or self.magic.startswith((GZIP, ZSTD))

    def blocks(self) -> Iterator[bytes]:
        """Unpacked bytes of all parts, in their order; a part that can't be read is noted and left out."""
        for part in self.parts:
            source, end = Source(part), b"\n"
            try:
                for block in source.blocks():
                    end = block[-1:]
                    yield block
            except UnreadableError as error:
                self._note(str(error))
            for note in source.notes:
                self._note(note)
            if end != b"\n":
                yield b"\n"  # a line that was cut is not the beginning of the next part's first
        yield from self._last()

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _last(self) -> Iterator[bytes]:
        if self.until is None or self.magic.startswith((GZIP, ZSTD)):
            source = Source(self.path)
            yield from source.blocks()
            self.notes += [note for note in source.notes if note not in self.notes]
            return
        left = self.until
        try:
            with self.path.open("rb") as file:
                while left > 0 and (block := file.read(min(PIECE, left))):
                    left -= len(block)
                    yield block
        except OSError as error:
            raise UnreadableError(f"can't read {self.name}: {error.strerror or error}") from None
