"""What a run says while it goes: one line that moves, nanoGPT's own lines, or nothing. Takes rows of the log.

The same rows are in ``log.jsonl``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ..devices import A100_BF16
from ..units import count
from .pace import spoken

Say = Callable[[str], None]
Row = Mapping[str, Any]


class Voice(Protocol):
    """Who tells people; ``left`` is in seconds, None where nobody can tell."""

    def note(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...
    def stepped(self, row: Row, left: float | None) -> None: ...
    def evaluated(self, row: Row, left: float | None) -> None: ...
    def close(self) -> None: ...


class Silent:
    """Says nothing but warnings, on standard error."""

    def note(self, text: str) -> None:
        del text

    def warn(self, text: str) -> None:
        sys.stderr.write(f"warning: {text}\n")

    def stepped(self, row: Row, left: float | None) -> None:
        del row, left

    def evaluated(self, row: Row, left: float | None) -> None:
        del row, left

    def close(self) -> None:
        pass


class NanoGPT(Silent):
    """train.py's own lines; its mfu is of an A100's bfloat16 peak, whatever the card, and its time that of one step.

    >>> voice = NanoGPT(print, flops_per_step=3e9)
    >>> voice.evaluated({"step": 250, "train_loss": 2.0481, "val_loss": 2.1}, None)
    step 250: train loss 2.0481, val loss 2.1000
    >>> voice.stepped({"step": 250, "batch_loss": 2.0512, "step_ms": 41.9}, None)
    iter 250: loss 2.0512, time 41.90ms, mfu 0.02%
    """

    def __init__(self, say: Say, flops_per_step: float = 0.0) -> None:
        self._say, self._flops = say, flops_per_step

    def note(self, text: str) -> None:
        self._say(text)

    def warn(self, text: str) -> None:
        self.note(f"warning: {text}")

    def stepped(self, row: Row, left: float | None) -> None:
        del left
        mfu = self._flops / (row["step_ms"] / 1e3) / A100_BF16
        self._say(
            f"iter {row['step']}: loss {row['batch_loss']:.4f}, time {row['step_ms']:.2f}ms, mfu {mfu:.2%}"
        )

    def evaluated(self, row: Row, left: float | None) -> None:
        del left
        train, val = row.get("train_loss", float("nan")), row.get("val_loss", float("nan"))
        self._say(f"step {row['step']}: train loss {train:.4f}, val loss {val:.4f}")


class Plain(Silent):
    """A line for each evaluation, for a file or a batch job.

    >>> voice = Plain(print, steps=2_000)
    >>> row = {"step": 250, "train_loss": 2.0481, "val_loss": 2.1, "val_loss_error": 0.0019, "tokens_per_second": 18_300.0}
    >>> voice.evaluated(row, 72.0)
    step 250 of 2,000  val 2.1000 ± 0.0019  train 2.0481  18.3k tokens/s  1 min 12 s left
    """

    def __init__(self, say: Say, steps: int) -> None:
        self._say, self.steps = say, steps

    def note(self, text: str) -> None:
        self._say(text)

    def warn(self, text: str) -> None:
        self.note(f"warning: {text}")

    def evaluated(self, row: Row, left: float | None) -> None:
        self._say(line(row, self.steps, left))


def line(row: Row, steps: int, left: float | None) -> str:
    """An evaluation, or a step, in one line."""
    told = [f"step {row['step']:,} of {steps:,}"]
    for name in ("val", "train", "seen", "fresh"):
        if (loss := row.get(f"{name}_loss")) is not None:
            error = row.get(f"{name}_loss_error") if name == "val" else None
            told.append(f"{name} {loss:.4f}" + (f" ± {error:.4f}" if error else ""))
    if (loss := row.get("batch_loss")) is not None:
        told.append(f"loss {loss:.4f}")
    if (speed := row.get("tokens_per_second")) is not None:
        told.append(f"{count(speed)} tokens/s")
    if left is not None and row["step"] < steps:
        told.append(f"{spoken(left)} left")
    return "  ".join(told)


class Moving(Plain):
    """A terminal: evaluations stay as lines, steps are one line that moves below them (rich)."""

    def __init__(self, say: Say, steps: int, console: Any) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        super().__init__(say, steps)
        self._progress = Progress(
            BarColumn(24), TextColumn("{task.description}"), console=console, transient=True
        )
        self._task = self._progress.add_task("", total=steps)
        self._progress.start()

    def note(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def stepped(self, row: Row, left: float | None) -> None:
        self._progress.update(self._task, completed=row["step"], description=line(row, self.steps, left))

    def evaluated(self, row: Row, left: float | None) -> None:
        self.note(line(row, self.steps, left))

    def close(self) -> None:
        self._progress.stop()


def voice_of(style: str, steps: int, stream: Any, flops_per_step: float = 0.0) -> Voice:
    """Who tells people, on ``stream``: rich's moving line only where it is a terminal."""

    def say(text: str) -> None:
        stream.write(text + "\n")
        stream.flush()

    if style == "none":
        return Silent()
    if style == "nanogpt":
        return NanoGPT(say, flops_per_step)
    if not stream.isatty():
        return Plain(say, steps)
    from rich.console import Console

    return Moving(say, steps, Console(file=stream))
