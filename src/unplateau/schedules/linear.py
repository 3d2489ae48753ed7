"""Linear warmup, then a straight line from the peak to the floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Linear:
    """The default of Hugging Face's Trainer, whose floor is 0.

    >>> lr = Linear(peak=1e-3, floor=0.0, warmup=100, steps=1_100)
    >>> f"{lr(100):.2e} {lr(600):.2e} {lr(1_100):.2e}"
    '1.00e-03 5.00e-04 0.00e+00'
    """

    name: ClassVar[str] = "linear"
    peak: float
    floor: float
    warmup: int
    steps: int

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return self.peak * (step + 1) / (self.warmup + 1)
        if step >= self.steps:
            return self.floor
        left = (self.steps - step) / (self.steps - self.warmup)
        return self.floor + (self.peak - self.floor) * left


SCHEDULE = Linear
