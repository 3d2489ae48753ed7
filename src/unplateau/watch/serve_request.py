"""A request as it comes over a connection, and no more of HTTP than a browser needs to read a page.

Python's own http.server would do, but it loads http.client and with it TLS: 5 of the 60 MB that a watch may take.
What is not exactly a request is refused; a request with a body is answered, and its connection closed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BufferedIOBase

HEAD = 16 << 10  # bytes of a request's head; browsers send 1 KB
LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.([01])\r?\n")
#: a name is a token of RFC 9110, section 5.6.2; a value is printable ASCII, as all that we look at
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*\r?\n")


class NoRequestError(Exception):
    """What came is no request that is answered; the message says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request. ``last``: the connection ends with its answer."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    last: bool

    def header(self, name: str) -> str:
        """The first header of that name in small letters; empty where there is none."""
        return next((value for key, value in self.headers if key.lower() == name), "")


def read_request(stream: BufferedIOBase) -> Request | None:
    r"""The next request of a connection; None where that has ended. Raises ``NoRequestError``.

    >>> from io import BytesIO
    >>> read_request(BytesIO(b"GET /a?b=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    Request(method='GET', path='/a', query='b=1', headers=(('Host', 'localhost'),), last=False)
    """
    line = stream.readline(HEAD)
    if not line:
        return None
    first = LINE.fullmatch(line)
    if first is None:
        raise NoRequestError("this is no request for a page")
    headers = tuple(_fields(stream, HEAD - len(line)))
    path, _, query = first[2].decode("ascii").partition("?")
    request = Request(first[1].decode("ascii"), path, query, headers, last=True)
    bodied = request.header("content-length") or request.header("transfer-encoding")
    ends = first[3] == b"0" or "close" in request.header("connection").lower() or bool(bodied)
    return request if ends else Request(request.method, path, query, headers, last=False)


def _fields(stream: BufferedIOBase, room: int) -> list[tuple[str, str]]:
    """The headers up to the empty line."""
    found: list[tuple[str, str]] = []
    while (line := stream.readline(room)) not in (b"\r\n", b"\n"):
        room -= len(line)
        field = FIELD.fullmatch(line)
        if field is None:
            raise NoRequestError("its head is too long" if room <= 0 else "its head is not understood")
        found.append((field[1].decode("ascii"), field[2].decode("latin-1")))
    return found
