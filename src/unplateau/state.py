"""The state of a curve: its noise, its slope against log tokens, its phases and its bumps.

A plateau is a statement about a slope; so a slope comes with its 90 % interval, and with the smallest
slope that this log could have shown. Everything is linear algebra on at most ``POINTS`` binned points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .curve import Curve
from .estimate import Z90, Estimate
from .run import LOSSES, Run
from .student import t_ratio

CurveVerdict = Literal["falling", "slowing", "flat", "rising", "diverged", "too-short"]
Floats = NDArray[np.float64]

POINTS = 160  # most points that are segmented; a longer curve is averaged into bins of equal log steps
LEAST = 4  # evaluations; fewer have no slope with an error
REGIME = 0.5  # doublings; a straight piece shorter than this is no trend yet
JUDGED = ("val_loss", "val_bpb", "train_loss", "batch_loss")  # the first of these that has enough points
PRINTED = 1e-4  # nats; logs print four decimals, no level is known better than that
WINDOW_SD = 0.4  # nats; sd of one window's mean loss: median of benchmarks/planted/constants.py
BUMP = 4.0  # standard errors above both neighbours' trend: 1 in 15,000 by chance
DIVERGED = 0.2  # share of the whole drop lost again, for good
HUGE = 1e30  # nats; float32 itself ends at 3e38
POWER = (Z90 + 1.282) / Z90  # half widths of a slope whose interval leaves 0 out nine times in ten
WORTH = 0.003  # of the loss per doubling of tokens; reruns with one seed differ by up to .0014 of it (SCIENCE.md section 2)
STAYS = 3.0  # sd of one evaluation
BENDS = 0.12  # of the slope per doubling, sd of the bend's prior: intervals then hold the end slope of 90 % of power laws (docs/LOG.md)
SLOWED = 0.5  # of the slope a doubling earlier; a power law t^-a with a < 1 keeps more than this


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch over which the loss is a straight line in log steps."""

    first: int
    last: int
    loss_from: float
    loss_to: float
    per_1000_steps: float
    per_doubling: float


@dataclass(frozen=True, slots=True)
class Bump:
    """A point above the line through its neighbours: its size in nats and in standard errors."""

    step: int
    size: float
    errors: float


@dataclass(frozen=True, slots=True)
class State:
    """How the judged loss moves at the end of the log."""

    verdict: CurveVerdict
    series: str = ""
    slope: Estimate | None = None  # nats per doubling of tokens, negative while the loss falls
    since_step: int | None = None
    smallest_visible_slope: float | None = None  # nats per doubling
    noise: float | None = None  # nats; sd of one logged point around the trend
    level: Estimate | None = None  # the trend's value at the last step
    phases: tuple[Phase, ...] = ()
    bumps: tuple[Bump, ...] = ()


_known: list[tuple[object, State]] = []  # the last run asked about: every cause asks for the same state


def state_of(run: Run) -> State:
    """Judge ``run`` by its val loss, else its train loss, else its batch loss."""
    if not _known or _known[0][0] is not run:
        _known[:] = [(run, _state(run))]
    return _known[0][1]


def _state(run: Run) -> State:
    if lost := lost_at(run):
        return State("diverged", lost[0], since_step=lost[1])
    name, curve = judged(run)
    if curve is None:
        return State("too-short")
    if diverged(curve):
        return State("diverged", name, since_step=int(curve.step[int(np.argmin(curve.value))]))
    points = after_start(curve)
    if len(points) < LEAST or points.step[-1] < points.step[0] * 2**REGIME:
        return State("too-short", name)
    noise = noise_of(run, name, points)
    binned, error = binned_curve(points, noise)
    segments = segment(np.log2(binned.step.astype(float)), binned.value, error)
    phases = tuple(_phase(binned, a, b) for a, b in segments)
    start = _last_regime(binned, segments)
    slope, level = _slope(binned, error, start)
    if _blind(slope, phases):
        start = _oldest(binned)
        slope, level = _slope(binned, error, start)
    verdict = _verdict(slope, level, phases)
    if verdict == "flat" and _untold(slope, _line(binned, error, start)):
        verdict, half = "too-short", Z90 * noise  # no trend says more than the last point
        level = Estimate(points.last, points.last - half, points.last + half, points.unit)
    return State(
        verdict=verdict,
        series=name,
        slope=slope,
        since_step=_flat_since(phases, level, noise) if verdict == "flat" else int(binned.step[start]),
        smallest_visible_slope=POWER * (slope.high - slope.low) / 2,
        noise=noise,
        level=level,
        phases=phases,
        bumps=bumps(points, noise),
    )


