"""The peak learning rate is too high: the loss stands until the rate comes down.

Claim: steps are so large that the model can't settle into what it has learnt.
Mechanism: above a stability threshold updates overshoot; layers saturate or die early on; the loss falls
to the level of short statistics of the text and stays until the rate has decayed.
Supported by: a peak several times above published rules for the size, and a loss that moved little while
the rate was high and falls as the rate falls.
Refuted by: a peak within the published rules, or a loss that fell steadily while the rate was high.
Needs: the peak, the size of the model and the tokens; the loss.
What to do: try a third and a tenth of the peak for a few hundred steps; keep warm-up and clipping.
Sources: Kaplan et al. 2020, eq. D.1; DeepSeek LLM 2024 (arXiv 2401.02954), eq. 1; google-research/albert
issue 29.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..run import Fact, Run
from ..state import after_start
from . import Evidence, Finding, Hypothesis, Remedy
from ._rates import Rates, rates_of
from ._say import against, anew, finding, pro, state_of
from ._schedule import lr_curve, rescheduled

NAME = "lr-too-high"
FAR, MUCH, ABOVE = 5.0, 2.5, 1.5  # times the upper rule; at 2.5 benchmarks/planted loses .06 to .23 nats
HELD = 0.6  # slope while the rate is high over the slope as it falls; .77 to 6.2 in healthy runs (benchmarks/planted/constants.py)
HIGH = 0.5  # share of the peak that counts as high
START = 0.08  # share of the run left out: warm-up and the fall from ln(vocabulary)
STAKE = 0.5  # nats; median gain of mending in benchmarks/planted
PROBE = ("a probe: a few hundred steps at a third of the peak",)


def test(run: Run) -> Finding:
    rates = rates_of(run)
    if rates is None:
        return Finding(
            NAME,
            "untestable",
            missing=("the size of the model, its peak learning rate and tokens per step", *PROBE),
        )
    held = _held_up(run)
    evidence = [(pro if rates.above > 1 else against)(str(rates), "peak_lr, params")]
    if held is not None:
        evidence.append(held)
    probability = _probability(rates, held)
    old = rates.peak
    new = float(f"{min(old / 3, rates.high):.1g}")
    remedy = Remedy(
        {"peak_lr": (old, new), **_floor(run, new / old)},
        anew(run),
        "low: slower at first if the cause is another",
    )
    return finding(NAME, probability, evidence, stake=STAKE, remedy=remedy, missing=PROBE)


def _floor(run: Run, share: float) -> dict[str, tuple[float, float]]:
    """The floor, lowered as the peak is: else it would soon be as high."""
    floor = run.get("floor_lr")
    return {"floor_lr": (floor, float(f"{floor * share:.3g}"))} if floor and run.has("peak_lr") else {}


def _probability(rates: Rates, held: Evidence | None) -> float:
    seen = None if held is None else held.points == "for"
    if rates.above >= FAR:
        return 0.95 if seen else 0.75
    if rates.above >= MUCH:
        return 0.85 if seen else 0.5
    if rates.above >= ABOVE:
        return 0.6 if seen else 0.3
    return 0.2 if seen and rates.above > 1 else 0.05


def _held_up(run: Run) -> Evidence | None:
    """The slope against log steps while the rate was high, beside the slope as it came down."""
    state = state_of(run)
    found = slopes(run, state.series) if state.series and state.slope is not None else None
    if found is None or found[1] > -(state.noise or 0.0) * 2:
        return None
    before, after = found
    fact = (
        f"{state.series} fell by {-before:.2f} nats per doubling while the rate was above half its peak, "
        f"by {-after:.2f} as it came down"
    )
    return (pro if before / after < HELD else against)(fact, state.series)


def slopes(run: Run, series: str) -> tuple[float, float] | None:
    """Slopes against log2 steps while the rate was above ``HIGH`` of its peak, and after; None with too few points."""
    lr = lr_curve(run)
    if lr is None:
        return None
    curve = after_start(run.series[series].finite)
    curve = curve.between(START * float(curve.step[-1]), float("inf"))
    high = lr.step[lr.value > HIGH * lr.value.max()]
    if len(high) == 0:
        return None
    early, late = curve.between(0, float(high[-1]) + 1), curve.between(float(high[-1]), float("inf"))
    if min(len(early), len(late)) < 3:
        return None
    before, after = (float(np.polyfit(np.log2(c.step), c.value, 1)[0]) for c in (early, late))
    return before, after


def without(run: Run) -> Run | None:
    """The same run at the middle of the published rules."""
    rates = rates_of(run)
    if rates is None:
        return None
    peak = rates.middle
    return run.with_facts(peak_lr=Fact(peak)) if run.schedule is None else with_peak(run, peak)


def with_peak(run: Run, peak: float) -> Run:
    """The same run with another peak, its floor in proportion."""
    floor = float(getattr(run.schedule, "floor", 0.0)) * peak / run.schedule.peak if run.schedule else 0.0
    cured = rescheduled(run, peak=peak, floor=floor) or rescheduled(run, peak=peak)
    return (cured or replace(run, schedule=None)).with_facts(peak_lr=Fact(peak))


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The peak learning rate is too high for this model.",
    needs=("val_loss|train_loss|batch_loss", "peak_lr|schedule"),
    test=test,
    without=without,
    asks=("a loss", "the config: peak learning rate and shape of the model"),
)
