"""Small words that the causes share: evidence for and against, and findings made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import erf, log, sqrt

import numpy as np

from ..cost import checkpoint_of, cost_of
from ..curve import Curve, Steps, Values
from ..estimate import Estimate
from ..run import Run
from ..state import state_of
from ..student import t_ratio
from . import Evidence, Finding, Plan, Remedy

__all__ = [
    "LIKELY",
    "SURE",
    "UNLIKELY",
    "Trend",
    "against",
    "anew",
    "batches_between",
    "both_losses",
    "chance_below",
    "cost_said",
    "fall_of",
    "finding",
    "gap_trend",
    "pro",
    "saved_at",
    "state_of",
    "step_word",
    "untestable_on",
]

LEAST = 0.01
EVEN = 0.3  # nats above ln(vocabulary)
LEARNT = 1.0  # nats under an even guess
SURE, LIKELY = 0.9, 0.7  # probabilities given by evidence of two kinds, and of one kind
UNLIKELY = 0.1  # up to here a cause is refuted


def pro(fact: str, source: str) -> Evidence:
    """Evidence for the cause."""
    return Evidence(fact, "for", source)


def against(fact: str, source: str) -> Evidence:
    """Evidence against the cause."""
    return Evidence(fact, "against", source)


def finding(
    cause: str,
    probability: float,
    evidence: Sequence[Evidence],
    *,
    stake: float = 0.0,
    missing: Sequence[str] = (),
    remedy: Remedy | None = None,
) -> Finding:
    """The verdict that a probability deserves: a false accusation costs more than an "undecided".

    >>> finding("capacity", 0.5, []).verdict, finding("capacity", 0.05, []).verdict
    ('undecided', 'refuted')
    """
    verdict = "supported" if probability >= LIKELY else "refuted" if probability <= UNLIKELY else "undecided"
    return Finding(
        cause,
        verdict,  # type: ignore[arg-type]
        tuple(evidence),
        probability=min(max(probability, LEAST), 1 - LEAST),  # no log can show 0 or 1
        missing=tuple(missing) if verdict == "undecided" else (),
        remedy=remedy if verdict != "refuted" else None,
        stake=stake,
    )


def cost_said(run: Run, plan: Plan) -> str:
    """What ``plan`` costs on the machine that logged ``run``, and where it starts."""
    cost = cost_of(run, plan.run, plan.start, plan.end)
    if cost.memory == run.get("memory_needed"):
        cost = replace(cost, memory=None)  # what already runs, fits
    said = str(cost)
    if run.has("step_unit"):
        return said.replace("steps", str(run.get("step_unit")))
    if not plan.start:
        return f"{said}, a fresh run"
    if checkpoint_of(run, plan.start) == plan.start:
        return f"{said}, from the checkpoint of step {plan.start:,}"
    before = "" if plan.start == run.get("steps_done") else f" before step {plan.start:,}"
    return f"{said}, from the last checkpoint{before}"


def step_word(run: Run) -> str:
    """What the log counts: steps, or records or epochs where it has none."""
    return {"records": "record", "epochs": "epoch"}.get(str(run.get("step_unit")), "step")


def saved_at(run: Run, step: int) -> int:
    """The step of the checkpoint that a branch at ``step`` goes on from; ``step`` where none is known of."""
    return checkpoint_of(run, step) or step


def anew(run: Run, other: Run | None = None) -> str:
    """What the steps so far cost when they are run again, as ``other`` where it takes longer; a fresh run."""
    steps = run.get("steps_done")
    return cost_said(run, Plan(other or run, int(steps))) if steps else "a fresh run"


def untestable_on(cause: str, asks: tuple[str, ...]) -> Callable[[Run], Finding]:
    """The test of a cause that log and config can't show: it says what would settle it."""
    return lambda run: Finding(cause, "untestable", missing=asks)  # noqa: ARG005


def chance_below(estimate: Estimate, x: float) -> float:
    """The probability that the truth lies below ``x``, taking the 90 % interval as a normal one."""
    sd = max(estimate.sd, 1e-12)
    return 0.5 * (1 + erf((x - estimate.value) / sd / sqrt(2)))


