"""The budget as a waterfall: each part begins where the one before it ends, and the last bar is the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...budget import Budget
from ...estimate import Estimate
from . import draw
from .paint import Drawn, Layout
from .scale import Axis

PLACES = 3  # decimals, as the table of the report has them
BAR, BELOW = 18, 8  # units: the height of a bar, and the room under it
NARROWEST = 500  # units; in a narrower picture words stand over their bars
TICKS = 6  # of the axis, at most
INKS = {
    "irreducible + capacity": "flat",
    "finite data": "val",
    "not annealed": "rising",
    "unexplained": "batch",
}
OTHERS = ("fresh", "plan", "seen", "other3")


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of the loss: it runs from ``start`` to ``end`` nats; ``nats`` is its size with its interval."""

    name: str
    ink: str
    start: float
    end: float
    nats: Estimate
    note: str = ""

    @property
    def sure(self) -> bool:
        """True for a number without an interval: the sum, which was logged."""
        return self.nats.high <= self.nats.low


def bars_of(budget: Budget) -> tuple[Bar, ...]:
    """The rows and the unexplained, each from where the one before ended: the last ends at the loss.

    >>> from ...budget import Row
    >>> from ...estimate import Estimate as E
    >>> rows = (Row("floor", E(3.0, 2.9, 3.1, "nats")), Row("finite data", E(0.4, 0.3, 0.5, "nats")))
    >>> [(b.name, b.start, b.end) for b in bars_of(Budget(3.5, rows, E(0.1, 0.0, 0.2, "nats"), {}))]
    [('floor', 0.0, 3.0), ('finite data', 3.0, 3.4), ('unexplained', 3.4, 3.5)]
    """
    parts = [(row.name, row.nats, row.note) for row in budget.rows]
    parts.append(("unexplained", budget.unexplained, ""))
    out: list[Bar] = []
    level, spare = 0.0, list(OTHERS)
    for name, nats, note in parts:
        ink = INKS.get(name) or (spare.pop(0) if spare else "batch")
        end = round(level + nats.value, 9)
        out.append(Bar(name, ink, level, end, nats, note))
        level = end
    return tuple(out)


@dataclass(frozen=True, slots=True)
class Field:
    """Where the bars are drawn: beside their names and numbers, or below them where it is narrow."""

    axis: Axis
    layout: Layout

    @classmethod
    def of(cls, bars: tuple[Bar, ...], loss: float, layout: Layout) -> Field:
        narrow = layout.width < NARROWEST
        left = 6.0 if narrow else 0.26 * layout.width
        right = layout.width - (8 if narrow else 0.27 * layout.width)
        return cls(Axis(*_range(bars, loss), left, right), layout)

    @property
    def narrow(self) -> bool:
        return self.layout.width < NARROWEST

    @property
    def above(self) -> float:
        """Room over a bar: for its words, where they stand there."""
        return 24.0 if self.narrow else 8.0

    def top(self, i: int) -> float:
        """The upper edge of the bar in row ``i``."""
        return i * (BAR + self.above + BELOW) + self.above


def waterfall(budget: Budget, name: str, layout: Layout) -> Drawn:
    """Bars from top to bottom with their values; the long first one is cut, and says so."""
    bars = bars_of(budget)
    field = Field.of(bars, budget.loss, layout)
    total = Bar(f"= {name}", "ink", 0.0, budget.loss, Estimate(budget.loss, budget.loss, budget.loss, "nats"))
    bottom = field.top(len(bars)) + BAR
    out = [_grid(field, bottom + 6)]
    for i, bar in enumerate((*bars, total)):
        out += [*_bar(bar, field, field.top(i)), *_words(bar, field, field.top(i))]
    out += [_join(field, bar.end, i) for i, bar in enumerate(bars)]
    out += _scale(field, bottom + 26)
    return Drawn(layout.width, bottom + 52, "".join(out))


def _range(bars: tuple[Bar, ...], loss: float) -> tuple[float, float]:
    """From a little below the end of the first bar, which is long, to a little above the loss."""
    ends = [edge for bar in bars[1:] for edge in (bar.start, bar.end)] or [loss]
    low = min([*ends, loss, bars[0].start + bars[0].nats.low])
    high = max([*ends, loss, *(bar.start + bar.nats.high for bar in bars)])
    low = max(0.0, low - 0.12 * (high - low))
    return (0.0 if low < 0.25 * high else low), high + 0.04 * (high - low)


