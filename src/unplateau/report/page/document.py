"""The whole document: head with its policy, a link past the contents, the contents, the parts of each run."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files

from ... import __version__
from ...comparison import Comparison
from ..figures import compared, page_css
from ..figures import theme as figures
from . import beside, budget, causes, claims, facts, figure, futures, remedies, unknown
from .head import head
from .html import Html, join, tag, trusted
from .parts import Section
from .view import View

ASSETS = "unplateau.report.page.assets"
STYLE, THEME = "page.css", "theme.js"
SCRIPTS = (*figures.SCRIPTS, "page.js", THEME)  # their order
#: nothing is loaded from anywhere; what runs and what styles is what stands here, by its hash
POLICY = "default-src 'none'; {scripts}; {styles}; img-src data:; base-uri 'none'; form-action 'none'"


def page(views: Sequence[View], together: Comparison | None = None, apart: str = "") -> str:
    """One self-contained page of ``views``; ``together``: the same runs side by side, ``apart``: why they are not."""
    main = main_of(views, together, apart)
    title = views[0].found.run.name if len(views) == 1 else f"{len(views)} runs"
    styled, scripts = style(), list(scripts_of_page())
    policy = POLICY.format(scripts=_source("script-src", scripts), styles=_source("style-src", [styled]))
    top = join(
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="generator", content=f"unplateau {__version__}"),
        tag("title", f"{title} – unplateau"),
        tag("style", trusted(styled)),
    )
    body = join(
        tag("a", "Skip to the contents", href="#contents", class_="skip"),
        tag("main", trusted(main), id="main"),
        tag(
            "footer",
            tag("p", f"Made by unplateau {__version__} from the log alone; nothing left this machine."),
        ),
        (tag("script", trusted(script)) for script in scripts),
    )
    return f"<!doctype html>\n{tag('html', tag('head', top), tag('body', body), lang='en')}\n"


def main_of(views: Sequence[View], together: Comparison | None = None, apart: str = "") -> str:
    """The inside of ``<main>``; the live page sends it again at each update."""
    return _alone(views[0]) if len(views) == 1 else _several(views, together, apart)


def _alone(view: View) -> Html:
    parts = list(sections(view))
    return join(head(view), _contents(parts), (part.html(view.level + 1) for part in parts))


def _several(views: Sequence[View], together: Comparison | None, apart: str) -> Html:
    """The comparison first, then each run's own part."""
    placed = [replace(view, place=f"r{i}", level=2) for i, view in enumerate(views, 1)]
    names = [view.id("run") for view in placed]
    first = list(_beside(together, placed)) if together is not None else []
    said = beside.verdict(together) if together is not None else None
    why = tag("p", f"Not compared: {apart}", class_="note") if apart else said
    runs = [Section(name, view.found.run.name, Html()) for name, view in zip(names, placed, strict=True)]
    return join(
        tag(
            "header",
            tag("p", "unplateau report", class_="kicker"),
            tag("h1", f"{len(views)} runs side by side"),
            why,
        ),
        _contents([*first, *runs]),
        (part.html(2) for part in first),
        (_run(view) for view in placed),
    )


def _beside(together: Comparison, views: Sequence[View]) -> Iterator[Section]:
    """The runs side by side, each with a link to its own part; a run that can't be compared has a part alone."""
    parts = {view.found.run.name: view.id("run") for view in reversed(views)}
    return beside.section(together, compared(together), [parts[one.name] for one in together.told])


def _run(view: View) -> Html:
    parts = [part.html(view.level + 1) for part in sections(view)]
    return tag("article", head(view), *parts, aria_labelledby=view.id("run"), class_="run")


def sections(view: View) -> Iterator[Section]:
    """The parts of a run, in the order in which one asks for them."""
    yield from figure.section(view)
    yield from budget.section(view)
    yield from remedies.section(view)
    yield from futures.section(view)
    yield from causes.section(view)
    yield from unknown.section(view)
    yield from claims.section(view)
    yield from facts.probes(view)
    yield from facts.facts(view)
    yield from facts.warnings(view)


def _contents(parts: Sequence[Section]) -> Html:
    items = (tag("li", tag("a", part.title, href=f"#{part.id}")) for part in parts)
    return tag("nav", tag("ul", *items), aria_label="Contents", id="contents")


def style() -> str:
    """All that styles a page, its pictures too."""
    return _asset(STYLE) + page_css()


def scripts_of_page() -> tuple[str, ...]:
    """All that runs on a page, in its order: what makes its pictures live, then its own."""
    return tuple(map(_asset, SCRIPTS))


def _asset(name: str) -> str:
    return files(ASSETS).joinpath(name).read_text(encoding="utf-8")


def _source(directive: str, texts: Sequence[str]) -> str:
    """A directive that allows these texts alone, by their hashes (CSP 3, section 2.3.1)."""
    hashes = dict.fromkeys(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in texts)
    return " ".join([directive, *hashes])
