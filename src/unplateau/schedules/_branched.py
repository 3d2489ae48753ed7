"""One schedule until a step, another after it: what a run does that goes on from a checkpoint with other settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Branched:
    """The learning rate of ``before`` up to step ``branch`` inclusive, and of ``after`` from there on.

    >>> from .constant import Constant
    >>> lr = Branched(Constant(1e-3), Constant(1e-4), branch=100)
    >>> lr(100), lr(101), lr.peak
    (0.001, 0.0001, 0.001)
    """

    name: ClassVar[str] = "branched"
    before: Callable[[int], float]
    after: Callable[[int], float]
    branch: int  # the last step of the first

    @property
    def peak(self) -> float:
        """The highest rate of the run so far: what is measured against it was measured on that part."""
        return float(self.before.peak)  # type: ignore[attr-defined]

    def __call__(self, step: int) -> float:
        return self.before(step) if step <= self.branch else self.after(step)
