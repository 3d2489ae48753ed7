"""The standard output of nanoGPT's train.py and of forks that keep its two lines.

    step 250: train loss 5.9251, val loss 5.9285
    iter 250: loss 5.9339, time 84649.09ms, mfu 151.41%

``step`` lines are evaluations of both splits by ``estimate_loss`` (dropout off for both); ``iter`` lines
are the loss of one micro-batch. ``time`` includes the evaluation where one fell on that step.
"""

from __future__ import annotations

import re

import numpy as np

from ..curve import Values
from ..run import Fact, Run
from ..source import Source
from . import Options, Reader
from ._nanogpt_header import Header
from ._records import Recorder
from ._template import Template
from ._text import END4, NUMBER, STEP, Book, Place, count, lead, words

NAME = "nanogpt"
BATCH, EVAL = ("batch_loss", "step_ms", "mfu"), ("train_loss", "val_loss")

RECORD = re.compile(rb"\n(?:iter \d{1,18}: loss |step \d{1,18}: train loss )[+-]?[\dni]")
#: lines that are neither ordinary records nor the commonest other line; records of step 0 are among them
OTHER = re.compile(rb"\n(?!iter [1-9]|step [1-9]|saving checkpoint)([^\n]{0,1000})")
FIRST = re.compile(rb"\n(?:iter|step) (\d{1,18}):")
NOT_ITER = re.compile(rb"\n(?!iter )[^\n]*")
ITERS = Template(b"\niter 0: loss 0.0, time 0.0ms, mfu 0.0%")
ITER = re.compile(
    rb"\niter " + STEP + rb": loss " + NUMBER + rb", time " + NUMBER + rb"ms, mfu " + NUMBER + rb"%(?=\s|\Z)"
)
EVALUATION = re.compile(
    rb"\nstep " + STEP + rb": train loss " + NUMBER + rb", val loss " + NUMBER + END4 + rb"(?=\s|\Z)"
)
CHECKPOINT = re.compile(rb"\nsaving checkpoint to ([^\n]{1,300})\n")
ANY = re.compile(rb"\n(iter|step) (\d{1,18}): ([^\n]{0,400})(?=(\n?))")
#: one field of a fork's line; a bare "BPC" after the number is its unit, "BPC 1.7" is the next field
PART = re.compile(
    rb"(?:^|[,|(;] ?| )([A-Za-z][A-Za-z_/]{0,15}(?: [A-Za-z_]{1,12})?)[:=]? ?"
    + NUMBER
    + rb"(?:(ms\b|s\b|%| ?(?:BPC|bpc|BPB|bpb)\b(?! ?[:=]? ?\d))|"
    + END4
    + rb")"
)
#: a fork's own word -> the series, for evaluations and for batches
WORDS = {
    "step": {
        "train loss": "train_loss",
        "val loss": "val_loss",
        "lr": "lr",
        "val bpc": "val_bpc",
        "train bpc": "train_bpc",
        "bpc": "val_bpc",
        "val bpb": "val_bpb",
        "train bpb": "train_bpb",
        "bpb": "val_bpb",
    },
    "iter": {
        "loss": "batch_loss",
        "time": "step_ms",
        "mfu": "mfu",
        "lr": "lr",
        "norm": "grad_norm",
        "grad_norm": "grad_norm",
        "grad norm": "grad_norm",
        "gnorm": "grad_norm",
        "tokens": "tokens",
    },
}
UNITS, PARTS = {"s": 1000}, {"%": 100}
BITS = {"bpc": "bits per character", "bpb": "bits per byte"}


def read(source: Source, options: Options) -> list[Run]:  # noqa: ARG001
    log = _Log(Header(Book(source.name, NAME)))
    for piece in source.pieces():
        text, place = lead(piece)
        start = 0
        for match in OTHER.finditer(text):
            if (begins := FIRST.match(match[0])) is None and not log.header.wants(match):
                continue
            log.records(text[start : match.start()], place, start)
            start = match.start()
            if begins is None:
                log.header.line(match, place)
        log.records(text[start:], place, start)
        log.header.piece_ends(text)
    return log.header.finish()