class Trend:
    """A straight line through the gap of two curves: start, end, and the change with its error."""

    def __init__(self, step: np.ndarray, gap: np.ndarray) -> None:
        x = np.log2(np.maximum(step, 1).astype(float))
        x = x - x.mean()
        self.n, self.first, self.last = len(x), int(step[0]), int(step[-1])
        self.mean = float(gap.mean())
        spread = float(x @ x)
        slope = float(x @ gap) / spread
        residual = gap - self.mean - slope * x
        largest = float(np.abs(residual).max()) or 1.0  # squares of damaged numbers overflow
        self.sd = largest * sqrt(float((residual / largest) @ (residual / largest)) / max(1, len(x) - 2))
        self.change = slope * float(x[-1] - x[0])
        self.change_error = max(self.sd, 1e-4) / sqrt(spread) * float(x[-1] - x[0])
        self.freedom = max(1, len(x) - 2)  # few points know their own scatter badly: see ``surely``
        self.end = self.mean + slope * float(x[-1])
        self.mean_error = max(self.sd, 1e-4) / sqrt(len(x))

    def surely(self, errors: float) -> float:
        """How many of its own standard errors are as unlikely as ``errors`` of a normal one."""
        return errors * t_ratio(errors, self.freedom)


def gap_trend(run: Run, share: float = 0.5, *, batches: bool = False) -> Trend | None:
    """val - train over the last ``share`` of the evaluations that have both, at least four; else None.

    With ``batches`` the batch loss between two evaluations stands in for a train loss that is not logged:
    good for the change of the gap, not for its sign.
    """
    if "val_loss" not in run.series or not (batches or "train_loss" in run.series):
        return None
    found = both_losses(run)
    if found is None:
        return None
    step, _, gap = found
    keep = (step > 0) & (step >= step[-1] * (1 - share)) if len(step) else np.zeros(0, bool)
    return Trend(step[keep], gap[keep]) if keep.sum() >= 4 else None


def both_losses(run: Run) -> tuple[Steps, Values, Values] | None:
    """Steps with val and train loss (or the batches between evaluations), train there, and val - train."""
    val, train = run.series["val_loss"].finite, run.series.get("train_loss")
    train = train.finite if train is not None else batches_between(run, val)
    if train is None:
        return None
    step, i, j = np.intersect1d(val.step, train.step, return_indices=True)
    return step, train.value[j], val.value[i] - train.value[j]


def batches_between(run: Run, val: Curve) -> Curve | None:
    """The mean batch loss between each evaluation and the one before, at the step of the evaluation."""
    batch = run.series.get("batch_loss")
    if batch is None or not len(batch.finite) or not len(val):
        return None
    batch = batch.finite
    place = np.searchsorted(val.step, batch.step)
    inside = place < len(val)
    counts = np.bincount(place[inside], minlength=len(val))
    sums = np.bincount(place[inside], weights=batch.value[inside], minlength=len(val))
    has = counts > 0
    return Curve(val.step[has], sums[has] / counts[has], batch.unit)


def fall_of(run: Run) -> str:
    """The slope in words, with its interval."""
    state = state_of(run)
    assert state.slope is not None
    what = "tokens" if run.has("tokens_per_step") else "steps"
    return f"{state.series} changes by {state.slope} of {what}; judged since step {state.since_step:,}"


def worse_than_even(run: Run) -> Evidence | None:
    """Evidence of a val loss above that of an even guess while train lies well under it; None otherwise.

    None too where val once lay as far below: it was read well enough then, and 100 passes by heart can make a model so sure of
    the wrong words that it does worse than knowing nothing (benchmarks/planted: 12,000 tokens of a BPE of 512, val 4.1, then 6.7).
    """
    vocab, val, train = run.get("vocab_size"), run.series.get("val_loss"), run.series.get("train_loss")
    if (
        not (vocab and vocab > 1)
        or val is None
        or train is None
        or min(len(val.finite), len(train.finite)) < 4
    ):
        return None
    even, v, t = log(vocab), *(float(np.median(c.finite.value[-4:])) for c in (val, train))
    if v < even + EVEN or t > even - LEARNT or float(val.finite.value.min()) < even - LEARNT:
        return None
    fact = f"val stands at {v:.2f} nats, worse than an even guess over {vocab:,} tokens ({even:.2f}); train at {t:.2f}"
    return pro(fact, "val_loss, train_loss, vocab_size")
