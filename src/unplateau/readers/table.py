"""Any table, where no other reader claims the file: CSV, TSV, semicolons, JSON, one object a line.

Columns are told by their names; the order is documented in ``_assign.py``, and every choice is named in
the run's warnings. ``--map val_loss=COLUMN``, ``--map step=COLUMN`` and ``--unit bits`` overrule it. A
column that names runs gives several runs; rows without a step (means at the end) are left out. A long
table (step, metric, value) is read as one with a column for each metric.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import isfinite

from ..errors import UnreadableError, printable
from ..run import LOSSES, Run
from ..source import Source
from . import Options, Reader
from ._assign import KINDS, RUNS, STEPS, assign, first_of
from ._cells import LOOKED_AT, Layout, flat, json_rows, layout, lines_of_objects, listed_rows, number
from ._json import object_of
from ._names import plain
from ._tabular import Reading, Row, collect, collect_text, csv_rows, rising, telling_apart

NAME = "table"
WEIGHT = 16  # numbers that a row may hold
PEEK = 1 << 14  # bytes in which a file of one object a line shows a whole one
VALUE = ("value", "values")
TAG = re.compile(r"(?:run-.{0,150}-)?tag-(.{1,150})")  # TensorBoard's name for a downloaded scalar
OBJECT = re.compile(rb'^\s{0,8}\{\s{0,8}"', re.MULTILINE)
LIST = re.compile(rb"\A[\s\xef\xbb\xbf]{0,64}\[\s{0,64}\{")
DOCUMENT = re.compile(rb'\A[\s\xef\xbb\xbf]{0,64}(?:\[\s{0,64}\{|\{\s{0,64}")')


def sniff(sample: bytes, name: str) -> int:  # noqa: ARG001
    """Rows of a table whose header names a loss, a step or an epoch; one point for a table of other names.

    Where most lines are rows, each weighs ``WEIGHT``: a reader of prose would count its numbers one by one.
    """
    if DOCUMENT.match(sample) and len(_objects(sample[:PEEK])) < 2:
        return WEIGHT * sample.lower().count(b"loss")
    lines = sum(1 for line in sample.split(b"\n") if line.strip())
    objects = _objects(sample)
    if objects and _promising(_names(objects)):
        return len(objects) * (WEIGHT if 2 * len(objects) > lines else 1)
    how = layout(_text(sample))
    if how is None:
        return 0
    if not _promising(how.header):
        return int(how.rows >= 3)
    rows = sum(line.count(how.delimiter.encode()) >= len(how.header) - 1 for line in sample.split(b"\n"))
    return rows * WEIGHT if 2 * rows > lines else how.rows


def read(source: Source, options: Options) -> list[Run]:
    table = _opened(source)
    if table is None:
        return []
    first = [row for row, _ in islice(table.rows(), LOOKED_AT)]
    table = _long(table, first, source.name) or table
    first = [row for row, _ in islice(table.rows(), LOOKED_AT)]
    reading = _reading(table, first, source.name, options)
    if not reading.columns.has_loss:
        raise _no_loss(first, reading, source.name)
    if _is_a_list_of_runs(table, first, reading):
        return []
    table.torn[0] = 0
    if table.text is None:
        collect(table.rows(), reading)
    else:
        collect_text(source, table.text, reading, table.torn)
    return _finished(reading, table, source, options)


def _no_loss(first: Sequence[Row], reading: Reading, name: str) -> UnreadableError:
    """What is said of a table without a loss: that words stand for its numbers, or what its columns are called."""
    losses = [c.column for series, c in assign(_names(first), Options()).series.items() if series in LOSSES]
    if losses:
        cells = (row.get(losses[0]) for row in first)
        held = next(
            (f"but {printable(str(c), 60)!r}" for c in cells if c not in (None, "")), "they are empty"
        )
        return UnreadableError(
            f"{name}: column {printable(losses[0], 60)!r} holds no number in the first {len(first)} rows, {held}; expected "
            "numbers as 3.25 (if they come later, or stand in another column: --map val_loss=COLUMN)"
        )
    listed = printable(", ".join(_names(first)[:30]), 400)
    step = "" if reading.columns.step else " and the step with --map step=COLUMN"
    return UnreadableError(f"no loss among the columns {listed}: name it with --map val_loss=COLUMN{step}")


@dataclass(slots=True)
class Table:
    """A table that can be read more than once; ``torn`` counts lines that are no rows."""

    rows: Callable[[], Iterator[tuple[Row, bool]]]
    decimal: str
    torn: list[int]
    text: Layout | None = None  # how it is written, where its rows are lines of cells


def _opened(source: Source) -> Table | None:
    """The table in a file, whatever its shape."""
    objects = _objects(source.sample)
    if len(objects) > 1 or (objects and not DOCUMENT.match(source.sample)):
        return Table(lambda: ((row, False) for row in lines_of_objects(source)), ".", [0])
    if LIST.match(source.sample):
        return Table(lambda: ((row, False) for row in listed_rows(source)), ".", [0])
    if DOCUMENT.match(source.sample):
        rows = list(json_rows(source) or ())
        return Table(lambda: ((row, False) for row in rows), ".", [0]) if rows else None
    how, torn = layout(_text(source.sample)), [0]
    return Table(lambda: csv_rows(source, how, torn), how.decimal, torn, how) if how else None


def _long(table: Table, first: Sequence[Row], name: str) -> Table | None:
    """A long table (step, metric, value) with a column for each metric, or None where it is none."""
    names = _names(first)
    step, value = first_of(names, STEPS), first_of(names, VALUE)
    if step is None or value is None or any(_is_loss(n) for n in names):
        return None
    kind = next((n for n in names if plain(n) in KINDS and _is_text(first, n, table.decimal)), None)
    run, told = first_of(names, RUNS), TAG.fullmatch(name.rsplit(".", 1)[0])
    tag = told[1] if told else name.rsplit(".", 1)[0]

    def rows() -> Iterator[tuple[Row, bool]]:
        for row, again in table.rows():
            key = str(row.get(kind, "")) if kind else tag
            yield {step: row.get(step), key: row.get(value), **({run: row.get(run)} if run else {})}, again

    return Table(rows, table.decimal, table.torn)


def _is_loss(name: str) -> bool:
    return assign([name], Options()).has_loss


def _is_text(rows: Sequence[Row], name: str, decimal: str) -> bool:
    """True where most cells of a column hold words."""
    cells = [row.get(name) for row in rows]
    words = [c for c in cells if isinstance(c, str) and c and number(c, decimal) is None]
    return 2 * len(words) > len(cells)


def _reading(table: Table, first: Sequence[Row], name: str, options: Options) -> Reading:
    """Tell the columns from the first rows, and which of them tell runs apart."""
    names = _names(first)
    rare = [c for c in options.columns.values() if c not in names]  # in JSON an evaluation's keys come late
    names += [c for c in rare if any(c in row for row, _ in table.rows())]
    numeric = [n for n in names if any(number(row.get(n), table.decimal) is not None for row in first)]
    told = assign(dict.fromkeys([*numeric, *(c for c in options.columns.values() if c in names)]), options)
    columns = replace(told, run=assign(names, options).run)
    if columns.epoch and not columns.step and not _whole(first, columns.epoch, table.decimal):
        columns = replace(columns, epoch=None)
    reading = Reading(name, columns, table.decimal)
    keys = telling_apart(
        names,
        columns.run,
        lambda keys: rising((row for row, _ in table.rows()), Reading(name, columns, table.decimal), keys),
    )
    reading.keys = keys
    if columns.step is None:
        reading.warnings.append("no column is named as a step is (if one holds it: --map step=COLUMN)")
    return reading


def _whole(rows: Sequence[Row], name: str, decimal: str) -> bool:
    values = [number(row.get(name), decimal) for row in rows]
    return all(value == int(value) for value in values if value is not None and isfinite(value))


def _is_a_list_of_runs(table: Table, first: Sequence[Row], reading: Reading) -> bool:
    """True for results, one row a run: no step, and a column of words that names each row."""
    if reading.columns.step or reading.columns.epoch:
        return False
    texts = [n for n in _names(first) if _is_text(first, n, table.decimal)]
    return any(len({str(row.get(n)) for row in first}) == len(first) for n in texts) and len(first) > 1


def _finished(reading: Reading, table: Table, source: Source, options: Options) -> list[Run]:
    if table.torn[0]:
        reading.warnings.append(f"{table.torn[0]:,} lines that do not fit the header left out")
    reading.warnings += source.notes
    if len(reading.runs) > 1 and all(run.rows == 1 for run in reading.runs.values()):
        reading.warnings.append("one row a run: a point each, no curve")
        return reading.finish(NAME, options, extra=False)  # the rest are settings and results
    return reading.finish(NAME, options)


def _text(sample: bytes) -> str:
    return sample.decode("utf-8", "replace")


def _objects(sample: bytes) -> list[Row]:
    if not OBJECT.search(sample):
        return []
    found = (object_of(line.decode("utf-8", "replace")) for line in islice(sample.split(b"\n"), 5000))
    return [row for held in found if held and (row := flat(held))]


def _names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _promising(names: Sequence[str]) -> bool:
    told = assign(names, Options())
    return told.has_loss or bool(first_of(names, VALUE) and told.step)


READER = Reader(
    NAME,
    "any CSV, TSV or JSON whose columns can be told: step,val loss",
    sniff,
    read,
    last_resort=True,
    maps=True,
)
