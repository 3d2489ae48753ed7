"""A fence around what a call may do: read below some folders, and nothing else.

Python tells its audit hooks of every file that is opened, every connection and every process before it happens
(PEP 578); within a fence all is refused but reading below its folders and loading Python's own modules. So a link in a
folder, a path in a config or a fault of ours leads nowhere outside. A hook can't be taken out again, so ``put_up`` is for a
process that serves: from then on it connects to nothing, and ``within`` around a call refuses the rest.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ..errors import UsageError, printable

OUTSIDE = "it lies outside the folders that may be read here"
FORBIDDEN = "only reading files is allowed here"
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
LISTS = ("os.listdir", "os.scandir")
#: the beginnings of events, as the table "Audit events" in the docs of Python names them: connections, and all else that
#: is no reading of a file
NETWORK = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostby", "socket.sendto")
REFUSED = (
    *("subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.startfile"),
    *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod"),
    *("os.chown", "os.kill", "shutil.", "tempfile.", "urllib.Request", "ftplib.", "http.client.", "smtplib."),
    *("pty.", "webbrowser.", "sqlite3.connect"),
)

_roots: ContextVar[tuple[Path, ...] | None] = ContextVar("roots", default=None)


@contextmanager
def within(roots: Sequence[Path]) -> Iterator[None]:
    """Around work that may read below ``roots`` (resolved folders) alone; holds where ``put_up`` was called before."""
    token = _roots.set(tuple(roots))
    try:
        yield
    finally:
        _roots.reset(token)


def put_up() -> None:
    """Watch this process from now on."""
    own = [sys.prefix, sys.base_prefix, str(Path(__file__).parent.parent), *sys.path[1:]]
    python = tuple({Path(os.path.realpath(place)) for place in own if place})

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event.startswith(NETWORK):
            raise PermissionError(errno.EACCES, FORBIDDEN)
        roots = _roots.get()
        if roots is not None:
            _check(event, args, roots, python)

    sys.addaudithook(hook)


def _check(event: str, args: tuple[Any, ...], roots: Sequence[Path], python: Sequence[Path]) -> None:
    """Raise ``PermissionError`` for what is not allowed; the readers take it for a file that may not be read."""
    if event == "open" or event in LISTS:
        path, flags = (os.curdir if args[0] is None else args[0]), (args[2] if event == "open" else 0)
        if isinstance(path, int):
            return  # what is open already
        if event == "open" and (flags or 0) & WRITES:
            raise PermissionError(errno.EACCES, FORBIDDEN, printable(os.fsdecode(path)))
        real = Path(os.path.realpath(os.fsdecode(path)))
        if not _below(real, roots) and not _below(real, python):
            raise PermissionError(errno.EACCES, OUTSIDE, printable(os.fsdecode(path)))
    elif event.startswith(REFUSED):
        raise PermissionError(errno.EACCES, FORBIDDEN)


def _below(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def inside(text: str, roots: Sequence[Path]) -> Path:
    """The path that ``text`` names, links followed; a relative one in the first of ``roots`` that has it.

    Raises ``UsageError`` for what does not lie below ``roots``, whether it exists or not.
    """
    if not text.strip() or "\0" in text or text == "-":
        raise UsageError(f"a path wants a log, a run's folder or a file in one; found {printable(text)!r}")
    places = [Path(os.path.realpath(root / text)) for root in roots]
    held = [place for place in places if _below(place, roots)]
    if not held:
        raise UsageError(
            f"{printable(text)} lies outside the folders that this server may read; "
            f"expected a path below {printable(', '.join(map(str, roots)), 300)} "
            "(the user allows more with: unplateau mcp --root DIR)"
        )
    return next((place for place in held if place.exists()), held[0])
