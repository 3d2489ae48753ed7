"""Steps for records that carry none: told from the progress bar beside them, or from their epoch."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

TOTALS = 32  # bars of different totals between two records
NEAR = 1.0  # steps; a bar this far from what the epoch says still agrees with it


@dataclass(frozen=True, slots=True)
class Bar:
    """A progress bar as printed: count of total, and its place in the log."""

    place: int
    count: int
    total: int


@dataclass(frozen=True, slots=True)
class Pace:
    """Optimiser steps in an epoch, and how wrong that may be per epoch."""

    steps: float
    slack: float

    def range_of(self, epoch: float, digits: int) -> tuple[float, float]:
        """The least and the largest step that print as ``epoch`` with so many decimals.

        >>> [round(step, 3) for step in Pace(549.0, 0.0).range_of(0.91, 2)]
        [495.845, 503.335]
        """
        off = self.steps * 0.5 * 10.0**-digits + self.slack * epoch + NEAR
        return epoch * self.steps - off, epoch * self.steps + off


@dataclass(slots=True)
class Bars:
    """The bars of one run, in the order of the log: between two records, the first and last of each total."""

    bars: list[Bar] = field(default_factory=list)
    _places: list[int] = field(default_factory=list)
    _since: dict[int, tuple[Bar, Bar]] = field(default_factory=dict)
    _marks: list[int] = field(default_factory=list)  # how many records came before each bar
    _records: int = 0

    def add(self, bar: Bar) -> None:
        if bar.total in self._since or len(self._since) < TOTALS:
            self._since[bar.total] = self._since.get(bar.total, (bar, bar))[0], bar

    @property
    def twice(self) -> bool:
        """True where a count other than the last is drawn twice without a record between."""
        pairs = zip(self.bars, self.bars[1:], self._marks, self._marks[1:], strict=False)
        return any(a.count == b.count < b.total and i == j for a, b, i, j in pairs)

    def settle(self) -> None:
        """Keep the bars since the last record; to be called at each record and at the end."""
        for bar in sorted({bar for pair in self._since.values() for bar in pair}, key=lambda bar: bar.place):
            self.bars.append(bar)
            self._places.append(bar.place)
            self._marks.append(self._records)
        self._records += 1
        self._since.clear()

    def only(self, total: int | None) -> Bars:
        """Those of one total: an evaluation draws bars of its own."""
        self.settle()
        kept = [(bar, mark) for bar, mark in zip(self.bars, self._marks, strict=True) if bar.total == total]
        bars = [bar for bar, _ in kept]
        return Bars(bars, [bar.place for bar in bars], {}, [mark for _, mark in kept])

    def around(self, place: int) -> tuple[int | None, int | None]:
        """The counts of the last bar before ``place`` and of the first after it."""
        i = bisect_left(self._places, place)
        before = self.bars[i - 1].count if i else None
        return before, (self.bars[i].count if i < len(self.bars) else None)

    def beside(self, place: int) -> list[Bar]:
        """The last bar before ``place`` and the first after it, where there are any."""
        i = bisect_left(self._places, place)
        return self.bars[max(0, i - 1) : i + 1]


def training_total(bars: Bars, places: Sequence[int]) -> int | None:
    """The total of the bar that most often stands beside a record of training."""
    bars.settle()
    seen: Counter[int] = Counter()
    for place in places:
        seen.update(bar.total for bar in bars.beside(place))
    best = max(seen.items(), key=lambda item: (item[1], item[0]), default=None)
    return best[0] if best else None


def pace_from_bars(pairs: Sequence[tuple[int, float]]) -> Pace | None:
    """Steps per epoch where nothing states them: the middle of what bars and epochs give."""
    ratios = [step / epoch for step, epoch in pairs if epoch > 0 and step > 0]
    return Pace(median(ratios), 0.0) if ratios else None
