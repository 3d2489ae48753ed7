"""Where readers put what they find: points in the order of the log, facts with their line, warnings.

Keeps the promises of CONTRACT.md for all readers at once: a step that is logged twice holds its later
record and a warning counts them; steps that go backwards are a resume, remembered as a fact; non-finite
values are kept; steps that no int64 holds are dropped and counted.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..curve import Curve, Steps, Values
from ..errors import printable
from ..run import LOSSES, Fact, Run

STEP_LIMIT = 10**15  # optimiser steps; a number above is an id or a time stamp, not a step
#: what stands for the optimiser step where the log has none -> the warning that says so
INSTEAD = {
    "records": "the log has no steps: numbers of its records stand for them",
    "epochs": "the log has no steps: its epochs stand for them",
}
UNITS = {"lr": "", "grad_norm": "", "tokens": "tokens", "epoch": "epochs", "mfu": "fraction", "step_ms": "ms"}


@dataclass(slots=True)
class _Group:
    """Columns that are logged together share one column of steps."""

    names: tuple[str, ...]
    steps: array[int] = field(default_factory=lambda: array("q"))
    columns: tuple[array[float], ...] = ()

    def __post_init__(self) -> None:
        self.columns = tuple(array("d") for _ in self.names)


class Recorder:
    """Collects one run.

    >>> rec = Recorder("demo", "nanogpt")
    >>> for step, loss in [(0, 10.9), (500, 5.0), (250, 6.0), (500, 5.1)]:
    ...     rec.add("val_loss", step, loss)
    >>> run = rec.finish()
    >>> run.series["val_loss"].value.tolist(), run.get("resumed_after"), len(run.warnings)
    ([10.9, 6.0, 5.1], [500], 2)
    """

    def __init__(self, name: str, format: str, unit: str = "nats") -> None:  # noqa: A002
        self.name, self.format, self.unit = printable(name, 200), format, unit
        self.facts: dict[str, Fact] = {}
        self.warnings: list[str] = []
        self._units: dict[str, str] = {}
        self._optional: set[str] = set()
        self._groups: dict[tuple[str, ...], _Group] = {}
        self._dropped = 0

    @property
    def empty(self) -> bool:
        """True while no point has come."""
        return not any(g.steps for g in self._groups.values())

    @property
    def has_loss(self) -> bool:
        """True when a loss has at least one point."""
        return any(g.steps for names, g in self._groups.items() if set(LOSSES) & set(names))

    def add(self, name: str, step: int, value: float) -> None:
        """One point of one series, in the order of the log."""
        self.row((name,), step, (value,))

    def row(self, names: tuple[str, ...], step: int, values: Sequence[float]) -> None:
        """One record: several series at one step. ``names`` must be the same tuple for like records."""
        if not -1 < step < STEP_LIMIT:
            self._dropped += 1
            return
        group = self._group(names)
        group.steps.append(step)
        for column, value in zip(group.columns, values, strict=True):
            column.append(value)

    def rows(self, names: tuple[str, ...], steps: Steps, columns: Iterable[Values]) -> None:
        """Many records at once: steps of shape (n,) and one array of shape (n,) per name."""
        keep = (steps > -1) & (steps < STEP_LIMIT)
        self._dropped += int((~keep).sum())
        if not keep.any():
            return
        group = self._group(names)
        group.steps.frombytes(np.ascontiguousarray(steps[keep], np.int64).tobytes())
        for column, values in zip(group.columns, columns, strict=True):
            column.frombytes(np.ascontiguousarray(values[keep], np.float64).tobytes())

    def _group(self, names: tuple[str, ...]) -> _Group:
        group = self._groups.get(names)
        if group is None:
            group = self._groups[names] = _Group(names)
        return group

    def last_step(self, name: str) -> int | None:
        """The step of the latest record of a series."""
        steps = [g.steps[-1] for names, g in self._groups.items() if name in names and g.steps]
        return steps[-1] if steps else None

    def set_unit(self, name: str, unit: str) -> None:
        """Another unit for one series than ``UNITS`` or the recorder's unit of losses."""
        self._units[name] = unit

    def optional(self, name: str) -> None:
        """In the columns of this series a nan says that nothing was measured: it is no point."""
        self._optional.add(name)

    def fact(self, name: str, value: Any, unit: str = "", source: str = "log") -> None:
        """A fact that the log states; the first statement holds, a contradicting one is a warning."""
        held = self.facts.get(name)
        if held is None:
            self.facts[name] = Fact(value, unit, source)
        elif held.value != value:
            self.warn(
                f"{name} is {printable(str(held.value))} at {held.source}, then {printable(str(value))} at {source}"
            )

    def warn(self, text: str) -> None:
        """Something that the reader of the report must know; said once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def finish(self, extra: Mapping[str, Fact] | None = None) -> Run:
        """The run, with every series in rising steps."""
        series: dict[str, Curve] = {}
        repeated: dict[str, int] = {}
        resumed: set[int] = set()
        for name, parts in self._parts().items():
            for steps, _ in parts:  # within one kind of record: kinds are logged at their own pace
                resumed.update(steps[np.flatnonzero(steps[1:] < steps[:-1])].tolist())
            steps, values = (np.concatenate(x) if len(parts) > 1 else x[0] for x in zip(*parts, strict=True))
            step, value, again = _in_order(steps, values)
            series[name] = Curve(step, value, self._unit_of(name))
            if again:
                repeated[name] = again
        if repeated:
            listed = ", ".join(f"{n} of {name}" for name, n in repeated.items())
            self.warn(f"steps logged more than once, the later record holds: {listed}")
        if resumed:
            after = sorted(resumed)
            self.warn(
                f"steps go backwards {len(after)} times, first after step {after[0]:,}: the run was resumed"
            )
            self.facts.setdefault("resumed_after", Fact(after, "steps", "counted"))
        if self._dropped:
            self.warn(f"{self._dropped:,} records with an impossible step number left out")
        for name, curve in series.items():
            if len(bad := curve.non_finite_steps):
                self.warn(
                    f"{name} is not finite at {len(bad):,} of {len(curve):,} steps, first at step {bad[0]:,}"
                )
        return Run(
            self.name, self.format, series, {**self.facts, **(extra or {})}, None, tuple(self.warnings)
        )

    def _parts(self) -> dict[str, list[tuple[Steps, Values]]]:
        by_name: dict[str, list[tuple[Steps, Values]]] = {}
        for group in self._groups.values():
            steps = np.frombuffer(group.steps, np.int64)
            for name, column in zip(group.names, group.columns, strict=True):
                at, values = steps, np.frombuffer(column, np.float64)
                if name in self._optional and len(steps):
                    at, values = _measured(steps, values)
                if len(at):
                    by_name.setdefault(name, []).append((at, values))
        return by_name

    def _unit_of(self, name: str) -> str:
        if name in self._units:
            return self._units[name]
        return self.unit if name in LOSSES else UNITS.get(name, "")


def without_steps(run: Run, unit: str) -> Run:
    """The run, whose steps are not the optimiser's but ``unit``: a fact, and the first of its warnings.

    >>> without_steps(Run("demo", warnings=("cut",)), "epochs").warnings
    ('the log has no steps: its epochs stand for them', 'cut')
    """
    facts = {**run.facts, "step_unit": Fact(unit, "", "counted")}
    return replace(run, facts=facts, warnings=(INSTEAD[unit], *run.warnings))


def _measured(steps: Steps, values: Values) -> tuple[Steps, Values]:
    """Without the nan; a view where only the first were not measured, for long columns are dear."""
    known = ~np.isnan(values)
    start = int(known.argmax()) if len(known) else 0
    return (steps[start:], values[start:]) if known[start:].all() else (steps[known], values[known])


def _in_order(steps: Steps, values: Values) -> tuple[Steps, Values, int]:
    """Rising steps, the later of equal ones; how many were repeated."""
    if bool((steps[1:] > steps[:-1]).all()):
        return steps, values, 0
    order = np.argsort(steps, kind="stable")
    ordered = steps[order]
    last = np.append(np.diff(ordered) > 0, True)
    return ordered[last], values[order][last], int((~last).sum())
