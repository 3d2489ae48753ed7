"""The legend of a plot: each name beside a sample of what it names, in as many rows as they take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from . import draw, marks
from .plot import Flag, Kind, Plot, Track

ROW = 20  # units of a row
SWATCH = 26  # units of the sample before a name
Sign = Kind | Literal["over"]
BETWEEN = 18  # units from a name to the next sample


def legend(plot: Plot, width: float, size: float) -> tuple[list[str], float]:
    """The legend in ``width`` units with words of ``size``, and how high it is."""
    out: list[str] = []
    left, row = 0.0, 0
    for sample, words in _entries(plot):
        room = min(draw.wide(words, size), width - SWATCH)
        if left and left + SWATCH + room > width:
            left, row = 0.0, row + 1
        y = row * ROW + 9.0
        out.append(f'<g transform="translate({draw.number(left)} {draw.number(y)})">{sample}</g>')
        out.append(
            draw.text(left + SWATCH, y + 4, draw.fitted(words, width - left - SWATCH, size), size=size)
        )
        left += SWATCH + room + BETWEEN
    return out, (row + 1) * ROW if out else 0


def _entries(plot: Plot) -> Iterator[tuple[str, str]]:
    """Samples and names: what is shown, then the signs that stand in the first view."""
    for panel in plot.panels:
        for track in panel.tracks:
            if track.shown and track.label:
                yield sample(track), track.label
    for kind, meaning in signs_of(plot, plot.view).items():
        if kind == "over":
            yield draw.area(draw.wedge(9, -4, 4.5), ink="batch"), meaning
        else:
            yield marks.sign(Flag(kind, 0.0, ""), 9.0, 6.0, 6.0), meaning


def signs_of(plot: Plot, part: tuple[float, float]) -> dict[Sign, str]:
    """The kinds of signs that stand in a part of the x axis, and what they mean."""
    kinds = dict.fromkeys(flag.kind for flag in plot.flags if part[0] <= flag.x <= part[1])
    out: dict[Sign, str] = {kind: marks.MEANING[kind] for kind in kinds}
    if any(_over(track, plot) for track in plot.panels[0].tracks):
        out["over"] = marks.OVER
    return out


def _over(track: Track, plot: Plot) -> bool:
    """True where a measured point of the first view lies above it."""
    inside = (track.x >= plot.view[0]) & (track.x <= plot.view[1])
    return track.mark != "line" and bool((track.y[inside] > plot.panels[0].view[1]).any())


def sample(track: Track) -> str:
    """How a track looks, in 18 units, around a line at 0."""
    ends, middle, level = np.array([0.0, 18.0]), np.array([9.0]), np.zeros(2)
    if track.mark not in marks.LINES:
        bar = draw.path("M9 -6v12", ink=track.ink, width=1.2) if track.bars else ""
        return bar + marks.signs(track, middle, level[:1], 5.5)
    field = draw.rect(0, -6, 18, 12, ink=track.ink, opacity=0.14) if track.low is not None else ""
    return field + marks.drawn(track, ends, level)
