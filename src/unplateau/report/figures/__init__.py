"""Pictures as data: each figure is a static SVG that needs no script, and the numbers that a page's script draws it from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from . import draw
from .theme import FONT, Theme, css, page_css, page_scripts, painted

if TYPE_CHECKING:
    from ...comparison import Comparison
    from ...diagnosis import Diagnosis
    from ...futures import Forecast
    from .paint import Drawn, Layout
    from .plot import Plot

__all__ = ["Figure", "Theme", "compared", "figures_of", "page_css", "page_scripts", "script_json"]
TITLE = 30  # units above a picture that stands alone: its title
SIZE, LINE = 16, 20  # units: of its words, and from one of its lines to the next
BOLD = 1.07  # bold words are so much wider than draw.GLYPH says: of DejaVu Sans Bold, the widest of the usual fonts
EDGE = 14  # units around it


@dataclass(frozen=True, slots=True)
class Figure:
    """One picture: for eyes (``svg``), for those who can't see it (``alt``), and for scripts (``data``).

    ``name``: what it is called in files and pages; ``wide``, ``narrow``: the insides of two layouts of the same
    picture, with their sizes, for a page or paper and for a phone. ``data``: plain JSON, already thinned.
    """

    name: str
    title: str
    alt: str
    wide: Drawn
    narrow: Drawn
    data: Mapping[str, Any]
    broad: Drawn | None = None  # for windows so wide that the words of the others would be too large

    @property
    def svg(self) -> str:
        """The picture as a file of its own, light or dark as its reader's system is."""
        return self.alone()

    def alone(self, theme: Theme = "auto") -> str:
        """The picture as a file of its own, with its title, its style and a background."""
        return self._alone(f"<style>{css(theme)}</style>", dark=theme == "dark")

    def plain(self, *, dark: bool = False) -> str:
        """The same without a style, for programs that know none: each part bears its colour."""
        return self._alone("", dark=dark)

    def _alone(self, style: str, *, dark: bool) -> str:
        drawn = self.wide
        title = draw.broken(self.title, drawn.width / BOLD, SIZE)
        above = TITLE + LINE * (len(title) - 1)
        width, height = drawn.width + 2 * EDGE, drawn.height + above + 2 * EDGE
        lines = (
            draw.text(EDGE, EDGE + 15 + LINE * i, line, size=SIZE, bold=True) for i, line in enumerate(title)
        )
        inside = (
            f"<title>{draw.escaped(self.title)}</title><desc>{draw.escaped(self.alt, 2000)}</desc>{style}"
            f"{draw.rect(0, 0, width, height, ink='paper')}"
            f"{''.join(lines)}"
            f'<g transform="translate({EDGE} {EDGE + above})">{drawn.body}</g>'
        )
        size = f'width="{draw.number(width)}" height="{draw.number(height)}"'
        return painted(_svg(inside, width, height, size), dark=dark)

    @property
    def inline(self) -> str:
        """All layouts, for a page that holds ``page_css()``, which shows the one that suits the place."""
        label = f'role="img" aria-label="{draw.escaped(self.alt, 2000)}"'
        layouts = {"wide": self.wide, "narrow": self.narrow} | ({"broad": self.broad} if self.broad else {})
        parts = [
            _svg(drawn.body, drawn.width, drawn.height, label, f"up up-{name}")
            for name, drawn in layouts.items()
        ]
        kind = "up-static up-wider" if self.broad else "up-static"
        return f'<div class="{kind}">{"".join(parts)}</div>'

    @property
    def html(self) -> str:
        """The whole of a ``<figure>``: the static picture, and the data that the script of a page makes it live with."""
        return (
            f'<figure class="up-figure" data-figure="{draw.escaped(self.name)}">'
            f"<figcaption>{draw.escaped(self.title)}</figcaption>{self.inline}"
            f'<script type="application/json">{script_json(self.data)}</script></figure>'
        )


