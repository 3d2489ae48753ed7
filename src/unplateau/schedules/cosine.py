"""Linear warmup, then half a cosine from the peak to the floor."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Cosine:
    """The schedule of nanoGPT's train.py.

    >>> lr = Cosine(peak=1e-3, floor=1e-4, warmup=500, steps=20_000)
    >>> f"{lr(500):.2e} {lr(14_500):.2e} {lr(20_000):.2e}"
    '1.00e-03 2.65e-04 1.00e-04'
    """

    name: ClassVar[str] = "cosine"
    peak: float
    floor: float
    warmup: int
    steps: int

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return self.peak * (step + 1) / (self.warmup + 1)
        if step >= self.steps:
            return self.floor
        done = (step - self.warmup) / (self.steps - self.warmup)
        return self.floor + (self.peak - self.floor) * 0.5 * (1 + cos(pi * done))


SCHEDULE = Cosine
