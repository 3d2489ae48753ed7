"""What a forecast rests on, and what it can't price: said beside every number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .outlook import Outlook
from .plugins import discover
from .run import Run
from .state import judged, state_of
from .unpriced import NEVER


def unit_of(run: Run) -> str:
    """The unit of the judged loss."""
    _, curve = judged(run)
    return (curve.unit if curve is not None else "") or "nats"


def assumptions(ahead: Outlook, series: str, futures: Sequence[tuple[Run, int]]) -> tuple[str, ...]:
    """What a forecast rests on, in sentences; ``futures``: each run and the step it is judged at."""
    run, law = ahead.run, discover("laws")[ahead.trend]
    said = [f"the {law.name} law, {law.formula}, fitted to {series}"]
    state = state_of(run)
    if state.noise is not None:
        said.append(
            f"the loss is the trend's: a single evaluation scatters by {state.noise:.3f} {unit_of(run)} (sd)"
        )
    said.append(_schedule_said(run, ahead))
    said += [
        f"what annealing brings is fitted to a cooldown too, of {one.steps:,} steps from step {one.step:,} ({one.source})"
        for one in ahead.heard
    ]
    if end := run.get("planned_end"):
        said.append(
            f"the planned end is step {int(end):,} ({run.source('max_steps') or run.source('planned_end')})"
        )
    else:
        said.append(f"no end is planned: the run goes on to {futures[0][1]:,} steps")
    said += [f"the {name} law prices what differs besides" for name in _moved(ahead, futures)]
    said += _oddities(run)
    if run.get("step_seconds"):
        said.append(
            f"a step takes {run.get('step_seconds'):.3g} s, the median of those logged; evaluations come on top"
        )
    return tuple(said)


def _schedule_said(run: Run, ahead: Outlook) -> str:
    lr = run.schedule
    if lr is None:
        return "the learning rate is not known: the interval is wider by what annealing may bring"
    where, peak = run.source("schedule"), run.source("peak_lr")
    where, peak = ("the log", "the log") if lr.name == "recorded" else (where, peak)
    if run.has("schedule_before"):
        return "the learning rate as the log's settings say, part by part between resumes"
    if lr.name == "branched":
        return f"the learning rate is as logged, and from there on {run.get('schedule')} ({where}), no higher than it is now"
    past = (
        ", which the power law ignores: the interval is wider by what annealing may bring"
        if ahead.trend == "power"
        else ""
    )
    return f"the learning rate is {lr.name} ({where}) from a peak of {lr.peak:.3g} ({peak}){past}"


def _oddities(run: Run) -> list[str]:
    """What in a run's past the laws were not made for."""
    said = []
    resumed = run.get("resumed_after") or run.get("resumed_at") or []
    if resumed:
        said.append(f"the log is of {len(resumed) + 1} parts, taken as one run with one data order")
    if (rise := _raised(run)) is not None:
        said.append(
            f"the learning rate was raised again after step {rise:,}: few curves that laws were fitted on were"
        )
    return said


def _raised(run: Run) -> int | None:
    from .hypotheses._schedule import lr_curve
    from .hypotheses.lr_rewarmed import rise_of

    lr = lr_curve(run)
    rise = rise_of(lr) if lr is not None and len(lr) > 3 else None
    return None if rise is None else rise.low_step


def limits(ahead: Outlook) -> tuple[str, ...]:
    """What it can't price: the laws that do not fit, and what none speaks of."""
    return (*(f"the {law} law does not fit: {why}" for law, why in ahead.refused.items()), NEVER)


def _moved(ahead: Outlook, futures: Sequence[tuple[Run, int]]) -> list[str]:
    """The laws beside the trend's that price something in one of ``futures``."""
    return [
        name
        for name, law in ahead.fitted.items()
        if name != ahead.trend and any(np.any(law.price(other, step) != 0) for other, step in futures)
    ]
