"""Forecasts: the loss of a run as planned, and of the runs that somebody asks about beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .asked import Ask
from .cost import GIB, Cost, cost_of, fits, shape_of
from .counterfactual import Kind, Variant, as_planned, check_step, last_step, planned_step, variant
from .errors import UnreadableError, UsageError, printable
from .estimate import Estimate
from .forecast import Outlook, outlook
from .laws import Draws
from .plugins import discover
from .premises import assumptions, limits, unit_of
from .reach import Reach, reach_of
from .run import Run
from .state import LEAST, REGIME, judged, lost_at, state_of
from .unpriced import refusal

COOLDOWN = 0.15  # of the steps so far; Haegele et al. 2024 (arXiv 2405.18392) find 10 to 20 % enough
ANNEALED = 0.12  # share of the peak; below it there is next to nothing to cool down
BILLION = 10**9  # tokens
STEADY = 1e-4  # nats; logs print four decimals: a loss that moves less than this has not moved
FEW = 0.05  # of the draws; where more are below zero, the law is out of its range
UNDECIDED = 1.0  # nats; an interval wider than this decides nothing


@dataclass(frozen=True, slots=True)
class Future:
    """What one run will have come to at ``step``."""

    name: str
    run: Run  # the counterfactual
    kind: Kind
    patch: Mapping[str, tuple[Any, Any]]
    step: int
    loss: Estimate
    gain: Estimate  # nats below the trend at the last logged step
    cost: Cost
    rate: Estimate | None = None  # of the gain: nats per hour, or per billion tokens where no hours are known
    reaches: Reach | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forecast:
    """A run's futures, the first as planned, with what they rest on."""

    run: Run
    series: str
    last: int  # the last logged step
    now: Estimate  # the trend at that step
    futures: tuple[Future, ...]
    law: str
    assumes: tuple[str, ...]
    unpriced: tuple[str, ...]
    best: tuple[str, float] | None = None  # the future that gains most for its cost, and how likely it does


def forecast(
    run: Run, asks: Sequence[Ask] = (), *, at: int | None = None, until: float | None = None
) -> Forecast:
    """The loss of ``run`` at ``at`` or its planned end, and that of each of ``asks``.

    Raises ``UnreadableError`` where the log can't carry a forecast, ``UsageError`` for what no law prices;
    one line each.
    """
    name = _answerable(run)
    check_step(run, at)
    with np.errstate(over="ignore"):
        try:
            ahead = outlook(run)
            found, best = _futures(ahead, asks, at, until)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            raise UnreadableError(f"no forecast for {printable(run.name)}: {error}") from None
        now = Estimate.of(losses(ahead, run, last_step(run)), unit_of(run))
    return Forecast(
        run,
        name,
        last_step(run),
        now,
        tuple(found),
        ahead.trend,
        assumptions(ahead, name, [(f.run, f.step) for f in found]),
        limits(ahead),
        best,
    )


def _answerable(run: Run) -> str:
    """The series that is forecast. Raises ``UnreadableError`` for a loss that no law speaks of."""
    name, curve = judged(run)
    shown = printable(run.name)
    if lost := lost_at(run):
        raise UnreadableError(
            f"no forecast for {shown}: {lost[0]} is nan or infinite from step {lost[1]:,} to its end; "
            "restart from a checkpoint before it, and forecast that run"
        )
    if curve is None:
        raise UnreadableError(f"no forecast for {shown}: it has no losses")
    if len(curve) > 1 and float(np.ptp(curve.value)) < STEADY:
        raise UnreadableError(
            f"no forecast for {shown}: {name} is {curve.last:.4f} at each of {len(curve)} points; "
            "a loss that never moved is no curve (see unplateau diagnose)"
        )
    if state_of(run).verdict == "diverged":
        raise UnreadableError(
            f"no forecast for {shown}: {name} has diverged since step {state_of(run).since_step:,}; "
            "no law prices that: go back to a checkpoint before it (see unplateau diagnose)"
        )
    if len(curve) >= LEAST and curve.step[0] * 2**REGIME > curve.step[-1]:
        raise UnreadableError(
            f"no forecast for {shown}: its losses span steps {curve.step[0]:,} to {curve.step[-1]:,} only, less than "
            "half a doubling; give the log from its start"
        )
    if last_step(run) < 1:
        raise UnreadableError(f"no forecast for {shown}: its log ends at step 0")
    return name


def _futures(
    ahead: Outlook, asks: Sequence[Ask], at: int | None, until: float | None
) -> tuple[list[Future], tuple[str, float] | None]:
    run, refused, variants = ahead.run, [], [as_planned(ahead.run, at)]
    for ask in asks:
        made = variant(run, ask, at)
        if line := refusal(ahead, made.run, ask):
            refused.append(line)
        variants.append(made)
    if refused:
        raise UsageError(" | ".join(refused))
    if not asks and at is None and (cooldown := _cooldown_now(ahead)):
        variants.append(variant(run, cooldown, None))
    found = [_future(ahead, made, until) for made in variants]
    return found, _best(ahead, found)


