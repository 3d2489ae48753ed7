"""When a run reaches a loss: the step with its interval, not before a step, or never."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .counterfactual import Variant, last_step
from .estimate import QUANTILES, Estimate
from .outlook import Outlook
from .state import judged

Verdict = Literal["already", "reached", "not-before", "never"]

BEYOND = 16  # times the steps so far: a run that goes on at its last rate is looked at as far as this
POINTS = 24  # steps looked at, evenly in log steps


@dataclass(frozen=True, slots=True)
class Reach:
    """When the trend comes down to ``loss``.

    ``step`` is the median, ``earliest`` and ``latest`` the ends of a 90 % interval; None where so many of the
    posterior's runs do not come there by ``searched``. ``floor``: what the law comes to in an endless run.
    """

    loss: float
    verdict: Verdict
    step: int | None
    earliest: int | None
    latest: int | None
    searched: int
    floor: Estimate | None = None
    likely: float = (
        0.0  # share of the posterior's runs that come there by the step that the future is judged at
    )


def reach_of(ahead: Outlook, made: Variant, target: float) -> Reach:
    """When ``made`` reaches ``target``, its learning rate staying after its end what it was there."""
    last = last_step(ahead.run)
    if (seen := _logged(ahead, target)) is not None and made.kind != "fresh":
        return Reach(target, "already", seen, seen, seen, last, likely=1.0)
    start = max(1, made.step // POINTS) if made.kind == "fresh" else last
    steps = np.unique(np.geomspace(start, max(start + 1, _limit(made, last)), POINTS).astype(np.int64))
    losses = np.stack([ahead.loss(made.run, int(step)) for step in steps])
    crossings = _crossings(steps, losses, target)
    early, middle, late = _quantiles(crossings)
    floor = _floor(ahead, made)
    if middle is not None:
        verdict: Verdict = "reached"
    elif floor is not None and floor.low > target:
        verdict = "never"
    else:
        verdict = "not-before"
    return Reach(
        target, verdict, middle, early, late, int(steps[-1]), floor, float(np.mean(crossings <= made.step))
    )


def _logged(ahead: Outlook, target: float) -> int | None:
    """The first logged step of a trend that is at or below ``target`` by now."""
    _, curve = judged(ahead.run)
    if curve is None or float(np.mean(ahead.loss(ahead.run, last_step(ahead.run)))) > target:
        return None
    below = np.flatnonzero(curve.value <= target)
    return int(curve.step[below[0]]) if len(below) else last_step(ahead.run)


def _limit(made: Variant, last: int) -> int:
    """How far to look: to the end where the rate is zero from there on, else far past it."""
    lr = made.run.schedule
    ended = lr is not None and lr(made.step + 1) <= 0
    return made.step if ended or made.kind == "fresh" else max(made.step, BEYOND * last)


def _crossings(steps: NDArray[np.int64], losses: NDArray[np.float64], target: float) -> NDArray[np.float64]:
    """For each draw the first step at which it is at or below ``target``; infinite where it is at none.

    >>> _crossings(np.array([100, 200, 400]), np.array([[3.0, 3.0], [2.0, 2.9], [1.0, 2.8]]), 2.0).tolist()
    [200.0, inf]
    """
    below = losses <= target
    at = np.argmax(below, axis=0)
    draw = np.arange(losses.shape[1])
    before = np.maximum(at - 1, 0)
    high, low = losses[before, draw], losses[at, draw]
    share = np.where(high > low, (high - target) / np.where(high > low, high - low, 1.0), 1.0)
    between = steps[before] * (steps[at] / steps[before]) ** np.clip(share, 0.0, 1.0)
    return np.where(below.any(axis=0), between, np.inf)


def _quantiles(crossings: NDArray[np.float64]) -> tuple[int | None, int | None, int | None]:
    found = np.sort(crossings)
    low, high = QUANTILES
    places = [min(len(found) - 1, int(q * len(found))) for q in (low, 0.5, high)]
    early, middle, late = (int(np.ceil(x)) if np.isfinite(x) else None for x in found[places])
    return early, middle, late


def _floor(ahead: Outlook, made: Variant) -> Estimate | None:
    """The law's own floor, where no other law moves it."""
    own = len(ahead.fitted) == 1 or made.kind != "fresh"
    return ahead.floor if own else None
