"""fairseq, plain and ``--log-format json``: ``epoch 001: 200 / 1374 loss=14.351, ppl=20899.56, ..., num_updates=190``.

Losses are in bits (ppl = 2 ** loss), told from ppl where it is logged, and given in nats. Where a label-smoothed
loss stands beside ``nll_loss``, the latter is the loss, and the former is kept as ``smoothed_loss``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import exp, isfinite
from typing import Any

from ..run import Run
from ..source import Source
from ..units import LN2
from . import Options, Reader
from ._hf import number
from ._json import object_of
from ._lines import MACHINE, literal, marked, settle
from ._records import Recorder
from ._text import Book, count, whole
from ._units import in_nats

INNER = re.compile(rb"epoch (\d{1,9}): {1,12}\d{1,18} / \d{1,18} (?=[a-z_]{1,20}=)")
EPOCH = re.compile(
    rb"(?:epoch (\d{1,9}) \|)?(?: ?(valid) on '(\w{1,40})' subset \|)? ?(?=(?:valid_)?loss \S{1,24} \|)"
)
PAIR = re.compile(r"\b([a-z_]{1,30})=([^\s,]{1,40})(?=,)")  # the last of a line may be cut
SNIFF = re.compile(
    rb"epoch \d{1,9}: {1,12}\d{1,18} / \d{1,18} loss=|(?:epoch \d{1,9} \|)(?: valid on '\w{1,40}' subset \|)? (?:valid_)?loss \d"
    rb"|\n[^{\n]{0,120}\{\"epoch\": \d{1,9}, \"(?:update|loss|valid_loss|train_loss)\": "
)
OVERFLOW = re.compile(rb"overflow detected.{0,40}setting loss scale to: {0,4}([\d.e+-]{1,24})")
PARAMETERS = re.compile(rb"(?:num\. (?:shared )?model params|num\. model params): {0,4}([\d,]{1,26})")
GPUS = re.compile(rb"training on (\d{1,6}) (?:GPUs|devices)")
ARGUMENTS = re.compile(
    r"\b([a-z][a-z0-9_]{1,40})=('[^']{0,200}'|\[[^\]]{0,100}\]|[^,()\s]{1,100})(?=[,)])"
    r"|'([a-z][a-z0-9_]{1,40})': ('[^']{0,200}'|\[[^\]]{0,100}\]|[^,{}\s]{1,100})(?=[,}])"
)
MARK = re.compile(
    rb"epoch \d{1,9}(?:: | \|)|valid on '|\"epoch\": |overflow detected|model params: |training on \d|Namespace\(|'_name': |"
    + MACHINE
)
SETTINGS = {
    "arch": ("architecture", ""),
    "lr": ("peak_lr", ""),
    "max_update": ("max_steps", "steps"),
    "warmup_updates": ("warmup_steps", "steps"),
    "tokens_per_sample": ("block_size", "tokens"),
    "lr_scheduler": ("schedule", ""),
    "clip_norm": ("grad_clip", ""),
    "weight_decay": ("weight_decay", ""),
    "dropout": ("dropout", ""),
    "label_smoothing": ("label_smoothing", ""),
    "decoder_layers": ("n_layer", ""),
    "decoder_embed_dim": ("n_embd", ""),
    "decoder_attention_heads": ("n_head", ""),
    "seed": ("seed", ""),
    "optimizer": ("optimizer", ""),
    "data": ("dataset", ""),
    "save_dir": ("out_dir", ""),
    "log_interval": ("log_interval", "steps"),
}
NAMES = {"lr": "lr", "gnorm": "grad_norm", "loss_scale": "loss_scale"}
TOLERANCE = 0.02  # of ppl, which is printed with two decimals of a rounded loss
TELLING = 1.5  # ppl; below it, bits and nats look alike
IN_BITS = ("smoothed_loss", "smoothed_val_loss", "epoch_loss")


@dataclass(slots=True)
class _Log:
    book: Book
    base: str = ""  # the unit of the losses, once a ppl has told it
    subset: str = ""  # the first validation set; others keep their names
    epochs: list[tuple[int, float]] = field(default_factory=list)  # step and mean loss of a pass
    overflows: int = 0
    overflow_from: str = ""
    batch: tuple[float, str] | None = None  # tokens a step, and where it says so
    early: int = 0

    def line(self, line: bytes, where: str) -> None:
        if found := INNER.search(line):
            pairs = PAIR.findall(line[found.end() :].decode("utf-8", "replace"))
            self.record("inner", int(found[1]), dict(pairs), where)
        elif b'"epoch": ' in line and (
            record := object_of(line[line.find(b"{") :].decode("utf-8", "replace"))
        ):
            self.json(record, where)
        elif (found := EPOCH.search(line)) and (found[1] or found[2]):
            cells = [cell.split() for cell in line[found.end() :].decode("utf-8", "replace").split("|")]
            kept = cells if line.endswith(b"\n") else cells[:-1]
            values = {cell[0]: cell[1] for cell in kept if len(cell) == 2}
            self.record("valid" if found[2] else "train", int(found[1] or 0), values, where, found[3])
        elif found := OVERFLOW.search(line):
            self.overflows += 1
            self.overflow_from = self.overflow_from or where
        else:
            self.fact(line, where)

    def json(self, record: Mapping[str, Any], where: str) -> None:
        epoch = number(record.get("epoch"))
        if any(key.startswith("valid_") for key in record):
            kind = "valid"
        elif (
            any(key.startswith("train_") and key != "train_wall" for key in record) or "update" not in record
        ):
            kind = "train"
        else:
            kind = "inner"
        self.record(kind, int(epoch) if epoch is not None and 0 <= epoch < 1e9 else 0, record, where)

    def record(
        self, kind: str, epoch: int, raw: Mapping[str, Any], where: str, subset: bytes | None = None
    ) -> None:
        values = {
            key.removeprefix("valid_").removeprefix("train_"): value
            for key, text in raw.items()
            if (value := number(text)) is not None
        }
        step = self.step_of(kind, values)
        loss = values.get("nll_loss", values.get("loss"))
        if loss is None or step is None:
            self.early += loss is not None
            return
        self.tell_base(loss, values.get("ppl"))
        if values.get("wpb", 0) > 0 and isfinite(values["wpb"]):
            self.batch = values["wpb"], where
        if kind == "valid":
            smoothed = values.get("loss") if "nll_loss" in values else None
            self.validation(step, loss, smoothed, (subset or b"valid").decode())
        else:
            self.training(kind, step, epoch, values)

    def step_of(self, kind: str, values: Mapping[str, float]) -> int | None:
        """``num_updates``; a validation that names none came after the latest update."""
        updates = values.get("num_updates")
        if updates is None:
            return self.book.last if self.book.last >= 0 and kind == "valid" else None
        return int(updates) if 0 <= updates < 1e18 else None

    def tell_base(self, loss: float, ppl: float | None) -> None:
        if self.base or ppl is None or not TELLING < ppl < 1e300 or not 0 < loss < 500:
            return
        if abs(2**loss / ppl - 1) < TOLERANCE:
            self.base = "bits"
        elif abs(exp(loss) / ppl - 1) < TOLERANCE:
            self.base = "nats"

    def validation(self, step: int, loss: float, smoothed: float | None, subset: str) -> None:
        rec = self.book.at(step)
        self.subset = self.subset or subset
        if subset != self.subset:
            rec.set_unit(f"val_loss/{subset}", "bits")
            rec.add(f"val_loss/{subset}", step, loss)
            return
        rec.add("val_loss", step, loss)
        if smoothed is not None:
            rec.add("smoothed_val_loss", step, smoothed)

    def training(self, kind: str, step: int, epoch: int, values: Mapping[str, float]) -> None:
        loss = values.get("nll_loss", values.get("loss", 0.0))
        rec = self.book.at(step)
        if kind == "train":
            self.epochs.append((step, loss))
            if rec.last_step("batch_loss") is not None:
                return  # what else the mean of a pass says, the records of the pass said
        row = {NAMES[key]: value for key, value in values.items() if key in NAMES} | {"epoch": float(epoch)}
        if kind == "inner":
            row["batch_loss"] = loss
        if "nll_loss" in values and "loss" in values:
            row["smoothed_loss"] = values["loss"]
        rec.row(tuple(row), step, tuple(row.values()))

    def fact(self, line: bytes, where: str) -> None:
        rec = self.book.now
        if found := PARAMETERS.search(line):
            settle(rec, {"n": ("params_logged", "")}, "n", str(whole(found[1])), where)
        elif found := GPUS.search(line):
            settle(rec, {"n": ("world_size", "devices")}, "n", found[1].decode(), where)
        elif b"Namespace(" in line or b"'_name': " in line:
            self.arguments(rec, line.decode("utf-8", "replace"), where)
        else:
            self.book.machine(line, where)

    def arguments(self, rec: Recorder, line: str, where: str) -> None:
        for key, raw, quoted, other in ARGUMENTS.findall(line):
            name, text = key or quoted, (raw or other).strip("[]")
            if name == "fp16" and literal(text) is True:
                settle(rec, {"fp16": ("dtype", "")}, "fp16", "float16", where)
            elif not (name == "max_update" and literal(text) == 0):  # 0: no limit
                settle(rec, SETTINGS, name, text, where)

    def finish(self) -> list[Run]:
        rec = self.book.now
        # with no record inside a pass, the mean of the pass is all that is known of the training loss
        name = "epoch_loss" if rec.last_step("batch_loss") is not None else "batch_loss"
        for step, loss in self.epochs:
            rec.add(name, step, loss)
        if self.overflows:
            rec.fact("skipped_steps", self.overflows, "steps", self.overflow_from)
        if self.batch:
            rec.fact("tokens_per_step", round(self.batch[0]), "tokens", self.batch[1])
        if self.early:
            rec.warn(
                f"{self.early} records of losses before the first num_updates left out: their step is unknown"
            )
        if not self.base and not rec.empty:
            rec.warn("no ppl tells the unit of the losses: taken as bits, which is fairseq's")
        for recorder in self.book.runs:
            recorder.unit = self.base or "bits"
            for series in IN_BITS:
                recorder.set_unit(series, recorder.unit)
        return self.book.finish()


def _in_nats(run: Run) -> Run:
    series = {n: c.scaled(LN2, "nats") if c.unit == "bits" else c for n, c in run.series.items()}
    return replace(run, series=series)


def read(source: Source, options: Options) -> list[Run]:
    """The runs of a fairseq log, losses in nats."""
    log = _Log(Book(source.name, "fairseq"))
    if options.unit:
        log.base = "nats"  # as logged; what the user says of the unit holds
    for line, where in marked(source, MARK):
        log.line(line, where)
    return [in_nats(_in_nats(run), options) for run in log.finish()]


READER = Reader(
    name="fairseq",
    about="fairseq: 'epoch 001: 200 / 1374 loss=14.351, ppl=20899.56, ..., num_updates=190', or its JSON lines",
    sniff=count(SNIFF),
    read=read,
)