def _cooldown_now(ahead: Outlook) -> Ask | None:
    """The alternative that any run has whose rate is high: to stop soon, annealed."""
    run, last = ahead.run, last_step(ahead.run)
    steps = round(COOLDOWN * last)
    priced = {name for law in ahead.fitted for name in discover("laws")[law].prices}
    if run.schedule is None or run.has("step_unit") or not {"schedule", "floor_lr"} & priced or steps < 1:
        return None
    high = run.schedule(last) > ANNEALED * run.schedule.peak
    sooner = not run.get("planned_end") or last + steps < planned_step(run)
    return Ask("cool down now", {"cooldown": steps}) if high and sooner else None


def _future(ahead: Outlook, made: Variant, until: float | None) -> Future:
    run, unit, last = ahead.run, unit_of(ahead.run), last_step(ahead.run)
    loss, cost = (
        losses(ahead, made.run, made.step),
        cost_of(run, made.run, 0 if made.kind == "fresh" else last, made.step),
    )
    gain = ahead.loss(run, last) - loss
    found = _bounded(Estimate.of(loss, unit), ahead, loss)
    return Future(
        name=made.name,
        run=made.run,
        kind=made.kind,
        patch=made.patch,
        step=made.step,
        loss=found,
        gain=Estimate.of(gain, unit),
        cost=cost,
        rate=_rate(gain, cost, unit),
        reaches=None if until is None else reach_of(ahead, made, until),
        notes=(*made.notes, *_doubts(found), *_crowded(made.run, cost)),
    )


def _doubts(loss: Estimate) -> tuple[str, ...]:
    said = []
    if loss.low <= 0:
        said.append(
            "undecided: the law goes below zero there, where no loss is; it is one of losses that level off"
        )
    if loss.high - loss.low > UNDECIDED:
        said.append(f"undecided: the interval is {loss.high - loss.low:.1f} {loss.unit} wide")
    return tuple(said)


def _bounded(found: Estimate, ahead: Outlook, loss: Draws) -> Estimate:
    """From zero to the loss of now where the law goes below zero: then it says no more than that."""
    if float(np.mean(loss <= 0)) <= FEW:
        return found
    return Estimate(found.value, 0.0, max(found.high, float(ahead.level.mean())), found.unit)


def losses(ahead: Outlook, other: Run, step: int) -> Draws:
    """Draws of what ``other`` comes to; no loss is below zero."""
    return np.maximum(ahead.loss(other, step), 0.0)


def _best(ahead: Outlook, futures: Sequence[Future]) -> tuple[str, float] | None:
    """The future that gains most for its cost, and how sure that is; None where there is nothing to choose."""
    rated = [future for future in futures if future.rate is not None]
    if len(rated) < 2 or len({f.rate.unit for f in rated if f.rate}) > 1:
        return None
    now = ahead.loss(ahead.run, last_step(ahead.run))
    price = [f.cost.hours.value if f.cost.hours else float(f.cost.tokens or 1) for f in rated]
    rates = np.stack([(now - losses(ahead, f.run, f.step)) / p for f, p in zip(rated, price, strict=True)])
    wins = np.bincount(np.argmax(rates, axis=0), minlength=len(rated)) / rates.shape[1]
    best = rated[int(wins.argmax())]
    return (best.name, float(wins.max())) if best.gain.value > 0 else None


def _crowded(other: Run, cost: Cost) -> tuple[str, ...]:
    """What to do where a micro-batch does not fit the card: a smaller one, more of them."""
    shape, batch, dtype = shape_of(other), other.get("batch_size"), other.get("dtype")
    if shape is None or not cost.card or not cost.memory or fits(shape, batch, dtype, cost.card):
        return ()
    said = f"needs {cost.memory / GIB:.1f} GiB and some more, the card has {cost.card / GIB:.0f}"
    rows = int(batch * (other.get("gradient_accumulation_steps") or 1))
    small = [b for b in range(1, batch) if rows % b == 0 and fits(shape, b, dtype, cost.card)]
    if not small:
        return (f"{said}: not even one sequence fits",)
    need = shape.memory(small[-1], dtype) / GIB
    return (f"{said}: with micro-batches of {small[-1]}, {rows // small[-1]} a step, it takes {need:.1f}",)


def _rate(gain: Draws, cost: Cost, unit: str) -> Estimate | None:
    """What is gained per hour, or per billion tokens where no hours are known."""
    if cost.hours is not None and cost.hours.value > 0:
        return Estimate.of(gain / cost.hours.value, f"{unit} per hour")
    return Estimate.of(gain * (BILLION / cost.tokens), f"{unit} per 1B tokens") if cost.tokens else None
