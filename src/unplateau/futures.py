"""Forecasts: the loss of a run as planned, and of the runs that somebody asks about beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .asked import Ask
from .cost import GIB, Cost, cost_of, fits, shape_of
from .counterfactual import FARTHEST, Kind, Variant, as_planned, check_step, last_step, planned_step, variant
from .diagnosis import READINGS, diagnose
from .errors import UnreadableError, UsageError, printable
from .estimate import Estimate
from .hypotheses import Plan, Remedy
from .laws import Draws
from .outlook import Outlook, outlook
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
SUREST = 0.99  # no law is surer than that of anything, whatever its draws say
ADVISED = 2  # remedies of the diagnosis that are set beside the plan
COOL_DOWN, LONGER = "cool down now", "train longer"
ANNEALING = "lr-not-annealed"  # the cause whose remedy is a cooldown


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
class Trade:
    """What the future that ends lowest wins against ``name``, and what it takes more; less where below zero."""

    name: str
    nats: Estimate
    hours: float | None
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Lowest:
    """The future that ends lowest, how likely it does, and what it wins against each of the others."""

    name: str
    probability: float
    trades: tuple[Trade, ...]


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
    lowest: Lowest | None = None  # None where there is nothing to choose between
    refused: tuple[str, ...] = ()  # a line for each future that was asked for and can't be priced


def forecast(
    run: Run,
    asks: Sequence[Ask] = (),
    *,
    at: int | None = None,
    until: float | None = None,
    refused: Sequence[str] = (),
) -> Forecast:
    """The loss of ``run`` at ``at`` or its planned end, and that of each of ``asks``.

    ``refused``: lines on futures that were asked for and could not be meant. Raises ``UnreadableError`` where the
    log can't carry a forecast, ``UsageError`` where none of the futures asked for can be priced; one line each.
    """
    name = _answerable(run)
    check_step(run, at)
    with np.errstate(over="ignore"):
        try:
            ahead = outlook(run)
            variants, lines = _variants(ahead, asks, at)
            if (lines := [*refused, *lines]) and len(variants) == 1:
                raise UsageError(" | ".join(lines))
            found, lowest = _futures(ahead, variants, until)
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
        lowest,
        tuple(lines),
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


def _variants(ahead: Outlook, asks: Sequence[Ask], at: int | None) -> tuple[list[Variant], list[str]]:
    """The runs to forecast, the first as planned, and a line for each of ``asks`` that no law prices."""
    run, refused, variants = ahead.run, [], [as_planned(ahead.run, at)]
    for ask in asks:
        try:
            made = variant(run, ask, at)
        except UsageError as error:
            refused.append(str(error) if ask.name in str(error) else f"{ask.name}: {error}")
            continue
        if line := refusal(ahead, made.run, ask):
            refused.append(line)
        else:
            variants.append(made)
    return variants, refused


def _futures(
    ahead: Outlook, variants: Sequence[Variant], until: float | None
) -> tuple[list[Future], Lowest | None]:
    run = ahead.run
    if len(variants) == 1 and variants[0].step == planned_step(run):
        if cooldown := _cooldown_now(ahead):
            variants = [*variants, variant(run, cooldown, None)]
        variants = _with_advised(ahead, variants)
    draws = [_at_end(ahead, made) for made in variants]
    found = [_future(ahead, made, loss, until) for made, loss in zip(variants, draws, strict=True)]
    found = [replace(one, notes=(*one.notes, *_twin(i, found, draws))) for i, one in enumerate(found)]
    return found, _lowest(found, draws)


def _with_advised(ahead: Outlook, variants: Sequence[Variant]) -> list[Variant]:
    """``variants`` with the remedies of the diagnosis: said at the future that one already is, else another future."""
    out, last = list(variants), last_step(ahead.run)
    remedies = [(f.cause, f.remedy) for f in diagnose(ahead.run).findings if f.verdict == "supported"]
    advised = [(cause, r) for cause, r in remedies if r and r.plan and r.gain and r.gain.value > 0]
    said: set[int] = set()
    for cause, remedy in advised[:ADVISED]:
        plan, note = remedy.plan, f"what diagnose advises for {cause}: {remedy.advice or 'see there'}"
        if plan is None or plan.given is not None or not last <= plan.end <= FARTHEST * last:
            continue
        loss = losses(ahead, plan.run, plan.end)
        i = next(
            (i for i, v in enumerate(out) if v.step == plan.end and _alike(loss, _at_end(ahead, v))), len(out)
        )
        if i == len(out):
            made = _advised(cause, remedy, plan)
            i = next(
                (k for k, v in enumerate(out) if v.name == made.name), i
            )  # our own cooldown gives way to it
            out[i:] = [made, *out[i + 1 :]]
        if i not in said:
            said.add(i)
            out[i] = replace(out[i], notes=(*out[i].notes, note))
    return out


def _advised(cause: str, remedy: Remedy, plan: Plan) -> Variant:
    """The future that a remedy of the diagnosis makes; a cooldown is named and shown as our own is."""
    kind: Kind = "branch" if plan.start else "fresh"
    name = LONGER if cause in READINGS else f"mend {cause}"
    if cause == ANNEALING and kind == "branch":
        cooldown = {"cooldown": (None, plan.end - plan.start)}
        return Variant(COOL_DOWN, plan.run, kind, plan.end, cooldown, start=plan.start)
    return Variant(name, plan.run, kind, plan.end, remedy.patch, start=plan.start)


def _at_end(ahead: Outlook, made: Variant) -> Draws:
    return losses(ahead, made.run, made.step)


def _alike(one: Draws, other: Draws) -> bool:
    return bool(np.max(np.abs(one - other)) < STEADY)


def _twin(i: int, found: Sequence[Future], draws: Sequence[Draws]) -> tuple[str, ...]:
    """What is to be said of a future that the laws can't tell from an earlier one."""
    same = (found[k].name for k in range(i) if _alike(draws[k], draws[i]))
    return tuple(f"no law tells its loss from that of {name!r}" for name in same)[:1]


