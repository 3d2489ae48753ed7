"""MosaicML Composer's console: a header ``[batch=100/4800]:``, then one ``Train key: value`` a line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import printable
from ..run import Run
from ..source import Source
from . import Options, Reader
from ._lines import MACHINE, marked, number, settle
from ._records import STEP_LIMIT, Recorder
from ._text import Book, count
from ._units import in_nats

HEADER = re.compile(rb"\[(?:epoch=\d{1,9}(?:/\d{1,9})?\] ?\[)?batch=(\d{1,18})(?:/(\d{1,18}))?\]:?\s{0,4}$")
FIELD = re.compile(rb"^\s{1,16}(Train|Eval) ([A-Za-z][\w/.-]{0,120}): {1,4}(\S{1,32})\s{0,4}$")
RECORD = re.compile(
    rb"\n[ \t]{1,16}(?:Train|Eval) (?:loss|metrics|time|trainer|memory|lr|throughput)[\w/.-]{1,120}: {1,4}[\w.+-]{1,32}\s"
)
SETTING = re.compile(rb"^ {0,8}([a-z_]{2,40}): {1,4}(\S{1,80})$")
MARK = re.compile(rb"batch=\d|\tTrain |\tEval | Train | Eval |\n {0,8}[a-z_]{2,40}: |" + MACHINE)
NAMES = {
    "loss/train/total": "batch_loss",
    "time/token": "tokens",
    "l2_norm/grad/global": "grad_norm",
    "time/epoch": "epoch",
}
EVALUATED = re.compile(r"metrics/eval/(?:[\w.-]{1,60}/)?(?:LanguageCrossEntropy|CrossEntropy)")
BATCH = "time/batch"
OURS = ("loss/", "metrics/", "lr-", *NAMES)  # of the hundred keys, those that say how training goes
SETTINGS = {
    "d_model": ("n_embd", ""),
    "n_heads": ("n_head", ""),
    "n_layers": ("n_layer", ""),
    "vocab_size": ("vocab_size", ""),
    "max_seq_len": ("block_size", "tokens"),
    "t_warmup": ("warmup", ""),
    "seed": ("seed", ""),
    "precision": ("dtype", ""),
    "run_name": ("run_name", ""),
}
DTYPES = {"amp_bf16": "bfloat16", "amp_fp16": "float16", "fp32": "float32"}


@dataclass(slots=True)
class _Log:
    book: Book
    step: int | None = None
    block: dict[str, float] = field(default_factory=dict)
    blocks: int = 0
    headless: bool = False
    settings: Recorder = field(default_factory=lambda: Recorder("settings", "composer"))

    def line(self, line: bytes, where: str) -> None:
        if found := HEADER.search(line):
            self.close()
            self.step = int(found[1])
            if found[2]:
                held = self.book.now.facts.get("max_steps")
                if held is None or held.value != int(found[2]):
                    self.book.now.fact("max_steps", int(found[2]), "steps", where)
        elif found := FIELD.match(line):
            self.field(found[2].decode(), number(found[3]))
        elif self.book.now.empty and (found := SETTING.match(line)):
            settle(self.settings, SETTINGS, found[1].decode(), found[2].decode("utf-8", "replace"), where)
        else:
            self.book.machine(line, where)

    def field(self, key: str, value: float | None) -> None:
        if value is None:
            return
        if key in self.block and not key.startswith("metrics/eval/"):  # the same key again: another block
            self.close()
        self.block[key] = value

    def close(self) -> None:
        """Write the block that ends here."""
        block, step = self.block, self.step
        self.block, self.step = {}, None
        if 0 <= block.get(BATCH, -1) < STEP_LIMIT:
            step = int(block[BATCH]) if step is None else step
        row = _row(block)
        if not row:
            return
        if step is None:
            step, self.headless = self.blocks, True
        self.blocks += 1
        self.book.at(step).row(tuple(row), step, tuple(row.values()))

    def finish(self) -> list[Run]:
        self.close()
        rec = self.book.runs[0]
        for name, fact in self.settings.facts.items():
            if name == "dtype" and fact.value in DTYPES:
                rec.fact(name, DTYPES[fact.value], "", fact.source)
            elif name not in {"dtype", "warmup"}:
                rec.fact(name, fact.value, fact.unit, fact.source)
        if self.headless:
            rec.warn("no '[batch=N]' line before some records: their place in the log stands for the step")
        return self.book.finish()


def _row(block: dict[str, float]) -> dict[str, float]:
    """The series of one block: ours by their names, other losses and metrics under their own."""
    row: dict[str, float] = {}
    for key, value in block.items():
        if key.startswith("lr-"):
            row.setdefault("lr", value)
        elif EVALUATED.fullmatch(key) and "val_loss" not in row:
            row["val_loss"] = value
        elif key in NAMES:
            row[NAMES[key]] = value
        elif key.startswith(OURS):
            row[printable(key)] = value
    return row


def read(source: Source, options: Options) -> list[Run]:
    """The runs of a Composer console log."""
    log = _Log(Book(source.name, "composer"))
    for line, where in marked(source, MARK):
        log.line(line, where)
    return [in_nats(run, options) for run in log.finish()]


READER = Reader(
    name="composer",
    about="MosaicML Composer: '[batch=1/4800]:' and lines 'Train loss/train/total: 11.6525' below",
    sniff=count(RECORD),
    read=read,
)
