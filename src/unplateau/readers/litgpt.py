"""LitGPT: ``Epoch 34 | iter 3050700 step 610140 | loss train: 2.846, val: 2.861 | iter time: 112.20 ms (step)``.

``val`` there is the last validation loss, repeated on every line until the next: it is a measurement only
where it changes. ``iter 1000: val loss 4.5432`` lines are measurements; where they stand, they are used alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..run import Run
from ..source import Source
from . import Options, Reader
from ._lines import MACHINE, marked, number, settle
from ._records import Recorder
from ._text import Book, count, whole
from ._units import in_nats

RECORD = re.compile(
    rb"Epoch {1,4}(\d{1,9}) \| iter {1,12}(\d{1,18}) {1,4}step {1,12}(\d{1,18}) \| loss train: {0,8}([^\s,|]{1,24}),"
    rb" {0,4}val: {0,8}([^\s,|]{1,24})(?= )(?: \| iter time: {0,8}([\d.]{1,16}) ms)?"
)
OLD = re.compile(
    rb"iter {1,12}(\d{1,18}) {1,4}step {1,12}(\d{1,18}): loss {1,8}([^\s,|]{1,24}),(?: iter time: {0,8}([\d.]{1,16}) ?ms)?"
)
VALIDATION = re.compile(rb"(iter|step) {1,12}(\d{1,18}): val loss:? {1,8}([^\s,|]{1,24})(?=[\s,|]|$)")
FINAL = re.compile(rb"Final evaluation \| val loss: {1,8}([^\s,|]{1,24}) \|")
PARAMETERS = re.compile(rb"(?:Total parameters|Number of trainable parameters): {1,4}([\d,]{1,26})")
SEED = re.compile(rb"[Ss]eed set to {1,4}(\d{1,18})")
SETTING = re.compile(rb"\b([a-z][a-z0-9_]{1,40})=([^,)(\s]{1,80})(?=[,)]|$)")
QUOTED = re.compile(rb"'([a-z][a-z0-9_]{1,40})': ([^,}{\s]{1,80})(?=[,}]|$)")
MARK = re.compile(
    rb"loss train: |: loss |val loss|arameters: |eed set to |Args\(|_size=|_steps=|max_norm=|min_lr=|_class_path|"
    + MACHINE
)
SETTINGS = {
    "micro_batch_size": ("batch_size", "sequences"),
    "lr_warmup_steps": ("warmup_steps", "steps"),
    "max_norm": ("grad_clip", ""),
    "max_steps": ("max_steps", "steps"),
    "min_lr": ("floor_lr", ""),
    "max_seq_length": ("block_size", "tokens"),
    "log_interval": ("log_interval", "steps"),
    "max_iters": ("eval_iters", "batches"),
    "lr": ("peak_lr", ""),
    "weight_decay": ("weight_decay", ""),
}
BATCH = {"global_batch_size": ("global_batch_size", "sequences")}
SAME = 6e-4  # the column shows three decimals of what the line of a validation shows with four


@dataclass(slots=True)
class _Log:
    book: Book
    shown: float | None = None  # the value in the column
    measured: float | None = None  # by the latest line of a validation
    at: tuple[int, int] = (0, 0)  # iter and step of the latest record
    ratio: int = 0  # iterations a step, where they divide
    column: list[tuple[int, float]] = field(default_factory=list)
    lines: bool = False
    settings: Recorder = field(default_factory=lambda: Recorder("settings", "litgpt"))

    def line(self, line: bytes, where: str) -> None:
        if found := RECORD.search(line):
            self.record(found)
        elif found := OLD.search(line):
            loss = number(found[3])
            if loss is not None:
                self.place(int(found[1]), int(found[2]))
                self.book.at(int(found[2])).add("batch_loss", int(found[2]), loss)
        elif found := VALIDATION.search(line):
            self.validation(int(found[2]), number(found[3]), found[1] == b"iter")
        elif found := FINAL.search(line):
            self.validation(self.at[0], number(found[1]), iterations=True)
        else:
            self.fact(line, where)

    def place(self, iteration: int, step: int) -> None:
        self.at = iteration, step
        if step and iteration % step == 0:
            self.ratio = iteration // step

    def record(self, found: re.Match[bytes]) -> None:
        epoch, iteration, step = int(found[1]), int(found[2]), int(found[3])
        loss, val, took = number(found[4]), number(found[5]), number(found[6] or b"")
        if loss is None:
            return
        self.place(iteration, step)
        rec = self.book.at(step)
        rec.row(("batch_loss", "epoch"), step, (loss, epoch))
        if took is not None:  # of one iteration, which is a micro-batch
            rec.add("iter_ms", step, took)
            rec.set_unit("iter_ms", "ms")
        if val is not None and repr(val) != repr(self.shown):  # a nan is the same nan
            self.shown = val
            if self.measured is None or abs(val - self.measured) > SAME:
                self.column.append((step, val))

    def validation(self, place: int, loss: float | None, iterations: bool) -> None:
        if loss is None:
            return
        self.lines, self.measured = True, loss
        self.book.now.add("val_loss", self.step_of(place) if iterations else place, loss)

    def step_of(self, iteration: int) -> int:
        if iteration == self.at[0] or not self.ratio:
            return self.at[1]
        return iteration // self.ratio

    def fact(self, line: bytes, where: str) -> None:
        rec = self.book.now
        if (found := PARAMETERS.search(line)) and "params_logged" not in rec.facts:
            rec.fact("params_logged", whole(found[1]), "", where)
        elif found := SEED.search(line):
            settle(rec, {"seed": ("seed", "")}, "seed", found[1].decode(), where)
        elif rec.empty and (pairs := SETTING.findall(line) + QUOTED.findall(line)):
            for key, raw in pairs:
                settle(rec, SETTINGS, key.decode(), raw.decode("utf-8", "replace"), where)
                settle(self.settings, BATCH, key.decode(), raw.decode("utf-8", "replace"), where)
        else:
            self.book.machine(line, where)

    def finish(self) -> list[Run]:
        first = self.book.runs[0]
        length, batch = first.facts.get("block_size"), self.settings.facts.get("global_batch_size")
        if length and batch and isinstance(length.value, int) and isinstance(batch.value, int):
            first.fact("tokens_per_step", length.value * batch.value, "tokens", batch.source)
        if self.column and not self.lines and len(self.book.runs) == 1:
            rec = self.book.now
            for step, value in self.column:
                rec.add("val_loss", step, value)
            rec.warn(
                f"'val' is the last validation repeated on each line: {len(self.column)} changes of it read as"
                " val_loss, each at the step where it first shows"
            )
        return self.book.finish()


def read(source: Source, options: Options) -> list[Run]:
    """The runs of a LitGPT log."""
    log = _Log(Book(source.name, "litgpt"))
    for line, where in marked(source, MARK):
        log.line(line, where)
    return [in_nats(run, options) for run in log.finish()]


READER = Reader(
    name="litgpt",
    about="LitGPT: 'Epoch 1 | iter 50 step 10 | loss train: 3.731, val: 3.9 | iter time: 46.00 ms (step)'",
    sniff=count(re.compile(b"(?:" + RECORD.pattern + b")|(?:" + OLD.pattern + b")")),
    read=read,
)
