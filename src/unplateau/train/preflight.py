"""What a run will be, counted before its first step, and what of it will plateau. Needs no torch.

Facts in, data out; ``report.train`` says it in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import UsageError
from ..run import Schedule
from ..shape import Shape
from ..units import count, tokens_each
from .checkpoints import last_told
from .data import Corpus
from .rates import ENDLESS, going_on, schedule_of
from .room import MACHINE, Room, room_of
from .settings import Settings
from .start import Start

MANY_PASSES = 4.0  # epochs; up to 4 cost next to nothing (Muennighoff et al. 2023, section 6)
FEW_TOKENS, OPTIMAL = 2.0, 20.0  # tokens per parameter; 20 are compute-optimal (Hoffmann et al. 2022)
SMALL_VAL = 100_000  # tokens; a fair sample that small tells the loss to about .01 nats (spread of a token about 3 nats)
SPREAD = 3.0  # nats; standard deviation of the loss of one token, roughly, of any model of text
STILL_HIGH = 0.2  # share of the peak; a run that ends above it has not collected what annealing releases
SPENT, WASTED = (
    0.02,
    0.2,
)  # share of the peak below which nothing moves, of the run that it is so (cause lr-exhausted)
DROPS = 0.05  # of dropout that costs loss where nothing is seen twice
#: on a CPU, times what ``Shape.memory`` counts, which leaves out what the allocator loses: 1.75, 1.81 and 1.97 measured
#: with models of 7M, 6M and 26M parameters (torch 2.13, most ever held less what torch itself holds)
ALLOCATOR = 1.8
SURELY, CLOSE = 0.5, 0.9  # of what is counted, that is needed at least; of what there is, that it may fill
GIB = 1 << 30
SCRATCH = Start("scratch")


@dataclass(frozen=True, slots=True)
class Plan:
    """The run to come. ``unique``: tokens of train after deduplication, and ``unique_from`` who counted them."""

    settings: Settings
    schedule: Schedule
    train_tokens: int
    val_tokens: int
    unique: int
    unique_from: str
    shape: Shape | None
    room: Room | None
    first: int = 0  # steps that were taken before
    warnings: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """Seen by the end of the run."""
        return self.settings.max_steps * self.settings.tokens_per_step

    @property
    def passes(self) -> float:
        return self.tokens / max(1, self.unique)

    @property
    def tokens_per_param(self) -> float | None:
        return self.tokens / self.shape.params if self.shape else None

    @property
    def memory(self) -> float | None:
        """Bytes to train with one micro-batch."""
        return self.memory_with(self.settings.batch_size)

    def memory_with(self, batch_size: int) -> float | None:
        """Bytes to train with micro-batches of that size."""
        if self.shape is None:
            return None
        s = self.settings
        lost = ALLOCATOR if self.room is not None and self.room.name == MACHINE else 1.0
        return lost * self.shape.memory(batch_size, "float32" if s.dtype == "auto" else s.dtype)

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``: what is not known is absent."""
        told = {
            "settings": asdict(self.settings),
            "steps": self.settings.max_steps,
            "tokens_per_step": self.settings.tokens_per_step,
            "tokens": self.tokens,
            "train_tokens": self.train_tokens,
            "val_tokens": self.val_tokens,
            "unique_tokens": self.unique,
            "passes": self.passes,
            "params": self.shape.params if self.shape else None,
            "params_total": self.shape.params_total if self.shape else None,
            "tokens_per_param": self.tokens_per_param,
            "flops": self.shape.flops_per_token * self.tokens if self.shape else None,
            "memory_needed": self.memory,
            "memory_available": self.room.size if self.room else None,
            "card": self.room.name if self.room and self.room.name != MACHINE else None,
            "warnings": list(self.warnings),
        }
        return {name: value for name, value in told.items() if value is not None}


def preflight(settings: Settings, data: Sequence[tuple[Corpus, float]], start: Start = SCRATCH) -> Plan:
    """Count the run of settled ``settings`` over ``data``, and say what will hold its loss up.

    Raises ``UsageError`` where it would learn nothing, can't be held in memory, or is a branch with no step to take.
    """
    corpora = [corpus for corpus, _ in data]
    unique = [_unique(corpus) for corpus in corpora]
    first, schedule = _from(settings, start)
    plan = Plan(
        settings,
        schedule,
        sum(len(c.train) for c in corpora),
        sum(len(c.splits["val"]) for c in corpora if "val" in c.splits),
        sum(tokens for tokens, _ in unique),
        unique[0][1],
        Shape.of(shape_facts(settings)),
        room_of(settings.device),
        first,
    )
    refuse_too_large(plan)
    refuse_none_left(plan)
    return replace(plan, warnings=tuple(warned(plan, corpora)))


def _from(settings: Settings, start: Start) -> tuple[int, Schedule]:
    """The step that a run goes on from, and its schedule."""
    if start.kind != "own":
        return 0, schedule_of(settings)
    place, told = last_told(start.path)
    step = int(place.name)
    return step, going_on(told.get("settings", {}), settings, step, told.get("lr"))


def _unique(corpus: Corpus) -> tuple[int, str]:
    manifest: Mapping[str, Any] = corpus.manifest or {}
    splits = manifest.get("splits")
    train = splits.get("train") if isinstance(splits, dict) else None
    told = manifest.get("unique_tokens") or (train.get("unique_tokens") if isinstance(train, dict) else None)
    if isinstance(told, int) and 0 < told <= len(corpus.train):
        return told, "manifest.json"
    return len(corpus.train), "as long as the file: copies were not looked for"


def shape_facts(settings: Settings) -> dict[str, Any]:
    """The settings that a shape is counted from, without those that leave it to the architecture."""
    return {name: value for name, value in asdict(settings).items() if value != 0 or isinstance(value, bool)}


