"""Linear warmup, then the peak times the square root of warmup / step; it has no end and no floor."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class InverseSqrt:
    """The schedule of Vaswani et al. 2017, of fairseq and of T5.

    >>> lr = InverseSqrt(peak=1e-3, warmup=100)
    >>> f"{lr(100):.1e} {lr(400):.1e} {lr(10_000):.1e}"
    '1.0e-03 5.0e-04 1.0e-04'
    """

    name: ClassVar[str] = "inverse_sqrt"
    peak: float
    warmup: int = 0

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return self.peak * (step + 1) / (self.warmup + 1)
        scale = max(1, self.warmup)
        return self.peak * sqrt(scale / max(scale, step))


SCHEDULE = InverseSqrt
