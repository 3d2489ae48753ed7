"""A plot as SVG, in one of two layouts: for a page or paper, and for a phone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from . import draw, marks
from .key import legend
from .plot import Plot, Track
from .scale import Axis, labels
from .thin import seen

RIGHT = 16  # units of room right of the fields
INSET = 7  # units of room inside a field, left and right, so that no point is cut
FEW = 30  # points; less are drawn larger
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
BROAD = Layout(width=1500, height=420, below=80, left=54, size=14, ticks=14)
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
    x = Axis(*plot.view, INSET, room - INSET, log=plot.log, least=plot.least)
    out, top = legend(plot, layout.width, layout.size - 0.5)
    for i, panel in enumerate(plot.panels):
        height = layout.below if i else layout.height
        title = panel.label
        top += layout.size + 4
        out.append(draw.text(0, top - 5, title, ink="dim", size=layout.size - 1))
        y = Axis(*panel.view, height, 0, log=panel.log)
        out += _grid(x, y, layout, top, height, few=bool(i))
        parts = [
            *_tracks([_still(track, x, plot.grain) for track in panel.tracks if track.shown], x, y, room),
            *(marks.flags(plot.flags, x, y, height) if not i else ()),
        ]
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
    wide = draw.number(x.end + INSET)
    d += "".join(
        f"M{draw.number(layout.left)} {draw.number(top + row)}h{wide}" for row in rows if 0 <= row <= height
    )
    yield draw.path(d, ink="grid", width=1)
    for label, row in zip(labels(ticks), rows, strict=True):
        if 0 <= row <= height:
            yield draw.text(
                layout.left - 6, top + row + 4, label, ink="dim", size=layout.size - 1, anchor="end"
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
    for track in tracks:
        if not track.bars and track.low is not None and track.high is not None:
            d = draw.band(x.place(track.x), y.place(track.low), y.place(track.high))
            yield draw.area(d, ink=track.ink, opacity=0.14)
    for track in sorted(tracks, key=lambda t: t.mark != "faint"):
        if track.mark in marks.LINES:
            yield marks.drawn(track, x.place(track.x), y.place(track.y))
    for track in tracks:
        if track.mark not in marks.LINES:
            yield from _points(track, x, y, room)
        if track.mark != "line":
            yield _over(track, x, y)


def _still(track: Track, x: Axis, grain: float) -> Track:
    """The points of a track that a still picture can show."""
    kept = seen(x.place(track.x), track.y, x.start, x.end, grain)
    low, high = (None if edge is None else edge[kept] for edge in (track.low, track.high))
    return replace(track, x=track.x[kept], y=track.y[kept], low=low, high=high)


def _points(track: Track, x: Axis, y: Axis, room: float) -> Iterator[str]:
    """Points, with their error bars where these can be told apart."""
    across, down = x.place(track.x), y.place(track.y)
    inside = int(((across >= x.start - 1) & (across <= x.end + 1)).sum())
    size = 3.0 if inside > room / 8 else 5.0 if inside > FEW else 7.0
    if track.bars and track.low is not None and track.high is not None and inside < BAR_SHARE * room:
        d = draw.bars(across, y.place(track.low), y.place(track.high))
        yield draw.path(d, ink=track.ink, width=1.2, opacity=0.8)
    yield marks.signs(track, across, down, size)


def _over(track: Track, x: Axis, y: Axis) -> str:
    """Wedges at the upper edge for points above it: the highest, where there are many."""
    across, value = x.place(track.x), track.y
    above = np.flatnonzero((value > y.high) & (across >= x.start - 1) & (across <= x.end + 1))
    highest = above[np.argsort(-value[above])][: marks.FLAGGED]
    wedges = (draw.wedge(place, 1, 4.5) for place in across[highest].tolist())
    return draw.area("".join(wedges), ink=track.ink)