# --- what can't be, and what will plateau


def refuse_too_large(plan: Plan) -> None:
    """Raise ``UsageError`` where a run surely needs more memory than there is."""
    if plan.memory is None or plan.room is None or SURELY * plan.memory <= plan.room.size:
        return
    raise UsageError(
        f"the run needs about {plan.memory / GIB:,.0f} GiB of memory; there are {plan.room}: {_smaller(plan, plan.room)}"
    )


def refuse_none_left(plan: Plan) -> None:
    """Raise ``UsageError`` where a branch would take no step, or a run's end lies behind it; it may be at its end."""
    s = plan.settings
    if s.init_from == "resume" and s.max_steps < plan.first and not (s.eval_only or s.inspect):
        raise UsageError(
            f"the run has reached step {plan.first:,}, and max_steps is {s.max_steps:,}: give a larger --max_steps, or go "
            "on from an earlier checkpoint in another --out_dir"
        )
    if plan.first < max(1, s.max_steps) or s.init_from == "resume" or s.eval_only or s.inspect:
        return
    raise UsageError(
        f"the checkpoint is of step {plan.first:,}, and max_steps is {s.max_steps:,}: no step is left; "
        "give a larger --max_steps, or an earlier checkpoint"
    )


def _smaller(plan: Plan, room: Room) -> str:
    """What to lower so that a run fits."""
    s, size = plan.settings, plan.settings.batch_size
    while size > 1 and (plan.memory_with(size) or 0.0) > CLOSE * room.size:
        size //= 2
    if (plan.memory_with(size) or 0.0) > CLOSE * room.size:
        return "lower n_layer, n_embd, vocab_size or block_size"
    parts = -(-s.batch_size * s.gradient_accumulation_steps // size)
    return f"take --batch_size={size} with --gradient_accumulation_steps={parts}"


def warned(plan: Plan, corpora: Sequence[Corpus] = ()) -> Iterator[str]:
    """A sentence for each thing that will hold the loss up, or hide what it does; where it is one, the cause first."""
    yield from _data(plan)
    yield from _val(plan, corpora)
    yield from _schedule(plan)
    if plan.memory and plan.room and plan.memory > CLOSE * plan.room.size:
        about = f"about {plan.memory / GIB:,.1f} GiB of memory are needed; there are {plan.room}"
        yield f"{about}: if it does not fit, {_smaller(plan, plan.room)}"


def _data(plan: Plan) -> Iterator[str]:
    passes, per = times(plan.passes), plan.tokens_per_param
    if plan.passes > MANY_PASSES:
        seen = f"{count(plan.tokens)} tokens of {count(plan.unique)} unique ones"
        yield f"repetition: {seen}, {passes} passes; up to {MANY_PASSES:.0f} cost next to nothing"
    elif plan.settings.dropout >= DROPS and plan.passes <= 1:
        yield f"over-regularised: dropout is {plan.settings.dropout:g}, and nothing is seen twice ({passes} passes)"
    if per is not None and plan.tokens and per < FEW_TOKENS:
        more = "" if plan.passes > MANY_PASSES else ", or more steps,"
        advice = f"a smaller model{more} gets further with this compute"
        yield f"still-learning: {tokens_each(per)} tokens per parameter; {OPTIMAL:.0f} are compute-optimal: {advice}"


def _val(plan: Plan, corpora: Sequence[Corpus]) -> Iterator[str]:
    if not plan.val_tokens:
        yield "there is no val split: nothing will tell learning from memorising"
    elif plan.val_tokens < SMALL_VAL:
        told = (corpora[0].manifest or {}).get("val_error") if len(corpora) == 1 else None
        error = told if isinstance(told, float) and told > 0 else SPREAD / plan.val_tokens**0.5
        moved = f"another draw of its documents would move its loss by about {error:.3f} nats"
        yield f"val has {plan.val_tokens:,} tokens: {moved}"


def _schedule(plan: Plan) -> Iterator[str]:
    s, steps = plan.settings, plan.settings.max_steps
    if not steps:
        return
    last = plan.schedule(steps - 1) / plan.schedule.peak
    if s.warmup_steps >= steps:
        yield f"the warm-up has {s.warmup_steps:,} steps, the run {steps:,}: the rate never reaches its peak"
    elif s.floor_lr > s.peak_lr:
        yield f"floor_lr {s.floor_lr:g} is above peak_lr {s.peak_lr:g}: the rate rises to the end"
    elif last >= STILL_HIGH:
        ends = "" if s.schedule in ENDLESS or s.decay_end <= steps else f", made for {s.decay_end:,} steps"
        now = f"at the last step the learning rate is {last:.0%} of its peak"
        yield f"lr-not-annealed: {now} (schedule {s.schedule}{ends})"
    elif steps - (spent := _spent(plan)) >= WASTED * steps:
        wasted = f"below {SPENT:.0%} of its peak from step {spent:,} on"
        yield f"lr-exhausted: the learning rate is {wasted}, {(steps - spent) / steps:.0%} of the run"


def _spent(plan: Plan) -> int:
    """The first step after the warm-up from which on the rate is below ``SPENT`` of its peak."""
    low, high = plan.settings.warmup_steps, plan.settings.max_steps
    while low < high:  # the rate falls from there on
        middle = (low + high) // 2
        low, high = (
            (low, middle) if plan.schedule(middle) < SPENT * plan.schedule.peak else (middle + 1, high)
        )
    return low


def times(passes: float) -> str:
    """A number of passes, three digits.

    >>> times(0.4389), times(23.35), times(1234.0)
    ('0.439', '23.4', '1,234')
    """
    return f"{passes:.3g}" if passes < 100 else f"{passes:,.0f}"
