"""The server of the live page: one thread a connection, on 127.0.0.1, with bounds on what each may hold.

Neither asyncio nor a framework: the page has a handful of readers, and a watch may take 60 MB
(docs/decisions/0010-the-live-page.md). A reader that does not read blocks his own thread until ``IDLE`` is over;
what is sent to him is a page at most, for streams queue nothing.
"""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from http import HTTPStatus
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any, cast

from .serve_app import Answer, answer
from .serve_events import events
from .serve_guard import HEADERS, READING, refused
from .serve_live import Live, fault
from .serve_request import NoRequestError, Request, read_request

HOST = "127.0.0.1"
CONNECTIONS = 100  # at once; a browser opens at most six
IDLE = 30  # s after which a connection that sends nothing, or reads nothing, is closed
FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Server(ThreadingTCPServer):
    """Answers for ``live`` to who knows the token. Raises ``OSError`` where the port can't be had."""

    daemon_threads = True
    request_queue_size = CONNECTIONS
    allow_reuse_address = True

    def __init__(self, live: Live, token: str, port: int) -> None:
        self.live, self.token = live, token
        self._room = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__((HOST, port), Handler)

    @property
    def address(self) -> str:
        """Where the page is, with its token."""
        return f"http://{HOST}:{self.socket.getsockname()[1]}/{self.token}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """On a thread of its own, where there is room for one more."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        with suppress(OSError):
            request.send(FULL, socket.MSG_DONTWAIT)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """All requests of one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Readers come and go; what goes wrong with a page is told in its place."""


class Handler(StreamRequestHandler):
    """The requests of one connection."""

    timeout = IDLE
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """One after the other, until one is the last."""
        try:
            while (request := read_request(self.rfile)) is not None:
                if self._answer(request):
                    return
        except NoRequestError as error:
            self._send(Answer(f"{error}\n", "text/plain", 400), last=True)
        except OSError:
            return  # gone, or silent for too long

    @property
    def _server(self) -> Server:
        return cast(Server, self.server)

    def _answer(self, request: Request) -> bool:
        """Answer; True where the connection ends with that, as it does for what is refused."""
        status, said = refused(request.method, request.path, request.headers, self._server.token)
        found = Answer(f"{said}\n", "text/plain", status) if status else self._found(request)
        if found.since is None:
            last = request.last or bool(status)
            self._send(found, last=last, body=request.method != "HEAD")
            return last
        self._stream(found, found.since, body=request.method != "HEAD")
        return True

    def _found(self, request: Request) -> Answer:
        rest = "/" + request.path.removeprefix("/").partition("/")[2]  # without the token
        try:
            return answer(self._server.live, rest, request.query, request.header("last-event-id"))
        except Exception as error:  # noqa: BLE001 - the others that read the page are not to suffer
            return Answer(f"{fault(error)}\n", "text/plain", 500)

    def _send(self, found: Answer, *, last: bool, body: bool = True) -> None:
        content = found.body.encode("utf-8", "replace")
        head = _head(
            found, {"Content-Length": str(len(content)), **({"Connection": "close"} if last else {})}
        )
        self.wfile.write(head + content if body else head)

    def _stream(self, found: Answer, since: str, *, body: bool) -> None:
        """Until the tab is gone, or the watch is over; it ends with the connection."""
        self.wfile.write(_head(found, {"Connection": "close"}))
        if body:
            for part in events(self._server.live.board, since, self._gone):
                self.wfile.write(part.encode())

    def _gone(self) -> bool:
        """True when the tab has closed the connection; it has nothing more to say on it."""
        return bool(select.select([self.connection], [], [], 0)[0])


def _head(found: Answer, more: dict[str, str]) -> bytes:
    """The head of an answer; the same headers with every one."""
    headers = {**HEADERS, "Content-Type": f"{found.kind}; charset=utf-8", **more}
    if found.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(READING)
    lines = [
        f"HTTP/1.1 {found.status} {HTTPStatus(found.status).phrase}",
        *(f"{k}: {v}" for k, v in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
