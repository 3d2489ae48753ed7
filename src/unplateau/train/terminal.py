"""What a run says while it goes: one line that moves, nanoGPT's own lines, or nothing. Takes rows of the log.

The same rows are in ``log.jsonl``.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from shutil import get_terminal_size
from typing import Any, Protocol

from ..devices import A100_BF16
from ..units import count
from .pace import spoken

WIDTH = 80  # columns of a terminal; wider text is harder to read
BAR = 12  # columns of the bar beside the line that moves
SPLITS = ("val", "train", "seen", "fresh")
SETTLED = 5  # steps of a process before train.py tells an mfu
KEPT, UNKNOWN = (
    0.9,
    -1.0,
)  # of train.py's running mean of it: what is kept at each telling, and its value before
LEAST = 1e-4  # nats; a smaller error is told as this, the last digit of a loss

Say = Callable[[str], None]
Row = Mapping[str, Any]


class Voice(Protocol):
    """Who tells people; ``left`` is in seconds, None where nobody can tell."""

    def head(self, lines: Sequence[str]) -> None: ...
    def note(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...
    def stepped(self, row: Row, left: float | None) -> None: ...
    def evaluated(self, row: Row, left: float | None) -> None: ...
    def saved(self, place: str) -> None: ...
    def close(self) -> None: ...


class Silent:
    """Says nothing but warnings, on standard error."""

    def head(self, lines: Sequence[str]) -> None:
        del lines

    def note(self, text: str) -> None:
        del text

    def warn(self, text: str) -> None:
        sys.stderr.write(f"warning: {text}\n")

    def stepped(self, row: Row, left: float | None) -> None:
        del row, left

    def evaluated(self, row: Row, left: float | None) -> None:
        del row, left

    def saved(self, place: str) -> None:
        del place

    def close(self) -> None:
        pass


def folded(text: str, width: int | None) -> str:
    r"""Text for people in rows of ``width``, a word never cut; as it is where that is None.

    >>> folded("kernels: sdpa attention, not compiled", 26)
    'kernels: sdpa attention,\n  not compiled'
    """
    if width is None:
        return text
    return textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


class NanoGPT(Silent):
    """train.py's own lines; its mfu is of an A100's bfloat16 peak, whatever the card, and its time that of one step.

    As there, mfu is a running mean that begins after some steps of this process, and is -100% until then.

    >>> voice = NanoGPT(print, flops_per_step=3e9)
    >>> voice.evaluated({"step": 250, "train_loss": 2.0481, "val_loss": 2.1}, None)
    step 250: train loss 2.0481, val loss 2.1000
    >>> voice.stepped({"step": 250, "batch_loss": 2.0512, "step_ms": 41.9}, None)
    iter 250: loss 2.0512, time 41.90ms, mfu -100.00%
    >>> voice.stepped({"step": 260, "batch_loss": 2.0477, "step_ms": 41.9}, None)
    iter 260: loss 2.0477, time 41.90ms, mfu 0.02%
    """

    def __init__(self, say: Say, flops_per_step: float = 0.0, width: int | None = None) -> None:
        self._say, self._flops, self._width = say, flops_per_step, width
        self._first: int | None = None
        self._mfu = UNKNOWN

    def head(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._say(line)

    def saved(self, place: str) -> None:
        self._say(f"saving checkpoint to {place}")

    def note(self, text: str) -> None:
        self._say(folded(text, self._width))

    def warn(self, text: str) -> None:
        self.note(f"warning: {text}")

    def stepped(self, row: Row, left: float | None) -> None:
        del left
        self._first = row["step"] if self._first is None else self._first
        if row["step"] - self._first >= SETTLED:
            mfu = self._flops / (row["step_ms"] / 1e3) / A100_BF16
            self._mfu = mfu if self._mfu == UNKNOWN else KEPT * self._mfu + (1 - KEPT) * mfu
        self._say(
            f"iter {row['step']}: loss {row['batch_loss']:.4f}, time {row['step_ms']:.2f}ms, mfu {self._mfu:.2%}"
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
    step 250 of 2,000  val 2.1000 ±0.0019  train 2.0481  1 min 12 s left  18.3k tokens/s
    """

    def __init__(self, say: Say, steps: int) -> None:
        self._say, self.steps = say, steps

    def note(self, text: str) -> None:
        self._say(text)

    def warn(self, text: str) -> None:
        self.note(f"warning: {text}")

    def evaluated(self, row: Row, left: float | None) -> None:
        self._say("  ".join(told(row, self.steps, left)))


