"""Keras's CSVLogger: one row an epoch. Keras knows no steps there: the steps are its epochs, from 0.

``loss`` is the mean over the epoch of the optimiser's own batches, with dropout on.
"""

from __future__ import annotations

from ..run import Run
from ..source import Source
from . import Options, Reader
from ._assign import STEPS as STEP_NAMES
from ._assign import first_of
from ._cells import Layout, layout
from ._tabular import read_epochs

NAME = "keras-csv"


def _layout(sample: bytes) -> Layout | None:
    if not sample.lstrip(b"#\xef\xbb\xbf \n").startswith((b"epoch,", b"epoch;", b"epoch\t", b'"epoch"')):
        return None
    found = layout(sample.decode("utf-8", "replace"))
    own = (
        found
        and found.header[0] == "epoch"
        and "loss" in found.header
        and not first_of(found.header, STEP_NAMES)
    )
    return found if own else None


def sniff(sample: bytes, name: str) -> int:  # noqa: ARG001
    found = _layout(sample)
    return found.rows if found else 0


def read(source: Source, options: Options) -> list[Run]:
    return read_epochs(source, _layout(source.sample), options, NAME)


READER = Reader(NAME, "Keras's CSVLogger: epoch,accuracy,loss,val_loss", sniff, read, maps=True)
