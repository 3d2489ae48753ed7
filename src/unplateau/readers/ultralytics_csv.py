"""Ultralytics' ``results.csv``: one row an epoch, the parts of a detector's loss in columns of their own.

The trainer's loss is the sum of its parts, which it logs weighted; so the sum stands as batch_loss and
val_loss, as logged: it is no loss per token. The parts keep their names. Older versions pad the columns.
"""

from __future__ import annotations

from ..run import Run
from ..source import Source
from . import Options, Reader
from ._cells import Layout, layout, number
from ._names import absent
from ._records import Recorder, without_steps
from ._tabular import Row, csv_rows

NAME = "ultralytics-csv"
SPLITS = {"train/": "batch_loss", "val/": "val_loss"}


def _layout(sample: bytes) -> Layout | None:
    found = layout(sample.decode("utf-8", "replace"))
    if found is None or "epoch" not in found.header or not all(_parts(found, split) for split in SPLITS):
        return None
    return found if any(c.startswith("metrics/") for c in found.header) else None


def _parts(how: Layout, split: str) -> list[str]:
    return [c for c in how.header if c.startswith(split) and c.endswith("loss")]


def sniff(sample: bytes, name: str) -> int:  # noqa: ARG001
    if b"metrics/" not in sample[:65536]:
        return 0
    found = _layout(sample)
    return found.rows if found else 0


def read(source: Source, options: Options) -> list[Run]:
    how = _layout(source.sample)
    if how is None:
        return []
    rec, torn = Recorder(source.name, NAME, unit=""), [0]
    sums = _sums(how, options)
    for row, _ in csv_rows(source, how, torn):
        epoch = number(row["epoch"], how.decimal)
        if epoch is not None and abs(epoch) < 1e9 and epoch == int(epoch):
            _row(rec, how, sums, row, int(epoch))
        else:
            torn[0] += 1
    for series, columns in sums.items():
        rec.warn(f"{series} is {' + '.join(columns)}, as logged: no loss per token")
    if torn[0]:
        rec.warn(f"{torn[0]:,} lines that are no record left out")
    for note in source.notes:
        rec.warn(note)
    return [] if rec.empty else [without_steps(rec.finish(), "epochs")]


def _sums(how: Layout, options: Options) -> dict[str, list[str]]:
    sums = {series: _parts(how, split) for split, series in SPLITS.items()}
    for series, column in options.columns.items():
        if column not in how.header:
            raise absent(series, column, how.header)
        sums[series] = [column]
    return sums


def _row(rec: Recorder, how: Layout, sums: dict[str, list[str]], row: Row, epoch: int) -> None:
    cells = {name: number(cell, how.decimal) for name, cell in row.items() if name}
    found = {name: value for name, value in cells.items() if value is not None}
    for series, columns in sums.items():
        if all(c in found for c in columns):
            found[series] = sum(found[c] for c in columns)
    rates = [c for c in found if c.startswith("lr/")]
    if rates:
        found["lr"] = found[rates[0]]
    rec.row(tuple(found), epoch, tuple(found.values()))


READER = Reader(
    NAME,
    "Ultralytics' results.csv: epoch,train/box_loss,val/box_loss,metrics/mAP50(B)",
    sniff,
    read,
    maps=True,
)
