"""The peak learning rate is too low: the run crawls, and would need many times its steps.

Claim: each step moves the weights too little; the budget of steps ends before learning does.
Mechanism: with Adam a weight moves at most about the learning rate per step, whatever the gradient.
Supported by: a peak many times below the published rules for the size, from fresh weights, and no sign
that large steps hurt: train and val fall together, smoothly, slowly from the start.
Refuted by: a peak within or above the published rules.
Needs: the peak, the size of the model and the tokens; the loss.
What to do: a peak in the middle of the published rules, with warm-up; or three and ten times the peak for a few
hundred steps each, to see.
Sources: Kaplan et al. 2020, eq. D.1; DeepSeek LLM 2024 (arXiv 2401.02954), eq. 1.
"""

from __future__ import annotations

from math import log

import numpy as np

from ..run import Run
from . import Evidence, Finding, Hypothesis, Remedy
from ._rates import Rates, rates_of
from ._say import against, anew, finding, pro, state_of
from .lr_too_high import PROBE as _PROBE
from .lr_too_high import without as at_the_rules

NAME = "lr-too-low"
FAR, BELOW = 6.0, 3.0  # times below the lower rule
NEAR = 0.2  # chance between the lower rule and BELOW: the rules stray that much themselves
STAKE = 0.5  # nats; median gain of mending in benchmarks/planted
SLOW = 0.08  # share of the run before half of the way down from ln(vocabulary) is done; healthy runs need .01 to .05
PROBE = tuple(p.replace("a third of", "three times") for p in _PROBE)


def test(run: Run) -> Finding:
    rates = rates_of(run)
    if rates is None:
        return Finding(
            NAME,
            "untestable",
            missing=("the size of the model, its peak learning rate and tokens per step", *PROBE),
        )
    evidence = [(pro if rates.below > 1 else against)(str(rates), "peak_lr, params")]
    slow = _slow_start(run)
    if slow is not None:
        evidence.append(slow)
    remedy = Remedy(
        {"peak_lr": (rates.peak, float(f"{rates.middle:.1g}"))},
        anew(run),
        "some: may be unstable without warm-up",
    )
    probability = _probability(rates, slow, steady=state_of(run).verdict not in ("rising", "diverged"))
    # a rate that is hardly below the rules loses little, one at ``FAR`` or further what planted runs lost
    stake = STAKE * min(1.0, max(0.0, log(rates.below) / log(FAR)))
    return finding(NAME, probability, evidence, stake=stake, remedy=remedy, missing=PROBE)


def _probability(rates: Rates, slow: Evidence | None, *, steady: bool) -> float:
    if not steady or rates.below <= 1:
        return 0.05
    seen = slow is not None and slow.points == "for"
    if rates.below < BELOW:
        return NEAR
    if rates.below >= FAR:
        return 0.95 if seen else 0.75
    return 0.6 if seen else 0.3


def _slow_start(run: Run) -> Evidence | None:
    """How soon the loss was half way down from ln(vocabulary) to its best."""
    vocab = run.get("vocab_size")
    curve = run.series.get("batch_loss") or run.loss
    if not vocab or vocab < 2 or curve is None or len(curve.finite) < 20:
        return None
    curve = curve.finite
    half = (log(vocab) + float(np.min(curve.value))) / 2
    below = np.flatnonzero(curve.value < half)
    if not len(below):
        return None  # it never fell: frozen-parameters speaks of that
    share = float(curve.step[below[0]] / curve.step[-1])
    fact = f"the loss was half way down from ln({vocab:,}) = {log(vocab):.2f} at {share:.1%} of the run"
    return (pro if share > SLOW else against)(fact, "batch_loss")


def without(run: Run) -> Run | None:
    """The same run at the middle of the published rules."""
    return at_the_rules(run)


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The peak learning rate is too low for this model and this many steps.",
    needs=("val_loss|train_loss|batch_loss", "peak_lr|schedule"),
    test=test,
    without=without,
    asks=("a loss", "the config: peak learning rate and shape of the model"),
)
