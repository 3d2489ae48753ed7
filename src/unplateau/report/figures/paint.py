"""A plot as SVG, in one of two layouts: for a page or paper, and for a phone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from . import draw
from .draw import DASHES, Floats
from .plot import Flag, Plot, Track
from .scale import Axis, short

RIGHT = 16  # units of room right of the fields
ROW = 20  # units of a row of the legend
SWATCH = 26  # units of the sample before a name of the legend
LINES = ("line", "faint")
FLAGGED = 12  # flags of one kind that are drawn; more are a thicket, and the page's script tells each
BAR_SHARE = 0.5  # bars of more points than a unit of width has are a smear: then none is drawn


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a picture, in units of its view box."""

    width: float
    height: float  # of the first panel
    below: float  # of each further panel
    left: float
    size: float  # of words
    ticks: int  # of the x axis at most


WIDE = Layout(width=800, height=340, below=74, left=54, size=13, ticks=9)
NARROW = Layout(width=360, height=270, below=64, left=46, size=12, ticks=4)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture's inside and its size."""

    width: float
    height: float
    body: str


def plotted(plot: Plot, layout: Layout) -> Drawn:
    """The legend, then the panels from top to bottom, then the x axis."""
    room = layout.width - layout.left - RIGHT
    x = Axis(*plot.view, 0, room, log=plot.log)
    out, top = _legend(plot, layout)
    for i, panel in enumerate(plot.panels):
        height = layout.below if i else layout.height
        title = panel.label
        top += layout.size + 4
        out.append(draw.text(0, top - 5, title, ink="dim", size=layout.size - 1))
        y = Axis(*panel.view, height, 0, log=panel.log)
        out += _grid(x, y, layout, top, height, few=bool(i))
        parts = [*_tracks(panel.tracks, x, y, room), *(_flags(plot.flags, x, y, height) if not i else ())]
        out.append(draw.window(layout.left, top, room, height, parts))
        top += height + 6
    out += _labels(x, plot, layout, top)
    return Drawn(layout.width, top + 2 * layout.size + 14, "".join(out))


def _grid(x: Axis, y: Axis, layout: Layout, top: float, height: float, *, few: bool) -> Iterator[str]:
    """Lines at the round numbers of both axes, with the labels of y."""
    places = [p for p, _ in x.labelled(layout.size, layout.ticks)]
    d = "".join(f"M{draw.number(layout.left + p)} {draw.number(top)}v{draw.number(height)}" for p in places)
    ticks = y.ticks(2 if few else 6)
    rows = [y.at(tick) for tick in ticks]
    wide = draw.number(x.end)
    d += "".join(
        f"M{draw.number(layout.left)} {draw.number(top + row)}h{wide}" for row in rows if 0 <= row <= height
    )
    yield draw.path(d, ink="grid", width=1)
    for tick, row in zip(ticks, rows, strict=True):
        if 0 <= row <= height:
            yield draw.text(
                layout.left - 6, top + row + 4, short(tick), ink="dim", size=layout.size - 1, anchor="end"
            )


def _labels(x: Axis, plot: Plot, layout: Layout, top: float) -> Iterator[str]:
    """The round numbers below the last panel, and what they count."""
    for place, label in x.labelled(layout.size, layout.ticks):
        most = x.end + RIGHT - draw.wide(label, layout.size) / 2
        at = layout.left + min(place, most)
        yield draw.text(at, top + layout.size, label, ink="dim", size=layout.size - 1, anchor="middle")
    said = f"{plot.label} ({'logarithmic' if plot.log else 'linear'} axis)"
    yield draw.text(layout.left, top + 2 * layout.size + 6, said, ink="dim", size=layout.size - 1)


def _tracks(tracks: Sequence[Track], x: Axis, y: Axis, room: float) -> Iterator[str]:
    """Bands first, then lines, then points: what was measured is never covered."""
    seen = [track for track in tracks if track.shown]
    for track in seen:
        if not track.bars and track.low is not None and track.high is not None:
            d = draw.band(x.place(track.x), y.place(track.low), y.place(track.high))
            yield draw.area(d, ink=track.ink, opacity=0.14)
    for track in sorted(seen, key=lambda t: t.mark != "faint"):
        if track.mark in LINES:
            yield _drawn(track, x.place(track.x), y.place(track.y))
    for track in seen:
        if track.mark not in LINES:
            yield from _points(track, x, y, room)
        if track.mark != "line":
            yield _over(track, x, y)


def _drawn(track: Track, x: Floats, y: Floats) -> str:
    if track.mark == "faint":
        return draw.path(draw.line(x, y), ink=track.ink, width=1, opacity=0.45)
    return draw.path(draw.line(x, y), ink=track.ink, width=track.width, dash=DASHES[track.dash])


