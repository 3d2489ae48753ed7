"""Warmup, a stable part at the peak, then a decay to the floor over the last ``decay`` steps."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sqrt
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class WSD:
    """``form`` is the shape of the decay: linear, 1-sqrt (Hägele et al. 2024) or cosine.

    >>> lr = WSD(peak=1e-3, floor=0.0, warmup=10, decay=200, steps=1_000)
    >>> f"{lr(800):.2e} {lr(900):.2e} {lr(1_000):.2e}"
    '1.00e-03 5.00e-04 0.00e+00'
    >>> f"{WSD(1e-3, 0.0, 10, 200, 1_000, '1-sqrt')(900):.2e}"
    '2.93e-04'
    """

    name: ClassVar[str] = "wsd"
    peak: float
    floor: float
    warmup: int
    decay: int
    steps: int
    form: str = "linear"

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return self.peak * (step + 1) / (self.warmup + 1)
        if step >= self.steps:
            return self.floor
        start = max(self.warmup, self.steps - self.decay)
        if step <= start:
            return self.peak
        return self.floor + (self.peak - self.floor) * self._left((step - start) / (self.steps - start))

    def _left(self, done: float) -> float:
        if self.form == "1-sqrt":
            return 1 - sqrt(done)
        return 0.5 * (1 + cos(pi * done)) if self.form == "cosine" else 1 - done


SCHEDULE = WSD