def judged(run: Run) -> tuple[str, Curve | None]:
    """The loss to judge by: the first of val, train, batch with ``LEAST`` points after the start."""
    sane = [(n, _sane(run.series[n].finite)) for n in JUDGED if n in run.series]
    found = [(n, curve) for n, curve in sane if len(curve)]
    for name, curve in found:
        if len(after_start(curve)) >= LEAST:
            return name, curve
    return found[0] if found else ("", None)


def _sane(curve: Curve) -> Curve:
    """The part without numbers that only damage makes: their squares are no numbers any more."""
    keep = np.abs(curve.value) < HUGE
    return curve if keep.all() else Curve(curve.step[keep], curve.value[keep], curve.unit)


def lost_at(run: Run) -> tuple[str, int] | None:
    """The loss that is non-finite to its end soonest, and since which step; None where all end finite."""
    lost = []
    for name in LOSSES:
        curve = run.series.get(name)
        if curve is None or not len(curve) or np.isfinite(curve.value[-min(2, len(curve)) :]).any():
            continue
        finite = np.flatnonzero(np.isfinite(curve.value))
        lost.append((int(curve.step[finite[-1] + 1 if len(finite) else 0]), name))
    return min(lost)[::-1] if lost else None


def after_start(curve: Curve) -> Curve:
    """The part after the first hundredth of the run: the fall from ln(vocabulary) says nothing of its end."""
    return curve.between(max(1.0, curve.step[-1] / 100), np.inf)


