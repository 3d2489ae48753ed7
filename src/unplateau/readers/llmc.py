"""llm.c's ``main.log``.

    s:250 tel:6.2022
    s:250 trl:6.1559 lr:0.000214 norm:0.76
    s:250 eval:0.2501

``tel`` is the validation loss, ``trl`` that of the step's own batch; ``eval`` is HellaSwag's accuracy,
no loss, and is left out. The learning rate is printed with six decimals only.
"""

from __future__ import annotations

import re

from ..run import Run
from ..source import Source
from . import Options, Reader
from ._text import END4, NUMBER, STEP, Book, count, scan

NAME = "llm.c"
#: four decimals tell it from its ancestor in PyTorch, whose log has six (see ``modded_nanogpt``)
RECORD = re.compile(rb"\ns:\d{1,18} (?:tel|trl|eval):(?:\d{1,6}\.\d{4}|-?nan|inf)(?!\d)")
EVENT = re.compile(
    rb"\n(?:s:" + STEP + rb" (?:tel:" + NUMBER + END4 + rb"|trl:" + NUMBER + END4
    + rb"(?: lr:" + NUMBER + rb"(?=\s)(?: norm:" + NUMBER + rb"(?=\s))?)?)"
    rb"|(?!s:\d)([^\n]{1,1000}))"
)  # fmt: skip


def read(source: Source, options: Options) -> list[Run]:  # noqa: ARG001
    book = Book(source.name, NAME)
    for match, place in scan(source, EVENT):
        if match[1] is None:
            book.other(match[6], place, match)
            continue
        step = int(match[1])
        rec = book.at(step)
        if match[2] is not None:
            rec.add("val_loss", step, float(match[2]))
        elif match[5] is not None:
            rec.row(("batch_loss", "lr", "grad_norm"), step, [float(x) for x in match.group(3, 4, 5)])
        else:
            rec.add("batch_loss", step, float(match[3]))
    return book.finish()


READER = Reader(
    name=NAME,
    about="llm.c's main.log: `s:250 tel:6.2022`, `s:250 trl:6.1559 lr:0.000214 norm:0.76`",
    sniff=count(RECORD),
    read=read,
)
