"""Annealing what stands too high: the end of the schedule where it comes down by itself, else a cooldown from now."""

from __future__ import annotations

from typing import Any

from ..run import Run
from . import Plan, Remedy
from ._say import cost_said, saved_at
from ._schedule import ANNEALED, cooled, lr_curve

FALLING = 0.98  # of the rate a tenth of the log before: it is coming down
FEWEST = 8  # evaluations at most that a cooldown is cut into, to end on one
COOLDOWN = 0.15  # of the steps so far; Haegele et al. 2024 find 10 to 20 % enough


def steps_left(run: Run, step: int) -> int:
    """Steps until the rate is down, where the plan brings it down; 0 where it does not, or nobody knows."""
    end, lr = run.get("planned_end"), lr_curve(run)
    if not end or step >= end or run.schedule is None or lr is None:
        return 0
    if run.schedule.name == "recorded":  # only what was logged is known: is it on its way down?
        return int(end) - step if lr.last < FALLING * lr.value[len(lr) * 9 // 10] else 0
    if run.schedule(int(end)) > ANNEALED * run.schedule.peak:
        return 0
    return int(min(end, run.get("decay_end") or end)) - step


def rate_now(run: Run) -> tuple[int, float, float]:
    """The last step, the rate there, and its peak."""
    step = int(run.get("steps_done") or max(c.step[-1] for c in run.series.values() if len(c)))
    logged = run.series.get("lr")
    lr = run.get("lr_now")
    if lr is None:
        lr = run.schedule(step) if run.schedule is not None else float(logged.finite.last)  # type: ignore[union-attr]
    peak = run.schedule.peak if run.schedule is not None else float(logged.finite.value.max())  # type: ignore[union-attr]
    return step, float(lr), float(peak)


def remedy_of(run: Run, step: int, left: int) -> Remedy:
    """Let the schedule finish where it has ``left`` steps to come down in, else cool down from the last checkpoint."""
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
    _, lr, peak = rate_now(run)
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
    lr = float(f"{rate_now(run)[1]:.3g}")
    new = {"init_from": "resume", "schedule": "wsd", "peak_lr": lr, "floor_lr": 0.0, "decay_form": "linear"}
    new |= {"decay_start": step, "decay_end": step + cooldown, "max_steps": step + cooldown}
    return {key: (run.get(key), value) for key, value in new.items() if run.get(key) != value}


#: dialect -> how its config says a cooldown that begins at a checkpoint
WORDS = {"nanogpt": _nanogpt, "unplateau": _ours}
