"""Rows into runs: the step of each row, a column that tells runs apart, rows that are no records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from math import isfinite
from typing import Any

import numpy as np

from ..errors import UnreadableError, printable
from ..run import Run
from ..source import Source
from . import Options
from ._assign import WEAK_RUNS, Columns, assign
from ._blocks import columns_of, fitting
from ._cells import Layout, below, fits, lines_in, number, rows_in, rows_of
from ._collect import Collector
from ._names import plain
from ._records import STEP_LIMIT, without_steps

RUNS = 2000  # runs of one file; more are a table of something else
FIRST = "0"  # part of a file before any header is repeated

Row = Mapping[str, Any]


@dataclass(slots=True)
class Reading:
    """How the rows of one table are read, and what was left out."""

    name: str
    columns: Columns
    decimal: str = "."
    keys: tuple[str, ...] = ()  # columns that tell runs apart
    warnings: list[str] = field(default_factory=list)
    runs: dict[tuple[str, ...], Collector] = field(default_factory=dict)
    no_step: int = 0
    impossible: int = 0  # rows whose step no optimiser counts to
    first_impossible: float = 0.0
    first_without: str = ""  # what the first row without a step has in its place
    index: int = 0

    def step_of(self, row: Row) -> int | None:
        """The row's step: of the step column, else its epoch, else its number."""
        name = self.columns.step or self.columns.epoch
        if name is None:
            self.index += 1
            return self.index - 1
        step = number(row.get(name), self.decimal, whole=True)
        return int(step) if step is not None and abs(step) < 1e18 and step.is_integer() else None

    def add(self, row: Row, part: int = 0) -> None:
        step = self.step_of(row)
        if step is None or not -1 < step < STEP_LIMIT:
            self._out_of_range(row)
            return
        # a table of a million rows comes here for each: no generator where there is nothing to go through
        key = (*(str(row.get(k, "")) for k in self.keys), str(part)) if self.keys else (str(part),)
        run = self.runs.get(key)
        if run is None:
            if len(self.runs) >= RUNS:
                return
            run = self.runs[key] = Collector(self._named(key))
        run.add(run.rows if self.instead == "records" else step, self._numbers(row))

    def add_block(self, data: bytes, how: Layout, torn: list[int]) -> bool:
        """Many rows at once; False, and nothing done, where they want to be looked at one by one.

        So it is with quotes, steps that are no whole numbers, several runs. ``torn`` counts lines of other widths.
        """
        name, unlike = self.columns.step or self.columns.epoch, len(set(how.header)) == len(how.header)
        if self.keys or self.decimal != "." or name not in how.header or not unlike or b'"' in data:
            return False
        rows = fitting(data, how)
        if rows is None:
            return False
        if rows[0]:
            columns = columns_of(rows[0], how)
            places, steps = columns[name]
            with np.errstate(invalid="ignore"):
                if places is not None or not _are_steps(steps):
                    return False
            run = self.runs.setdefault((FIRST,), Collector(self._named((FIRST,))))
            run.extend(steps.astype(np.int64), columns)
        torn[0] += rows[1]
        return True

    def _out_of_range(self, row: Row) -> None:
        name = self.columns.step or self.columns.epoch
        cell = None if name is None else row.get(name)
        told = number(cell, self.decimal, whole=True)
        if told is None or 0 <= told < STEP_LIMIT or not isfinite(told):
            self.first_without = self.first_without or str(cell or "")
            self.no_step += 1
            return
        self.first_impossible = self.first_impossible if self.impossible else told
        self.impossible += 1

    @property
    def instead(self) -> str:
        """What stands for the steps of a table without: epochs or records; empty where it has them."""
        return "" if self.columns.step else ("epochs" if self.columns.epoch else "records")

    def _named(self, key: tuple[str, ...]) -> str:
        *names, part = key
        told = [
            n if i == 0 and k == self.columns.run else f"{k}={n}"
            for i, (k, n) in enumerate(zip(self.keys, names, strict=True))
        ]
        said = " ".join(n for n in told if n) or self.name
        return said if part == "0" else f"{said} part {int(part) + 1}"

    def _numbers(self, row: Row) -> dict[str, float]:
        decimal = self.decimal
        found = {
            name: value
            for name, cell in row.items()
            if cell != "" and (value := number(cell, decimal)) is not None
        }
        for key in self.keys:
            found.pop(key, None)
        return found

    def finish(self, reader: str, options: Options, **how: bool) -> list[Run]:
        """The runs that hold a loss."""
        made: list[Run] = []
        if self.impossible:
            said = (
                f"{self.impossible:,} rows of {self.name} have a step out of range (below 0, or {STEP_LIMIT:.0e} "
                f"and more; the first is {self.first_impossible:.6g})"
            )
            if not self.runs:
                raise UnreadableError(f"{said}: name the column of the steps with --map step=COLUMN")
            self.warnings.append(f"{said}: left out")
        if self.first_without and not self.runs:
            column = printable(str(self.columns.step or self.columns.epoch), 60)
            raise UnreadableError(
                f"no row of {self.name} has a step: its column {column!r} holds {printable(self.first_without, 60)!r}; "
                "expected whole numbers as 100, or another column by --map step=COLUMN"
            )
        if self.no_step:
            self.warnings.append(f"{self.no_step:,} rows without a step (summaries, notes) left out")
        for collector in self.runs.values():
            columns = assign([*collector.columns, *options.columns.values()], options)
            if not columns.has_loss:
                continue
            columns = replace(columns, step=self.columns.step, run=self.columns.run)
            run = collector.finish(reader, columns, options, **how)
            run = replace(run, warnings=(*self.warnings, *run.warnings))
            made.append(without_steps(run, self.instead) if self.instead else run)
        return made


