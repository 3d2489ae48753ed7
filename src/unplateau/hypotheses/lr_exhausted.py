"""The learning rate ran out before the run did: nothing has been learnt since.

Claim: decay ended too early; the steps after it were wasted.
Mechanism: an update is as large as the learning rate; at zero (or at a floor of a few per cent) the
weights stand still while the log goes on.
Supported by: a learning rate below 2 % of its peak over the last fifth of the run or more, and a loss
that fell before and is flat since.
Refuted by: a learning rate that is alive until the last fifth; a loss that keeps falling after it.
Needs: the schedule or a logged learning rate, and a loss.
What to do: make decay end where the run ends (nanoGPT: lr_decay_iters = max_iters); the model before
decay can be branched from.
Sources: nanoGPT's get_lr; huggingface/smollm issue 37 (decay steps half of the run's).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..derive import changed
from ..run import Run
from ..state import after_start
from . import Evidence, Finding, Hypothesis, Plan, Remedy
from ._say import LIKELY, SURE, against, cost_said, finding, pro, state_of
from ._schedule import SPENT, at_rates, lr_curve, spent_at

NAME = "lr-exhausted"
WASTED = 0.2  # share of the run after the rate was spent
DEAD = 0.002  # share of the peak that is as good as zero
GAIN = 0.15  # nats per doubling of live steps lost, the median slope of the curves in curves/ after step 1000


def test(run: Run) -> Finding:
    end, spent, lr = int(run.get("steps_done") or 0), spent_at(run), lr_curve(run)
    if lr is None or not lr.value.max() > 0:
        return Finding(
            NAME, "untestable", missing=("four logged learning rates, or the schedule from the config",)
        )
    if spent is None or end - spent < WASTED * end:
        share = lr.last / lr.value.max() if lr.value.max() > 0 else 0.0
        when = (
            f"at the last step {end:,} it is {share:.1%}"
            if spent is None
            else f"it was so until step {spent:,} of {end:,}"
        )
        return finding(
            NAME, 0.03, [against(f"the learning rate was above {SPENT:.0%} of its peak: {when}", "schedule")]
        )
    wasted = (end - spent) / end
    evidence = [
        pro(
            f"the learning rate is below {SPENT:.0%} of its peak since step {spent:,}, {wasted:.0%} of the run",
            "schedule",
        )
    ]
    probability = LIKELY
    if (since := _since(run, spent)) is not None:
        evidence.append(since)
        probability = SURE if since.points == "for" else 0.4
    if lr.last <= DEAD * lr.value.max():
        evidence.append(pro(f"at step {end:,} it is {lr.last:.1e}: no update moves anything", "schedule"))
    stake = GAIN * float(np.log2(end / max(spent, 1)))
    cured = without(run)
    patch = {"decay_end": (run.get("decay_end"), run.get("max_steps") or end)}
    if cured is not None and cured.get("decay_start") != run.get("decay_start"):
        patch["decay_start"] = (run.get("decay_start"), cured.get("decay_start"))
    plan = None if cured is None else Plan(cured, end)
    cost = cost_said(run, plan or Plan(run, end)) + f", or a branch from a checkpoint before step {spent:,}"
    remedy = Remedy(patch, cost, "low", plan=plan)
    return finding(
        NAME,
        probability,
        evidence,
        stake=stake,
        remedy=remedy,
        missing=("a checkpoint from before the decay",),
    )


def _since(run: Run, spent: int) -> Evidence | None:
    """The loss before and after the rate was spent."""
    state = state_of(run)
    if not state.series or not len(run.series[state.series].finite):
        return None
    curve = after_start(run.series[state.series].finite)
    before, after = curve.between(0, spent), curve.between(spent, np.inf)
    if len(after) < 4 or len(before) < 1:
        return None
    half = len(after) // 2
    moved = float(after.value[half:].mean() - after.value[:half].mean())
    error = float(after.value.std() / max(1, half) ** 0.5) * 1.5
    fact = f"{state.series} moved by {moved:+.3f} +- {error:.3f} nats between the two halves since then"
    return (pro if moved > -max(2 * error, 0.01) else against)(fact, state.series)


def without(run: Run) -> Run | None:
    """The same run with decay ending where the run ends; a schedule that only the log tells is stretched to there."""
    end, spent, lr = int(run.get("max_steps") or run.get("steps_done") or 0), spent_at(run), lr_curve(run)
    if run.schedule is None or not end or lr is None:
        return None
    if run.get("decay_end"):
        start = run.get("decay_start")
        later = {} if start is None else {"decay_start": max(0, int(start + end - run.get("decay_end")))}
        series = {name: curve for name, curve in run.series.items() if name != "lr"}
        return changed(replace(run, series=series), {"decay_end": end, **later})
    if spent is None:
        return None
    return at_rates(run, lr.step, np.interp(lr.step * (spent / lr.step[-1]), lr.step, lr.value))


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The learning rate was spent before the run ended.",
    needs=("val_loss|train_loss|batch_loss", "schedule|lr", "steps_done"),
    test=test,
    without=without,
    asks=("a loss", "the schedule, from the config, or a logged learning rate"),
)
