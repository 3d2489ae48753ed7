"""What the learning rate did, for the causes that ask: when it was spent, and how the loss moved since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from ..curve import Curve, Steps
from ..derive import changed, derive
from ..run import Run
from ..schedules._branched import Branched
from ..schedules.recorded import Recorded
from . import Evidence, Plan
from ._say import against

SPENT = 0.02  # share of the peak below which a step moves nothing: 1/5 of the usual floor
LATE = 0.8  # share of the run; a rate that is spent before is exhausted, not annealed
OPTIMAL = 20.0  # tokens per parameter that are compute-optimal (Hoffmann et al. 2022)
PAST = 2 * OPTIMAL  # well past it
ANNEALED = 0.12  # share of the peak; the usual floor is a tenth
POINTS = 400  # of the schedule looked at


def lr_curve(run: Run) -> Curve | None:
    """Learning rate against step, as logged, else from the schedule; None where neither is known."""
    logged = run.series.get("lr")
    if logged is not None and len(logged.finite) > 3:
        return logged.finite
    end = run.get("steps_done")
    if run.schedule is None or not end:
        return None
    steps = np.unique(np.linspace(0, int(end), POINTS).astype(int))
    return Curve(steps, [run.schedule(int(s)) for s in steps])


def rescheduled(run: Run, **change: float) -> Run | None:
    """``run`` with fields of its schedule changed, its logged rates forgotten; None where it has no such field."""
    schedule: Any = run.schedule
    if schedule is None or not set(change) <= {f.name for f in fields(schedule)}:
        return None
    series = {name: curve for name, curve in run.series.items() if name != "lr"}
    return replace(run, schedule=replace(schedule, **change), series=series)


def at_rates(run: Run, step: Steps, rate: Iterable[float]) -> Run:
    """``run`` as if these learning rates had been logged: what no schedule's words can say of its past."""
    facts = {name: fact for name, fact in run.facts.items() if name not in ("schedule", "schedule_before")}
    lr = Curve(step, np.asarray(rate))
    return derive(replace(run, facts=facts, series={**run.series, "lr": lr}))


def cooled(run: Run, step: int, steps: int) -> Plan | None:
    """What comes of a cooldown: the learning rate to zero, in a straight line, over ``steps`` after ``step``."""
    if run.schedule is None or run.has("step_unit"):
        return None
    down = Recorded((step, step + steps), (run.schedule(step), 0.0))
    other = changed(run, {"max_steps": step + steps})
    return Plan(replace(other, schedule=Branched(run.schedule, down, step)), step + steps, step)


def spent_at(run: Run) -> int | None:
    """The step after which the learning rate stays below ``SPENT`` of its peak; None where it does not."""
    lr = lr_curve(run)
    if lr is None or not lr.value.max() > 0:
        return None
    alive = np.flatnonzero(lr.value > SPENT * lr.value.max())
    return int(lr.step[alive[-1] + 1]) if alive[-1] + 1 < len(lr) else None


def stopped_learning(run: Run) -> Evidence | None:
    """Evidence that the schedule has run out, so that more steps of it bring nothing."""
    spent, end = spent_at(run), run.get("steps_done")
    if spent is None or not end:
        return None
    return against(
        f"the learning rate is below {SPENT:.0%} of its peak since step {spent:,} of {end:,}", "schedule"
    )
