"""Several runs in one picture: their judged losses against equal tokens, equal time and equal FLOPs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...comparison import Comparison, Equal, Told
from ...estimate import Z90
from ..redact import redacted
from .clock import unit_of
from .plot import Flag, Panel, Plot, Track
from .scale import padded
from .thin import grain, shared, thinned

SHOWN = 1 / 16  # share of the shortest run that the first view begins at, as in the picture of one run
INKS = ("val", "train", "fresh", "plan", "seen", "other3", "ink", "batch")
HOUR = 3600.0  # seconds, in which a comparison counts time


def plot_of(found: Comparison, equal: Equal) -> Plot | None:
    """The runs against ``equal.base``; None where fewer than two of them know it."""
    columns = shared(len(found.told))
    unit, size = _unit(found, equal.base)
    made = (_track(i, one, equal.base, size, columns) for i, one in enumerate(found.told))
    tracks = [track for track in made if track is not None]
    above = [t.x[t.x > 0] for t in tracks]
    ends = [(float(x[0]), float(x[-1])) for x in above if len(x)]
    if len(ends) < 2:
        return None
    first, last = min(a for a, _ in ends), max(b for _, b in ends)
    if last <= first:
        return None
    view = (max(first, SHOWN * min(b for _, b in ends)), last)
    panel = Panel("loss", f"{found.told[0].series}, {found.unit}", tuple(tracks), _view(tracks, view))
    flag = Flag(
        "end",
        equal.amount / size,
        f"as far as the shortest goes: here the losses are compared at equal {equal.base}",
    )
    return Plot(unit, unit, view, (first, last), (panel,), (flag,), grain=grain(len(found.told)))


def _unit(found: Comparison, base: str) -> tuple[str, float]:
    """The unit of the axis, and how much of the comparison's own (of time a second) it holds."""
    if base != "time":
        return base, 1.0
    ends = (one.end * one.per_step[base] / HOUR for one in found.told if base in one.per_step)
    word, per_hour = unit_of(max(ends, default=1.0))
    return word, HOUR / per_hour


def _track(i: int, one: Told, base: str, size: float, columns: int) -> Track | None:
    """One run: its evaluations with their noise, joined by a line; None where it does not know what it cost."""
    cost = 1.0 if base == "steps" else one.per_step.get(base)
    if cost is None or not len(one.curve):
        return None
    x = one.curve.step.astype(np.float64) * (cost / size)
    kept = thinned(x, one.curve.value, columns)
    y, half = one.curve.value[kept], np.full(len(kept), Z90 * one.noise, dtype=np.float64)
    label = f"{i + 1}  {redacted(one.name)}"
    ink, dash = INKS[i % len(INKS)], i // len(INKS) % 3
    return Track(f"run{i}", label, ink, "line", x[kept], y, y - half, y + half, dash=dash, width=1.8)


def _view(tracks: Sequence[Track], view: tuple[float, float]) -> tuple[float, float]:
    """The lowest and the highest loss of the view, without their noise."""
    inside = [t.y[(t.x >= view[0]) & (t.x <= view[1])] for t in tracks]
    every = np.concatenate(inside)
    return padded(float(every.min()), float(every.max()), 0.05) if len(every) else (0.0, 1.0)


def alt(found: Comparison, equal: Equal) -> str:
    """The picture in words."""
    losses = [
        f"{redacted(one.name)} {loss.value:.4f} +-{(loss.high - loss.low) / 2:.4f}"
        for one, loss in zip(found.told, equal.losses, strict=True)
        if loss is not None
    ]
    return f"{found.told[0].series} of {len(found.told)} runs against {equal.base}. At equal {equal.base}: {'; '.join(losses)}."
