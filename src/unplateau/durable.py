"""Files that are whole or not there: written beside their place, made durable, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from .errors import UnplateauError, UnreadableError, printable

BLOCK = 1 << 20  # bytes hashed at once
#: errors for which the place is to blame, so that the whole path is told
PLACE = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR)
LONGEST = 400  # characters of a path that is told


class DurableFile:
    """A binary file that takes its name only when it is whole.

    Until ``commit`` it is ``.NAME.tmp`` in the same folder; left without one, it is removed. Where the disk is
    full or the folder can't be written, ``UnplateauError`` says so in one line.

    ``kept`` is a ``mark`` to go on from: what was written up to it is checked, what came after it is cut off, also
    where the file was committed since; ``head`` is what then stood where it was patched. Raises ``UnreadableError``
    where that is not there any more.
    """

    def __init__(self, path: Path, kept: tuple[int, str] | None = None, head: bytes = b"") -> None:
        self.path, self.size = path, 0
        self._beside = path.with_name(f".{path.name}.tmp")
        self._hash = hashlib.sha256()
        self._patched = False
        if kept is None:
            with told(path):
                self._file = self._beside.open("w+b")
        else:
            self._go_on(*kept, head)

    def _go_on(self, size: int, sha256: str, head: bytes) -> None:
        try:
            if not self._beside.exists():
                self.path.replace(self._beside)
            self._file = self._beside.open("r+b")
            self._file.write(head)
            self._file.seek(0)
            while self.size < size and (block := self._file.read(min(BLOCK, size - self.size))):
                self._hash.update(block)
                self.size += len(block)
            if self._hash.hexdigest() != sha256:
                self.leave()
                raise UnreadableError(f"{self.path.name} is not as it was left")
            self._file.seek(size)
            self._file.truncate()
        except OSError as error:
            raise UnreadableError(f"can't go on with {self.path.name}: {error.strerror or error}") from None

    def mark(self) -> tuple[int, str]:
        """Make what was written durable; its size and sha256, to go on from."""
        with told(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
        return self.size, self._hash.hexdigest()

    def write(self, data: bytes | memoryview) -> None:
        """Append ``data``."""
        with told(self.path):
            self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def patch(self, start: bytes) -> None:
        """Put ``start`` over the file's first bytes: a header that is known at the end only."""
        with told(self.path):
            self._file.seek(0)
            self._file.write(start)
        self._patched = True

    def commit(self) -> str:
        """Make it durable under its name; the sha256 of its bytes."""
        with told(self.path):
            self._file.flush()
            found = self._again() if self._patched else self._hash.hexdigest()
            os.fsync(self._file.fileno())
            self._file.close()
            self._beside.replace(self.path)
            sync(self.path.parent)
        return found

    def _again(self) -> str:
        self._file.seek(0)
        return hashlib.file_digest(self._file, "sha256").hexdigest()

    def leave(self) -> None:
        """Close it as it is, to go on from its last ``mark`` another time."""
        with suppress(OSError):
            self._file.close()

    def abandon(self) -> None:
        """Leave nothing behind, unless it was committed."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._beside.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._file.closed:
            self.abandon()


def write_durably(path: Path, data: bytes) -> str:
    """Write a small file whole; its sha256.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_durably(Path(folder) / "note", b"abc") == sha256_of(Path(folder) / "note")
    True
    """
    with DurableFile(path) as file:
        file.write(data)
        return file.commit()


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, read in bounded pieces. Raises ``OSError`` where it can't be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what the system says of writing ``path`` into one line."""
    try:
        yield
    except OSError as error:
        shown = str(path) if error.errno in PLACE else path.name
        raise UnplateauError(
            f"can't write {printable(shown, LONGEST)}: {error.strerror or error}; what was finished before is kept: {_mended(error)}"
        ) from None


def _mended(error: OSError) -> str:
    """What a user can do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room, and go on, or give another folder"
    return "give a folder that can be written"


def sync(folder: Path) -> None:
    """Make new names in ``folder`` durable, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def append_durably(path: Path, line: bytes) -> None:
    r"""Add ``line`` to a file of lines, made where it is missing; it outlives the machine. One writer at a time.

    What a crash left of a line before stays, on a line of its own. Raises ``UnplateauError`` where that can't be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "lines"
    ...     _ = path.write_bytes(b"whole\nto")
    ...     append_durably(path, b"next")
    ...     path.read_bytes()
    b'whole\nto\nnext\n'
    """
    with told(path):
        new = not path.exists()
        with path.open("a+b", buffering=0) as file:
            _alone(file.fileno())
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            torn = file.read(1) not in (b"", b"\n")
            data = (b"\n" if torn else b"") + line + b"\n"
            if file.write(data) < len(data):
                file.truncate(size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        if new:
            sync(path.parent)


def _alone(handle: int) -> None:
    """Wait until no other process holds the file; the lock ends with the file."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)
