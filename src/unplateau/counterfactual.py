"""The run that a user asks about: the same run with other settings, and from where it can start.

Three kinds: ``continue`` (as it is), ``branch`` (the same history up to the last logged step, so that it can
start from that checkpoint), ``fresh`` (something that already happened is changed: it starts at step 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from .asked import AS_PLANNED, Ask
from .derive import changed
from .errors import UsageError
from .run import Fact, Run, Schedule
from .schedules._branched import Branched
from .schedules.recorded import Recorded
from .state import REGIME, judged
from .units import count

Kind = Literal["continue", "branch", "fresh"]

FARTHEST = (
    64  # times the steps so far; the curves that laws were fitted on span 4 to 50 times their first third
)
#: times the parameters of the run; the size law was fitted on models that span a factor of about a thousand; assumed
LARGEST = 1000
DECAY = 0.2  # of the steps; a WSD's decay where none is given (Haegele et al. 2024 find 10 to 20 % enough)
RISE = 1.02  # a rate that is more than this above what the run would have had is raised, not kept
RATES = 64  # points at which two schedules are compared
SIZES = (
    *("n_layer", "n_embd", "n_head", "n_kv_head", "head_dim", "mlp_hidden", "vocab_size", "block_size"),
    *("architecture", "tied", "bias"),
)
BATCH = ("batch_size", "gradient_accumulation_steps", "world_size", "tokens_per_step")
SCHEDULED = ("schedule", "floor_lr", "decay_start", "decay_end", "decay_form", "warmup_steps", "peak_lr")
DATA = ("unique_tokens", "train_tokens")


@dataclass(frozen=True, slots=True)
class Variant:
    """A counterfactual run, the step it is judged at, and from where it starts."""

    name: str
    run: Run
    kind: Kind
    step: int
    patch: Mapping[str, tuple[Any, Any]]
    notes: tuple[str, ...] = ()
    start: int | None = (
        None  # the step of the checkpoint that it goes on from, where that is not the last logged
    )


def planned_step(run: Run) -> int:
    """The planned end; where none is planned, or it is past, twice the steps so far or the last step."""
    last, end = last_step(run), run.get("planned_end")
    return max(int(end), last) if end else 2 * last


def last_step(run: Run) -> int:
    return int(run.get("steps_done") or 0)


def as_planned(run: Run, at: int | None) -> Variant:
    """The run itself, at ``at`` or its planned end."""
    step, end, note = at or planned_step(run), run.get("planned_end"), ""
    if not end and at is None:
        note = f"no end is planned: taken at twice the steps so far{_rate_said(run)}"
    elif end and step > int(end):
        note = f"goes on past its planned end {int(end):,}{_rate_said(run, int(end))}"
    return Variant(AS_PLANNED, run, "continue", step, {}, (note,) if note else ())


def _rate_said(run: Run, step: int | None = None) -> str:
    if run.schedule is None:
        return ", under a learning rate that is not known"
    return f", at a rate of {run.schedule(step if step is not None else last_step(run)):.3g}"


def variant(run: Run, ask: Ask, at: int | None) -> Variant:
    """``run`` with what ``ask`` changes. Raises ``UsageError`` in one line for what can't be."""
    if run.has("step_unit"):
        _optimiser_steps(run, ask)
    settings, notes = _settings(run, ask)
    if "cooldown" in ask.settings:
        return _cooldown(run, ask, settings, notes)
    other = changed(run, settings)
    _valid(run, other, settings)
    step = _judged_at(other, ask, at)
    if step > FARTHEST * last_step(run):
        raise UsageError(_too_far(run, step))
    if not (patch := _patch(run, settings)) and ask.settings.get("init_from") != "scratch":
        return Variant(ask.name, run, "continue", step, {}, ("changes nothing: the run has that already",))
    other, kind, more = _start(run, other, ask, step)
    early = _before_the_log(run, step) if kind == "fresh" else ()
    return Variant(ask.name, other, kind, step, patch, (*notes, *more, *early))


