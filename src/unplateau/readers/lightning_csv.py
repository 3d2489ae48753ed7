"""PyTorch Lightning's CSVLogger: ``metrics.csv``, where train and val stand in different rows.

``train_loss_step`` and ``train_loss`` are of the optimiser's own batch; ``*_epoch`` is their mean over an
epoch and keeps its name. Lightning counts optimiser steps from 0 and logs a step after it is done.
"""

from __future__ import annotations

from ..run import Run
from ..source import Source
from . import Options, Reader
from ._cells import Layout, layout
from ._tabular import read_epochs

NAME = "lightning-csv"
FILE = "metrics.csv"


def _layout(sample: bytes) -> Layout | None:
    found = layout(sample.decode("utf-8", "replace"))
    return found if found and {"epoch", "step"} <= set(found.header) else None


def sniff(sample: bytes, name: str) -> int:
    head = sample[:65536].partition(b"\n")[0]
    if b"epoch" not in head or b"step" not in head or b"loss" not in head:
        return 0
    found = _layout(sample)
    if found is None or not any("loss" in column for column in found.header):
        return 0
    # the logger sorts its columns and leaves cells empty; nothing else names the file so
    own = name.startswith(FILE) or any(column.endswith(("_step", "_epoch")) for column in found.header)
    return found.rows if own else 0


def read(source: Source, options: Options) -> list[Run]:
    return read_epochs(source, _layout(source.sample), options, NAME)


READER = Reader(NAME, "Lightning's metrics.csv: epoch,step,train_loss_step,val_loss", sniff, read, maps=True)
