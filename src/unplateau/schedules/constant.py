"""Linear warmup, then the peak for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Constant:
    """nanoGPT with ``decay_lr = False`` has this with no warmup.

    >>> lr = Constant(peak=1e-3, warmup=9)
    >>> f"{lr(0):.1e} {lr(9):.1e} {lr(10**6):.1e}"
    '1.0e-04 1.0e-03 1.0e-03'
    """

    name: ClassVar[str] = "constant"
    peak: float
    warmup: int = 0

    def __call__(self, step: int) -> float:
        return self.peak * min(1.0, (step + 1) / (self.warmup + 1))


SCHEDULE = Constant
