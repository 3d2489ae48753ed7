"""Who may read the live page: who knows the token, from this machine, and not by way of another site.

Any page in the user's browser can send requests to 127.0.0.1, and a name of its own can be made to lead
there (DNS rebinding). So the first part of each path is a token that nobody guesses; Host must be a name of
this machine, and what another site sends is refused (Origin, and Fetch Metadata, which browsers send and no
page can set: https://www.w3.org/TR/fetch-metadata/). Nothing can be changed: only GET and HEAD are answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Any

TOKEN = 18  # bytes of the token, 144 bits: 24 characters
#: the names that lead here; the port may differ, as through `ssh -L 9000:127.0.0.1:8000`
HOSTS = ("127.0.0.1", "localhost")
OWN = ("same-origin", "none")  # Sec-Fetch-Site of our own page, and of an address that the user typed
PLAIN = b"text/plain; charset=utf-8"
#: with every answer; ``Referrer-Policy`` keeps the token out of other sites' logs
HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def new_token() -> str:
    """A token for one start of the page, safe in a path."""
    return token_urlsafe(TOKEN)


class Guard:
    """An ASGI application around another: refuses, or takes the token off the path and hands on.

    ``policy`` is the Content-Security-Policy that goes with every answer.
    """

    def __init__(self, app: App, token: str, policy: str) -> None:
        self.app, self.token = app, token
        self.headers = _raw({**HEADERS, "content-security-policy": policy})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        sending = self._with_headers(send)
        status, said = refused(str(scope["method"]), str(scope["path"]), scope["headers"], self.token)
        if status:
            await _answer(sending, status, said)
            return
        path = str(scope["path"])[len(self.token) + 1 :]
        await self.app({**scope, "path": path, "raw_path": path.encode(), "root_path": ""}, receive, sending)

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self.headers]
            await send(message)

        return sending


def refused(method: str, path: str, headers: list[tuple[bytes, bytes]], token: str) -> tuple[int, str]:
    """The status and the words of a refusal; 0 for a request to answer.

    >>> local = [(b"host", b"127.0.0.1:8000")]
    >>> refused("GET", "/sesame/events", local, "sesame")
    (0, '')
    >>> refused("GET", "/guess/events", local, "sesame")[0]
    404
    >>> refused("GET", "/sesame/", [(b"host", b"evil.example:8000")], "sesame")[0]
    403
    """
    hosts = _all(headers, b"host")
    if len(hosts) != 1 or hosts[0].rpartition(":")[0 if ":" in hosts[0] else 2].lower() not in HOSTS:
        return 403, "this page is served to 127.0.0.1 and localhost only"
    if any(origin.lower() != f"http://{hosts[0]}".lower() for origin in _all(headers, b"origin")):
        return 403, "another site asked for this page: refused"
    if not _own(headers):
        return 403, "another site asked for this page: refused"
    if method not in ("GET", "HEAD"):
        return 405, "this page can only be read: GET"
    given = path.removeprefix("/").partition("/")
    if not compare_digest(given[0].encode(), token.encode()) or not given[1]:
        return 404, "nothing is here; open the address that unplateau watch --serve printed, with its token"
    return 0, ""


def _own(headers: list[tuple[bytes, bytes]]) -> bool:
    """False for what a page of another site sends, except that a link on it may lead to a tab of our own."""
    sites = _all(headers, b"sec-fetch-site")
    if all(site in OWN for site in sites):
        return True
    opened = _all(headers, b"sec-fetch-mode") == ["navigate"]
    return opened and _all(headers, b"sec-fetch-dest") == ["document"]


def _all(headers: list[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in headers if key.lower() == name]


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


async def _answer(send: Send, status: int, said: str) -> None:
    headers = [(b"content-type", PLAIN), *([(b"allow", b"GET, HEAD")] if status == 405 else [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{said}\n".encode()})