class _Log:
    """Takes stretches of text that hold records and no facts."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.rec: Recorder | None = None
        self.evaluated = b""  # the step of the last evaluation, after which nanoGPT saves

    def records(self, text: bytes, place: Place, start: int) -> None:
        first = FIRST.search(text)
        if first is not None:
            self.rec = self.header.run_of(int(first[1]))
        if self.rec is not None:
            self._saved(self.rec, text, place, start)
        if first is None or self.rec is None:
            return
        rec = self.rec
        self.header.reached(max(self._batches(rec, text), self._evaluations(rec, text)))
        if "out_dir" not in rec.facts and (saved := CHECKPOINT.search(text)):
            rec.fact("out_dir", words(saved[1]), "", place.at(start + saved.start()))

    def _saved(self, rec: Recorder, text: bytes, place: Place, start: int) -> None:
        """The step of the last checkpoint: of the evaluation before the line that says so."""
        last = text.rfind(b"\nsaving checkpoint to ")
        for end in (last, len(text)):
            at = text.rfind(b"\nstep ", 0, max(end, 0))
            if at >= 0 and (found := FIRST.match(text, at)):
                self.evaluated = found[1]
            if end == last >= 0 and self.evaluated:
                rec.facts["checkpoint_step"] = Fact(int(self.evaluated), "steps", place.at(start + last))

    def _batches(self, rec: Recorder, text: bytes) -> int:
        lines = NOT_ITER.sub(b"", text)
        if not lines:
            return -1
        columns = ITERS.columns(lines) or _by_pattern(ITER, lines)
        if columns is None:
            return self._one_by_one(rec, lines)
        step, loss, ms, mfu = columns
        steps = step.astype(np.int64)
        rec.optional("mfu")  # nanoGPT prints -100% until it has measured
        rec.rows(BATCH, steps, (loss, ms, np.where(mfu < 0, np.nan, mfu / 100)))
        return int(steps.max())

    def _evaluations(self, rec: Recorder, text: bytes) -> int:
        if b"\nstep " not in text:
            return -1
        rec.fact("eval_modes_equal", value=True, source="nanoGPT's estimate_loss")
        rows = EVALUATION.findall(text)
        if len(rows) < text.count(b"\nstep "):
            return self._one_by_one(rec, text, b"step")
        steps = np.array([int(row[0]) for row in rows], np.int64)
        rec.rows(EVAL, steps, (_floats(rows, 1), _floats(rows, 2)))
        return int(steps.max())

    def _one_by_one(self, rec: Recorder, text: bytes, kind: bytes = b"iter") -> int:
        found: dict[bytes, tuple[list[int], list[float]]] = {}  # word and mark -> steps, values
        for match in ANY.finditer(text):
            if match[1] == kind:
                step = int(match[2])
                for word, value, mark in PART.findall(match[3] + match[4]):
                    steps, values = found.setdefault(word + b"\0" + mark, ([], []))
                    steps.append(step)
                    values.append(float(value))
        done = [_field(rec, kind.decode(), key.decode().lower(), *both) for key, both in found.items()]
        return max(done, default=-1)


def _by_pattern(pattern: re.Pattern[bytes], lines: bytes) -> list[Values] | None:
    """Columns of lines that may hold nan, or None where a line is of another shape."""
    rows = pattern.findall(lines)
    if len(rows) < lines.count(b"\niter "):
        return None
    return [_floats(rows, i) for i in range(4)]


def _floats(rows: list[tuple[bytes, ...]], column: int) -> Values:
    return np.array([float(row[column]) for row in rows])


def _field(rec: Recorder, kind: str, key: str, at: list[int], raw: list[float]) -> int:
    """The values of one field of a fork's lines; the last step, or -1 where we do not know the word."""
    word, _, mark = key.partition("\0")
    name, mark = WORDS[kind].get(word), mark.strip()
    if name is None:
        return -1
    steps, values = np.array(at, np.int64), np.array(raw) * UNITS.get(mark, 1) / PARTS.get(mark, 1)
    if name == "mfu":
        steps, values = steps[values >= 0], values[values >= 0]  # -100% until it has measured
    if mark in BITS or name[-3:] in BITS:
        rec.set_unit(name, BITS.get(mark) or BITS[name[-3:]])
    rec.rows((name,), steps, (values,))
    return max(at)


READER = Reader(
    name=NAME,
    about="nanoGPT's standard output: `step 250: train loss 5.9251, val loss 5.9285`",
    sniff=count(RECORD),
    read=read,
)
