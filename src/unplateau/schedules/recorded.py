"""The learning rate as it was logged: straight lines through the logged points."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Recorded:
    """For a run whose configuration is not known. Past its last point it stays where it was.

    Raises ``ValueError`` when there is no point, or when the steps do not rise.

    >>> lr = Recorded(at=(0, 100, 200), lr=(0.0, 1e-3, 5e-4))
    >>> f"{lr(50):.1e} {lr(150):.2e} {lr(9_999):.1e} {lr.peak:.1e}"
    '5.0e-04 7.50e-04 5.0e-04 1.0e-03'
    """

    name: ClassVar[str] = "recorded"
    at: tuple[int, ...]  # steps, rising
    lr: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.at or len(self.at) != len(self.lr):
            raise ValueError(f"{len(self.at)} steps for {len(self.lr)} learning rates")
        if any(b <= a for a, b in zip(self.at, self.at[1:], strict=False)):
            raise ValueError("steps must rise")

    @property
    def peak(self) -> float:
        return max(self.lr)

    @property
    def floor(self) -> float:
        return self.lr[-1]

    @property
    def steps(self) -> int:
        return self.at[-1]

    def __call__(self, step: int) -> float:
        i = bisect_right(self.at, step)
        if i == 0 or i == len(self.at):
            return self.lr[0 if i == 0 else -1]
        done = (step - self.at[i - 1]) / (self.at[i] - self.at[i - 1])
        # weighted, not added to: the result stays between its neighbours in floating point
        return self.lr[i - 1] * (1 - done) + self.lr[i] * done


SCHEDULE = Recorded
