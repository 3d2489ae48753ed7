"""How fast a run goes: seconds of a step and of an evaluation, and the time that is left. Takes times, asks no clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median

RECENT = 64  # steps; what the machine does now, not what it did an hour ago
LEAST = 3  # steps that make a pace; the first holds compilation and is no part of it


@dataclass(slots=True)
class Pace:
    """Of a run of ``steps``, evaluated every ``every`` steps (0: at its end alone).

    >>> pace = Pace(steps=100, every=50)
    >>> for seconds in (9.0, 0.1, 0.1, 0.1):
    ...     pace.stepped(seconds)
    >>> pace.evaluated(2.0)
    >>> round(pace.left(40), 3)  # 60 steps, and evaluations at 50 and 100
    10.0
    """

    steps: int
    every: int
    _steps: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    _evaluations: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    _begun: bool = False

    def stepped(self, seconds: float) -> None:
        if self._begun:
            self._steps.append(seconds)
        self._begun = True

    def evaluated(self, seconds: float) -> None:
        self._evaluations.append(seconds)

    @property
    def step(self) -> float | None:
        """Seconds of a step, median; None where too few were taken."""
        return median(self._steps) if len(self._steps) >= LEAST else None

    def left(self, done: int) -> float | None:
        """Seconds from step ``done`` to the end of the run; None where nobody can tell yet."""
        if self.step is None:
            return None
        evaluations = self.evaluations(done) * (median(self._evaluations) if self._evaluations else 0.0)
        return (self.steps - done) * self.step + evaluations

    def evaluations(self, done: int) -> int:
        """How many are to come after step ``done``: at each multiple of ``every``, and at the end."""
        if done >= self.steps:
            return 0
        whole = self.steps // self.every - done // self.every if self.every else 0
        return whole + (not self.every or self.steps % self.every != 0)


def short(seconds: float) -> str:
    """A moment for people, three digits.

    >>> [short(s) for s in (0.000042, 0.0419, 1.12, 83.0)]
    ['0.042 ms', '41.9 ms', '1.12 s', '1 min 23 s']
    """
    if seconds >= 60:
        return spoken(seconds)
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def spoken(seconds: float) -> str:
    """A duration for people.

    >>> [spoken(s) for s in (0.4, 72, 3_700, 200_000)]
    ['1 s', '1 min 12 s', '1 h 1 min', '2 d 7 h']
    """
    whole = max(1, round(seconds))
    for size, name, smaller, other in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // smaller} {other}"
    return f"{whole} s"
