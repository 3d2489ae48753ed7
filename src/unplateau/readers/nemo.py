"""NVIDIA NeMo: ``Training epoch 0, iteration 3/4679 | lr: 2.353e-06 | global_step: 3 | reduced_train_loss: 0.4619``.

Also the progress bar of NeMo 1, ``Epoch 0: ... 99/1000 [..., reduced_train_loss=10.40, global_step=99.00, ...]``.
``val_loss`` is repeated on each line after a validation: it is a measurement where it changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..run import Run
from ..source import Source
from . import Options, Reader
from ._lines import MACHINE, marked, number
from ._text import Book, count
from ._units import in_nats

RECORD = re.compile(rb"Training epoch (\d{1,9}), iteration (\d{1,18})/(\d{1,18}) \|")
BAR = re.compile(rb"[\[ ,]reduced_train_loss=([^\s,\]]{1,24})(?=[,\]])")
BAR_FIELD = re.compile(
    rb"[\[ ,](lr|global_step|val_loss|grad_norm|train_step_timing in s)=([^\s,\]]{1,24})(?=[,\]])"
)
REACHED = re.compile(rb"global step (\d{1,18}): '?val_loss'? reached ([^\s,|]{1,24}) ")
MARK = re.compile(rb"Training epoch |reduced_train_loss|'?val_loss'? reached|" + MACHINE)
KEYS = {
    b"reduced_train_loss": ("batch_loss", 1.0),
    b"lr": ("lr", 1.0),
    b"grad_norm": ("grad_norm", 1.0),
    b"val_loss": ("val_loss", 1.0),
    b"consumed_tokens": ("tokens", 1.0),
    b"train_step_timing in s": ("step_ms", 1e3),
}
SNIFF = re.compile(b"(?:" + RECORD.pattern + b")|(?:" + BAR.pattern + b")")


@dataclass(slots=True)
class _Log:
    book: Book
    shown: float | None = None

    def line(self, line: bytes, where: str) -> None:
        records = list(RECORD.finditer(line))
        ends = [*(after.start() for after in records[1:]), len(line)]
        for found, end in zip(records, ends, strict=False):
            cells = line[found.end() : end].split(b"|")
            self.record(found, [cell.strip().rpartition(b":") for cell in cells])
        if records:
            return
        bar = BAR.search(line)
        if bar is not None:
            self.bar(bar, line)
        elif reached := REACHED.search(line):
            self.validated(int(reached[1]), number(reached[2]))
        else:
            self.book.machine(line, where)

    def record(self, found: re.Match[bytes], cells: list[tuple[bytes, bytes, bytes]]) -> None:
        values = {key.strip(): value for key, _, raw in cells if (value := number(raw)) is not None}
        step = values.get(b"global_step", float(int(found[1]) * int(found[3]) + int(found[2])))
        self.row(int(step) if 0 <= step < 1e18 else -1, int(found[1]), values)

    def bar(self, loss: re.Match[bytes], line: bytes) -> None:
        values = {key: value for key, raw in BAR_FIELD.findall(line) if (value := number(raw)) is not None}
        value, step = number(loss[1]), values.get(b"global_step")
        if value is None or step is None or not 0 <= step < 1e18:
            return
        values[b"reduced_train_loss"] = value
        self.row(int(step), None, values)

    def row(self, step: int, epoch: int | None, values: dict[bytes, float]) -> None:
        rec = self.book.at(step)
        found = {KEYS[key][0]: value * KEYS[key][1] for key, value in values.items() if key in KEYS}
        self.validated(step, found.pop("val_loss", None))
        if epoch is not None:
            found["epoch"] = epoch
        rec.row(tuple(found), step, tuple(found.values()))

    def validated(self, step: int, loss: float | None) -> None:
        """Record a val_loss where it changes."""
        if loss is None or repr(loss) == repr(self.shown):  # a nan is the same nan
            return
        if self.shown is None:
            self.book.now.warn("'val_loss' is repeated on each line: read where it changes")
        self.shown = loss
        self.book.now.add("val_loss", step, loss)


def read(source: Source, options: Options) -> list[Run]:
    """The runs of a NeMo log."""
    log = _Log(Book(source.name, "nemo"))
    for line, where in marked(source, MARK):
        log.line(line, where)
    return [in_nats(run, options) for run in log.book.finish()]


READER = Reader(
    name="nemo",
    about="NVIDIA NeMo: 'Training epoch 0, iteration 3/4679 | lr: 2.353e-06 | ... | reduced_train_loss: 0.4619'",
    sniff=count(SNIFF),
    read=read,
)
