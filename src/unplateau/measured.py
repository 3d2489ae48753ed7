"""The loss that a run has come to, with the error of its evaluation, and the difference of two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot
from pathlib import Path

from .curve import Curve
from .errors import UnreadableError, printable
from .estimate import Z90, Estimate
from .places import OWN
from .probes._paired import losses_of, mean_of
from .run import Run
from .state import JUDGED, LEAST, PRINTED, after_start, noise_of, state_of

#: nats; sd of the difference of two runs that differ in nothing: reruns with one seed differ by .0015 on average
#: (SCIENCE.md section 2), which is .0015 x sqrt(pi / 2) as an sd
RERUN = 0.0019
PAIRED = "the same windows, one by one"
ERRORS, TREND, SCATTER = "standard errors of the evaluations", "the trends at their ends", "their scatter"


@dataclass(frozen=True, slots=True)
class Point:
    """A run at one of its evaluations. ``loss``: with a 90 % interval; ``how``: where the interval comes from."""

    run: Run
    series: str
    step: int
    value: float
    loss: Estimate
    how: str
    folder: Path | None = None  # of our trainer's run


def common(runs: Sequence[Run]) -> str:
    """The loss that ``runs`` are held against each other by: the first of ``JUDGED`` that all have, in one unit.

    Raises ``UnreadableError`` where there is none.
    """
    for name in JUDGED:
        curves = [curve_of(run, name) for run in runs]
        if all(len(c) and c.step[-1] > 0 for c in curves) and len({c.unit for c in curves}) == 1:
            return name
    said = "; ".join(f"{printable(run.name, 60)} has {_losses(run) or 'none'}" for run in runs)
    raise UnreadableError(
        f"no loss that all runs have, in one unit: {said}; --map and --unit name the same of all"
    )


def _losses(run: Run) -> str:
    told = [(name, curve_of(run, name)) for name in JUDGED]
    return ", ".join(f"{name} in {curve.unit or 'an unknown unit'}" for name, curve in told if len(curve))


def curve_of(run: Run, name: str) -> Curve:
    """The finite part of a loss; empty where it is not logged."""
    curve = run.series.get(name)
    return curve.finite if curve is not None else Curve([], [])


def until(run: Run, step: float) -> Run:
    """``run`` as it stood at ``step``."""
    return replace(run, series={name: curve.between(0, step + 1) for name, curve in run.series.items()})


def point_of(run: Run, series: str, step: float, path: Path, noise: float | None = None) -> Point:
    """``series`` of ``run`` at its last evaluation up to ``step``; ``noise``: of one, where the run itself shows none.

    Raises ``UnreadableError`` where it has no finite loss there.
    """
    part = until(run, step)
    curve = curve_of(part, series)
    if not len(curve):
        raise UnreadableError(f"{printable(run.name)} has no {series} up to step {int(step):,}")
    at, value = int(curve.step[-1]), curve.last
    loss, how = _interval(part, series, at, value, noise)
    named = Estimate(loss.value, loss.low, loss.high, curve.unit or "nats")
    return Point(run, series, at, value, named, how, folder_of(path))


def folder_of(path: Path) -> Path | None:
    """The folder of a run of our trainer at ``path``; None for another's."""
    folder = path.parent if path.name == OWN else path
    return folder if (folder / OWN).is_file() else None


def _interval(run: Run, name: str, step: int, value: float, noise: float | None) -> tuple[Estimate, str]:
    """The loss and where its interval comes from: a logged error, else the trend, else the scatter of single points."""
    logged = run.series.get(f"{name}_error")
    error = logged.at(step) if logged is not None else None
    if error is not None and 0 <= error < float("inf"):
        return _around(value, max(error, PRINTED)), ERRORS
    state = state_of(run)
    if state.level is not None and state.series == name:
        return state.level, TREND
    if noise is None:
        raise UnreadableError(
            f"{printable(run.name)} has too few evaluations to know how far one is off: at least {LEAST} are needed"
        )
    return _around(value, noise), SCATTER


def _around(value: float, sd: float) -> Estimate:
    return Estimate(value, value - Z90 * sd, value + Z90 * sd, "nats")


def scatter(run: Run, series: str) -> float | None:
    """Sd of one evaluation of ``run`` around its trend; None where it has too few to know."""
    points = after_start(curve_of(run, series))
    return noise_of(run, series, points) if len(points) >= LEAST else None


def difference(before: Point, after: Point) -> tuple[Estimate, str]:
    """How far ``after`` lies below ``before``, and what its interval is of; what reruns differ by is in it."""
    paired = _paired(before, after)
    if paired is not None:
        below, above = paired.value - paired.low, paired.high - paired.value
        value, how = paired.value, PAIRED
    else:
        value = before.loss.value - after.loss.value
        below = hypot(before.loss.value - before.loss.low, after.loss.high - after.loss.value)
        above = hypot(before.loss.high - before.loss.value, after.loss.value - after.loss.low)
        how = " and ".join(dict.fromkeys((before.how, after.how)))
    low, high = value - hypot(below, Z90 * RERUN), value + hypot(above, Z90 * RERUN)
    return Estimate(value, low, high, before.loss.unit), how


def _paired(before: Point, after: Point) -> Estimate | None:
    """From the windows that both evaluated; None where they are not kept, or are not the same."""
    if before.folder is None or after.folder is None or {before.series, after.series} != {"val_loss"}:
        return None
    try:
        one, other = losses_of(before.folder), losses_of(after.folder)
        mine, others = one.windows(before.step, "val"), other.windows(after.step, "val")
    except UnreadableError:
        return None
    same = one.plan is not None and one.plan == other.plan
    if not same or mine is None or others is None or len(mine) != len(others) or len(mine) < LEAST:
        return None
    return mean_of(mine - others)
