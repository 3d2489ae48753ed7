"""The ``log.txt`` of build-nanogpt and its descendants: step, key, value.

    250 val 4.5908
    250 hella 0.2501
    250 train 4.612345

``train`` is the loss of the step's own batch. HellaSwag's accuracy is no loss and is left out.
"""

from __future__ import annotations

import re

from ..run import Fact, Run
from ..source import Source
from . import Options, Reader
from ._text import END6, NUMBER, STEP, Book, count, scan

NAME = "build-nanogpt"
SERIES = {b"val": "val_loss", b"train": "batch_loss"}
RECORD = re.compile(rb"\n\d{1,18} (?:val|train|hella) (?:\d{1,4}\.\d{4}|nan|inf)")
EVENT = re.compile(
    rb"\n(?:"
    + STEP
    + rb" (val|train) "
    + NUMBER
    + END6
    + rb"|(?!\d{1,18} (?:val|train|hella) )([^\n]{1,1000}))"
)
RESUMED = re.compile(rb"#.{0,80}?\bfrom step (\d{1,18})")


def read(source: Source, options: Options) -> list[Run]:  # noqa: ARG001
    book = Book(source.name, NAME)
    for match, place in scan(source, EVENT):
        if match[1]:
            step = int(match[1])
            book.at(step).add(SERIES[match[2]], step, float(match[3]))
        elif resumed := RESUMED.match(match[4]):
            _resumed(book, int(resumed[1]), place.at(match.start()))
        else:
            book.other(match[4], place, match)
    return book.finish()


def _resumed(book: Book, step: int, where: str) -> None:
    facts = book.now.facts
    before = facts.get("resumed_at")
    facts["resumed_at"] = Fact([*before.value, step] if before else [step], "steps", where)


READER = Reader(
    name=NAME,
    about="build-nanogpt's log.txt: `250 val 4.5908`",
    sniff=count(RECORD),
    read=read,
)
