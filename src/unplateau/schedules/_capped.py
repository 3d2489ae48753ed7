"""A schedule that never passes a limit: what a run does whose schedule is made longer after it began to decay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Capped:
    """The learning rate of ``inner`` where it is below ``limit``, else that.

    >>> from .linear import Linear
    >>> lr = Capped(Linear(peak=1.0, floor=0.0, warmup=0, steps=1_000), limit=0.25)
    >>> lr(500), lr(750), lr(900)
    (0.25, 0.25, 0.1)
    """

    name: ClassVar[str] = "capped"
    inner: Callable[[int], float]
    limit: float

    @property
    def peak(self) -> float:
        """The peak of the whole run: what is measured against it was measured before the limit held."""
        return float(self.inner.peak)  # type: ignore[attr-defined]

    def __call__(self, step: int) -> float:
        return min(self.limit, self.inner(step))
