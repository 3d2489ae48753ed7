"""Axes: from values to places, and the round numbers that are written beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

import numpy as np
from numpy.typing import ArrayLike

from .draw import Floats, wide

#: from this size on, in this unit, with this letter behind
MOST, LEAST = 1e15, 1e-4  # beyond these a number is written with its power of ten
LETTERS = ((1e15, 1.0, ""), (1e12, 1e12, "T"), (1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))
DECADE = 0.7  # decades; over less, a logarithmic axis has round numbers like a linear one
MOST_PLACES = 12  # decimals of a label
GAP = 14  # units between two labels


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from ``low`` to ``high`` over places from ``start`` to ``end``, linear or logarithmic.

    ``least``: between two round numbers; 1 where whole things are counted.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    least: float = 0.0

    def place(self, values: ArrayLike) -> Floats:
        """Places of values, shape as given; nan where a logarithmic axis has none.

        >>> Axis(1, 100, 0, 200, log=True).place([1, 10, 100, 0]).tolist()
        [0.0, 100.0, 200.0, nan]
        """
        x = np.asarray(values, dtype=np.float64)
        low, high = self.low, self.high
        if self.log:
            x = np.log10(np.where(x > 0, x, np.nan))
            low, high = log10(low), log10(high)
        return np.asarray(self.start + (x - low) / ((high - low) or 1.0) * (self.end - self.start))

    def at(self, value: float) -> float:
        """The place of one value."""
        return float(self.place([value])[0])

    def ticks(self, most: int = 6) -> list[float]:
        """Round numbers on the axis, about ``most`` of them."""
        if self.log and log10(self.high / self.low) > DECADE:
            return decades(self.low, self.high, most)
        return evenly(self.low, self.high, most, self.least)

    def labelled(self, size: float, most: int = 8) -> list[tuple[float, str]]:
        """Places and labels that don't touch when written side by side."""
        out: list[tuple[float, str]] = []
        free = -float("inf")
        ticks = self.ticks(most)
        for tick, label in zip(ticks, labels(ticks), strict=True):
            place = self.at(tick)
            half = wide(label, size) / 2
            if place - half >= free:
                out.append((place, label))
                free = place + half + GAP
        return out


def evenly(low: float, high: float, most: int, least: float = 0.0) -> list[float]:
    """1, 2, 5, 10, ... apart, and no less than ``least``.

    >>> evenly(3.53, 4.46, 5), evenly(1295, 1297, 8, 1)
    ([3.6, 3.8, 4.0, 4.2, 4.4], [1295.0, 1296.0, 1297.0])
    """
    if not (isfinite(low) and isfinite(high)) or high <= low:
        return [low]
    rough = max((high - low) / max(1, most), least)
    power = 10.0 ** floor(log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    places = max(0, -floor(log10(step)))
    return [round(i * step, places) + 0.0 for i in range(first, min(last, first + 50) + 1)]


def decades(low: float, high: float, most: int) -> list[float]:
    """1, 2 and 5 of each power of ten, or 1 alone, or every so many powers.

    >>> decades(2e6, 3e8, 8)
    [2000000.0, 5000000.0, 10000000.0, 20000000.0, 50000000.0, 100000000.0, 200000000.0]
    >>> decades(1, 1e6, 4)
    [1.0, 100.0, 10000.0, 1000000.0]
    """
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [d * 10.0**p for p in powers for d in digits]
        if len(inside := [t for t in found if low * 0.999 <= t <= high * 1.001]) <= most:
            return inside
    inside = [10.0**p for p in powers if low * 0.999 <= 10.0**p <= high * 1.001]
    return inside[:: -(-len(inside) // most)]


def labels(ticks: Sequence[float]) -> list[str]:
    """Numbers in few characters, but so many that no two look the same.

    >>> labels([5e9, 1e10]), labels([610_100.0, 610_150.0]), labels([0.00012345, 0.00012346])
    (['5B', '10B'], ['610,100', '610,150'], ['0.0001234', '0.0001235'])
    """
    said = [short(tick) for tick in ticks]
    places = 0
    while len(set(said)) < len(set(ticks)) and places <= MOST_PLACES:
        said, places = [f"{tick:,.{places}f}" for tick in ticks], places + 1
    return said


def short(n: float) -> str:
    """A number in few characters.

    >>> [short(x) for x in (0, 2.5, 0.000026, 950, 12_500, 5e9, 1.5e12, -0.02, 3e18)]
    ['0', '2.5', '2.6e-5', '950', '12.5k', '5B', '1.5T', '-0.02', '3e+18']
    """
    if n == 0 or not isfinite(n):
        return "0" if n == 0 else "?"
    size = abs(n)
    if size >= MOST or size < LEAST:
        mantissa, exponent = f"{n:.3e}".split("e")
        return f"{float(mantissa):g}e{int(exponent):+d}"
    for least, unit, letter in LETTERS:
        if size >= least:
            return f"{n / unit:.4g}{letter}"
    return f"{n:,.0f}" if size >= 1000 else f"{n:.4g}"


def padded(low: float, high: float, share: float = 0.04) -> tuple[float, float]:
    """A range with some room at both ends; never an empty one.

    >>> padded(2.0, 2.0)
    (1.5, 2.5)
    """
    if not (isfinite(low) and isfinite(high)):
        return 0.0, 1.0
    if high <= low:
        return low - 0.5, low + 0.5
    return low - share * (high - low), high + share * (high - low)
