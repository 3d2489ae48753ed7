"""What was learnt of an unknown log, put to use: the step of each record, and where its numbers go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter, truediv

import numpy as np

from ._records import STEP_LIMIT, Recorder
from ._shapes import Shape, Values

PLANS = 10_000  # shapes of lines that are remembered


@dataclass(slots=True)
class Learned:
    """What the kinds of losses are read as, and where steps come from."""

    names: dict[str, str] = field(default_factory=dict)  # kind -> series
    shown: dict[str, str] = field(default_factory=dict)  # kind -> its name as written
    stepped: bool = False
    clock: str = ""  # without steps: the kind whose records are counted
    by_epoch: bool = False  # without steps: one record an epoch, so the epoch stands for the step
    local: bool = False  # the step begins again with each epoch
    records: int = 0


@dataclass(slots=True)
class Clock:
    """The step of each record, where it has one; else the latest, or a count."""

    learned: Learned
    now: int | None = None
    first_epoch: float | None = None
    epoch: float | None = None
    offset: int = 0
    last: int = 0
    counted: int = 0

    def at(self, shape: Shape, values: Values) -> int | None:
        learned = self.learned
        if learned.stepped:
            if shape.step is not None:
                step = int(values[shape.step])
                self.now = self._global(shape, values, step) if learned.local else step
            return self.now
        if any(kind == learned.clock for kind, _, _ in shape.losses):
            self.counted += 1
            self.now = self.counted
            if learned.by_epoch and shape.epoch is not None and 0 <= values[shape.epoch] < STEP_LIMIT:
                self.now = int(values[shape.epoch])
        return self.now

    def _global(self, shape: Shape, values: Values, step: int) -> int:
        """Steps that begin again with each epoch, made to go on."""
        if shape.epoch is None:
            return self.offset + step
        epoch = values[shape.epoch]
        if self.epoch is not None and epoch > self.epoch and step <= self.last:
            total = None if shape.total is None else values[shape.total]
            self.offset += int(total) if total and self.last <= total < STEP_LIMIT else self.last + 1
        self.epoch, self.last = epoch, step
        return self.offset + step


@dataclass(slots=True)
class Rows:
    """Records of the same series, gathered to be handed on together."""

    names: tuple[str, ...]
    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)  # row by row

    def hand_on(self, rec: Recorder) -> None:
        table = np.array(self.values, np.float64).reshape(-1, len(self.names))
        rec.rows(self.names, np.array(self.steps, np.int64), table.T)
        self.steps.clear()
        self.values.clear()


#: a shape, where its records go, which of its values, and what these are divided by if by anything
Plan = tuple[Shape, Rows | None, Callable[[Values], Sequence[float]], list[float]]


def _picker(places: list[int]) -> Callable[[Values], Sequence[float]]:
    """``itemgetter`` that always gives a sequence."""
    return itemgetter(*places) if len(places) > 1 else lambda values: [values[at] for at in places]


@dataclass(slots=True)
class Sheet:
    """Which numbers of each shape of line go where."""

    learned: Learned
    lost: int = 0  # records before the first step
    _rows: dict[tuple[str, ...], Rows] = field(default_factory=dict)
    _begun: list[Rows] = field(default_factory=list)  # in the order of their first records
    _plans: dict[int, Plan] = field(default_factory=dict)

    def add(self, shape: Shape, values: Values, clock: Clock) -> bool:
        """Note one record; False where it holds no loss that was learnt, or no step is known."""
        plan = self._plans.get(id(shape)) or self._plan(shape)
        step = clock.at(shape, values)
        rows, pick, divisors = plan[1:]
        if rows is None:
            return False
        if step is None:
            self.lost += 1
            return False
        if not rows.steps:
            self._begun.append(rows)
        rows.steps.append(min(STEP_LIMIT, step))  # those are counted where rows are taken
        picked = pick(values)
        rows.values.extend(map(truediv, picked, divisors) if divisors else picked)
        return True

    def _plan(self, shape: Shape) -> Plan:
        learned = self.learned
        row = {learned.names[kind]: (at, 1.0) for kind, _, at in shape.losses if kind in learned.names}
        has_loss = bool(row)
        row |= {name: (at, divisor) for name, at, divisor in shape.others}
        has_clock = any(kind == learned.clock for kind, _, _ in shape.losses)
        if shape.epoch is not None and (not learned.by_epoch or has_clock):
            row["epoch"] = shape.epoch, 1.0
        names, places = tuple(row), [at for at, _ in row.values()]
        divisors = [divisor for _, divisor in row.values()]
        rows = self._rows.setdefault(names, Rows(names)) if has_loss else None
        plan = shape, rows, _picker(places), divisors if set(divisors) - {1.0} else []
        if len(self._plans) >= PLANS:
            self._plans.clear()
        self._plans[id(shape)] = plan  # it holds the shape, so that no other gets its id
        return plan

    def hand_on(self, rec: Recorder) -> None:
        """What was noted, in the order of the log within each kind of record."""
        for rows in self._begun:
            rows.hand_on(rec)
        self._begun.clear()