def told(row: Row, steps: int, left: float | None) -> list[str]:
    """An evaluation, or a step, in short pieces; what is asked for first stands first."""
    pieces = [f"step {row['step']:,} of {steps:,}"]
    losses = [(name, row.get(f"{name}_loss"), row.get(f"{name}_loss_error")) for name in SPLITS]
    pieces += [f"{name} {with_error(loss, error)}" for name, loss, error in losses if loss is not None]
    if (loss := row.get("batch_loss")) is not None:
        pieces.append(f"loss {loss:.4f}")
    if left is not None and row["step"] < steps:
        pieces.append(f"{spoken(left)} left")
    if (speed := row.get("tokens_per_second")) is not None:
        pieces.append(f"{count(speed)} tokens/s")
    return pieces


def with_error(loss: float, error: float | None) -> str:
    """A loss with its standard error, where it has one: nothing is estimated of a split that is read whole.

    >>> with_error(2.1, 0.0019), with_error(2.1, 0.0), with_error(2.1, None), with_error(2.1, 2e-6)
    ('2.1000 ±0.0019', '2.1000', '2.1000', '2.1000 ±0.0001')
    """
    known = error is not None and isfinite(error) and error > 0
    return f"{loss:.4f}" + (f" ±{max(error, LEAST):.4f}" if known and error is not None else "")


def in_rows(pieces: Sequence[str], width: int) -> str:
    r"""Pieces in as many rows as they need; those below the first stand under its second piece.

    >>> in_rows(["step 250 of 2,000", "val 2.1000 ±0.0019", "train 2.0481 ±0.0025"], 40)
    'step 250 of 2,000  val 2.1000 ±0.0019\n                   train 2.0481 ±0.0025'
    """
    rows, hang = [pieces[0]], " " * len(pieces[0])
    for piece in pieces[1:]:
        if len(rows[-1]) + 2 + len(piece) > width:
            rows.append(hang)
        rows[-1] += f"  {piece}"
    return "\n".join(rows)


class Moving(Plain):
    """A terminal: evaluations stay as lines, steps are one line that moves below them (rich)."""

    def __init__(self, say: Say, steps: int, console: Any, width: int = WIDTH) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        super().__init__(say, steps)
        self._width = width
        self._progress = Progress(
            BarColumn(BAR), TextColumn("{task.description}"), console=console, transient=True
        )
        self._task = self._progress.add_task("", total=steps)
        self._progress.start()

    def note(self, text: str) -> None:
        self._print(folded(text, self._width))

    def _print(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def stepped(self, row: Row, left: float | None) -> None:
        one = in_rows(told(row, self.steps, left), self._width - BAR - 1).partition("\n")[0]
        self._progress.update(self._task, completed=row["step"], description=one)

    def evaluated(self, row: Row, left: float | None) -> None:
        self._print(in_rows(told(row, self.steps, left), self._width))

    def close(self) -> None:
        self._progress.stop()


def voice_of(style: str, steps: int, stream: Any, flops_per_step: float = 0.0) -> Voice:
    """Who tells people, on ``stream``: rich's moving line, and lines of 80 columns, only where it is a terminal."""

    def say(text: str) -> None:
        stream.write(text + "\n")
        stream.flush()

    width = min(WIDTH, get_terminal_size().columns) if stream.isatty() else None
    if style == "none":
        return Silent()
    if style == "nanogpt":
        return NanoGPT(say, flops_per_step, width)
    if width is None:
        return Plain(say, steps)
    from rich.console import Console

    return Moving(say, steps, Console(file=stream), width)
