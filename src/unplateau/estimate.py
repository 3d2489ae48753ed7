"""A number that never travels without its interval and its unit."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, isfinite, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

QUANTILES = (0.05, 0.95)  # the ends of a 90 % interval
Z90 = 1.645  # standard errors to either end of one, of a normal distribution


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with a 90 % interval.

    Raises ``ValueError`` when the interval does not hold the value or is not finite.

    >>> gain = Estimate(0.0812, 0.05, 0.12, "nats")
    >>> print(gain)
    0.08 nats (0.05 to 0.12)
    >>> gain.excludes(0.0)
    True
    >>> print(Estimate(0.016, -0.00003, 0.03, "nats"))
    0.016 nats (0.000 to 0.030)
    """

    value: float
    low: float
    high: float
    unit: str

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high or not isfinite(self.high - self.low):
            raise ValueError(f"interval {self.low}..{self.high} does not hold {self.value}")

    @classmethod
    def of(cls, draws: ArrayLike, unit: str) -> Estimate:
        """Mean and 90 % interval of equally likely ``draws``: means of sums are sums of means.

        >>> print(Estimate.of([1.0, 2.0, 3.0], "nats"))
        2.0 nats (1.1 to 2.9)
        """
        import numpy as np

        values = np.asarray(draws, dtype=np.float64)
        low, high = np.quantile(values, QUANTILES)
        value = float(values.mean())
        return cls(value, min(float(low), value), max(float(high), value), unit)

    @property
    def sd(self) -> float:
        """The standard error that the interval stands for, as a normal one.

        >>> round(Estimate(0.0, -1.645, 1.645, "nats").sd, 3)
        1.0
        """
        return (self.high - self.low) / (2 * Z90)

    def __str__(self) -> str:
        places = self.places
        low, value, high = (
            f"{round(x, places) + 0.0:,.{places}f}" for x in (self.low, self.value, self.high)
        )
        return f"{value} {self.unit} ({low} to {high})"

    @property
    def places(self) -> int:
        """Decimals worth printing: one more than the first digit of the half width, at most six."""
        half = (self.high - self.low) / 2
        if half <= 0:
            return 4
        first = -floor(log10(half))  # the decimal that the error's first digit stands in
        return max(0, min(6, first + (1 if half * 10**first < 3 else 0)))

    def excludes(self, x: float) -> bool:
        """True when ``x`` lies outside the interval."""
        return x < self.low or x > self.high

    def as_dict(self) -> dict[str, float | str]:
        """EST of CONTRACT.md."""
        return {"value": self.value, "low": self.low, "high": self.high, "unit": self.unit}
