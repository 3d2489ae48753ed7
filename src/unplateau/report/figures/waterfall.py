"""The budget as a waterfall: each part begins where the one before it ends, and the last bar is the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...budget import Budget
from ...estimate import Estimate
from . import draw
from .paint import Drawn, Layout
from .scale import Axis, short

PLACES = 3  # decimals, as the table of the report has them
BAR, ROW = 18, 34  # units: a bar's height, and the distance from one bar to the next
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


def waterfall(budget: Budget, name: str, layout: Layout) -> Drawn:
    """Bars from top to bottom with their values; the long first one is cut, and says so."""
    bars = bars_of(budget)
    narrow = layout.width < 500
    left = 6.0 if narrow else 0.26 * layout.width
    right = layout.width - (8 if narrow else 0.27 * layout.width)
    axis = Axis(*_range(bars, budget.loss), left, right)
    pitch = ROW + (20 if narrow else 0)
    out = list(_grid(axis, len(bars) + 1, pitch, layout))
    for i, bar in enumerate(bars):
        top = i * pitch + (24 if narrow else 8)
        out += _row(bar, axis, top, layout, narrow=narrow)
        out.append(
            draw.path(
                f"M{draw.number(axis.at(bar.end))} {draw.number(top + BAR)}v{draw.number(pitch - BAR)}",
                ink="dim",
                width=1,
                dash="2 3",
            )
        )
    top = len(bars) * pitch + (24 if narrow else 8)
    total = Bar(f"= {name}", "ink", 0.0, budget.loss, Estimate(budget.loss, budget.loss, budget.loss, "nats"))
    out += _row(total, axis, top, layout, narrow=narrow)
    bottom = top + BAR + 14
    out += [
        draw.text(axis.at(t), bottom + 12, short(t), ink="dim", size=layout.size - 1, anchor="middle")
        for t in axis.ticks(4)
    ]
    said = f"nats per token; the axis begins at {axis.low:.3g}" if axis.low > 0 else "nats per token"
    out.append(draw.text(left, bottom + 30, said, ink="dim", size=layout.size - 1))
    return Drawn(layout.width, bottom + 38, "".join(out))


def _range(bars: tuple[Bar, ...], loss: float) -> tuple[float, float]:
    """From a little below the end of the first bar, which is long, to a little above the loss."""
    ends = [edge for bar in bars[1:] for edge in (bar.start, bar.end)] or [loss]
    low = min([*ends, loss, bars[0].start + bars[0].nats.low])
    high = max([*ends, loss, *(bar.start + bar.nats.high for bar in bars)])
    low = max(0.0, low - 0.12 * (high - low))
    return (0.0 if low < 0.25 * high else low), high + 0.04 * (high - low)


def _grid(axis: Axis, rows: int, pitch: float, layout: Layout) -> Iterator[str]:
    height = draw.number(rows * pitch + (12 if layout.width < 500 else 0))
    yield draw.path(
        "".join(f"M{draw.number(axis.at(t))} 0v{height}" for t in axis.ticks(4)), ink="grid", width=1
    )


def _row(bar: Bar, axis: Axis, top: float, layout: Layout, *, narrow: bool) -> Iterator[str]:
    """The name, the bar with the interval of its end, and the number."""
    low, high = max(min(bar.start, bar.end), axis.low), max(bar.start, bar.end)
    x, y = axis.at(low), top + BAR / 2
    body = draw.rect(x, top, max(axis.at(high) - x, 1.5), BAR, ink=bar.ink, radius=1.5, opacity=0.9)
    cut = _cut(x, top) if min(bar.start, bar.end) < axis.low else ""
    sure = bar.nats.high <= bar.nats.low
    words = f"{bar.nats.value:.{PLACES}f}" if sure else _span(bar.nats)
    whisker = "" if sure else _whisker(bar, axis, y)
    yield draw.titled(f"{bar.name}: {words} nats{f', {bar.note}' if bar.note else ''}", body, cut, whisker)
    size, bold = layout.size, sure
    if narrow:
        yield draw.text(axis.start, top - 5, bar.name, size=size, bold=bold)
        yield draw.text(layout.width - 4, top - 5, words, size=size, anchor="end", bold=bold)
    else:
        yield draw.text(
            axis.start - 10,
            y + 4.5,
            draw.fitted(bar.name, axis.start - 10, size),
            size=size,
            anchor="end",
            bold=bold,
        )
        yield draw.text(axis.end + 10, y + 4.5, words, size=size, bold=bold)


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