def _judged_at(other: Run, ask: Ask, at: int | None) -> int:
    """The end that is asked for, also where the log is past it; else ``at``, or the planned end."""
    if {"horizon", "tokens", "max_steps"} & set(ask.settings) and (end := other.get("planned_end")):
        return int(end)
    return at or planned_step(other)


def _before_the_log(run: Run, step: int) -> tuple[str, ...]:
    """A doubt of a run so short that the laws, fitted to the losses of this one, saw none at its end."""
    _, curve = judged(run)
    logged = () if curve is None else curve.finite.step
    first = next((int(s) for s in logged if s > 0), 0)
    if step >= first * 2**REGIME:
        return ()
    return (f"undecided: ends before the losses of this log, of which the first is of step {first:,}",)


def _too_far(run: Run, step: int) -> str:
    last = last_step(run)
    return f"no law holds at step {step:.3g}, {step / max(1, last):.3g} times the steps so far; at most {FARTHEST} times ({FARTHEST * last:,})"


def check_step(run: Run, at: int | None) -> None:
    """Refuse an ``--at`` that no forecast can answer."""
    last = last_step(run)
    if at is not None and at < last:
        raise UsageError(f"--at {at:,} lies before the last logged step {last:,}: its loss is in the log")
    if at is not None and at > FARTHEST * last:
        raise UsageError(f"--at: {_too_far(run, at)}")


def _optimiser_steps(run: Run, ask: Ask) -> None:
    needs = {"cooldown", "horizon", "tokens", "max_steps", *SCHEDULED} & set(ask.settings)
    if needs:
        raise UsageError(f"{min(needs)} counts optimiser steps, and this log has {run.get('step_unit')} only")


