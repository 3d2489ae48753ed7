"""The learning rate is still high: the drop that annealing releases has not been collected yet.

Claim: part of the loss is the noise of large steps, and goes when the learning rate goes to zero.
Mechanism: at a high learning rate the weights bounce across the valley of the loss; they settle only
as the rate falls. The loss of a cosine run falls fastest per step in its last third for this reason.
Supported by: a learning rate at the last step of at least a fifth of its peak.
Refuted by: a learning rate that has come down to a tenth of its peak or less.
Needs: the schedule, from the config, or a logged learning rate; a loss.
What it costs: the forecast of this run less that of the same run whose last 15 % of steps were a cooldown to zero.
What to do: let the schedule finish, or cool down now from the last checkpoint: the learning rate to zero
over 10 to 20 % of the steps so far. If the floor itself is high, lower it.
Sources: Tissue et al. 2024 (arXiv 2408.11029); Luo et al. 2025 (multi-power law); Haegele et al. 2024
(arXiv 2405.18392, cooldowns of 10 to 20 %).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..curve import Curve
from ..run import Run
from . import Evidence, Finding, Hypothesis, Plan, Remedy
from ._say import LIKELY, SURE, against, cost_said, finding, pro, saved_at, state_of
from ._schedule import at_rates, cooled, lr_curve
from .lr_rewarmed import rise_of

NAME = "lr-not-annealed"
HIGH, LOW = 0.2, 0.12  # shares of the peak; nanoGPT's own recipe ends at .1
GAIN = 0.2  # nats for all of the peak: .258 (peak/1e-3)^.303 x the share released, SCIENCE.md section 2
FALLING = 0.98  # of the rate a tenth of the log before: it is coming down
DONE = 0.95  # of the planned steps
EARLY = 0.5  # of the planned steps; before that a high rate is as it should be
FEWEST = 8  # evaluations at most that a cooldown is cut into, to end on one
COOLDOWN = 0.15  # of the steps so far; Haegele et al. 2024 find 10 to 20 % enough
ASKS = ("the planned end and the schedule", "a longer log")


def test(run: Run) -> Finding:
    step, lr, peak = _now(run)
    share = lr / peak if peak > 0 else 0.0
    fact = f"at step {step:,} the learning rate is {lr:.2e}, {share:.0%} of its peak {peak:.2e}"
    if not run.has("lr_now"):
        fact = f"at step {step:,} the learning rate is {share:.0%} of its peak"
    source = run.source("lr_now") or "schedule"
    if share <= LOW:
        return finding(NAME, 0.02, [against(fact, source)])
    evidence, left = [pro(fact, source)], _steps_left(run, step)
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
    remedy = None if _rising(lr_curve(run)) else _remedy(run, step, left)
    return finding(NAME, probability, evidence, stake=stake, remedy=remedy, missing=missing)


def _steps_left(run: Run, step: int) -> int:
    """Steps until the rate is down, where the plan brings it down; 0 where it does not, or nobody knows."""
    end, lr = run.get("planned_end"), lr_curve(run)
    if not end or step >= end or run.schedule is None or lr is None:
        return 0
    if run.schedule.name == "recorded":  # only what was logged is known: is it on its way down?
        return int(end) - step if lr.last < FALLING * lr.value[len(lr) * 9 // 10] else 0
    if run.schedule(int(end)) > LOW * run.schedule.peak:
        return 0
    return int(min(end, run.get("decay_end") or end)) - step


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


def _now(run: Run) -> tuple[int, float, float]:
    step = int(run.get("steps_done") or max(c.step[-1] for c in run.series.values() if len(c)))
    logged = run.series.get("lr")
    lr = run.get("lr_now")
    if lr is None:
        lr = run.schedule(step) if run.schedule is not None else float(logged.finite.last)  # type: ignore[union-attr]
    peak = run.schedule.peak if run.schedule is not None else float(logged.finite.value.max())  # type: ignore[union-attr]
    return step, float(lr), float(peak)


def _remedy(run: Run, step: int, left: int) -> Remedy:
    if left:
        end = int(run.get("planned_end"))
        plan, after = Plan(run, end, saved_at(run, step)), end - step - left
        advice = f"let the schedule finish: {left:,} steps are left"
        advice += f", and {after:,} more at its last rate to the planned end" if after else ""
        return Remedy({}, cost_said(run, plan), "none", advice, plan=plan)
    step = saved_at(run, step)
    cooldown, every = _evaluated(run, step, max(1, round(COOLDOWN * step)))
    advice = f"cool down from the last checkpoint: the learning rate to 0 over {cooldown:,} step{'s' * (cooldown != 1)}"
    if run.has("step_unit"):
        advice = f"cool down from the last checkpoint: the learning rate to 0 over {COOLDOWN:.0%} of the run so far"
    patch = (
        WORDS[str(run.get("config_dialect"))](run, step, cooldown)
        if run.get("config_dialect") in WORDS
        else {}
    )
    if patch and every != run.get("eval_interval"):
        patch["eval_interval"] = (run.get("eval_interval"), every)
    down = cooled(run, step, cooldown)
    cost = cost_said(run, down or Plan(run, step + cooldown, step))
    return Remedy(patch, cost, "low: a branch, the run itself can go on", advice, plan=down)


def _evaluated(run: Run, step: int, cooldown: int) -> tuple[int, Any]:
    """The cooldown and the interval of evaluations with which nanoGPT evaluates its last step too, and not much longer.

    It evaluates at multiples of the interval alone; our own trainer also where a run ends.
    """
    every = run.get("eval_interval")
    if run.get("config_dialect") != "nanogpt" or not every:
        return cooldown, every
    parts = (d for d in range(min(every, cooldown), 0, -1) if every % d == 0 and FEWEST * d >= cooldown)
    each = next(parts, cooldown) if every > cooldown else every
    return -(-(step + cooldown) // each) * each - step, each


def _nanogpt(run: Run, step: int, cooldown: int) -> dict[str, tuple[Any, Any]]:
    """nanoGPT's cosine starts where warm-up ends: with the warm-up set to now, it falls from here to the new end."""
    _, lr, peak = _now(run)
    patch = {
        "init_from": (run.get("init_from"), "resume"),
        "schedule": (run.get("schedule"), "cosine"),
        "peak_lr": (peak, float(f"{lr:.3g}")),
        "floor_lr": (run.get("floor_lr"), 0.0),
        "warmup_steps": (run.get("warmup_steps"), step),
        "decay_end": (run.get("decay_end"), step + cooldown),
        "max_steps": (run.get("max_steps"), step + cooldown),
    }
    return {key: (old, new) for key, (old, new) in patch.items() if old != new}


