"""The loss is still falling: this is not a plateau yet.

Claim: nothing holds the loss up but the number of steps so far.
Mechanism: the loss of a language model falls like a power of the tokens seen: each doubling brings less
per step, and a linear axis makes that look flat.
Supported by: a slope against log tokens whose 90 % interval lies below zero.
Refuted by: a slope that is not below zero although this log could have shown one; a loss that rises.
Needs: a loss with at least four points.
What to do: keep going to the end of the schedule; look at loss against log tokens; compare what another
doubling brings with what it costs.
Sources: Kaplan et al. 2020 (arXiv 2001.08361); Hoffmann et al. 2022 (arXiv 2203.15556).
"""

from __future__ import annotations

from typing import Any

from ..derive import changed
from ..run import Run
from ..units import tokens_each
from . import SMALL, Evidence, Finding, Hypothesis, Plan, Remedy
from ._say import against, chance_below, cost_said, fall_of, finding, pro, saved_at, state_of
from ._schedule import LATE, OPTIMAL, PAST, spent_at, stopped_learning

NAME = "still-learning"
WORTH = 0.02  # nats per doubling; a slower fall is twice the seed noise of SCIENCE.md section 2 per four doublings
ENDING = ("cosine", "linear", "wsd")  # schedules whose rate is spent at their end
STAKE = 0.015  # nats; a reading of the curve ranks behind any cause that can be mended


def test(run: Run) -> Finding:
    state = state_of(run)
    if state.slope is None:
        if state.verdict == "diverged":
            return finding(
                NAME,
                0.01,
                [against(f"{state.series} left its best at step {state.since_step:,}", state.series)],
            )
        return Finding(NAME, "untestable", missing=("a longer log: at least four evaluations",))
    falling = chance_below(state.slope, -WORTH)
    if state.verdict not in ("falling", "slowing"):
        falling = min(falling, 0.6)
    evidence = [(pro if falling > 0.5 else against)(fall_of(run), state.series)]
    if lost := nothing_gained(run) or nothing_left(run):
        return finding(NAME, 0.05, [lost, *evidence])
    if stop := stopped_learning(run):
        evidence.append(stop)
        falling = min(falling, 0.8 if cut_short(run, evidence) else 0.4)
    if 0.1 < falling < 0.9 and state.smallest_visible_slope is not None:
        evidence.append(_sight(state.smallest_visible_slope, state.series))
    return finding(
        NAME,
        falling,
        evidence,
        stake=STAKE,
        missing=("more evaluations, or larger ones",),
        remedy=_remedy(run),
    )


def nothing_gained(run: Run) -> Evidence | None:
    """Evidence that the loss at the end lies above the one before the first step (a finetuning that gains nothing)."""
    state = state_of(run)
    curve = run.series[state.series].finite
    if state.level is None or curve.step[0] != 0 or state.level.low <= curve.first:
        return None
    said = f"{state.series} ends at {state.level.value:.4g}, above the {curve.first:.4g} of step 0: nothing was gained"
    return against(said, state.series)


def nothing_left(run: Run) -> Evidence | None:
    """Evidence that all of the loss is less than what matters: it can't fall below 0."""
    state = state_of(run)
    if state.level is None or state.level.unit != "nats" or state.level.high >= SMALL:
        return None
    said = f"{state.series} stands at {state.level.value:.2g} nats: that is all that is left to win"
    return against(said, state.series)


def cut_short(run: Run, evidence: list[Evidence]) -> bool:
    """True for a run that was annealed as planned while it still fell: a longer schedule would have gone on."""
    spent, end, per_param = spent_at(run), run.get("steps_done"), run.get("tokens_per_param")
    if spent is None or not end or spent < LATE * end:
        return False
    if per_param is None:
        return state_of(run).verdict == "falling"
    said = f"{tokens_each(per_param)} tokens per parameter; {OPTIMAL:.0f} are compute-optimal"
    evidence.append((pro if per_param < PAST else against)(said, run.source("tokens_per_param")))
    return per_param < PAST or state_of(run).verdict == "falling"


def _sight(smallest: float, series: str) -> Evidence:
    return against(f"slopes below {smallest:.2f} nats per doubling could not be seen in this log", series)


def _remedy(run: Run) -> Remedy:
    end, step = run.get("planned_end"), run.get("steps_done")
    if step and end and end > step and not stopped_learning(run):
        rest = Plan(run, int(end), saved_at(run, int(step)))
        return Remedy({}, cost_said(run, rest), "none", "keep going to the planned end", plan=rest)
    plan, patch = doubled(run) if step else None, longer(run)
    cost = cost_said(run, plan) if plan else "a doubling of the steps"
    if stopped_learning(run):
        advice = "train longer, with a schedule that ends where the run does: this one has run out"
        return Remedy(patch, cost, "none", advice, plan=plan)
    advice = "train longer, with a schedule that ends where the run does" if end else "keep going"
    return Remedy(patch, cost, "none", advice, plan=plan)


def longer(run: Run) -> dict[str, tuple[Any, Any]]:
    """The settings of twice the steps so far, where the config says how long the run is."""
    step, plan = run.get("steps_done"), doubled(run)
    if plan is None or not run.get("max_steps"):
        return {}
    names = ("decay_start", "decay_end", "max_steps")
    new = {name: plan.run.get(name) for name in names} | ({"max_steps": 2 * int(step)} if plan.start else {})
    patch = {
        name: (run.get(name), value)
        for name, value in new.items()
        if run.get(name) and run.get(name) != value
    }
    return patch | ({"init_from": (run.get("init_from"), "resume")} if plan.start and patch else {})


def doubled(run: Run) -> Plan | None:
    """Twice the steps so far: on from the checkpoint where the rate has no end, else a fresh, stretched schedule."""
    step = run.get("steps_done")
    if not step or run.has("step_unit"):
        return None
    longer = {name: 2 * int(run.get(name)) for name in ("decay_end", "max_steps") if run.get(name)}
    if start := run.get("decay_start"):
        longer["decay_start"] = 2 * int(start)
    decays = bool(run.get("decay_end")) or (run.schedule is not None and run.schedule.name in ENDING)
    if not decays and stopped_learning(run):
        return None
    return Plan(
        changed(run, longer) if decays else run, 2 * int(step), 0 if decays else saved_at(run, int(step))
    )


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The loss is still falling against log tokens.",
    needs=("val_loss|train_loss|batch_loss",),
    test=test,
    asks=("a loss",),
)
