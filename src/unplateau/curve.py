"""A series of one quantity against the optimiser step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Steps = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Values at optimiser steps, strictly rising; non-finite values are kept.

    ``step``: shape (n,), int64; ``value``: shape (n,), float64, in ``unit``.
    Raises ``ValueError`` for unequal lengths or steps that do not rise.

    >>> curve = Curve([0, 10, 20], [10.9, 5.0, float("nan")], "nats")
    >>> len(curve), curve.first, curve.last, curve.finite.last
    (3, 10.9, nan, 5.0)
    >>> curve.between(5, 15).value.tolist()
    [5.0]
    """

    step: Steps
    value: Values
    unit: str = ""

    def __init__(self, step: ArrayLike, value: ArrayLike, unit: str = "") -> None:
        steps, values = np.asarray(step, dtype=np.int64), np.asarray(value, dtype=np.float64)
        if steps.shape != values.shape or steps.ndim != 1:
            raise ValueError(f"{steps.shape} steps for {values.shape} values")
        if len(steps) > 1 and not bool((steps[1:] > steps[:-1]).all()):
            raise ValueError("steps must rise")
        object.__setattr__(self, "step", steps)
        object.__setattr__(self, "value", values)
        object.__setattr__(self, "unit", unit)

    def __len__(self) -> int:
        return len(self.step)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Curve)
            and self.unit == other.unit
            and np.array_equal(self.step, other.step)
            and np.array_equal(self.value, other.value, equal_nan=True)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def first(self) -> float:
        """The first value, finite or not."""
        return float(self.value[0])

    @property
    def last(self) -> float:
        """The last value, finite or not."""
        return float(self.value[-1])

    @property
    def finite(self) -> Curve:
        """The part whose values are finite."""
        keep = np.isfinite(self.value)
        return self if keep.all() else Curve(self.step[keep], self.value[keep], self.unit)

    @property
    def non_finite_steps(self) -> Steps:
        """The steps whose value is nan or infinite."""
        return self.step[~np.isfinite(self.value)]

    def between(self, start: float, stop: float) -> Curve:
        """The part with start <= step < stop."""
        keep = (self.step >= start) & (self.step < stop)
        return Curve(self.step[keep], self.value[keep], self.unit)

    def at(self, step: int) -> float | None:
        """The value logged at ``step``, or None."""
        i = int(np.searchsorted(self.step, step))
        return float(self.value[i]) if i < len(self) and self.step[i] == step else None

    def scaled(self, factor: float, unit: str) -> Curve:
        """The same series in another unit."""
        return Curve(self.step, self.value * factor, unit)

    def as_dict(self) -> dict[str, Any]:
        """The series of ``read --json``: non-finite values as null, their steps listed."""
        values: list[float | None] = self.value.tolist()
        lost = self.non_finite_steps.tolist()
        if lost:
            values = [v if ok else None for v, ok in zip(values, np.isfinite(self.value), strict=True)]
        shown = {"step": self.step.tolist(), "value": values, "unit": self.unit}
        return {**shown, "non_finite_steps": lost} if lost else shown