def _ours(run: Run, step: int, cooldown: int) -> dict[str, tuple[Any, Any]]:
    """Our own trainer's wsd: the rate of now up to here, then straight to zero."""
    lr = float(f"{_now(run)[1]:.3g}")
    new = {"init_from": "resume", "schedule": "wsd", "peak_lr": lr, "floor_lr": 0.0, "decay_form": "linear"}
    new |= {"decay_start": step, "decay_end": step + cooldown, "max_steps": step + cooldown}
    return {key: (run.get(key), value) for key, value in new.items() if run.get(key) != value}


#: dialect -> how its config says a cooldown that begins at a checkpoint
WORDS = {"nanogpt": _nanogpt, "unplateau": _ours}


def without(run: Run) -> Run | None:
    """The same run, its last 15 % of steps a cooldown: annealed to zero by its last logged step."""
    step, lr = _now(run)[0], lr_curve(run)
    if lr is None or not step:
        return None
    at = np.append(lr.step[lr.step < step], step)
    rate = np.interp(at, lr.step, lr.value)
    return at_rates(run, at, rate * np.clip((step - at) / (COOLDOWN * step), 0.0, 1.0))


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="Part of the loss is noise of a large learning rate, and goes when it is annealed.",
    needs=("val_loss|train_loss|batch_loss", "schedule|lr"),
    test=test,
    without=without,
    asks=("a loss", "the config (peak, floor, warm-up, length of decay), or a log with the learning rate"),
)
