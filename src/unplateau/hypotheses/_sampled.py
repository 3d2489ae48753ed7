"""Whether the optimiser's batches are a fair sample of train: their loss beside that of the same weights on all of it.

nanoGPT logs both: ``step N: train loss`` is of windows drawn from all of train, ``iter N: loss`` of the batch that the same
weights then learn from. Where batches are drawn from all of train too, both are one number but for noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from ..curve import Curve
from ..estimate import Z90, Estimate
from ..run import Run
from ..state import PRINTED, diverged, neighbour_residuals
from ._start import tamed

SINCE = 0.3  # of the run; before, the loss falls too fast between two evaluations
FEWEST = 6  # evaluations with batches around them
#: standard errors, 1 in 30,000 by chance; the sound runs of both planted corpora lie between -2.1 and 2.4, those with order
#: planted at -7.2 to -15 (benchmarks/planted/constants.py)
BELOW = 4.0
#: times the divergence of train's pieces by which their order lowers the loss of batches: 7 to 13 where order was planted, 47 and
#: 97 where batches had other targets (benchmarks/planted, the loop)
ORDER = 25.0
APART = 0.1  # nats; less says nothing of targets
STRAYS = 3.1  # normal sd of a scatter that chance exceeds once in a thousand runs; of sound ones 2.0 at most, where order is planted 4.5 and more


@dataclass(frozen=True, slots=True)
class Sampled:
    """Batch loss less evaluated train loss. ``offset``: its mean, nats; ``strays``: normal sd of how it moves from one to the next.

    Both errors are those of runs whose batches are fair: the noise of batches and of evaluations from one to the next.
    """

    offset: Estimate
    strays: float
    times: float  # its variance over that of the noise
    pairs: int

    @property
    def errors(self) -> float:
        """The offset in its standard errors."""
        return self.offset.value / max(self.offset.sd, 1e-9)

    def __str__(self) -> str:
        return (
            f"batches lie {self.offset.value:+.3f} nats ({self.offset.low:+.3f} to {self.offset.high:+.3f}) from the loss of the same "
            f"weights on windows of all of train, over {self.pairs} evaluations"
        )


def sampled(run: Run) -> Sampled | None:
    """The offset of batches from train; None where the log can't tell: not both losses, too few, or a loss that blew up."""
    batch, train = tamed(run, "batch_loss"), tamed(run, "train_loss")
    if batch is None or train is None or not _comparable(run) or {batch.unit, train.unit} != {"nats"}:
        return None
    if diverged(batch) or diverged(train):
        return None
    late = train.between(SINCE * float(train.step[-1]), np.inf)
    if len(late) < FEWEST or late.step[0] < 1:
        return None
    near = batch.between(float(late.step[0]), float(late.step[-1]) + 1)
    return _of(near, late) if len(near) >= FEWEST else None


def other_task(run: Run, told: Sampled) -> str | None:
    """Why batches so far below train are of another task than its next token; None where order or noise may do it.

    Their text hardly differs from one piece to the next, and evaluated it is read worse than by a table of token pairs.
    """
    pieces, pairs, train = run.get("order_divergence"), run.get("bigram_entropy"), tamed(run, "train_loss")
    below = -told.offset.value
    if pieces is None or not pairs or train is None or told.errors > -BELOW or below < APART:
        return None
    end = float(np.median(train.value[-3:]))
    if below < ORDER * pieces or end < pairs:
        return None
    return (
        f"pieces of train stray {pieces:.4f} nats from all of it, {below / max(pieces, 1e-4):.0f} times less (order alone: 13 at most), and "
        f"train, evaluated, ends at {end:.2f}, above the entropy of token pairs, {pairs:.2f}: batches are learnt for other targets"
    )


def _comparable(run: Run) -> bool:
    """Both are of one model on one text; dropout can only raise the loss of batches."""
    return bool(run.get("eval_modes_equal"))


def _of(batch: Curve, train: Curve) -> Sampled | None:
    """Each batch against the line between the evaluations around it; means of those next to each evaluation."""
    x, y = np.log(batch.step.astype(float)), np.log(train.step.astype(float))
    apart = batch.value - np.interp(x, y, train.value)
    nearest = np.searchsorted((y[1:] + y[:-1]) / 2, x)
    count = np.bincount(nearest, minlength=len(train))
    has = count > 0
    if has.sum() < FEWEST:
        return None
    mean = np.bincount(nearest, weights=apart, minlength=len(train))[has] / count[has]
    variance = scatter(batch) ** 2 / count[has] + scatter(train) ** 2
    value, half = float(mean.mean()), Z90 * sqrt(float(variance.sum())) / len(mean)
    freedom = len(mean) - 1
    times = float(((mean - value) ** 2 / variance).sum()) / freedom
    return Sampled(
        Estimate(value, value - half, value + half, "nats"), surely(times, freedom), times, len(mean)
    )


def scatter(curve: Curve) -> float:
    """Sd of one point from the line through its neighbours, nats; outliers count, so that they hide rather than accuse."""
    found: NDArray[np.float64] = neighbour_residuals(np.log2(curve.step.astype(float)), curve.value)
    return max(sqrt(float((found**2).mean())), PRINTED) if len(found) else PRINTED


def surely(times: float, freedom: int) -> float:
    """The normal quantile of a chi-square over its degrees of freedom (Wilson and Hilferty 1931, PNAS 17, 684).

    >>> round(surely(2.13, 14), 1), round(surely(1.0, 14), 1)
    (2.4, 0.1)
    """
    spread = 2 / (9 * freedom)
    return float((times ** (1 / 3) - (1 - spread)) / sqrt(spread))