def csv_rows(source: Source, how: Layout, torn: list[int]) -> Iterator[tuple[Row, bool]]:
    """Each row by column name, and whether a header was repeated just before it."""
    return named_rows(rows_of(source, how), how.header, torn)


def named_rows(
    rows: Iterable[list[str]], header: tuple[str, ...], torn: list[int]
) -> Iterator[tuple[Row, bool]]:
    """Cells by the names of the header, and whether that was repeated just before; other lines are counted in ``torn``."""
    again = False
    for cells in rows:
        if tuple(cells) == header:
            again = True
        elif fits(cells, header):
            yield dict(zip(header, cells, strict=False)), again
            again = False
        else:
            torn[0] += 1


def read_csv(source: Source, how: Layout, reading: Reading) -> None:
    """Collect every row of a table of text."""
    torn = [0]
    collect_text(source, how, reading, torn)
    if torn[0]:
        reading.warnings.append(f"{torn[0]:,} lines without {len(how.header)} cells left out")
    reading.warnings += source.notes


def read_epochs(source: Source, how: Layout | None, options: Options, name: str) -> list[Run]:
    """The runs of a table whose columns a trainer named itself: its losses are means of the optimiser's batches."""
    if how is None:
        return []
    reading = Reading(source.name, assign(how.header, options))
    read_csv(source, how, reading)
    return reading.finish(name, options, rename=False, evaluated=False)


def collect_text(source: Source, how: Layout, reading: Reading, torn: list[int]) -> None:
    """Collect every row of a table of text, as ``collect`` does, a piece of the file at a time where these are plain."""
    pieces = below(source, how)
    for data in pieces:
        if not reading.add_block(data, how, torn):
            lines = lines_in(chain([data], pieces))
            collect(named_rows(rows_in(lines, how.delimiter), how.header, torn), reading)


def collect(rows: Iterable[tuple[Row, bool]], reading: Reading) -> None:
    """Collect every row; a header repeated where the steps start over begins another run."""
    part = 0
    for row, again in rows:
        if again and _starts_over(reading, row):
            part += 1
        reading.add(row, part)


def _are_steps(numbers: np.ndarray) -> bool:
    return bool(((numbers > -1) & (numbers < STEP_LIMIT) & (numbers == np.floor(numbers))).all())


def _starts_over(reading: Reading, row: Row) -> bool:
    """True where the steps after a repeated header begin no later than those before it did."""
    if reading.keys or not reading.runs or not (reading.columns.step or reading.columns.epoch):
        return False
    step, last = reading.step_of(row), next(reversed(reading.runs.values()))
    return step is not None and last.first_step is not None and step <= last.first_step


def telling_apart(
    names: Iterable[str], run: str | None, steps: Callable[[tuple[str, ...]], bool]
) -> tuple[str, ...]:
    """The columns that tell runs apart: ``run``, and weaker ones where steps would repeat without them.

    ``steps(keys)`` says whether steps rise within each group of rows that ``keys`` make.
    """
    keys = (run,) if run else ()
    by_name = {plain(name): name for name in names}
    weak = [by_name[name] for name in WEAK_RUNS if name in by_name and by_name[name] != run]
    if not weak or steps(keys):
        return keys
    for column in weak:
        if steps((*keys, column)):
            return (*keys, column)
    return keys


def rising(rows: Iterable[Row], reading: Reading, keys: tuple[str, ...]) -> bool:
    """True when steps rise within each group of rows of equal ``keys``."""
    last: dict[tuple[str, ...], int] = {}
    for row in rows:
        step = reading.step_of(row)
        key = tuple(str(row.get(k, "")) for k in keys)
        if step is None:
            continue
        if step < last.get(key, -1) or len(last) > RUNS:
            return False
        last[key] = step
    return True
