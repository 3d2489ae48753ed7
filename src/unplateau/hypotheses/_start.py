"""What the first losses tell: a fresh model guesses evenly, so its loss is ln(vocabulary), whatever the data."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, log

import numpy as np

from ..curve import Curve
from ..run import LOSSES, Run

FRESH = 1  # steps; trainers that count from one log the loss before the first update as step 1
HUGE = 1e9  # no loss in any unit is as large; keeps sums of damaged numbers finite
INIT = 0.3  # nats above or below ln V that initialisations give; GPT-2's gives +.05 to +.15


@dataclass(frozen=True, slots=True)
class Start:
    """The loss before any update, and what an even guess would give."""

    series: str
    step: int
    loss: float
    even: float  # ln(vocab_size), nats
    vocab_size: int

    @property
    def ratio(self) -> float:
        return self.loss / self.even

    @property
    def above(self) -> float:
        return self.loss - self.even

    def __str__(self) -> str:
        return f"the loss at step {self.step} is {self.loss:.3f}; ln({self.vocab_size:,}) is {self.even:.3f}"


def start_of(run: Run) -> Start | None:
    """The first loss against ln(vocab_size); None where either is not known, or the log begins later.

    >>> from unplateau.run import Fact
    >>> start = start_of(Run("demo", series={"val_loss": Curve([0, 9], [10.87, 9.0])}, facts={"vocab_size": Fact(50304)}))
    >>> f"{start.above:.3f}", start.series
    ('0.044', 'val_loss')
    """
    vocab = vocabulary(run)
    seen = first_loss(run)
    if vocab is None or seen is None:
        return None
    name, step, loss = seen
    return Start(name, step, loss, log(vocab), vocab)


def vocabulary(run: Run) -> int | None:
    """The vocabulary's size where it is a number that a vocabulary can have."""
    vocab = run.get("vocab_size")
    return int(vocab) if isinstance(vocab, int | float) and isfinite(vocab) and vocab >= 2 else None


def first_loss(run: Run) -> tuple[str, int, float] | None:
    """Name, step and value of the first finite loss before any update, evaluated ones first."""
    for name in ("val_loss", "train_loss", "batch_loss"):
        curve = tamed(run, name)
        if curve is not None and curve.step[0] <= FRESH:
            return name, int(curve.step[0]), curve.first
    return None


def tamed(run: Run, name: str) -> Curve | None:
    """The finite part of a series, without numbers that only damage can have made; None where empty."""
    curve = run.series.get(name)
    if curve is None or not len(curve := curve.finite):
        return None
    keep = np.abs(curve.value) < HUGE
    curve = Curve(curve.step[keep], curve.value[keep], curve.unit)
    return curve if len(curve) else None


def trained(run: Run) -> tuple[str, Curve] | None:
    """The longest of the losses that training itself makes: batch, else train, else val."""
    found = [(n, c) for n in reversed(LOSSES) if (c := tamed(run, n)) is not None]
    return max(found, key=lambda item: len(item[1]), default=None)


def scratch(run: Run) -> bool | None:
    """True from random weights, False from a checkpoint, None where it is not known."""
    told = run.get("init_from")
    return None if told is None else str(told) == "scratch"


def losses(run: Run) -> list[tuple[str, Curve]]:
    """The losses as logged, non-finite points included."""
    return [(n, run.series[n]) for n in LOSSES if n in run.series and len(run.series[n])]


def resumes(run: Run) -> list[int]:
    """The steps at which the log shows a resume, rising."""
    found: set[int] = set()
    for name in ("resumed_after", "resumed_at"):
        told = run.get(name) or []
        found.update(int(s) for s in (told if isinstance(told, list | tuple) else [told]))
    return sorted(found)


def reach(run: Run) -> str:
    """The steps that the log covers, in words."""
    steps = [s for _, c in losses(run) for s in (int(c.step[0]), int(c.step[-1]))]
    return f"steps {min(steps):,} to {max(steps):,}"
