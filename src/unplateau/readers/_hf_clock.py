"""The step of each record that Hugging Face's Trainer prints without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil, floor

from ._hf import number, step_of
from ._progress import Bars, Pace, pace_from_bars

RATE_DIGITS = 0.0005  # steps per second; half of the last digit that the Trainer prints
USUAL = (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000)  # logging_steps that people set
NOTHING = "from nothing"  # their number in the log stands for it


@dataclass(frozen=True)
class Found:
    """A record as printed, its line and its place among bars."""

    place: int
    line: int
    values: Mapping[str, str]

    @cached_property  # asked for eight times
    def epoch(self) -> tuple[float, int] | None:
        """The epoch and the decimals it was rounded to."""
        text = self.values.get("epoch", "")
        value = number(text)
        return (value, len(text.partition(".")[2])) if value is not None and abs(value) < 1e9 else None


@dataclass(slots=True)
class Part:
    """One run in the file: what it states, its records, its bars."""

    facts: dict[str, tuple[str, int]] = field(default_factory=dict)  # key -> text, line
    found: list[Found] = field(default_factory=list)
    summary: Found | None = None
    bars: Bars = field(default_factory=Bars)

    def stated(self, key: str) -> float | None:
        return number(self.facts[key][0].replace(",", "")) if key in self.facts else None


class Clock:
    """Tells the step of a record that carries none."""

    def __init__(self, part: Part, total: int | None, key: str = "step") -> None:
        self.part, self.total, self.keys = part, total, (key, "step", "global_step")
        every = part.stated("logging_steps")
        self.every = int(every) if every and 1 <= every < 1e15 else None
        around = [part.bars.around(f.place) for f in part.found]
        self.redrawn = self._redrawn(around)
        self.pace = self._pace(around)
        self.every = self.every or self._fitting()
        self.counted = self.last = 0  # records of training, and the latest step

    def _redrawn(self, around: list[tuple[int | None, int | None]]) -> bool:
        """True where tqdm draws its bar anew after a record: that count is exact, the one before may lag."""
        pairs = [(a, b) for a, b in around if a is not None and b is not None]
        if self.every and self.every > 1:
            before, after = (sum(pair[i] % self.every == 0 for pair in pairs) for i in (0, 1))
            if before != after:
                return after > before
        return any(a == b for a, b in pairs) or self.part.bars.twice

    def _pace(self, around: list[tuple[int | None, int | None]]) -> Pace | None:
        part, end = self.part, self.part.summary
        if end and end.epoch and end.epoch[0] > 0:
            if self.total and self._finished():
                return Pace(self.total / end.epoch[0], 0.0)
            seconds, rate = (
                number(end.values.get(key)) for key in ("train_runtime", "train_steps_per_second")
            )
            if not self.total and seconds and rate and seconds > 0 and rate > 0:
                steps = seconds * rate / end.epoch[0]
                return Pace(steps, steps * RATE_DIGITS / rate)
        examples, batch = part.stated("Num examples"), part.stated("Total train batch size")
        if examples and batch:
            return Pace(examples / batch, 1.0)
        epochs = part.stated("Num Epochs") or part.stated("num_train_epochs")
        # with max_steps, the epochs are not what ended the run
        if self.total and epochs and epochs > 0 and (part.stated("max_steps") or -1) <= 0:
            return Pace(self.total / epochs, 1.0)
        pairs = [
            (b if self.redrawn and b is not None else a, f.epoch[0])
            for (a, b), f in zip(around, part.found, strict=True)
            if f.epoch and a is not None
        ]
        return pace_from_bars(pairs)

    def _fitting(self) -> int | None:
        """The one logging interval at whose multiples all records can lie, going by their epochs."""
        epochs = [f.epoch for f in self.part.found if f.epoch and "loss" in f.values]
        if not self.pace or len(epochs) < 2:
            return None
        ranges = [self.pace.range_of(*epoch) for epoch in epochs]
        low = max(low / k for k, (low, _) in enumerate(ranges, 1))
        high = min(high / k for k, (_, high) in enumerate(ranges, 1))
        fit = range(max(1, ceil(low)), floor(high) + 1)
        usual = [n for n in USUAL if n in fit]
        return fit[0] if len(fit) == 1 else (usual[0] if len(usual) == 1 else None)

    def _finished(self) -> bool:
        bars = self.part.bars.bars
        return not bars or bars[-1].count == self.total

    def step_of(self, found: Found) -> tuple[int, str]:
        """The step, and in words how it was told; an evaluation that tells none is of the record before."""
        step, how = self._told(found)
        if how == NOTHING and "loss" not in found.values:
            step = self.last
        self.last = step
        return step, how

    def _told(self, found: Found) -> tuple[int, str]:
        own = step_of(next((found.values[key] for key in self.keys if key in found.values), None))
        if own is not None:
            return own, "by the record itself"
        self.counted += "loss" in found.values
        before, after = self.part.bars.around(found.place)
        bars = [b for b in ((after, before) if self.redrawn else (before, after)) if b is not None]
        if not self.pace or not found.epoch:
            if bars:
                return bars[0], "by the progress bar"
            if self.every:
                return self.counted * self.every, f"by counting records, {self.every} steps each"
            return self.counted, NOTHING
        low, high = self.pace.range_of(*found.epoch)
        for bar in bars:
            if low <= bar <= high:
                return bar, "by the progress bar"
        return self._by_epoch(found, low, high)

    def _by_epoch(self, found: Found, low: float, high: float) -> tuple[int, str]:
        middle = max(0, round((low + high) / 2))
        if self.every and "loss" in found.values and high - low < 2 * self.every:
            step = round(middle / self.every) * self.every
            if low <= step <= high:
                return step, f"by the epoch and logging_steps={self.every}"
        return middle, "by the epoch, rounded as printed"
