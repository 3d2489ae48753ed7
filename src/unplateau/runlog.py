"""``log.jsonl`` of a run's folder: rows that are only ever added to, by the one process that holds the folder.

Our trainer writes it, and so does the logger for loops of other people. Locks are ``flock``'s, which end with the
process however it ends.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from .durable import told
from .errors import UnplateauError, printable

LOCK, LOG = ".lock", "log.jsonl"
RESUMED = "resumed_after"  # in a row: the run was resumed at its step, after this one; rows between the two are not here
DIGITS = 9  # significant ones of a logged number; a float32 needs no more
TAIL = 1 << 16  # bytes at the end of a log in which its last line is looked for


class Log:
    """One object a line, the step first. A row that ``append`` returned from outlives the process.

    A last line that was cut off is removed when the log is opened. Where the disk is full, ``UnplateauError`` says so,
    and no half row stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with told(path):
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            self._size = self._mended()

    def _mended(self) -> int:
        """Cut off what stands behind the last line end: it was never said to be written."""
        size = os.fstat(self._handle).st_size
        while size:
            start = max(0, size - TAIL)
            end = os.pread(self._handle, size - start, start).rfind(b"\n")
            size = start + end + 1 if end >= 0 else start
            if end >= 0:
                break
        os.ftruncate(self._handle, size)
        return size

    def append(self, step: int, values: Mapping[str, Any]) -> None:
        """Add a row; a number that is not finite is null, for JSON has no NaN."""
        row = {"step": step, **{name: _rounded(value) for name, value in values.items()}}
        line = json.dumps(row, allow_nan=False, ensure_ascii=False).encode() + b"\n"
        try:
            with told(self.path):
                self._write(line)
        except UnplateauError:
            os.ftruncate(self._handle, self._size)
            raise
        self._size += len(line)

    def _write(self, line: bytes) -> None:
        if os.write(self._handle, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self) -> None:
        """Make all rows outlive the machine; call it before a checkpoint that goes past them."""
        with told(self.path):
            os.fsync(self._handle)

    def last(self) -> dict[str, Any] | None:
        """The last row; None where there is none, or it is no row."""
        start = max(0, self._size - TAIL)
        return row_of(os.pread(self._handle, self._size - start, start))

    def first(self) -> dict[str, Any] | None:
        """The first row; None where there is none, or it is no row."""
        head = os.pread(self._handle, min(self._size, TAIL), 0)
        return row_of(head[: head.find(b"\n") + 1])

    def close(self) -> None:
        os.close(self._handle)


def row_of(tail: bytes) -> dict[str, Any] | None:
    """The last row of what a log ends with; a line that was cut off is none."""
    lines = tail[: tail.rfind(b"\n") + 1].splitlines()
    try:
        row = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


def last_row(path: Path) -> dict[str, Any] | None:
    """The last row of the log at ``path``, which is not opened to write; None where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return row_of(file.read(TAIL))
    except OSError:
        return None


def _rounded(value: Any) -> Any:
    """As JSON holds it.

    >>> _rounded(1 / 3), _rounded(float("nan")), _rounded(7)
    (0.333333333, None, 7)
    """
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if isfinite(value) else None
    return value


def held(folder: Path, what: str, instead: str) -> int:
    """A handle that holds the folder's lock until it is closed.

    Raises ``UnplateauError`` where another process has it: ``what`` that process does, and what to do ``instead``.
    """
    with told(folder / LOCK):
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    if os.name != "posix":
        return handle
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UnplateauError(f"another process {what} {printable(str(folder))}: {instead}") from None
    except OSError:
        return handle  # a file system without locks, as Lustre mounted so: nothing holds a second writer back
    return handle


def opened(folder: Path, what: str, instead: str) -> tuple[int, Log]:
    """Make ``folder`` where it is missing, hold it, and open its log; the handle of the lock, and the log.

    Raises ``UnplateauError`` as ``held`` and ``Log`` do; then nothing is held.
    """
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = held(folder, what, instead)
    try:
        return lock, Log(folder / LOG)
    except BaseException:
        os.close(lock)
        raise


def is_there(folder: Path, lock: int) -> bool:
    """Whether ``folder`` is still the one that ``lock`` holds: else nothing that is written is found in it."""
    try:
        return os.path.samestat((folder / LOCK).stat(), os.fstat(lock))
    except OSError:
        return False
