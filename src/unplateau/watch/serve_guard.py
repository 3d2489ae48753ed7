"""Who may read the live page: who knows the token, from this machine, and not by way of another site.

Any page in the user's browser can send requests to 127.0.0.1, and a name of its own can be made to lead
there (DNS rebinding). So the first part of each path is a token that nobody guesses; Host must be a name of
this machine, and what another site sends is refused (Origin, and Fetch Metadata, which browsers send and no
page can set: https://www.w3.org/TR/fetch-metadata/). Nothing can be changed: only GET and HEAD are answered.
"""

from __future__ import annotations

from collections.abc import Iterable
from hmac import compare_digest
from secrets import token_urlsafe

TOKEN = 18  # bytes of the token, 144 bits: 24 characters
#: the names that lead here; the port may differ, as through `ssh -L 9000:127.0.0.1:8000`
HOSTS = ("127.0.0.1", "localhost")
OWN = ("same-origin", "none")  # Sec-Fetch-Site of our own page, and of an address that the user typed
READING = ("GET", "HEAD")
#: nothing from elsewhere; no script but ours, and none within the page
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: with every answer; ``Referrer-Policy`` keeps the token out of other sites' logs
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

Headers = list[tuple[str, str]]


def new_token() -> str:
    """A token for one start of the page, safe in a path."""
    return token_urlsafe(TOKEN)


def refused(method: str, path: str, headers: Iterable[tuple[str, str]], token: str) -> tuple[int, str]:
    """The status and the words of a refusal; 0 for a request to answer.

    >>> local = [("Host", "127.0.0.1:8000")]
    >>> refused("GET", "/sesame/events", local, "sesame")
    (0, '')
    >>> refused("GET", "/guess/events", local, "sesame")[0]
    404
    >>> refused("GET", "/sesame/", [("Host", "evil.example:8000")], "sesame")[0]
    403
    """
    given = list(headers)
    hosts = _all(given, "host")
    if len(hosts) != 1 or _name(hosts[0]) not in HOSTS:
        return 403, "this page is served to 127.0.0.1 and localhost only"
    if any(origin.lower() != f"http://{hosts[0]}".lower() for origin in _all(given, "origin")):
        return 403, "another site asked for this page: refused"
    if not _own(given):
        return 403, "another site asked for this page: refused"
    if method not in READING:
        return 405, "this page can only be read: GET"
    first, slash, _ = path.removeprefix("/").partition("/")
    if not compare_digest(first.encode(), token.encode()) or not slash or not path.startswith("/"):
        return 404, "nothing is here; open the address that unplateau watch --serve printed, with its token"
    return 0, ""


def _name(host: str) -> str:
    """A host without its port."""
    name, _, port = host.partition(":")
    return name.lower() if not port or port.isdecimal() else ""


def _own(headers: Headers) -> bool:
    """False for what a page of another site sends, except that a link on it may lead to a tab of our own."""
    if all(site in OWN for site in _all(headers, "sec-fetch-site")):
        return True
    opened = _all(headers, "sec-fetch-mode") == ["navigate"]
    return opened and _all(headers, "sec-fetch-dest") == ["document"]


def _all(headers: Headers, name: str) -> list[str]:
    return [value.strip() for key, value in headers if key.lower() == name]
