"""What a probe read beside what is true of the run, by the run without the cause; and the normals that such pairs give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, log, nan, sqrt
from pathlib import Path

import numpy as np

from unplateau.estimate import Z90, Estimate
from unplateau.hypotheses import SMALL
from unplateau.probe.information import log_odds
from unplateau.probes import Normal, Prediction, cooldown, learning_rate
from unplateau.probes._ends import end_difference
from unplateau.probes._paired import UNIT

from .cases import Case

WHOLE = 0.45  # share of the budget that pays for the cooldown of 15 % of the steps, which the cause speaks of
#: runs of which only the peak differs, lowest first: whether it is too low or too high is measured
LADDER_NAMES = ("lr-x.03", "lr-x.1", "gentle", "keen", "lr-x10", "lr-x30")
LADDER = (6e-5, 2e-4, 2e-3, 6e-3, 2e-2, 6e-2)
NEAR = 5.0  # times the best of the ladder, whose steps are 3 to 10: nearer, neither "holds" nor "does not" is claimed
LADDER_SIDES = (learning_rate.HIGH, learning_rate.LOW)
LEAST, LEAST_SD = 2, 0.003  # contrasts of a normal, and nats that runs of one kind differ by at least
#: runs whose planted cause brings the other along: tiny batches want lower rates, few steps want higher ones
UNSURE = {("batch-2", "lr-too-high"), ("batch-160", "lr-too-low"), ("lr-x10", "lr-not-annealed")}


@dataclass(frozen=True, slots=True)
class Row:
    """One reading, and the truth: ``cost``: nats that the cause cost the run, measured; None where nothing was planted."""

    probe: str
    cause: str
    case: str
    at: str
    share: float
    steps: int
    contrast: float
    error: float
    cost: float | None

    @property
    def estimate(self) -> Estimate:
        """The contrast with its interval."""
        half = Z90 * self.error
        return Estimate(self.contrast, self.contrast - half, self.contrast + half, UNIT)

    @property
    def holds(self) -> bool | None:
        """Whether the cause is there and matters; None where that was not measured."""
        if self.cost is None:
            return False
        return None if isnan(self.cost) else self.cost >= SMALL


def cost_of(case: Case, cause: str, at: str, out: Path) -> float | None:
    """Nats that ``cause`` costs a run at its end, by the run without it; of annealing, by a whole cooldown from ``at``.

    None where it was not planted, nan where that was not run.
    """
    if cause == cooldown.CAUSE:
        place = out / "arms" / f"{case.name}.{at}" / f"{cooldown.NAME}-{WHOLE:g}"
        there = (place / cooldown.DOWN / "done").exists() and (place / cooldown.HOLD / "done").exists()
        return end_difference(place / cooldown.HOLD, place / cooldown.DOWN).value if there else nan
    if cause in LADDER_SIDES and case.name.partition(".")[2] in LADDER_NAMES:
        return by_rates(case, out, cause)
    if case.cause != cause:
        return nan if (case.name.partition(".")[2], cause) in UNSURE else None
    if not (out / "runs" / case.mended / "done").exists():
        return nan
    return end_difference(out / "runs" / case.name, out / "runs" / case.mended).value


def by_rates(case: Case, out: Path, cause: str) -> float:
    """What a peak costs beside the best of all, where it lies on the cause's side of it; below 0 on the other side.

    nan where the others were not run, and within ``NEAR`` of the best: a factor of 3 costs much too in runs so short.
    """
    runs = [out / "runs" / f"{case.text}.{name}" for name in LADDER_NAMES]
    if not all((run / "done").exists() for run in runs):
        return nan
    place = LADDER_NAMES.index(case.name.partition(".")[2])
    won = [end_difference(runs[place], run).value for run in runs]
    best = int(np.argmax(won))
    times = LADDER[place] / LADDER[best] if cause == learning_rate.HIGH else LADDER[best] / LADDER[place]
    if times <= 1:
        return -won[best]
    return won[best] if times > NEAR else nan


def fitted(rows: Sequence[Row], *, holds: bool) -> Normal | None:
    """How contrasts of such runs differ from each other, without what their measurement's error adds."""
    mine = [row for row in rows if row.holds is holds]
    if len(mine) < LEAST:
        return None
    values = np.array([row.contrast for row in mine])
    errors = np.mean([row.error**2 for row in mine])
    sd = sqrt(max(float(values.var(ddof=1)) - float(errors), LEAST_SD**2))
    return Normal(round(float(values.mean()), 4), round(sd * sqrt(1 + 1 / len(mine)), 4))


def told_apart(rows: Sequence[Row], so: Normal, no: Normal) -> str:
    """How often the likelier of the two is the true one."""
    known = [row for row in rows if row.holds is not None]
    right = [(log_odds(Prediction(row.cause, so, no, ""), row.estimate) > 0) == row.holds for row in known]
    wrong = [row for row, ok in zip(known, right, strict=True) if not ok]
    named = ", ".join(f"{row.case}.{row.at}-{row.share:g}" for row in wrong)
    return f"{sum(right)} of {len(known)} right{'; not ' + named if named else ''}"


def growth(rows: Sequence[Row]) -> Normal | None:
    """The exponent of what a cooldown wins in its length: of runs whose short and whole ones both won clearly."""
    won = [row for row in rows if row.probe == cooldown.NAME and row.contrast > 2 * row.error]
    whole = {(row.case, row.at): row for row in won if row.share == WHOLE}
    pairs = [
        (row, whole[row.case, row.at]) for row in won if row.share < WHOLE and (row.case, row.at) in whole
    ]
    found = [log(other.contrast / row.contrast) / log(other.steps / row.steps) for row, other in pairs]
    return (
        Normal(round(float(np.mean(found)), 2), round(float(np.std(found)), 2))
        if len(found) >= LEAST
        else None
    )
