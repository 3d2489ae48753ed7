"""What ``train`` says before its first step and after its last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..run import Schedule
from ..shape import Shape
from ..train.pace import short, spoken
from ..train.preflight import Plan, times
from ..train.terminal import folded, with_error
from ..units import count, tokens_each
from .lines import Line, render

if TYPE_CHECKING:
    from ..train.loop import Result
    from ..train.rehearsal import Rehearsal

BARS = "▁▂▃▄▅▆▇█"
WIDE = 40  # characters of a spark line
GIB = 1 << 30
PART = "/"  # in the name of what is of one part of a mixture
LEAST_SAID = GIB / 10  # bytes; less memory than that, any machine has


def config_table(rows: Sequence[tuple[str, str, str]], notes: Sequence[str] = ()) -> str:
    """Name, value and origin of each setting, in columns.

    >>> print(config_table([("n_layer", "2", "--n_layer"), ("bias", "False", "default")]), end="")
    n_layer  2      --n_layer
    bias     False  default
    """
    wide = [max(len(row[i]) for row in rows) for i in range(2)]
    lines = [f"{name:{wide[0]}}  {value:{wide[1]}}  {origin}" for name, value, origin in rows]
    return "\n".join([*lines, *(f"note: {note}" for note in notes)]) + "\n"


def spark(schedule: Schedule, steps: int, wide: int = WIDE) -> str:
    """The learning rate from the first step to the last, as a line of bars.

    >>> from ..schedules.linear import Linear
    >>> spark(Linear(peak=1.0, floor=0.0, warmup=20, steps=100), 100, wide=10)
    '▁▅█▇▆▅▄▃▂▁'
    """
    if steps < 1:
        return ""
    at = [round(i * (steps - 1) / max(1, wide - 1)) for i in range(wide)]
    return "".join(BARS[min(7, round(7 * schedule(step) / schedule.peak))] for step in at)


def plan_text(plan: Plan, width: int = 80, *, colour: bool = False) -> str:
    """What the run will be, and what will hold its loss up."""
    lines = [
        Line("The run", "title"),
        *(Line(f"{name:10} {text}", indent=2, hang=13) for name, text in rows(plan)),
    ]
    if plan.warnings:
        lines += [Line(), Line("What will hold the loss up (unplateau causes NAME tells more)", "doubt")]
        lines += [Line(f"- {warning}", indent=2, hang=4) for warning in plan.warnings]
    return render(lines, width, colour=colour)


def rows(plan: Plan) -> list[tuple[str, str]]:
    """Name and sentence of each thing that was counted."""
    s = plan.settings
    told = [("data", f"{count(plan.train_tokens)} tokens of train, {count(plan.val_tokens)} of val")]
    told += [("unique", f"{count(plan.unique)} tokens ({plan.unique_from})")]
    length = f"{s.max_steps:,} steps of {s.tokens_per_step:,} tokens: {count(plan.tokens)}"
    told += [("length", f"{length}, {times(plan.passes)} passes")]
    if plan.first:
        left = max(0, s.max_steps - plan.first)
        more = "" if left or s.eval_only else "; a larger max_steps makes it longer"
        told += [("goes on", f"from step {plan.first:,}: {left:,} steps are left{more}")]
    if plan.shape is not None:
        told += [("model", f"{s.architecture}, {parameters(plan.shape)}")]
    if plan.tokens_per_param:
        which = " (without positions)" if plan.shape and plan.shape.params != plan.shape.params_total else ""
        told += [("", f"{tokens_each(plan.tokens_per_param)} tokens per parameter{which}")]
    if plan.memory is not None and plan.memory > LEAST_SAID:
        told += [
            ("memory", f"about {plan.memory / GIB:,.1f} GiB" + (f" of {plan.room}" if plan.room else ""))
        ]
    last = plan.schedule(max(0, s.max_steps - 1))
    ends = f"{s.schedule}, {s.warmup_steps:,} of warm-up, peak {s.peak_lr:g}, last {last:.2g}"
    return [*told, ("rate", ends), ("", spark(plan.schedule, s.max_steps))]


def parameters(shape: Shape) -> str:
    """How many there are; beside it what nanoGPT prints, where that is another number.

    >>> print(parameters(Shape(n_layer=6, n_embd=384, n_head=6, vocab_size=65, block_size=256)))
    10,745,088 parameters (10.65M without positions, as nanoGPT counts)
    """
    told = f"{shape.params_total:,} parameters"
    if shape.params == shape.params_total:
        return told
    return f"{told} ({shape.params / 1e6:.2f}M without positions, as nanoGPT counts)"


def time_text(found: Rehearsal, width: int = 80, *, colour: bool = False) -> str:
    """How long the run will take, by steps that were taken."""
    pieces = [f"{short(found.step)} a step on {found.device} in {found.dtype}"]
    pieces += [f"{short(found.evaluation)} an evaluation", f"{short(found.start)} to begin"]
    whole = f"about {spoken(found.whole)} to the end ({between(found.low, found.high)}, as busy as the machine is now)"
    lines = [("time", whole), ("", "; ".join(pieces))]
    return render((Line(f"{n:10} {text}", indent=2, hang=13) for n, text in lines), width, colour=colour)


def between(low: float, high: float) -> str:
    """Two times for people.

    >>> between(27, 40.2), between(50, 100)
    ('27 s to 40 s', '50 s to 1 min 40 s')
    """
    return f"{spoken(low)} to {spoken(high)}"


def end_text(result: Result, width: int | None = None) -> str:
    """How a run ended, each loss with its standard error, and what to ask next.

    >>> from pathlib import Path
    >>> from ..train.loop import Result
    >>> losses = {"val_loss": 1.6, "val_loss_error": 0.0019, "train_loss": 1.5}
    >>> print(end_text(Result(Path("out"), 2_000, losses, 83.0)), end="")
    2,000 steps in 1 min 23 s: val 1.6000 ±0.0019, train 1.5000
    Next: unplateau diagnose out
    """
    told = {
        name.removesuffix("_loss"): loss
        for name, loss in result.losses.items()
        if name.endswith("_loss") and PART not in name
    }
    losses = ", ".join(
        f"{name} {with_error(loss, result.losses.get(f'{name}_loss_error'))}" for name, loss in told.items()
    )
    ended = f"{result.step:,} steps in {spoken(result.seconds)}{': ' if losses else ''}{losses}"
    return f"{folded(ended, width)}\nNext: unplateau diagnose {result.folder}\n"
