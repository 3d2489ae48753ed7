"""Numbers of a table, column by column, and the run they make."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..run import LOSSES, Run
from ..units import UNITS, to_nats
from . import Options
from ._assign import PERPLEXITY, Columns, is_evaluated, own_name, shown
from ._records import STEP_LIMIT, Recorder
from ._units import said

EXTRA = 60  # columns kept beside the series of the contract; sweeps log thousands of gradient histograms


#: numbers of a column in some rows, and the places of those rows; None where they are all
Numbers = tuple[np.ndarray | None, np.ndarray]


@dataclass(slots=True)
class Column:
    """The points of one column in the order of the log."""

    steps: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))


class Collector:
    """One run of a table.

    >>> run = Collector("demo")
    >>> for step, loss in ((0, 10.9), (500, 5.0)):
    ...     run.add(step, {"iter": step, "val/loss": loss})
    >>> from ._assign import assign
    >>> made = run.finish("table", assign(["iter", "val/loss"], Options()), Options())
    >>> made.series["val_loss"].value.tolist(), made.warnings[0]
    ([10.9, 5.0], "read column 'iter' as step")
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.columns: dict[str, Column] = {}
        self.last_step: int | None = None
        self.first_step: int | None = None
        self.rows = 0

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """One row: the numbers in it by column; empty cells left out."""
        self.rows += 1
        self.last_step = step
        if self.first_step is None:
            self.first_step = step
        if not -1 < step < STEP_LIMIT:
            return
        for name, value in values.items():
            column = self.columns.get(name)
            if column is None:
                column = self.columns[name] = Column()
            column.steps.append(step)  # not by a method: a call for each cell of a table
            column.values.append(value)

    def extend(self, steps: np.ndarray, columns: Mapping[str, Numbers]) -> None:
        """Rows at once, each with a step that an optimiser counts to: what ``add`` does for one.

        ``steps``: shape (n,), whole numbers; ``columns``: of each its numbers, and in which of the rows they stand.
        """
        self.rows += len(steps)
        self.last_step = int(steps[-1])
        if self.first_step is None:
            self.first_step = int(steps[0])
        told = {name: found for name, found in columns.items() if len(found[1])}
        # columns come in the order of their first number, as row by row
        for name in sorted(told, key=lambda name: _first(told[name][0])):
            rows, values = told[name]
            column = self.columns.setdefault(name, Column())
            column.steps.frombytes((steps if rows is None else steps[rows]).tobytes())
            column.values.frombytes(values.tobytes())

    def finish(
        self,
        reader: str,
        columns: Columns,
        options: Options,
        *,
        rename: bool = True,
        evaluated: bool = True,
        extra: bool = True,
    ) -> Run:
        """The run.

        ``rename``: say what was read as what; ``evaluated``: a train loss may be an evaluation;
        ``extra``: keep columns that mean no series of the contract, under their own names.
        """
        rec = Recorder(self.name, reader)
        left_out = 0
        roles = self._roles(columns, rec if rename else None) if evaluated else {}
        taken = {columns.step, columns.run}
        for name, chosen in columns.series.items():
            if chosen.column in self.columns:
                taken.add(chosen.column)
                self._series(rec, roles.get(name, name), chosen.column, _unit(chosen.unit, options))
        for name in self.columns:
            own = own_name(name) if extra and name not in taken else None
            left_out += own is not None and len(taken) >= EXTRA
            if own is not None and len(taken) < EXTRA:
                taken.add(name)
                steps, values = self._arrays(self.columns[name], alike=True)
                rec.rows((own,), steps, (values,))
        if rename and (said := shown(columns, roles)):
            rec.warn(said)
        self._say_unit(rec, columns, options)
        if rename and not options.unit and "nats" in self._units(columns):
            rec.warn("the losses are taken for nats per token, the log does not say (else: --unit bits)")
        if left_out:
            rec.warn(f"{left_out:,} further columns left out, more than {EXTRA} in the table")
        return rec.finish()

    def restep(self, name: str, losses: Sequence[str], share: float) -> int | None:
        """Move every point to the step that column ``name`` logs with it; how many had none and were left out.

        None, and nothing moved, where fewer than ``share`` of the points of ``losses`` carry one.
        """
        clock = self.columns[name]
        places, told = np.frombuffer(clock.steps, np.int64), np.frombuffer(clock.values, np.float64)
        whole = np.isfinite(told) & (np.abs(told) < STEP_LIMIT) & (told == np.floor(told))
        by_place = dict(zip(places[whole].tolist(), told[whole].astype(np.int64).tolist(), strict=True))
        points = [step for loss in losses if loss in self.columns for step in self.columns[loss].steps]
        if sum(step in by_place for step in points) < share * max(1, len(points)):
            return None
        lost = 0
        for column in self.columns.values():
            kept = [
                (by_place[s], v) for s, v in zip(column.steps, column.values, strict=True) if s in by_place
            ]
            lost += len(column.steps) - len(kept)
            column.steps, column.values = array("q", [s for s, _ in kept]), array("d", [v for _, v in kept])
        return lost

    def _say_unit(self, rec: Recorder, columns: Columns, options: Options) -> None:
        """The unit that the log or the user tells, so that none is told again."""
        units = self._units(columns)
        if options.unit not in (None, "nats") and "nats" in units:
            rec.warn(said(str(options.unit)))
            rec.fact("loss_unit", options.unit, "", "--unit")
        elif converted := [unit for unit in units if unit in UNITS and unit != "nats"]:
            rec.fact("loss_unit", converted[0], "", "the name of the column")

    def _units(self, columns: Columns) -> list[str]:
        return [c.unit for name, c in columns.series.items() if name in LOSSES and c.column in self.columns]

    def _roles(self, columns: Columns, rec: Recorder | None) -> dict[str, str]:
        """A train loss that is logged only where val is stands for an evaluation of the train split."""
        train, val = columns.series.get("batch_loss"), columns.series.get("val_loss")
        if not train or not val or "batch_loss" in columns.mapped or not is_evaluated(train.column):
            return {}
        ours, theirs = self.columns.get(train.column), self.columns.get(val.column)
        # one record proves no habit
        if ours is None or theirs is None or len(ours.steps) < 2 or not set(ours.steps) <= set(theirs.steps):
            return {}
        if rec:
            rec.warn(
                f"{train.column!r} is logged only beside {val.column!r}: taken for an evaluation of the "
                f"train split (if it is a mean of the optimiser's batches: --map batch_loss={train.column})"
            )
        return {"batch_loss": "train_loss"}

    def _series(self, rec: Recorder, name: str, column: str, unit: str) -> None:
        steps, values = self._arrays(self.columns[column], alike=name not in LOSSES)
        if name in LOSSES:
            values, unit = in_nats(values, unit)
            rec.set_unit(name, unit)
        elif unit:
            rec.set_unit(name, unit)
        elif name == "mfu":
            steps, values = _fraction(steps, values)
        if len(steps):
            rec.rows((name,), steps, (values,))

    @staticmethod
    def _arrays(column: Column, *, alike: bool) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values; ``alike``: a number that two rows of one step repeat counts once."""
        steps, values = np.frombuffer(column.steps, np.int64), np.frombuffer(column.values, np.float64)
        if alike and len(steps) > 1:
            keep = np.append(True, (np.diff(steps) != 0) | (values[1:] != values[:-1]))
            steps, values = steps[keep], values[keep]
        return steps, values


def _first(rows: np.ndarray | None) -> int:
    """The first of the rows, all of them where it is None."""
    return 0 if rows is None else int(rows[0])


def _unit(told: str, options: Options) -> str:
    """The unit that a column's name tells, else the user's; a loss that tells none is in nats."""
    return (options.unit or told) if told == "nats" else told


def in_nats(values: np.ndarray, unit: str) -> tuple[np.ndarray, str]:
    """Values in nats where the unit converts; else as they are, with their unit.

    >>> in_nats(np.array([8.0]), "perplexity")[0].round(3).tolist(), in_nats(np.array([1.0]), "bits per byte")[1]
    ([2.079], 'bits per byte')
    """
    if unit in ("nats", ""):
        return values, unit
    if unit == PERPLEXITY:
        with np.errstate(all="ignore"):
            return np.log(values), "nats"
    try:
        return values * to_nats(1.0, unit), "nats"
    except ValueError:
        return values, unit


def _fraction(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Utilisation as a fraction; nanoGPT logs percent, and -100 before it is known."""
    percent = bool((np.abs(values) > 1.5).any())
    known = ~(values < 0)
    return steps[known], values[known] / (100.0 if percent else 1.0)
