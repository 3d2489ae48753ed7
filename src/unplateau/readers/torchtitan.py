"""torchtitan: ``step: 14  loss: 3.24405  grad_norm: 0.8319  memory: ...  tps: 7,282  mfu: 0.17%``.

Every rank prints the same global mean, so a step comes as often as there are ranks; the last is kept.
"""

from __future__ import annotations

import re

from ..run import Run
from ..source import Source
from . import Options, Reader
from ._lines import MACHINE, marked, number
from ._text import Book, count, whole, words
from ._units import in_nats

# what must follow a number: a blank or the line's end, so that a line that another rank broke into is no record
RECORD = re.compile(
    rb"(validate )?step: {1,20}(\d{1,18}) {1,8}(?:\w{1,20}/)?loss: {1,20}([\d.,eE+-]{1,24}|-?nan|-?inf)(?=\s|$)"
)
FIELD = re.compile(rb" (grad_norm|mfu|lr|ntokens): {1,20}([^\s,|%]{1,24})(%?)(?= |$)")
SIZE = re.compile(rb"Model (\w[\w.-]{0,40})(?: \S{1,40})? size: {1,4}([\d,]{1,26}) total parameters")
START = re.compile(
    rb"Training starts at step (\d{1,18})"
    rb"(?:, with local batch size:? (\d{1,9}))?(?:, global batch size:? (\d{1,9}))?"
    rb"(?:, (?:gradient accumulation steps:? \d{1,9}, )?sequence length:? (\d{1,9}))?"
    rb"(?:, total steps:? (\d{1,18}))?(?: \(warmup:? (\d{1,18})\))?"
)
CARD = re.compile(rb"capacity: {1,4}([A-Za-z][\w .()/-]{2,60}?) with ([\d.]{1,12})GiB memory")
SEED = re.compile(rb"(?:[Uu]sing|[Ss]etting) seed:? {0,4}(\d{1,18})")
MARK = re.compile(rb"step: {1,20}\d|total parameters|Training starts at|GiB memory|seed:? {0,4}\d|" + MACHINE)


def _record(book: Book, found: re.Match[bytes], line: bytes) -> None:
    step, loss = int(found[2]), number(found[3])
    if loss is None:
        return
    rec = book.at(step)
    if found[1]:
        rec.add("val_loss", step, loss)
        return
    names, values = ["batch_loss"], [loss]
    for name, raw, percent in FIELD.findall(line, found.end()):
        value = number(raw)
        if value is not None and (key := "tokens" if name == b"ntokens" else name.decode()) not in names:
            names.append(key)
            values.append(value / 100 if percent else value)
    rec.row(tuple(names), step, values)


def _start(book: Book, found: re.Match[bytes], where: str) -> None:
    first, local, batch, length, total, warmup = (int(g) if g else None for g in found.groups())
    rec = book.now
    if first and first > 1:
        rec.fact("resumed_at", [first], "steps", where)
    for name, value, unit in (
        ("batch_size", local, "sequences"),
        ("block_size", length, "tokens"),
        ("max_steps", total, "steps"),
        ("warmup_steps", warmup, "steps"),
        ("tokens_per_step", batch * length if batch and length else None, "tokens"),
    ):
        if value is not None:
            rec.fact(name, value, unit, where)


def _fact(book: Book, line: bytes, where: str) -> None:
    if found := START.search(line):
        _start(book, found, where)
    elif found := SIZE.search(line):
        book.now.fact("architecture", words(found[1]), "", where)
        book.now.fact("params_logged", whole(found[2]), "", where)
    elif found := CARD.search(line):
        book.now.fact("gpu", words(found[1]), "", where)
        gib = number(found[2])
        if gib and gib < 1e6:
            book.now.fact("gpu_memory", round(gib * 2**30), "bytes", where)
    elif found := SEED.search(line):
        book.now.fact("seed", int(found[1]), "", where)
    else:
        book.machine(line, where)


def read(source: Source, options: Options) -> list[Run]:
    """The runs of a torchtitan log."""
    book = Book(source.name, "torchtitan")
    for line, where in marked(source, MARK):
        found = list(RECORD.finditer(line))
        for record in found:
            _record(book, record, line)
        if not found:
            _fact(book, line, where)
    return [in_nats(run, options) for run in book.finish()]


READER = Reader(
    name="torchtitan",
    about="torchtitan: 'step: 14  loss: 3.24405  grad_norm: 0.8319  memory: ...  tps: 7,282  mfu: 0.17%'",
    sniff=count(RECORD),
    read=read,
)
