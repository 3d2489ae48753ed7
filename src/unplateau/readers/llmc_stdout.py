"""llm.c's standard output: a table of the settings, then one line a step.

    val loss 6.202221
    step  250/19560 | loss 6.155867 (-1.41z)| norm 0.7611 (-0.80z)| lr 2.14e-04 | 4206.02 ms | 32.1% bf16 MFU | 124793 tok/s

Steps are counted from 1 here, so an evaluation belongs to the step printed before it. The numbers in
brackets are z-scores. Error output lands in the middle of lines: what stands before it is still read.
"""

from __future__ import annotations

import re

from ..run import Run
from ..source import Source
from . import Options, Reader
from ._text import END6, NUMBER, Book, Place, count, scan, whole, words

NAME = "llm.c-stdout"
RECORD = re.compile(rb"\nstep {1,12}\d{1,18}/\d{1,18} \| loss {1,12}[-+\dnaif.]{3,24} \(")
EVENT = re.compile(
    rb"\n(?:step {1,12}(\d{1,18})/(\d{1,18}) \| loss {1,12}" + NUMBER + rb" \([^()\n]{1,16}\)\|"
    rb"(?: norm {1,12}" + NUMBER + rb" \([^()\n]{1,16}\)\|)?(?: lr {1,4}" + NUMBER + rb" \|)?"
    rb"(?: {1,4}" + NUMBER + rb" ms \|)?(?: {1,4}" + NUMBER + rb"% \w{1,8} MFU)?([^\n]{0,200})"
    rb"|val loss {1,12}" + NUMBER + END6 +
    rb"|\| ([a-zA-Z][\w ()/]{1,22}?) {0,22}\| ([^|\n]{1,200}?) {0,60}\|"
    rb"|(?!step |val |evaluating Hella)([^\n]{1,1000}))"
)  # fmt: skip
NAMES = ("batch_loss", "grad_norm", "lr", "step_ms", "mfu")
PRECISION = {"BF16": "bfloat16", "FP16": "float16", "FP32": "float32", "TF32": "float32"}
#: the table's own words -> fact, unit
WHOLE = {
    "micro batch size B": ("batch_size", "sequences"),
    "sequence length T": ("block_size", "tokens"),
    "total batch size": ("tokens_per_step", "tokens"),
    "warmup iterations": ("warmup_steps", "steps"),
    "val_loss_every": ("eval_interval", "steps"),
    "val_num_batches": ("eval_iters", "batches"),
    "train_num_batches": ("max_steps", "steps"),
    "padded_vocab_size Vp": ("vocab_size", ""),
    "num_layers L": ("n_layer", ""),
    "num_heads NH": ("n_head", ""),
    "channels C": ("n_embd", ""),
    "num_parameters": ("params_total", ""),
    "num_processes": ("world_size", "devices"),
}
REAL = {"learning rate (LR)": "peak_lr", "weight decay": "weight_decay"}
WORD = {
    "LR scheduler": "schedule",
    "train data pattern": "dataset",
    "output log dir": "out_dir",
    "device": "gpu",
}
ACCUMULATION = re.compile(rb"=> setting grad_accum_steps=(\d{1,9})")


def read(source: Source, options: Options) -> list[Run]:  # noqa: ARG001
    log = _Log(Book(source.name, NAME))
    for match, place in scan(source, EVENT):
        if match[1]:
            log.step(match, place)
        elif match[9]:
            log.evaluation(float(match[9]))
        elif match[10]:
            log.setting(words(match[10]), words(match[11]), place.at(match.start()))
        else:
            log.line(match, place)
    return log.finish()


class _Log:
    def __init__(self, book: Book) -> None:
        self.book = book
        self.early: float | None = None  # an evaluation before the first step
        self.peak: float | None = None

    def step(self, match: re.Match[bytes], place: Place) -> None:
        step = int(match[1])
        if step == 1 and self.book.last > 1:
            self.book.begin()
        rec = self.book.at(step)
        if self.early is not None:
            rec.add("val_loss", step - 1, self.early)
            self.early = None
        for name, value in zip(NAMES, match.group(3, 4, 5, 6, 7), strict=True):
            if value is not None:
                rec.add(name, step, float(value) / (100 if name == "mfu" else 1))
        if "max_steps" not in rec.facts:
            rec.fact("max_steps", int(match[2]), "steps", place.at(match.start()))
        if b"rror" in match[8]:
            self.book.machine(match[8], place.at(match.start()))

    def evaluation(self, loss: float) -> None:
        if self.book.last < 0:
            self.early = loss
        else:
            self.book.now.add("val_loss", self.book.last, loss)

    def setting(self, key: str, value: str, where: str) -> None:
        if self.book.last >= 0:  # the table of the next run
            self.book.begin()
        rec = self.book.now
        if key in WHOLE and value.isdigit():
            name, unit = WHOLE[key]
            rec.fact(name, int(value), unit, where)
        elif key == "max_steps" and value.isdigit():  # -1 means one pass: train_num_batches says it then
            rec.fact("max_steps", int(value), "steps", where)
        elif key in WORD:
            rec.fact(WORD[key], value, "", where)
        elif key == "precision":
            rec.fact("dtype", PRECISION.get(value, value.lower()), "", where)
        elif (number := _real(value)) is not None:
            self._rate(key, number, where)

    def _rate(self, key: str, number: float, where: str) -> None:
        rec = self.book.now
        if key in REAL:
            rec.fact(REAL[key], number, "", where)
        elif key == "final LR fraction" and "peak_lr" in rec.facts:
            rec.fact("floor_lr", number * rec.facts["peak_lr"].value, "", where)
        elif key == "resume":
            rec.fact("init_from", "resume" if number else "scratch", "", where)

    def line(self, match: re.Match[bytes], place: Place) -> None:
        rec, line = self.book.now, match[12]
        if accumulation := ACCUMULATION.match(line):
            devices = rec.facts["world_size"].value if "world_size" in rec.facts else 1
            steps = whole(accumulation[1]) * devices
            rec.fact("gradient_accumulation_steps", steps, "", place.at(match.start()))
        elif line.startswith(b"allocating ") and b"AdamW" in line:
            rec.fact("optimizer", "adamw", "", place.at(match.start()))
        else:
            self.book.other(line, place, match)

    def finish(self) -> list[Run]:
        if self.early is not None:
            self.book.at(0).add("val_loss", 0, self.early)
        return self.book.finish()


def _real(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


READER = Reader(
    name=NAME,
    about="llm.c's standard output: `step  250/19560 | loss 6.155867 (-1.41z)| norm 0.7611 (-0.80z)| lr 2.14e-04 | ..`",
    sniff=count(RECORD),
    read=read,
)