def diverged(curve: Curve) -> bool:
    """True when a loss of finite points ends far above its best for good.

    >>> diverged(Curve([0, 1, 2, 3, 4], [10.0, 5.0, 4.0, 9.0, 9.5]))
    True
    >>> diverged(Curve([0, 1, 2, 3, 4], [10.0, 5.0, 4.0, 3.9, 3.8]))
    False
    """
    if len(curve) < LEAST:
        return False
    tail = curve.value[-max(2, len(curve) // 10) :]
    best = float(np.min(_running_median(curve.value)))
    return float(np.min(tail)) - best > max(DIVERGED * (float(curve.value[0]) - best), 0.5)


def _running_median(y: Floats) -> Floats:
    if len(y) < 3:
        return y
    return np.median(np.stack([y[:-2], y[1:-1], y[2:]]), axis=0)


def noise_of(run: Run, name: str, curve: Curve) -> float:
    """Sd of one logged point around the trend, nats.

    From the residuals against the line through both neighbours (robust: by their median), pooled, when
    there are few, with what the size of the evaluation leads to expect. Evaluations that read the same windows each
    time don't scatter by that: what they scatter by is the weights' own.
    """
    x, y = np.log2(curve.step.astype(float)), curve.value
    half = len(x) // 2 if len(x) >= 12 else 0
    residual = neighbour_residuals(x[half:], y[half:])
    anew = name != "batch_loss" and run.get("eval_windows") != "fixed"
    expected = expected_noise(run) if anew else None
    if len(residual) == 0:
        return expected or PRINTED
    measured = 1.4826 * float(np.median(np.abs(residual)))
    if expected is not None and len(residual) < 8:
        weight = len(residual) / 8
        measured = (weight * measured**2 + (1 - weight) * expected**2) ** 0.5
    return max(measured, PRINTED)


def neighbour_residuals(x: Floats, y: Floats) -> Floats:
    """Each inner point's distance from the line through its neighbours, over the sd such a distance has.

    >>> neighbour_residuals(np.array([0.0, 1, 2]), np.array([0.0, 3, 0])).round(3).tolist()
    [2.449]
    """
    if len(x) < 3:
        return np.empty(0)
    w = (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
    line = (1 - w) * y[:-2] + w * y[2:]
    return np.asarray((y[1:-1] - line) / np.sqrt(1 + w**2 + (1 - w) ** 2))


def expected_noise(run: Run) -> float | None:
    """Sd of one evaluation, nats: as the log measured it over its windows, else ``WINDOW_SD`` / sqrt(windows) of its size."""
    if (measured := run.get("eval_error")) is not None:
        return float(measured)
    tokens, block = run.get("eval_tokens"), run.get("block_size")
    return WINDOW_SD / float(np.sqrt(max(1.0, tokens / block))) if tokens and block else None


def binned_curve(curve: Curve, noise: float) -> tuple[Curve, Floats]:
    """At most ``POINTS`` points, averaged in bins of equal width in log steps, and their standard errors."""
    if len(curve) <= POINTS:
        return curve, np.full(len(curve), noise)
    x = np.log(curve.step.astype(float))
    bins = ((x - x[0]) / (x[-1] - x[0]) * (POINTS - 1e-9)).astype(int)
    _, first, counts = np.unique(bins, return_index=True, return_counts=True)
    value = np.add.reduceat(curve.value, first) / counts
    step = np.round(np.exp(np.add.reduceat(x, first) / counts)).astype(np.int64)
    keep = np.append(True, np.diff(step) > 0)
    step, value, error = step[keep], value[keep], (noise / np.sqrt(counts))[keep]
    # trainers that log a running mean have errors that hang together: bins scatter more than noise / sqrt(n)
    seen = 1.4826 * float(
        np.median(np.abs(neighbour_residuals(np.log(step.astype(float)), value) / error[1:-1]))
    )
    return Curve(step, value, curve.unit), error * max(1.0, seen)


def segment(x: Floats, y: Floats, error: Floats) -> list[tuple[int, int]]:
    """Straight pieces of a curve, as half-open index ranges: least squares with a BIC price per piece.

    Optimal by dynamic programming over all break points (Bellman 1961; the ``l2`` cost of the library
    ruptures with a linear model, which would cost half a second to import), O(n^2) for n <= ``POINTS``.
    """
    n = len(x)
    cost = _line_costs(x, y, error)
    price = 3 * np.log(n)  # two parameters of a line and its start, each log(n) in BIC units
    best, came = np.full(n + 1, np.inf), np.zeros(n + 1, dtype=int)
    best[0] = -price
    for end in range(LEAST, n + 1):
        starts = np.arange(end - LEAST + 1)
        total = best[starts] + cost[starts, end] + price
        came[end] = int(np.argmin(total))
        best[end] = total[came[end]]
    pieces, end = [], n
    while end > 0:
        pieces.append((int(came[end]), end))
        end = int(came[end])
    return pieces[::-1]


def _line_costs(x: Floats, y: Floats, error: Floats) -> Floats:
    """Weighted residual sum of squares of the best line through points i..j-1, for all i < j."""
    w = 1 / error**2
    sums = [np.append(0.0, np.cumsum(w * v)) for v in (np.ones_like(x), x, y, x * x, x * y, y * y)]
    s, sx, sy, sxx, sxy, syy = (c[None, :] - c[:, None] for c in sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        vxx, vxy, vyy = sxx - sx**2 / s, sxy - sx * sy / s, syy - sy**2 / s
        cost = vyy - np.where(vxx > 1e-12, vxy**2 / vxx, 0.0)
    return np.asarray(np.maximum(np.nan_to_num(cost), 0.0))


def _phase(curve: Curve, a: int, b: int) -> Phase:
    x, y, step = np.log2(curve.step[a:b].astype(float)), curve.value[a:b], curve.step[a:b]
    slope, offset = np.polyfit(x, y, 1)
    start, end = float(offset + slope * x[0]), float(offset + slope * x[-1])
    per_1000 = (end - start) / float(step[-1] - step[0]) * 1000
    return Phase(int(step[0]), int(step[-1]), start, end, per_1000, float(slope))


def _last_regime(curve: Curve, segments: list[tuple[int, int]]) -> int:
    """Where the slope of now begins: the last straight piece, within ``REGIME`` to two doublings back."""
    latest = int(np.searchsorted(curve.step, curve.step[-1] / 2**REGIME))
    return min(max(segments[-1][0], _oldest(curve)), latest, len(curve) - LEAST)


def _oldest(curve: Curve) -> int:
    """Two doublings back: no slope of now is older."""
    return min(int(np.searchsorted(curve.step, curve.step[-1] / 4)), len(curve) - LEAST)


def _blind(slope: Estimate, phases: tuple[Phase, ...]) -> bool:
    """True where the last piece can't tell a standstill from half the fall before it: it is too short or too noisy."""
    before = [p.per_doubling for p in phases[:-1]]
    return bool(before) and before[-1] < 0 and slope.high >= 0 and slope.low <= SLOWED * before[-1]


def _untold(slope: Estimate, line: Estimate) -> bool:
    """True where the points surely fell, and can't tell a standstill at their end from half of that fall: they are too few."""
    return line.high < 0 and slope.low <= SLOWED * line.value


def _line(curve: Curve, error: Floats, start: int) -> Estimate:
    """Slope of the straight line from ``start``, nats per doubling, by weighted least squares."""
    x, y, w = np.log2(curve.step[start:].astype(float)), curve.value[start:], 1 / error[start:] ** 2
    x = x - float(np.average(x, weights=w))
    slope = float(w @ (x * y)) / float(w @ x**2)
    residual = y - float(np.average(y, weights=w)) - slope * x
    freedom = max(1, len(x) - 2)
    misfit = max(1.0, float(w @ residual**2) / freedom)
    half = Z90 * t_ratio(Z90, freedom) * (misfit / float(w @ x**2)) ** 0.5
    return Estimate(slope, slope - half, slope + half, f"{curve.unit} per doubling".lstrip())


def _flat_since(phases: tuple[Phase, ...], level: Estimate, noise: float) -> int:
    """The first step from which on the loss stays where it ends: whole phases within ``STAYS`` of the level."""
    since = phases[-1].first
    for phase in reversed(phases):
        if max(abs(phase.loss_from - level.value), abs(phase.loss_to - level.value)) > STAYS * noise:
            break
        since = phase.first
    return since


def _slope(curve: Curve, error: Floats, start: int) -> tuple[Estimate, Estimate]:
    """Slope against log2 steps and level, both at the last step.

    A parabola from ``start`` by weighted least squares, whose bend has a normal prior of ``BENDS`` of the
    slope: with few points it is the straight line's slope, with an interval that knows the line may bend.
    """
    x, y = np.log2(curve.step[start:].astype(float)), curve.value[start:]
    x, w = x - x[-1], 1 / error[start:] ** 2
    line = abs(_line(curve, error, start).value)
    design = np.stack([np.ones_like(x), x, x**2], axis=1)
    precision = design.T @ (w[:, None] * design)
    precision[2, 2] += 1 / max(BENDS * line, PRINTED) ** 2
    cov = np.linalg.inv(precision)
    end, slope, bend = (float(v) for v in cov @ (design.T @ (w * y)))
    residual = y - design @ (end, slope, bend)
    freedom = max(1, len(x) - 2)
    misfit = float(w @ residual**2) / freedom  # above 1 where the parabola is not the whole truth
    wide = Z90 * t_ratio(Z90, freedom) * max(1.0, misfit) ** 0.5
    half, level = (wide * float(cov[i, i]) ** 0.5 for i in (1, 0))
    return (
        Estimate(slope, slope - half, slope + half, f"{curve.unit} per doubling".lstrip()),
        Estimate(end, end - level, end + level, curve.unit),
    )


def _verdict(slope: Estimate, level: Estimate, phases: tuple[Phase, ...]) -> CurveVerdict:
    worth = WORTH * abs(level.value)
    if slope.low > 0 and slope.value > worth:
        return "rising"
    if slope.high >= 0 or abs(slope.value) <= worth:
        return "flat"
    before = [p.per_doubling for p in phases[:-1]]
    return "slowing" if before and slope.value > SLOWED * before[-1] and before[-1] < 0 else "falling"


def bumps(curve: Curve, noise: float) -> tuple[Bump, ...]:
    """Points above the line through their neighbours by more than ``BUMP`` standard errors."""
    residual = neighbour_residuals(np.log2(curve.step.astype(float)), curve.value)
    high = np.flatnonzero(residual > BUMP * noise)
    # the sd that the residual was divided by is about sqrt(1.5) of one point's
    return tuple(
        Bump(int(curve.step[i + 1]), float(residual[i] * 1.5**0.5), float(residual[i] / noise))
        for i in high.tolist()
    )
