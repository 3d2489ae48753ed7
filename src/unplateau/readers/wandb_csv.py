"""CSV exported from the pages of Weights & Biases.

A chart gives a column a run: ``"Step","run-a - val/loss","run-a - val/loss__MIN","run-a - val/loss__MAX"``.
Its bands repeat the values of one run and are left out. A project gives a row a run, with its settings and
its last values: that is a point a run, no curve.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..run import Run
from ..source import Source
from . import Options, Reader
from ._assign import EPOCHS, STEPS, assign, first_of, meaning
from ._cells import Layout, layout, number
from ._collect import Collector
from ._hf import step_of
from ._names import plain
from ._records import without_steps
from ._tabular import csv_rows

NAME = "wandb-csv"
BANDS = ("__MIN", "__MAX")
PARTED = " - "  # between the run's name and the metric's
PROJECT = ("Name", "State", "Created")  # columns of every project export
RUNS = 2000


def _layout(sample: bytes) -> Layout | None:
    return layout(sample.decode("utf-8", "replace")) if b'"' in sample[:65536] else None


def _metrics(header: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Column -> run and metric, for the columns of a chart."""
    found = {}
    for column in header:
        run, parted, metric = column.rpartition(PARTED)
        if parted and run and not metric.endswith(BANDS) and not metric.startswith("_"):
            found[column] = run, metric
    return found


def _is_chart(how: Layout) -> bool:
    if not any(column.endswith(BANDS) for column in how.header) or _axis(how) is None:
        return False
    return any(meaning(metric) for _, metric in _metrics(how.header).values())


def _axis(how: Layout) -> str | None:
    """The chart's x axis: its first column, where that counts steps or epochs."""
    return how.header[0] if plain(how.header[0]) in (*STEPS, *EPOCHS) else None


def _is_project(how: Layout) -> bool:
    return set(PROJECT) <= set(how.header)


def sniff(sample: bytes, name: str) -> int:  # noqa: ARG001
    how = _layout(sample)
    return how.rows if how and (_is_chart(how) or _is_project(how)) else 0


def read(source: Source, options: Options) -> list[Run]:
    how = _layout(source.sample)
    if how is None:
        return []
    return _project(source, how, options) if _is_project(how) else _chart(source, how, options)


def _chart(source: Source, how: Layout, options: Options) -> list[Run]:
    metrics, axis = _metrics(how.header), _axis(how)
    if axis is None:
        return []
    runs: dict[str, Collector] = {}
    torn = [0]
    for row, _ in csv_rows(source, how, torn):
        step = step_of(number(row[axis], how.decimal, whole=True))
        if step is None:
            torn[0] += 1
            continue
        for run, values in _by_run(row, metrics, how.decimal).items():
            if run in runs or len(runs) < RUNS:
                runs.setdefault(run, Collector(run)).add(step, values)
    said = [f"{torn[0]:,} lines that are no record left out"] if torn[0] else []
    made = _finished(runs.values(), axis, options, [*said, *source.notes])
    return [without_steps(run, "epochs") for run in made] if plain(axis) in EPOCHS else made


def _by_run(
    row: Mapping[str, str], metrics: Mapping[str, tuple[str, str]], decimal: str
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for column, (run, metric) in metrics.items():
        value = number(row[column], decimal)
        if value is not None:
            found.setdefault(run, {})[metric] = value
    return found


def _project(source: Source, how: Layout, options: Options) -> list[Run]:
    """A point a run; none where the runs did not log their step."""
    axis = options.columns.get("step") or first_of(how.header, STEPS)
    if axis is None or axis not in how.header:
        return []
    runs: list[Collector] = []
    for row, _ in csv_rows(source, how, [0]):
        step = step_of(number(row[axis], how.decimal, whole=True))
        if step is not None and len(runs) < RUNS:
            collector = Collector(str(row["Name"]) or source.name)
            cells = {column: number(cell, how.decimal) for column, cell in row.items()}
            collector.add(step, {column: value for column, value in cells.items() if value is not None})
            runs.append(collector)
    return _finished(
        runs, axis, options, ["one row a run: a point each, no curve", *source.notes], extra=False
    )


def _finished(
    runs: Iterable[Collector], axis: str, options: Options, said: list[str], *, extra: bool = True
) -> list[Run]:
    made = []
    for collector in runs:
        wanted = {name: column for name, column in options.columns.items() if column in collector.columns}
        columns = assign(collector.columns, Options(wanted, options.unit))
        if columns.has_loss:
            run = collector.finish(NAME, replace(columns, step=axis), options, extra=extra)
            made.append(replace(run, warnings=(*said, *run.warnings)))
    return made


READER = Reader(
    NAME, 'W&B\'s exports: "Step","run-a - val/loss","run-a - val/loss__MIN"', sniff, read, maps=True
)
