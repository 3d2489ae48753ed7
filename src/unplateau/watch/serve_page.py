"""The frame of the live page: head, the line that tells how the watch stands, and the files that it loads.

What a run's page shows is the report's (report/page): the same words, the same pictures. Here is what is live.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Protocol

from ..report.page.document import SCRIPTS, THEME, scripts_of_page, style
from ..report.page.html import Html, join, tag, trusted
from .seen import Update, Watched
from .serve_list import address, line, summary, table

if TYPE_CHECKING:
    from ..diagnosis import Diagnosis

OURS = "unplateau.watch.assets"
STYLE, LIVE = "page.css", "live.js"
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M1 2c2 8 5 9 14 9'"
    " fill='none' stroke='%230072b2' stroke-width='2.5'/%3E%3C/svg%3E"
)
META = (
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="color-scheme" content="light dark">'
)


@cache
def asset(name: str) -> tuple[str, str] | None:
    """A file of the page and its type; None for a name that is none of them."""
    if name == STYLE:
        return style() + _ours("live.css"), "text/css"
    scripts = {**dict(zip(SCRIPTS, scripts_of_page(), strict=True)), LIVE: _ours(LIVE)}
    return (scripts[name], "text/javascript") if name in scripts else None


def _ours(name: str) -> str:
    return files(OURS).joinpath(name).read_text(encoding="utf-8")


def listing(update: Update | None, mark: str) -> str:
    """The page of all runs."""
    where = update.path.name or str(update.path) if update else ""
    if update is None or not update.runs:
        inside = join(_heading(where), _waiting(update))
    else:
        inside = join(_heading(where), summary(update), _sift(), table(update))
    return _page(
        f"{where or 'runs'} – unplateau", inside, {"page": "runs", "mark": mark, "root": ""}, (THEME,)
    )


def of_run(
    run: Watched | None, key: str, inside: str, mark: str, root: str, *, update: Update | None = None
) -> str:
    """The page of one run; ``inside`` is what report/page made."""
    data = {"page": "run", "run": address(key), "mark": mark, "root": root}
    name = run.name if run is not None else key
    return _page(f"{name} – unplateau", trusted(inside), data, SCRIPTS, line(run, update))


def sorry(why: str) -> Html:
    """In place of a page that can't be made."""
    return tag("p", f"This page can't be made: {why}", class_="verdict")


def _heading(where: str) -> Html:
    return tag("header", tag("p", "unplateau watch", class_="kicker"), tag("h1", where or "runs"))


def _waiting(update: Update | None) -> Html:
    why = update.waiting if update else ""
    return join(
        tag("p", why or "The logs are being read.", id="summary"),
        tag("p", "This page shows the runs as soon as there are any.", class_="note"),
    )


def _sift() -> Html:
    box = trusted('<input id="sift" type="search" autocomplete="off" spellcheck="false">')
    return tag("p", tag("label", "Show only ", box), class_="sift")


def _page(title: str, inside: Html, data: dict[str, str], scripts: Sequence[str], stand: str = "") -> str:
    root = data["root"]
    head = join(
        trusted(META),
        tag("title", title),
        trusted(f'<link rel="icon" href="{ICON}"><link rel="stylesheet" href="{root}assets/{STYLE}">'),
        (trusted(f'<script src="{root}assets/{name}" defer></script>') for name in (*scripts, LIVE)),
    )
    body = join(
        tag("a", "Skip to the contents", href="#main", class_="skip"),
        tag("nav", _back(root), _stand(stand), _connection(), class_="live", aria_label="The watch"),
        tag("main", inside, id="main", class_=data["page"]),
        tag("p", id="news", class_="unseen", aria_live="polite"),
        tag(
            "noscript",
            tag("p", "Without scripts this page stays as it is; load it again to see what is new."),
        ),
    )
    attributes = {f"data_{key}": value for key, value in data.items()}
    return f"<!doctype html>\n{tag('html', tag('head', head), tag('body', body, **attributes), lang='en')}\n"


def _stand(inside: str) -> Html | None:
    return tag("span", trusted(inside), id="line", class_="line") if inside else None


def _connection() -> Html:
    """As of when the page is; the script says "live" as soon as it is connected."""
    now = time.strftime("as of %Y-%m-%d %H:%M:%S UTC", time.gmtime())
    return tag("span", now, id="state", data_state="still", role="status")


def _back(root: str) -> Html | None:
    return trusted(f'<a href="{root}">All runs</a>') if root else None


class Judging(Protocol):
    """What a page needs of the watcher: the whole diagnosis of a run; None where it is gone."""

    def diagnosis(self, key: str) -> Diagnosis | None: ...


def rendering(watcher: Judging) -> Callable[[str], str]:
    """What makes the inside of a run's page, by its key."""
    from ..errors import UnplateauError
    from ..futures import forecast
    from ..report.page import main_of, view

    def inside(key: str) -> str:
        found = watcher.diagnosis(key)
        if found is None:
            return tag("p", "This run is not there any more.", class_="verdict")
        try:
            seen = view(found, forecast(found.run))
        except UnplateauError as error:
            seen = view(found, None, str(error))
        return main_of([seen])

    return inside
