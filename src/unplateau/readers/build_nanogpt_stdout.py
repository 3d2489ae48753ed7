"""The standard output of build-nanogpt's train_gpt2.py.

    validation loss: 4.5908
    step   250 | loss: 4.612345 | lr 2.1e-04 | norm: 0.6532 | dt: 412.10ms | tok/sec: 1272234.55

The evaluation names no step: it is printed before the line of the step at which it was made, with
HellaSwag's accuracy and samples of text between. Where the log ends first, that step is the next one.
"""

from __future__ import annotations

import re

from ..run import Run
from ..source import Source
from . import Options, Reader
from ._text import COUNT, END4, NUMBER, Book, Stated, count, scan, stated, whole

NAME = "build-nanogpt-stdout"
RECORD = re.compile(rb"\nstep {1,12}\d{1,18} \| loss: {0,8}[-+\dnaif.]{3,24} \|")
EVENT = re.compile(
    rb"\n(?:step {1,12}(\d{1,18}) \| loss: {0,8}" + NUMBER + rb" \|"
    rb"(?: lr:? " + NUMBER + rb" \|)?(?: norm: {0,8}" + NUMBER + rb" \|)?(?: dt: {0,8}" + NUMBER + rb"ms)?"
    rb"|validation loss: " + NUMBER + END4 +
    rb"|(?!step |validation )([^\n]{1,1000}))"
)  # fmt: skip
NAMES = ("batch_loss", "lr", "grad_norm", "step_ms")
TABLE = (Stated(b"total desired batch size: ", "tokens_per_step", "tokens", COUNT, whole),)
TENSORS = re.compile(rb"num (?:non-)?decayed parameter tensors: [\d,]{1,12}, with ([\d,]{1,20}) parameters")


def read(source: Source, options: Options) -> list[Run]:  # noqa: ARG001
    log = _Log(Book(source.name, NAME))
    for match, place in scan(source, EVENT):
        if match[1]:
            log.step(int(match[1]), match.group(2, 3, 4, 5))
        elif match[6]:
            log.pending = float(match[6])
        elif match[7].startswith((b"total desired", b"num ", b"using fused AdamW")):
            log.head(match[7], place.at(match.start()))
        else:
            log.book.other(match[7], place, match)
    return log.finish()


class _Log:
    def __init__(self, book: Book) -> None:
        self.book = book
        self.pending: float | None = None  # an evaluation whose step has not been printed yet
        self.tensors = 0

    def step(self, step: int, values: tuple[bytes | None, ...]) -> None:
        rec = self.book.at(step)
        if self.pending is not None:
            rec.add("val_loss", step, self.pending)
            self.pending = None
        for name, value in zip(NAMES, values, strict=True):
            if value is not None:
                rec.add(name, step, float(value))

    def head(self, line: bytes, where: str) -> None:
        if line.startswith(b"total desired") and self.book.last >= 0:
            self.finish_evaluation()
            self.book.begin()
            self.tensors = 0
        rec = self.book.now
        stated(rec, line, where, TABLE)
        if tensors := TENSORS.match(line):
            self.tensors += whole(tensors[1])
            if line.startswith(b"num non-decayed"):  # the second of the two
                rec.fact("params_total", self.tensors, "", where)
        elif line.startswith(b"using fused AdamW"):
            rec.fact("optimizer", "adamw", "", where)

    def finish_evaluation(self) -> None:
        if self.pending is not None:
            self.book.now.add("val_loss", self.book.last + 1, self.pending)
            self.pending = None

    def finish(self) -> list[Run]:
        self.finish_evaluation()
        return self.book.finish()


READER = Reader(
    name=NAME,
    about="build-nanogpt's standard output: `step   250 | loss: 4.612345 | lr 2.1e-04 | norm: 0.6532 | dt: ..ms`",
    sniff=count(RECORD),
    read=read,
)