def _grid(field: Field, height: float) -> str:
    places = [place for place, _ in field.axis.labelled(field.layout.size, TICKS)]
    return draw.path(
        "".join(f"M{draw.number(p)} 0v{draw.number(height)}" for p in places), ink="grid", width=1
    )


def _join(field: Field, end: float, i: int) -> str:
    """From the end of a bar to the next, which begins there; words are not crossed."""
    x, start = field.axis.at(end), field.top(i) + BAR
    stop = field.top(i + 1) - (field.layout.size + 8 if field.narrow else 0)
    return draw.path(
        f"M{draw.number(x)} {draw.number(start)}V{draw.number(stop)}", ink="dim", width=1, dash="2 3"
    )


def _scale(field: Field, y: float) -> Iterator[str]:
    """Round numbers below the bars, and what they count."""
    axis, size = field.axis, field.layout.size - 1
    for place, label in axis.labelled(size, TICKS):
        yield draw.text(place, y, label, ink="dim", size=size, anchor="middle")
    said = f"nats per token; the axis begins at {axis.low:.3g}" if axis.low > 0 else "nats per token"
    yield draw.text(axis.start, y + 18, said, ink="dim", size=size)


def _bar(bar: Bar, field: Field, top: float) -> Iterator[str]:
    """The bar with the interval of its end."""
    axis = field.axis
    low, high = max(min(bar.start, bar.end), axis.low), max(bar.start, bar.end)
    x = axis.at(low)
    body = draw.rect(x, top, max(axis.at(high) - x, 1.5), BAR, ink=bar.ink, radius=1.5, opacity=0.9)
    cut = _cut(x, top) if min(bar.start, bar.end) < axis.low else ""
    whisker = "" if bar.sure else _whisker(bar, axis, top + BAR / 2)
    note = f", {bar.note}" if bar.note else ""
    yield draw.titled(f"{bar.name}: {_said(bar)} nats{note}", body, cut, whisker)


def _words(bar: Bar, field: Field, top: float) -> Iterator[str]:
    """The name and the number: over the bar where it is narrow, else beside it."""
    axis, size, bold = field.axis, field.layout.size, bar.sure
    if field.narrow:
        yield draw.text(axis.start, top - 5, bar.name, size=size, bold=bold)
        yield draw.text(field.layout.width - 4, top - 5, _said(bar), size=size, anchor="end", bold=bold)
        return
    name, y = draw.fitted(bar.name, axis.start - 10, size), top + BAR / 2 + 4.5
    yield draw.text(axis.start - 10, y, name, size=size, anchor="end", bold=bold)
    yield draw.text(axis.end + 10, y, _said(bar), size=size, bold=bold)


def _said(bar: Bar) -> str:
    return f"{bar.nats.value:.{PLACES}f}" if bar.sure else _span(bar.nats)


def _span(nats: Estimate) -> str:
    value, low, high = (f"{round(x, PLACES) + 0.0:.{PLACES}f}" for x in (nats.value, nats.low, nats.high))
    return f"{value} ({low} to {high})"


def _cut(x: float, top: float) -> str:
    """The sign of a bar that goes on to the left: two slanted strokes."""
    d = f"M{draw.number(x + 8)} {draw.number(top - 3)}l6 {BAR + 6}M{draw.number(x + 14)} {draw.number(top - 3)}l6 {BAR + 6}"
    return draw.path(d, ink="paper", width=2.5)


def _whisker(bar: Bar, axis: Axis, y: float) -> str:
    """The interval of the bar's size, at its end."""
    low, high = (axis.at(max(bar.start + edge, axis.low)) for edge in (bar.nats.low, bar.nats.high))
    d = f"M{draw.number(low)} {draw.number(y)}H{draw.number(high)}M{draw.number(low)} {draw.number(y - 4)}v8M{draw.number(high)} {draw.number(y - 4)}v8"
    return draw.path(d, ink="paper", width=4, opacity=0.8) + draw.path(d, ink="ink", width=1.5)


def as_dict(budget: Budget) -> dict[str, Any]:
    """The waterfall as data."""
    told = [
        {"name": b.name, "start": b.start, "end": b.end, "nats": b.nats.as_dict(), "note": b.note}
        for b in bars_of(budget)
    ]
    return {"kind": "waterfall", "unit": "nats", "loss": budget.loss, "bars": told}


def alt(budget: Budget, name: str) -> str:
    """The waterfall in words."""
    parts = ", ".join(f"{bar.name} {_span(bar.nats)}" for bar in bars_of(budget))
    return f"{name} of {budget.loss:.{PLACES}f} nats as a sum: {parts}."