def _cooldown_now(ahead: Outlook) -> Ask | None:
    """The alternative that any run has whose rate is high: to stop soon, annealed."""
    run, last = ahead.run, last_step(ahead.run)
    steps = round(COOLDOWN * last)
    priced = {name for law in ahead.fitted for name in discover("laws")[law].prices}
    if run.schedule is None or run.has("step_unit") or not {"schedule", "floor_lr"} & priced or steps < 1:
        return None
    ends_high = run.schedule(planned_step(run)) > ANNEALED * run.schedule.peak
    high = run.schedule(last) > ANNEALED * run.schedule.peak
    sooner = not run.get("planned_end") or last + steps < planned_step(run)
    return Ask(COOL_DOWN, {"cooldown": steps}) if high and (sooner or ends_high) else None


def _future(ahead: Outlook, made: Variant, loss: Draws, until: float | None) -> Future:
    run, unit, last = ahead.run, unit_of(ahead.run), last_step(ahead.run)
    start = 0 if made.kind == "fresh" else last if made.start is None else made.start
    cost = cost_of(run, made.run, start, made.step)
    gain = losses(ahead, run, last) - loss
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
            "undecided: the law goes on below zero, which no loss can: how far the fall goes on, this log does not tell"
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


def _lowest(futures: Sequence[Future], draws: Sequence[Draws]) -> Lowest | None:
    """The future that ends lowest, against each of those that end elsewhere; None where all end alike."""
    apart = [i for i, loss in enumerate(draws) if not any(_alike(loss, draws[k]) for k in range(i))]
    if len(apart) < 2:
        return None
    ends = np.stack([draws[i] for i in apart])
    wins = np.bincount(np.argmin(ends, axis=0), minlength=len(apart)) / ends.shape[1]
    best = apart[int(ends.mean(axis=1).argmin())]
    sure = min(SUREST, float(wins[apart.index(best)]))
    trades = [_trade(futures[best], futures[i], draws[i] - draws[best]) for i in apart if i != best]
    return Lowest(futures[best].name, sure, tuple(trades))


def _trade(best: Future, other: Future, won: Draws) -> Trade:
    mine, theirs = best.cost, other.cost
    hours = mine.hours.value - theirs.hours.value if mine.hours and theirs.hours else None
    tokens = mine.tokens - theirs.tokens if mine.tokens is not None and theirs.tokens is not None else None
    return Trade(other.name, Estimate.of(won, other.loss.unit), hours, tokens)


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
