"""The learning rate is still high: the drop that annealing releases has not been collected yet.

Claim: part of the loss is the noise of large steps, and goes when the learning rate goes to zero.
Mechanism: at a high learning rate the weights bounce across the valley of the loss; they settle only
as the rate falls. The loss of a cosine run falls fastest per step in its last third for this reason.
Supported by: a learning rate at the last step of at least a fifth of its peak.
Refuted by: a learning rate that has come down to a tenth of its peak or less.
Needs: the schedule, from the config, or a logged learning rate; a loss.
What it costs: the forecast of this run less that of the same run annealed to zero by its last step: by its
own cosine or linear decay where the run is at its planned end, else by a cooldown over the last 15 %.
What to do: let the schedule finish, or cool down now from the last checkpoint: the learning rate to zero
over 10 to 20 % of the steps so far. If the floor itself is high, lower it.
Sources: Tissue et al. 2024 (arXiv 2408.11029); Luo et al. 2025 (multi-power law); Haegele et al. 2024
(arXiv 2405.18392, cooldowns of 10 to 20 %).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..curve import Curve
from ..derive import changed
from ..run import Run
from . import Evidence, Finding, Hypothesis
from ._cooldown import COOLDOWN, rate_now, remedy_of, steps_left
from ._say import LIKELY, SURE, against, finding, pro, state_of
from ._schedule import at_rates, lr_curve
from .lr_rewarmed import rise_of

NAME = "lr-not-annealed"
HIGH, LOW = 0.2, 0.12  # shares of the peak; nanoGPT's own recipe ends at .1
GAIN = 0.2  # nats for all of the peak: .258 (peak/1e-3)^.303 x the share released, SCIENCE.md section 2
DONE = 0.95  # of the planned steps
EARLY = 0.5  # of the planned steps; before that a high rate is as it should be
DECAYS = ("cosine", "linear")  # schedules that decay all along
ASKS = ("the planned end and the schedule", "a longer log")


def test(run: Run) -> Finding:
    step, lr, peak = rate_now(run)
    share = lr / peak if peak > 0 else 0.0
    fact = f"at step {step:,} the learning rate is {lr:.2e}, {share:.0%} of its peak {peak:.2e}"
    if not run.has("lr_now"):
        fact = f"at step {step:,} the learning rate is {share:.0%} of its peak"
    source = run.source("lr_now") or "schedule"
    if share <= LOW:
        return finding(NAME, 0.02, [against(fact, source)])
    evidence, left = [pro(fact, source)], steps_left(run, step)
    if left:
        evidence.append(
            pro(f"the schedule has {left:,} steps to go" + _down_to(run, step + left, peak), "schedule")
        )
    probability = SURE if share >= HIGH else LIKELY - 0.2
    for other, limit in _doubts(run, step, share, left):
        evidence.append(other)
        probability = min(probability, limit)
    missing = ASKS if run.has("planned_end") else ASKS[1:]
    stake = GAIN * share
    remedy = None if _rising(lr_curve(run)) else remedy_of(run, step, left)
    return finding(NAME, probability, evidence, stake=stake, remedy=remedy, missing=missing)


def _down_to(run: Run, end: int, peak: float) -> str:
    known = run.schedule is not None and run.schedule.name != "recorded"
    return f", down to {run.schedule(end) / peak:.0%} of the peak" if known and run.schedule else ""


def _doubts(run: Run, step: int, share: float, left: int) -> list[tuple[Evidence, float]]:
    """Why a high rate may be no cause: it is early, warming up, raised again, or the run has another trouble."""
    state, lr, end, found = state_of(run), lr_curve(run), run.get("planned_end"), []
    if state.verdict in ("diverged", "too-short", "rising"):
        found.append((against(f"the loss is {state.verdict} at step {step:,}", state.series or "log"), 0.4))
    if _rising(lr):
        found.append((against(f"the learning rate is still rising at step {step:,}", "schedule"), 0.2))
    if lr is not None and (rise := rise_of(lr)) is not None:
        fact = f"the learning rate had come down to {rise.low:.2e} and was raised again: see lr-rewarmed"
        found.append((against(fact, "schedule"), 0.45))
    if end and step < (EARLY if left else DONE) * end:
        found.append((against(f"the run is at {step / end:.0%} of its plan", "schedule"), 0.45))
    finishing = end is not None and (step >= DONE * end or left > 0)
    if not finishing and state.slope is not None and -state.slope.value > GAIN * share:
        fact = f"another doubling brings {-state.slope.value:.2f} nats, annealing some {GAIN * share:.2f}, at the end"
        found.append((against(fact, state.series), 0.45))
    return found


def _rising(lr: Curve | None) -> bool:
    """True while the rate is warming up: the last one logged is the highest, and higher than a while before."""
    if lr is None or len(lr) < 2:
        return False
    return bool(lr.last >= lr.value.max() and lr.last > lr.value[min(len(lr) * 9 // 10, len(lr) - 2)])


def without(run: Run) -> Run | None:
    """The same run, annealed to zero by its last logged step.

    A run that has come to its end with a decay that ends later, or on a floor: by the same decay, down to zero. Any
    other: by a cooldown over the last 15 % of its steps.
    """
    step, lr = rate_now(run)[0], lr_curve(run)
    if lr is None or not step:
        return None
    if _decays(run, step, lr):
        series = {name: curve for name, curve in run.series.items() if name != "lr"}
        return changed(replace(run, series=series), {"floor_lr": 0.0, "decay_end": step})
    at = np.append(lr.step[lr.step < step], step)
    rate = np.interp(at, lr.step, lr.value)
    return at_rates(run, at, rate * np.clip((step - at) / (COOLDOWN * step), 0.0, 1.0))


def _decays(run: Run, step: int, lr: Curve) -> bool:
    """True at the planned end of a schedule that decays all along, and was never raised again."""
    end, warm = run.get("planned_end"), run.get("warmup_steps") or 0
    ended = bool(end) and step >= DONE * end and step > warm and not run.has("step_unit")
    return ended and run.get("schedule") in DECAYS and rise_of(lr) is None


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="Part of the loss is noise of a large learning rate, and goes when it is annealed.",
    needs=("val_loss|train_loss|batch_loss", "schedule|lr"),
    test=test,
    without=without,
    asks=("a loss", "the config (peak, floor, warm-up, length of decay), or a log with the learning rate"),
)