def _patch(run: Run, settings: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {key: (run.get(key), new) for key, new in settings.items() if run.get(key) != new}


def _settings(run: Run, ask: Ask) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Shorthands in VOCABULARY's words, and what has to follow from a change: heads, decay."""
    told = {key: value for key, value in ask.settings.items() if key not in ("cooldown", "horizon", "tokens")}
    told.pop("init_from", None)
    end = _end(run, ask)
    if end is not None:
        told.setdefault("max_steps", end)
        if run.get("decay_end"):
            told.setdefault("decay_end", end)
    widened, notes = _widened(run, told)
    return _decayed(run, {**told, **widened}), notes


def _end(run: Run, ask: Ask) -> int | None:
    tokens = ask.settings.get("tokens")
    if tokens is None:
        horizon = ask.settings.get("horizon")
        return None if horizon is None else int(horizon)
    per_step = ask.settings.get("tokens_per_step") or run.get("tokens_per_step")
    if not per_step:
        raise UsageError("tokens per step are not known, so a horizon in tokens is not; give horizon=STEPS")
    return max(1, round(float(tokens) / float(per_step)))


def _decayed(run: Run, settings: dict[str, Any]) -> dict[str, Any]:
    """A WSD whose end moves keeps the length of its decay."""
    new_end = settings.get("decay_end") or settings.get("max_steps")
    old_end, start = run.get("decay_end") or run.get("planned_end"), run.get("decay_start")
    if settings.get("schedule", run.get("schedule")) != "wsd" or "decay_start" in settings:
        return settings
    if start is None:
        end = new_end or old_end
        return {**settings, "decay_start": round((1 - DECAY) * end)} if end else settings
    if not new_end or not old_end or new_end == old_end:
        return settings
    kept = new_end - (old_end - start)
    return {**settings, "decay_start": int(kept if kept > 0 else start * new_end / old_end)}


def _widened(run: Run, settings: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Heads and MLP of another width: heads stay as wide as they are, as far as they divide."""
    new, old, heads = settings.get("n_embd"), run.get("n_embd"), run.get("n_head")
    more: dict[str, Any] = {}
    if not new or not old or new == old:
        return more, ()
    if "n_head" not in settings and heads:
        more["n_head"] = _heads(new, old, heads, free=bool(run.get("head_dim")))
        kv = run.get("n_kv_head")
        if kv and "n_kv_head" not in settings and heads % kv == 0:
            group = heads // kv
            more["n_kv_head"] = more["n_head"] // group if more["n_head"] % group == 0 else more["n_head"]
    if run.get("mlp_hidden") and "mlp_hidden" not in settings:
        more["mlp_hidden"] = round(run.get("mlp_hidden") * new / old)
    wider = new > old
    note = "a wider model usually wants a lower peak rate, which no law prices" if wider else ""
    return more, (note,) if note else ()


def _heads(new: int, old: int, heads: int, *, free: bool) -> int:
    """The number of heads nearest to the old width of each that divides ``new``.

    >>> _heads(768, 384, 12, free=False), _heads(500, 384, 12, free=False)
    (24, 20)
    """
    wanted = max(1.0, heads * new / old)
    if free:
        return round(wanted)
    fit = [h for h in range(1, min(new, int(4 * wanted) + 1) + 1) if new % h == 0]
    return min(fit, key=lambda h: abs(h - wanted))


def _valid(run: Run, other: Run, settings: Mapping[str, Any]) -> None:
    width, heads = other.get("n_embd"), other.get("n_head")
    if width and heads and width % heads and not other.get("head_dim"):
        raise UsageError(f"n_head = {heads} does not divide n_embd = {width}")
    _in_reach(run, other, settings)
    asked = set(SCHEDULED) & set(settings)
    if not asked:
        return
    if other.schedule is None:
        named = other.get("schedule") or "the schedule"
        raise UsageError(
            f"{named} needs peak_lr, warmup_steps and an end to be known: give the trainer's config with --config, or set decay_end"
        )
    if other.schedule == run.schedule and other.schedule.name == "recorded":
        raise UsageError(
            f"{min(asked)} can't be changed in a schedule that is known from the log only: give the trainer's config with --config"
        )


def _in_reach(run: Run, other: Run, settings: Mapping[str, Any]) -> None:
    """Refuse values that no law holds at, however they are priced."""
    mine, theirs = (one.get("params_total", one.get("params")) for one in (run, other))
    if set(SIZES) & set(settings) and mine and theirs and not mine / LARGEST <= theirs <= mine * LARGEST:
        raise UsageError(
            f"no law holds for {count(theirs)} parameters where the run has {count(mine)}; at most {LARGEST:,} times "
            "more or fewer"
        )
    floor, peak = (
        settings.get("floor_lr"),
        other.get("peak_lr") or (run.schedule.peak if run.schedule else None),
    )
    if floor and peak and floor > peak:
        raise UsageError(f"a floor of {floor:.3g} lies above the peak {peak:.3g} of the learning rate")
    unique, step = settings.get("unique_tokens"), other.get("tokens_per_step")
    if unique and step and unique < step:
        raise UsageError(f"unique_tokens = {unique:,} is less than one step reads, {step:,} tokens")


def _start(run: Run, other: Run, ask: Ask, step: int) -> tuple[Run, Kind, tuple[str, ...]]:
    """From where ``other`` can start, its schedule with the history that it then has, and what is to be said."""
    wanted, last = ask.settings.get("init_from"), last_step(run)
    fresh = _must_be_fresh(run, other, ask)
    rise = _rise(run, other, step)
    if wanted == "resume" and (fresh or step <= last):
        raise UsageError(
            f"{ask.name}: can't start from the last checkpoint: {fresh or f'it ends before step {last:,}'}"
        )
    if wanted == "scratch" or fresh or step <= last or (rise and wanted != "resume"):
        why = fresh or (f"from the checkpoint its rate would rise: {rise}" if rise else "")
        why = why or (f"ends before the last logged step, {last:,}" if step < last else "")
        return other, "fresh", (why,) if why and wanted != "scratch" else ()
    note = (f"raises the rate again, {rise}: few curves that laws were fitted on do so",) if rise else ()
    if run.schedule is None or other.schedule is None or other.schedule == run.schedule:
        return other, "branch" if other is not run else "continue", note
    return replace(other, schedule=Branched(run.schedule, other.schedule, last)), "branch", note


def _must_be_fresh(run: Run, other: Run, ask: Ask) -> str:
    """Why ``other`` can't have the history of ``run``; empty where it can."""
    sizes = [key for key in SIZES if run.get(key) != other.get(key)]
    if sizes:
        return "a model of another shape has no checkpoint"
    if any(key in ask.settings for key in BATCH) and run.get("tokens_per_step") != other.get(
        "tokens_per_step"
    ):
        return "its batch differs from step 0 on"
    unique = min((run.get(key) for key in DATA if run.get(key)), default=None)
    if any(key in ask.settings for key in DATA) and (not unique or (run.get("tokens_seen") or 0) > unique):
        return "the last checkpoint has learnt repeated text already"
    return ""


def _rise(run: Run, other: Run, step: int) -> str:
    """The rise of the rate that going on under ``other`` would bring at once or later; empty where none."""
    last = last_step(run)
    if run.schedule is None or other.schedule is None or step <= last:
        return ""
    ahead = np.unique(np.linspace(last + 1, step, RATES).astype(int)).tolist()
    mine, theirs = (max(s(t) for t in ahead) for s in (run.schedule, other.schedule))
    now = run.schedule(last)
    return f"from {now:.3g} to {theirs:.3g}" if theirs > RISE * max(mine, now) else ""


def _cooldown(run: Run, ask: Ask, settings: dict[str, Any], notes: tuple[str, ...]) -> Variant:
    """The rate straight to its floor, zero where none is given, over the next steps from the last logged one on."""
    if extra := set(ask.settings) & {*SCHEDULED, *SIZES, "max_steps"} - {"floor_lr"}:
        raise UsageError(
            f"{ask.name}: a cooldown from the last checkpoint has {min(extra)} as the run has it"
        )
    steps, last = int(ask.settings["cooldown"]), last_step(run)
    if run.schedule is None:
        raise UsageError(
            f"{ask.name}: the learning rate is not known: give the trainer's config with --config"
        )
    if (rate := run.schedule(last)) <= 0:
        raise UsageError(f"{ask.name}: the learning rate is 0 already at step {last:,}: nothing to cool down")
    if (floor := float(settings.get("floor_lr", 0.0))) >= rate:
        raise UsageError(
            f"{ask.name}: a floor of {floor:.3g} is no cooldown: the learning rate is {rate:.3g} at step {last:,}"
        )
    if (end := last + steps) > FARTHEST * last:
        raise UsageError(_too_far(run, end))
    kept = {key: value for key, value in settings.items() if key != "floor_lr"}
    other = cooled(changed(run, kept) if kept else run, run.schedule, last, steps, (rate, floor))
    patch = {**_patch(run, settings), "cooldown": (None, steps)}
    fresh = _must_be_fresh(run, other, ask)
    if fresh:
        raise UsageError(f"{ask.name}: can't start from the last checkpoint: {fresh}")
    return Variant(ask.name, other, "branch", end, patch, notes)


def cooled(run: Run, before: Schedule, last: int, steps: int, rates: tuple[float, float]) -> Run:
    """``run`` with its rate straight from the first of ``rates`` to the second over ``steps`` after ``last``, where it ends.

    >>> from .schedules.constant import Constant
    >>> lr = cooled(Run("demo"), Constant(1e-3), 100, 50, (1e-3, 0.0)).schedule
    >>> lr(100), lr(125), lr(150)
    (0.001, 0.0005, 0.0)
    """
    down = Branched(before, Recorded((last, last + steps), rates), last)
    facts = {"max_steps": last + steps, "planned_end": last + steps, "floor_lr": rates[1]}
    told = {name: Fact(value, "", "changed") for name, value in facts.items()}
    return replace(run, schedule=down).with_facts(**told)