def _svg(inside: str, width: float, height: float, attributes: str, classes: str = "up") -> str:
    box = f"0 0 {draw.number(width)} {draw.number(height)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{classes}" viewBox="{box}" {attributes} '
        f'font-family="{FONT}">{inside}</svg>'
    )


def script_json(data: Mapping[str, Any]) -> str:
    r"""JSON that can stand in a ``<script>``: nothing in it can end that, or begin a comment.

    >>> print(script_json({"name": "</script><!--"}))
    {"name":"\u003c/script\u003e\u003c!--"}
    """
    import json

    told = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return told.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def figures_of(found: Diagnosis, ahead: Forecast | None = None, runs: int = 1) -> tuple[Figure, ...]:
    """The pictures of one run, those that it has the facts for: health, curve, budget, remedies.

    ``ahead``: its forecast, whose futures are drawn beside the plan; without one, the plan alone. ``runs``: of the page
    that they are for; the more, the fewer points of each.
    """
    made = (_health(found), _curve(found, ahead, runs), _budget(found), _remedies(found))
    return tuple(figure for figure in made if figure is not None)


def compared(found: Comparison) -> tuple[Figure, ...]:
    """The pictures of several runs: one for each of tokens, time and FLOPs that at least two of them know."""
    from . import several as runs
    from .paint import plotted

    out = []
    for equal in found.equal:
        plot = runs.plot_of(found, equal)
        if plot is not None:
            title, said = f"Loss against {plot.unit}, {len(found.told)} runs", runs.alt(found, equal)
            out.append(
                _made(f"compared-{equal.base.lower()}", title, said, partial(plotted, plot), _lines(plot))
            )
    return tuple(out)


def _made(
    name: str, title: str, alt: str, paint: Callable[[Layout], Drawn], data: Mapping[str, Any]
) -> Figure:
    """A figure in both layouts."""
    from .paint import NARROW, WIDE

    return Figure(name, title, alt, paint(WIDE), paint(NARROW), data)


def _health(found: Diagnosis) -> Figure | None:
    from . import health
    from .measure import Amounts
    from .paint import BROAD

    amounts = Amounts.of(found.run)
    if not (pieces := health.pieces_of(found, amounts)):
        return None
    said = health.said(pieces, found.state, amounts.unit)
    title = f"How {found.state.series} moved, against {amounts.unit} (logarithmic)"
    data = health.as_dict(pieces, found.state, amounts.unit)

    def drawn(at: Layout) -> Drawn:
        return health.strip(pieces, found, amounts, at, log=True)

    return replace(_made("health", title, f"{title}: {said}", drawn, data), broad=drawn(BROAD))


def _curve(found: Diagnosis, ahead: Forecast | None, runs: int) -> Figure | None:
    from .curve import curve_plot, words
    from .paint import plotted

    plot = curve_plot(found, ahead, runs)
    if plot is None:
        return None
    title = f"Loss against {plot.unit}"
    return _made("curve", title, words(found, plot), partial(plotted, plot), _lines(plot))


def _lines(plot: Plot) -> dict[str, Any]:
    """A plot for the script of a page, with what its signs mean."""
    from .key import signs_of

    return {**plot.as_dict(), "signs": signs_of(plot, plot.whole)}


def _budget(found: Diagnosis) -> Figure | None:
    from . import waterfall

    budget = found.budget
    if budget is None or not budget.rows:
        return None
    series = found.state.series
    return _made(
        "budget",
        f"Where the {series} of {budget.loss:.3f} nats comes from",
        waterfall.alt(budget, series),
        lambda at: waterfall.waterfall(budget, series, at),
        waterfall.as_dict(budget),
    )


def _remedies(found: Diagnosis) -> Figure | None:
    from . import remedies

    if not (gains := remedies.gains_of(found)):
        return None
    return _made(
        "remedies",
        "What each remedy wins, and what it costs",
        remedies.alt(gains),
        partial(remedies.dotted, gains),
        remedies.as_dict(gains),
    )
