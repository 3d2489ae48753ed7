"""The live page: a server on 127.0.0.1 that ends with Ctrl-C.

It is read-only, answers nobody without the token of its address, and sends nothing anywhere: see serve_guard.py.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable

from ..errors import UsageError
from .memory import one_arena
from .serve_guard import new_token
from .serve_http import Server
from .serve_live import Live, Watching

GOODBYE = 0.3  # s in which the tabs are told that the watch has ended


def serve(
    watcher: Watching, render: Callable[[str], str], *, port: int = 0, ready: Callable[[str], None]
) -> None:
    """Show what ``watcher`` sees until it is over or interrupted; ``ready`` is told the address, with its token.

    ``render``: the inside of the main part of a run's page, by the run's key. ``port`` 0: any that is free.
    Raises ``UsageError`` where the port can't be had, and what the watcher raises.
    """
    one_arena()
    live = Live(watcher, render)
    with bound(live, port) as server:
        answering = threading.Thread(target=server.serve_forever, daemon=True, name="answering")
        answering.start()
        try:
            ready(server.address)
            live.follow()
        finally:
            live.board.close()
            server.shutdown()
            time.sleep(GOODBYE)


def bound(live: Live, port: int) -> Server:
    """A server on 127.0.0.1; one line where the port can't be had."""
    try:
        return Server(live, new_token(), port)
    except OSError as error:
        why = _why(error)
        raise UsageError(
            f"port {port} {why}: give another with --port, or leave it out for a free one"
        ) from None


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "is taken by another program"
    if error.errno == errno.EACCES:
        return "is for the system's own programs"
    return f"can't be used ({error.strerror or error})"
