"""A common rewrite of nanoGPT's train.py that marks its lines.

[eval] iter 0: train 9.8578 val 9.8535 lr 7.50e-07
[train] iter 10: loss 8.6864 9240 ms/iter
"""

from __future__ import annotations

import re

from ..run import Run
from ..source import Source
from . import Options, Reader
from ._text import END4, NUMBER, STEP, Book, count, scan, whole

NAME = "nanogpt-fork"
RECORD = re.compile(rb"\n\[(?:eval\] iter \d{1,18}: train |train\] iter \d{1,18}: loss )[+-]?[\dni]")
EVENT = re.compile(
    rb"\n(?:\[eval\] iter " + STEP + rb": train " + NUMBER + rb" val " + NUMBER + END4
    + rb"(?: lr " + NUMBER + rb"(?=\s))?"
    rb"|\[train\] iter " + STEP + rb": loss " + NUMBER + END4 + rb"(?: " + NUMBER + rb" ms/iter)?"
    rb"|(?!\[(?:eval|train)\] iter )([^\n]{1,1000}))"
)  # fmt: skip
SIZES = re.compile(
    rb"\[train\] tokens/iter = ([\d,]{1,20}) \| train tokens = ([\d,]{1,20}) \| vocab = ([\d,]{1,12})"
)


def read(source: Source, options: Options) -> list[Run]:  # noqa: ARG001
    book = Book(source.name, NAME)
    for match, place in scan(source, EVENT):
        if match[1]:
            _evaluation(book, match)
        elif match[5]:
            _batch(book, match)
        elif sizes := SIZES.match(match[8]):
            _sizes(book, sizes, place.at(match.start()))
        else:
            book.other(match[8], place, match)
    return book.finish()


def _evaluation(book: Book, match: re.Match[bytes]) -> None:
    step = int(match[1])
    rec = book.at(step)
    rec.row(("train_loss", "val_loss"), step, (float(match[2]), float(match[3])))
    if match[4]:
        rec.add("lr", step, float(match[4]))


def _batch(book: Book, match: re.Match[bytes]) -> None:
    step = int(match[5])
    rec = book.at(step)
    rec.add("batch_loss", step, float(match[6]))
    if match[7]:
        rec.add("step_ms", step, float(match[7]))


def _sizes(book: Book, sizes: re.Match[bytes], where: str) -> None:
    rec = book.begin() if book.last >= 0 else book.now
    rec.fact("tokens_per_step", whole(sizes[1]), "tokens", where)
    rec.fact("train_tokens", whole(sizes[2]), "tokens", where)
    rec.fact("vocab_size", whole(sizes[3]), "", where)


READER = Reader(
    name=NAME,
    about="rewrites of nanoGPT: `[eval] iter 0: train 9.8578 val 9.8535 lr 7.50e-07`",
    sniff=count(RECORD),
    read=read,
)
