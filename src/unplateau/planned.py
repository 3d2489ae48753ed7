"""The learning-rate schedule of a run: as configured, else as logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .curve import Curve
from .run import Fact, Schedule

POINTS = 3  # logged learning rates that make a schedule; fewer tell nothing of its form
MULTIPLIER = "lrm"  # nanochat logs the share of each group's peak; its form is that of the schedule
SPLICED = 1000  # points of each part of a schedule that was changed at a resume
KEPT = 4096  # points of a logged schedule; more add nothing between their neighbours


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
    return now or recorded(series.get("lr") or series.get(MULTIPLIER))


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
