"""How fast a watched run goes: hours to its end, and what an hour from here on wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..cost import hours
from ..diagnosis import Diagnosis
from ..estimate import Z90, Estimate
from ..run import Run
from ..student import t_ratio

HOUR = 3600.0  # seconds
LEAST = 3  # stretches between evaluations that make a pace
KEPT = 32  # evaluations that are remembered
LOGGED, SEEN = "the log's step times", "the times of the last {} evaluations"


@dataclass(frozen=True, slots=True)
class Pace:
    """Hours of a step, with its interval, and where that was seen."""

    step: Estimate
    source: str

    def hours(self, steps: float) -> Estimate:
        """Hours of so many steps."""
        each = self.step
        return Estimate(each.value * steps, each.low * steps, each.high * steps, "h")


def pace_of(run: Run, seen: Sequence[tuple[int, float]] = ()) -> Pace | None:
    """The pace of ``run``: by the log's step times, or as seen where it was watched for long enough and was slower.

    ``seen``: the step and the time (seconds) at which each of the last evaluations was written. Logged times leave
    out evaluations and checkpoints, which are half of the time where a run is evaluated often; a file that is written
    faster than its steps take is a copy. None where neither is known.
    """
    logged, watched = None if run.has("step_unit") else hours(run, run, 1), _watched(seen)
    if logged is None or logged.value <= 0:
        return watched
    return watched if watched is not None and watched.step.low > logged.value else Pace(logged, LOGGED)


def _watched(seen: Sequence[tuple[int, float]]) -> Pace | None:
    """The median of the stretches' paces: a stop for the night is one of many. Its error by their spread."""
    steps, times = (np.asarray(column, float) for column in (zip(*seen, strict=True) if seen else ((), ())))
    rose, took = np.diff(steps), np.diff(times)
    each = took[(rose > 0) & (took > 0)] / rose[(rose > 0) & (took > 0)] / HOUR
    if len(each) < LEAST:
        return None
    middle = float(np.median(each))
    spread = 1.4826 * float(np.median(np.abs(each - middle)))
    half = Z90 * t_ratio(Z90, len(each) - 1) * 1.25 * spread / len(each) ** 0.5  # of a median: sqrt(pi / 2)
    step = Estimate(middle, max(0.0, middle - half), middle + half, "h")
    return Pace(step, SEEN.format(len(each) + 1))


def left_of(run: Run, pace: Pace | None) -> Estimate | None:
    """Hours to the planned end; None where no end is planned, or no pace known."""
    end, done = run.get("planned_end"), run.get("steps_done")
    if pace is None or not end or done is None:
        return None
    return pace.hours(max(0, int(end) - int(done)))


def rate_of(found: Diagnosis, pace: Pace | None) -> Estimate | None:
    """Nats that the next hour wins, by the laws that fit: the trend now less the loss an hour on.

    Where less than an hour is left, what is left, as nats per hour. None where no law fits, no pace is known, or the
    run is at its end. The interval is of the loss and of the pace together, taken as independent.
    """
    known, done = found.outlook, found.run.get("steps_done")
    if known is None or pace is None or done is None or pace.step.value <= 0:
        return None
    end = found.run.get("planned_end")
    ahead = 1 / pace.step.value
    if end:
        ahead = min(ahead, int(end) - int(done))
    if (steps := round(ahead)) < 1:
        return None
    gain = known.loss(known.run, int(done)) - known.loss(known.run, int(done) + steps)
    each = np.random.default_rng(list(b"pace")).normal(1.0, pace.step.sd / pace.step.value, len(gain))
    rate = gain / (steps * pace.step.value * np.maximum(each, 0.1))
    return Estimate.of(rate, "nats per hour") if np.isfinite(rate).all() else None
