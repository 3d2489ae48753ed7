"""The live page: a server on 127.0.0.1 that ends with Ctrl-C.

Needs the extra ``watch``. It is read-only, answers nobody without the token of its address, and sends nothing
anywhere: see serve_guard.py.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import UnplateauError, UsageError

if TYPE_CHECKING:
    from .serve_app import Live, Watching

HOST = "127.0.0.1"
PORTS = 65535
CONNECTIONS = 100  # at once; a browser opens at most six
PATIENCE = 2  # s that an answer may take when the watch ends
IDLE = 30  # s after which a connection that asks for nothing is closed
HEADERS = 16 << 10  # bytes of one request's head


def serve(
    watcher: Watching,
    render: Callable[[str], str],
    *,
    port: int = 0,
    ready: Callable[[str], None],
) -> None:
    """Show what ``watcher`` sees until the process is interrupted; ``ready`` is told the address, with its token.

    ``render``: the inside of the main part of a run's page, by the run's key. ``port`` 0: any that is free.
    Raises ``UsageError`` where the port is taken, ``UnplateauError`` where the extra is missing,
    ``KeyboardInterrupt`` after it was interrupted and everything is closed.
    """
    needs_extra()
    from .serve_app import Live, application
    from .serve_guard import new_token

    with bound(port) as listener:
        token = new_token()
        live = Live(watcher, render)
        address = f"http://{HOST}:{listener.getsockname()[1]}/{token}/"
        asyncio.run(_serve(live, application(live, token), listener, lambda: ready(address)))


def needs_extra() -> None:
    """One line where what the page needs is not installed."""
    from importlib.util import find_spec

    for name in ("starlette", "uvicorn"):
        if find_spec(name) is None:
            raise UnplateauError(f"the live page needs {name}: pip install 'unplateau[watch]'")


def bound(port: int) -> socket.socket:
    """A socket on 127.0.0.1; one line where the port can't be had."""
    if not 0 <= port <= PORTS:
        raise UsageError(f"--port wants a number from 0 (any that is free) to {PORTS}; found {port}")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(CONNECTIONS)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"port {port} {_why(error)}: give another with --port, or none for a free one"
        ) from None
    return listener


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "is taken by another program"
    if error.errno == errno.EACCES:
        return "is for the system's own programs"
    return f"can't be used ({error.strerror or error})"


async def _serve(live: Live, app: object, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Until uvicorn ends, or the watcher fails: then what it raised."""
    server = _server(live, app)
    following = asyncio.create_task(live.follow())
    following.add_done_callback(lambda _: setattr(server, "should_exit", True))
    ready()
    try:
        await server.serve(sockets=[listener])
    finally:
        live.close()
        if not following.done():
            following.cancel()
        with suppress(asyncio.CancelledError):
            await following


def _server(live: Live, app: object):  # type: ignore[no-untyped-def]  # noqa: ANN202
    import uvicorn

    class Server(uvicorn.Server):
        """Ends the streams before it waits for what is still being answered."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            live.board.close()
            await super().shutdown(sockets)

    return Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]
            lifespan="off",
            log_config=None,  # a line of access would hold the token
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            ws="none",
            loop="asyncio",
            http="h11",
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=PATIENCE,
            h11_max_incomplete_event_size=HEADERS,
        )
    )
