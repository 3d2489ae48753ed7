"""The learning-rate schedule of a run: as configured, else as logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .curve import Curve
from .run import Fact, Schedule

POINTS = 3  # logged learning rates that make a schedule; fewer tell nothing of its form
MULTIPLIER = "lrm"  # nanochat logs the share of each group's peak; its form is that of the schedule
SPLICED = 1000  # points of each part of a schedule that was changed at a resume
KEPT = 4096  # points of a logged schedule; more add nothing between their neighbours
OWN = "unplateau"  # the dialect of our own trainer, which logs the rate of each row to nine digits
CHANGED = "changed"  # the source of a setting that somebody asks about: no log is of it
SETTINGS = (
    *("schedule", "peak_lr", "floor_lr", "warmup_steps"),
    *("decay_start", "decay_end", "decay_form", "max_steps"),
)
WORKING = 0.05  # of the peak; below it a step changes little
LOOKS, APART = (
    200,
    1e-3,
)  # logged rates that are held against the schedule; share of the peak that is no rounding


def schedule_of(facts: Mapping[str, Fact], series: Mapping[str, Curve]) -> Schedule | None:
    """The schedule that the configured facts tell, else the logged one, else None.

    >>> told = {"schedule": "cosine", "peak_lr": 1e-3, "floor_lr": 1e-4, "warmup_steps": 500, "decay_end": 20_000}
    >>> lr = schedule_of({name: Fact(value) for name, value in told.items()}, {})
    >>> f"{lr(14_500):.2e}"
    '2.65e-04'
    """
    now = configured(facts)
    before = facts["schedule_before"].value if "schedule_before" in facts else None
    if now is not None and isinstance(before, list):
        return spliced(before, facts, now)
    if now is not None and _as_run(facts):
        return as_logged(now, series.get("lr"))
    return now or recorded(series.get("lr") or series.get(MULTIPLIER))


def _as_run(facts: Mapping[str, Fact]) -> bool:
    """True where the settings are those that our own trainer ran with."""
    ours = "config_dialect" in facts and facts["config_dialect"].value == OWN
    return ours and not any(facts[name].source == CHANGED for name in SETTINGS if name in facts)


def as_logged(now: Schedule, lr: Curve | None) -> Schedule:
    """What was logged, and from there on ``now``, but no higher than the last rate, where the log lies below ``now``.

    So our trainer goes on with a run whose schedule was made longer after it had begun to decay (train/rates.py): it does
    not raise the rate again, and no setting says so. A log that differs in any other way is no such run: ``now``.

    >>> from .schedules.linear import Linear
    >>> lr = as_logged(Linear(1.0, 0.0, 0, 2_000), Curve([0, 400, 800, 1_000], [1.0, 0.6, 0.2, 0.2]))
    >>> [round(lr(step), 2) for step in (800, 1_000, 1_500, 1_800)]
    [0.2, 0.2, 0.2, 0.1]
    """
    from .schedules._branched import Branched
    from .schedules._capped import Capped

    seen = lr.finite if lr is not None else None
    past = recorded(seen)
    if seen is None or past is None or not _made_longer(now, seen):
        return now
    last, here = int(seen.step[-1]), float(seen.last)
    return Branched(past, Capped(now, here) if now(last) > here > 0 else now, last)


def _made_longer(now: Schedule, seen: Curve) -> bool:
    """True where the logged rates lie below those of the schedule from somewhere on, and only fall there."""
    at = np.unique(np.linspace(0, len(seen) - 1, LOOKS).astype(int))
    above = np.array([now(int(seen.step[i])) for i in at]) - seen.value[at]
    off = np.abs(above) > APART * now.peak
    return bool(off.any() and (above[off] > 0).all() and (np.diff(seen.value[at][off]) <= 0).all())


def is_share(facts: Mapping[str, Fact], series: Mapping[str, Curve]) -> bool:
    """True where the schedule is known as a share of its peak alone: no number of it is a learning rate."""
    return MULTIPLIER in series and series.get("lr") is None and configured(facts) is None


def spliced(before: list[tuple[int, dict[str, Any]]], facts: Mapping[str, Fact], now: Schedule) -> Schedule:
    """The schedules of a run that was resumed with other settings, one after the other."""
    from .schedules.recorded import Recorded

    parts: list[tuple[int, Schedule | None]] = [
        (int(until), configured({name: Fact(value) for name, value in settings.items()}))
        for until, settings in before
    ]
    last = _number(facts, "max_steps") or 0
    ends = [(until, part) for until, part in sorted(parts, key=lambda p: p[0]) if part is not None]
    ends.append((max(int(last), ends[-1][0] if ends else 0) + 1, now))
    at: dict[int, float] = {}
    start = 0
    for end, part in ends:
        every = max(1, (end - start) // SPLICED)
        at |= {step: part(step) for step in (*range(start, end, every), end - 1) if step >= start}
        start = end
    steps = sorted(at)
    return Recorded(tuple(steps), tuple(at[s] for s in steps))


def configured(facts: Mapping[str, Fact]) -> Schedule | None:
    """The schedule by facts alone; None where a number that it needs is not known."""
    from .schedules.constant import Constant
    from .schedules.cosine import Cosine
    from .schedules.inverse_sqrt import InverseSqrt
    from .schedules.linear import Linear
    from .schedules.wsd import WSD

    def told(name: str) -> float | None:
        return _number(facts, name)

    name, peak = facts["schedule"].value if "schedule" in facts else "", told("peak_lr")
    warmup = int(told("warmup_steps") or 0)
    if not peak or not name:
        return None
    if name == "constant":
        return Constant(peak, warmup)
    if name == "inverse_sqrt":
        return InverseSqrt(peak, warmup)
    end, floor = told("decay_end") or told("planned_end") or told("max_steps"), told("floor_lr") or 0.0
    if not end:
        return None
    if name == "cosine":
        return Cosine(peak, floor, warmup, int(end))
    if name == "linear":
        return Linear(peak, floor, warmup, int(end))
    start = told("decay_start")
    if name == "wsd" and start is not None:
        form = facts["decay_form"].value if "decay_form" in facts else "linear"
        return WSD(peak, floor, warmup, max(1, int(end - start)), int(end), form)
    return None


def _number(facts: Mapping[str, Fact], name: str) -> float | None:
    value = facts[name].value if name in facts else None
    return value if isinstance(value, int | float) and value >= 0 else None


def recorded(lr: Curve | None) -> Schedule | None:
    """The logged learning rates as a schedule; None where there are too few."""
    from .schedules.recorded import Recorded

    if lr is None or len(lr := lr.finite) < POINTS or not (lr.value >= 0).all() or not lr.value.max() > 0:
        return None
    every = -(-len(lr) // KEPT)
    # the last point is always kept: it is the one that the report speaks of
    steps, values = (x[::-1][::every][::-1].tolist() for x in (lr.step, lr.value))
    return Recorded(tuple(steps), tuple(values))


def working_steps(schedule: Schedule, done: int) -> int:
    """How many of the first ``done`` steps were taken at ``WORKING`` of the peak or more.

    >>> from .schedules.cosine import Cosine
    >>> working_steps(Cosine(peak=1e-3, floor=0.0, warmup=0, steps=200), 1_000)
    172
    """
    steps = np.unique(np.linspace(0, done - 1, min(done, KEPT)).round().astype(int))
    working = [schedule(int(step)) >= WORKING * schedule.peak for step in steps]
    return round(done * float(np.mean(working))) if working else 0
