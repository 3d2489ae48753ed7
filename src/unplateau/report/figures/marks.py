"""How the parts of a plot look, in a field and in its legend: lines, points, and what happened at a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from . import draw
from .draw import DASHES, Floats
from .plot import Flag, Kind, Track
from .scale import Axis

LINES = ("line", "faint")  # marks that are no points
FLAGGED = 12  # flags of one kind that are drawn; more are a thicket, and the script of a page tells each
APART = 62  # units between two words at the upper edge
#: kind of flag -> what its sign means, in a legend
MEANING: dict[Kind, str] = {
    "bump": "above its neighbours by more than noise",
    "phase": "the slope changes",
    "resume": "resumed",
    "lost": "nan or infinite",
    "end": "as far as the shortest run goes",
}
OVER = "beyond the upper edge"


def drawn(track: Track, x: Floats, y: Floats) -> str:
    """The line of a track."""
    if track.mark == "faint":
        return draw.path(draw.line(x, y), ink=track.ink, width=1, opacity=0.45)
    return draw.path(draw.line(x, y), ink=track.ink, width=track.width, dash=DASHES[track.dash])


def signs(track: Track, x: Floats, y: Floats, size: float) -> str:
    """The points alone, by their shape."""
    if track.mark == "dots":
        return draw.path(draw.dots(x, y), ink=track.ink, width=size)
    shape = draw.crosses if track.mark == "crosses" else draw.slants
    return draw.path(shape(x, y, size * 0.6), ink=track.ink, width=1.2, opacity=0.9)


def flags(listed: Sequence[Flag], x: Axis, y: Axis, height: float) -> Iterator[str]:
    """Signs of what happened, each saying so when pointed at."""
    counts: dict[str, int] = {}
    free = -APART * 1.0
    for flag in listed:
        place = x.at(flag.x)
        if not np.isfinite(place) or not x.start - 1 <= place <= x.end + 1:
            continue
        counts[flag.kind] = counts.get(flag.kind, 0) + 1
        if counts[flag.kind] > FLAGGED:
            continue
        parts = [sign(flag, place, height, None if flag.y is None else y.at(flag.y))]
        if flag.kind == "resume" and place >= free:
            parts.append(draw.text(place + 4, 13, "resumed", ink="dim", size=11))
            free = place + APART
        yield draw.titled(flag.label, *parts)


def sign(flag: Flag, x: float, height: float, y: float | None = None) -> str:
    """The sign of a flag in a field of ``height``; over the point at ``y`` where it is of one."""
    whole = f"M{draw.number(x)} 0V{draw.number(height)}"
    if flag.kind == "bump":
        return draw.area(draw.wedge(x, max((y or 0.0) - 5, 8), 4.5, down=True), ink="spike")
    if flag.kind == "lost":
        cross = f"M{draw.number(x - 5)} {draw.number(height - 14)}l10 10m0 -10l-10 10"
        return draw.path(whole, ink="bad", width=1, dash="2 3") + draw.path(cross, ink="bad", width=2.2)
    if flag.kind == "phase":
        return draw.path(f"M{draw.number(x)} {draw.number(height - 9)}v9", ink="dim", width=1.5)
    return draw.path(whole, ink="dim", width=1, dash="5 4" if flag.kind == "resume" else "1 3")