def _points(track: Track, x: Axis, y: Axis, room: float) -> Iterator[str]:
    """Points, with their error bars where these can be told apart."""
    across, down = x.place(track.x), y.place(track.y)
    inside = int(((across >= 0) & (across <= x.end)).sum())
    size = 5.0 if inside < room / 8 else 3.0
    if track.bars and track.low is not None and track.high is not None and inside < BAR_SHARE * room:
        d = draw.bars(across, y.place(track.low), y.place(track.high))
        yield draw.path(d, ink=track.ink, width=1.2, opacity=0.8)
    yield _signs(track, across, down, size)


def _signs(track: Track, x: Floats, y: Floats, size: float) -> str:
    """The points alone, by their shape."""
    if track.mark == "dots":
        return draw.path(draw.dots(x, y), ink=track.ink, width=size)
    shape = draw.crosses if track.mark == "crosses" else draw.slants
    return draw.path(shape(x, y, size * 0.6), ink=track.ink, width=1.2, opacity=0.9)


def _over(track: Track, x: Axis, y: Axis) -> str:
    """Wedges at the upper edge for points above it: the highest, where there are many."""
    across, value = x.place(track.x), track.y
    above = np.flatnonzero((value > y.high) & (across >= 0) & (across <= x.end))
    highest = above[np.argsort(-value[above])][:FLAGGED]
    return "".join(draw.area(draw.wedge(place, 1, 4.5), ink=track.ink) for place in across[highest].tolist())


def _flags(flags: Sequence[Flag], x: Axis, y: Axis, height: float) -> Iterator[str]:
    """Lines for what happened at a step, wedges over points that stand out."""
    counts: dict[str, int] = {}
    for flag in flags:
        place = x.at(flag.x)
        counts[flag.kind] = counts.get(flag.kind, 0) + 1
        if not np.isfinite(place) or counts[flag.kind] > FLAGGED or not -1 <= place <= x.end + 1:
            continue
        yield draw.titled(flag.label, _flag(flag, place, y, height))


def _flag(flag: Flag, place: float, y: Axis, height: float) -> str:
    at = draw.number(place)
    if flag.kind == "bump" and flag.y is not None:
        return draw.area(
            draw.wedge(place, max(y.at(flag.y) - 5, 8), 4.5, down=True), ink="spike", opacity=1.0
        )
    if flag.kind == "lost":
        d = f"M{_pair(place - 5, 4)}l10 10m0 -10l-10 10"
        return draw.path(f"M{at} 0V{draw.number(height)}", ink="bad", width=1, dash="2 3") + draw.path(
            d, ink="bad", width=2.2
        )
    if flag.kind == "phase":
        return draw.path(f"M{at} {draw.number(height - 9)}v9", ink="dim", width=1.5)
    if flag.kind == "resume":
        word = draw.text(place + 4, 13, "resumed", ink="dim", size=11)
        return draw.path(f"M{at} 0V{draw.number(height)}", ink="dim", width=1, dash="5 4") + word
    return draw.path(f"M{at} 0V{draw.number(height)}", ink="dim", width=1)


def _pair(x: float, y: float) -> str:
    """Two coordinates."""
    return f"{draw.number(x)} {draw.number(y)}"


def _legend(plot: Plot, layout: Layout) -> tuple[list[str], float]:
    """Names beside samples, in as many rows as they take; and where the legend ends."""
    out: list[str] = []
    left, row, size = 0.0, 0, layout.size - 0.5
    for track in (t for panel in plot.panels for t in panel.tracks if t.shown):
        room = min(draw.wide(track.label, size), layout.width - SWATCH)
        if left and left + SWATCH + room > layout.width:
            left, row = 0.0, row + 1
        y = row * ROW + 9
        out.append(_sample(track, left, y))
        words = draw.fitted(track.label, layout.width - left - SWATCH, size)
        out.append(draw.text(left + SWATCH, y + 4, words, size=size))
        left += SWATCH + room + 18
    return out, (row + 1) * ROW if out else 0


def _sample(track: Track, x: float, y: float) -> str:
    """How a track looks, for the legend."""
    ends, middle = np.array([x, x + 18.0]), np.array([x + 9.0])
    level = np.array([y, y])
    if track.mark not in LINES:
        bar = draw.path(f"M{_pair(x + 9, y - 6)}v12", ink=track.ink, width=1.2) if track.bars else ""
        return bar + _signs(track, middle, level[:1], 5.5)
    field = draw.rect(x, y - 6, 18, 12, ink=track.ink, opacity=0.14) if track.low is not None else ""
    return field + _drawn(track, ends, level)
