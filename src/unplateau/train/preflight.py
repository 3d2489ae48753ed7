"""What a run will be, counted before its first step, and what of it will plateau. Needs no torch.

Facts in, data out; ``report.train`` says it in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..devices import Card, find
from ..run import Schedule
from ..shape import Shape
from ..units import count
from .data import Corpus
from .rates import ENDLESS, schedule_of
from .settings import Settings

MANY_PASSES = 4.0  # epochs; up to 4 cost next to nothing (Muennighoff et al. 2023, section 6)
FEW_TOKENS = 2.0  # tokens a parameter; a tenth of what is optimal for its compute (Hoffmann et al. 2022)
SMALL_VAL = 100_000  # tokens; a fair sample that small tells the loss to about .01 nats (spread of a token about 3 nats)
SPREAD = 3.0  # nats; standard deviation of the loss of one token, roughly, of any model of text
STILL_HIGH = 0.15  # share of the peak; a run that ends above it has not collected what annealing releases
EARLY_END = 0.9  # share of the run; a decay that ends before it leaves steps at the floor
FILLS = 0.9  # of a card's memory that what is counted may fill; see ``cost.FILLS``
DROPS = 0.05  # of dropout that costs loss where nothing is seen twice
GIB = 1 << 30
CARDS = Path("/proc/driver/nvidia/gpus")  # where Linux's driver names its cards


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
    card: Card | None
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
        if self.shape is None:
            return None
        dtype = "float32" if self.settings.dtype == "auto" else self.settings.dtype
        return self.shape.memory(self.settings.batch_size, dtype)

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
            "card": self.card.name if self.card else None,
            "warnings": list(self.warnings),
        }
        return {name: value for name, value in told.items() if value is not None}


def preflight(settings: Settings, data: Sequence[tuple[Corpus, float]]) -> Plan:
    """Count the run of settled ``settings`` over ``data``, and say what will hold its loss up."""
    from dataclasses import replace

    corpora = [corpus for corpus, _ in data]
    unique = [_unique(corpus) for corpus in corpora]
    plan = Plan(
        settings,
        schedule_of(settings),
        sum(len(c.train) for c in corpora),
        sum(len(c.splits["val"]) for c in corpora if "val" in c.splits),
        sum(tokens for tokens, _ in unique),
        unique[0][1],
        Shape.of(shape_facts(settings)),
        None if settings.device == "cpu" else card(),
    )
    return replace(plan, warnings=tuple(warned(plan)))


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


def card() -> Card | None:
    """The card of this machine, by its driver's own word; None where there is none, or it is not known."""
    for told in sorted(CARDS.glob("*/information")) if CARDS.is_dir() else ():
        if (found := find(told.read_text(errors="replace"))) is not None:
            return found
    return None


# --- what will plateau


def warned(plan: Plan) -> Iterator[str]:
    """A sentence for each thing that will hold the loss up, or hide what it does."""
    yield from _data(plan)
    yield from _schedule(plan)
    yield from _machine(plan)


def _data(plan: Plan) -> Iterator[str]:
    if plan.passes > MANY_PASSES:
        yield f"{plan.passes:.1f} passes over {count(plan.unique)} unique tokens: what is repeated more than 4 times teaches less and less"
    elif plan.settings.dropout >= DROPS and plan.passes <= 1:
        yield f"dropout {plan.settings.dropout:g} costs loss where nothing is seen twice ({plan.passes:.2f} passes)"
    if not plan.val_tokens:
        yield "there is no val split: nothing will tell learning from memorising"
    elif plan.val_tokens < SMALL_VAL:
        error = SPREAD / plan.val_tokens**0.5
        yield f"val has {plan.val_tokens:,} tokens: its loss stands for other text to about ±{error:.3f} nats at best"
    per = plan.tokens_per_param
    if per is not None and plan.tokens and per < FEW_TOKENS:
        yield f"{per:.2g} tokens a parameter: a smaller model, or more steps, gets further with this compute (about 20 is best)"


def _schedule(plan: Plan) -> Iterator[str]:
    s, steps = plan.settings, plan.settings.max_steps
    if not steps:
        return
    last = plan.schedule(steps - 1) / plan.schedule.peak
    if s.warmup_steps >= steps:
        yield f"the warmup of {s.warmup_steps:,} steps is not over when the run ends, after {steps:,}"
    elif s.schedule in ENDLESS and last > STILL_HIGH:
        yield f"the schedule is {s.schedule}: the run ends at {last:.0%} of its peak, and what annealing releases is not collected"
    elif s.decay_end > steps and last > STILL_HIGH:
        yield f"the schedule ends after the run, at step {s.decay_end:,} of {steps:,}: the last rate is {last:.0%} of its peak"
    elif s.schedule not in ENDLESS and s.decay_end < EARLY_END * steps:
        yield f"the schedule ends at step {s.decay_end:,}: the last {steps - s.decay_end:,} steps go on at {s.floor_lr:.2g}"
    if s.floor_lr > s.peak_lr:
        yield f"floor_lr {s.floor_lr:g} is above peak_lr {s.peak_lr:g}: the rate rises to the end"


def _machine(plan: Plan) -> Iterator[str]:
    if plan.memory and plan.card and plan.card.memory and plan.memory > FILLS * plan.card.memory:
        yield (
            f"{plan.memory / GIB:.1f} GiB are needed, {plan.card.name} has {plan.card.gib}: "
            "take a smaller batch_size and as much more gradient_accumulation_steps"
        )
