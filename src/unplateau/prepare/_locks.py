"""Who may write a folder: one run alone, or several shares of one job beside each other.

Locks are ``flock``'s, which end with the process however it ends, and which Linux carries over NFS to all machines
(flock(2); they need a file that is open for writing, so a folder has a lock file). Where a file system has none, as
Lustre mounted without ``flock``, nothing holds a second run back: then it is on the user to start none.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..durable import told
from ..errors import UnplateauError, printable

LOCK = ".lock"
#: what a file system says that has no locks: NFS without its daemon, Lustre without ``flock``, FUSE
NONE = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """One run at a time in ``out``, which is made; the second is refused with ``UnplateauError``."""
    busy = f"another run is working in {printable(str(out))}: wait for it, or give another --out"
    with _in(out, busy, shared=False):
        yield


@contextmanager
def together(out: Path) -> Iterator[None]:
    """Any number of shares in ``out``, which is made, but no run that wants it alone."""
    busy = f"a run without --shard is working in {printable(str(out))}: wait for it, or give another --out"
    with _in(out, busy, shared=True):
        yield


@contextmanager
def held(path: Path, busy: str = "") -> Iterator[None]:
    """The lock of the file ``path``, which is made. Where another holds it: wait, or raise ``busy`` where it is given."""
    if os.name != "posix":
        yield
        return
    handle = _taken(path, busy, shared=False)
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def _in(out: Path, busy: str, *, shared: bool) -> Iterator[None]:
    """The lock of a folder; who leaves it last removes its file."""
    with told(out):
        out.mkdir(parents=True, exist_ok=True)
    if os.name != "posix":
        yield
        return
    handle = _taken(out / LOCK, busy, shared=shared)
    try:
        yield
    finally:
        try:
            _remove(handle, out / LOCK)
        finally:
            os.close(handle)


def _remove(handle: int, path: Path) -> None:
    import fcntl

    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def _taken(path: Path, busy: str, *, shared: bool) -> int:
    """A handle with the lock on it, and ``path`` still its name: who held it before may have removed the file."""
    import fcntl

    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (fcntl.LOCK_NB if busy else 0)
    while True:
        with told(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, kind)
            if _is_named(handle, path):
                return handle
        except BlockingIOError:
            os.close(handle)
            raise UnplateauError(busy) from None
        except OSError as error:
            if error.errno in NONE:
                return handle
            os.close(handle)
            raise
        except KeyboardInterrupt:
            os.close(handle)
            raise
        os.close(handle)


def _is_named(handle: int, path: Path) -> bool:
    mine = os.fstat(handle)
    with suppress(FileNotFoundError):
        named = path.stat()
        return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)
    return False
