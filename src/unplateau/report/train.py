"""What ``train`` says before its first step and after its last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..run import Schedule
from ..train.pace import spoken
from ..train.preflight import Plan
from ..train.terminal import folded, with_error
from ..units import count
from .lines import Line, render

if TYPE_CHECKING:
    from ..train.loop import Result
    from ..train.rehearsal import Rehearsal

BARS = "▁▂▃▄▅▆▇█"
WIDE = 40  # characters of a spark line
GIB = 1 << 30
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
        lines += [Line(), Line("What will hold the loss up", "doubt")]
        lines += [Line(f"- {warning}", indent=2, hang=4) for warning in plan.warnings]
    return render(lines, width, colour=colour)


def rows(plan: Plan) -> list[tuple[str, str]]:
    """Name and sentence of each thing that was counted."""
    s = plan.settings
    told = [("data", f"{count(plan.train_tokens)} tokens of train, {count(plan.val_tokens)} of val")]
    told += [("unique", f"{count(plan.unique)} tokens ({plan.unique_from})")]
    told += [
        (
            "length",
            f"{s.max_steps:,} steps of {s.tokens_per_step:,} tokens: {count(plan.tokens)}, {plan.passes:.2f} passes",
        )
    ]
    if plan.shape is not None:
        per = f"; {plan.tokens_per_param:.2g} tokens a parameter" if plan.tokens else ""
        told += [("model", f"{s.architecture}, {plan.shape.params:,} parameters{per}")]
    if plan.memory is not None and plan.memory > LEAST_SAID:
        of = f" of {plan.card.gib} ({plan.card.name})" if plan.card and plan.card.gib else ""
        told += [("memory", f"about {plan.memory / GIB:.1f} GiB{of}")]
    ends = f"{s.schedule}, {s.warmup_steps:,} of warmup, peak {s.peak_lr:g}, last {plan.schedule(max(0, s.max_steps - 1)):.2g}"
    return [*told, ("rate", ends), ("", spark(plan.schedule, s.max_steps))]


def time_text(found: Rehearsal) -> str:
    """How long the run will take, by steps that were taken."""
    text = (
        f"a step takes {found.step * 1e3:.3g} ms on {found.device} in {found.dtype}: "
        f"about {spoken(found.whole)} to the end, evaluations included"
    )
    return render([Line(f"{'time':10} {text}", indent=2, hang=13)])


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
        name.removesuffix("_loss"): loss for name, loss in result.losses.items() if name.endswith("_loss")
    }
    losses = ", ".join(
        f"{name} {with_error(loss, result.losses.get(f'{name}_loss_error'))}" for name, loss in told.items()
    )
    ended = f"{result.step:,} steps in {spoken(result.seconds)}{': ' if losses else ''}{losses}"
    return f"{folded(ended, width)}\nNext: unplateau diagnose {result.folder}\n"
