"""Rows of a plain table many at a time: the lines that fit its header, and their numbers column by column.

Most tables hold nothing but numbers and empty cells. Those are JSON but for the brackets, and msgspec reads JSON
three times as fast as a list of cells is made and each is given to ``float``.
"""

from __future__ import annotations

import re

import msgspec
import numpy as np

from ._cells import LONGEST, Layout, fits, number, split
from ._collect import Numbers

MINUS_ZERO = re.compile(rb"-0[\s,]")  # JSON's whole numbers have no negative zero
JSON = msgspec.json.Decoder(list[float | None])


def fitting(data: bytes, how: Layout) -> tuple[bytes, int] | None:
    r"""The lines with a cell for each column, and how many others were left out; lines without a delimiter are no rows.

    ``data``: whole lines, the last with or without its end. None where a line has one empty cell too many.

    >>> how = Layout(",", ("step", "loss"), 1)
    >>> fitting(b"1,3.5\n\n2,\n3,3,3\n4", how), fitting(b"1,3.5,\n", how)
    ((b'1,3.5\n2,\n', 1), None)
    """
    delimiter, wide = how.delimiter.encode(), len(how.header)
    if not data.endswith(b"\n"):
        data += b"\n"
    if _is_even(data, delimiter, wide):
        return data, 0
    lines = [line for line in data.split(b"\n") if delimiter in line]
    wider = (line.decode("utf-8", "replace") for line in lines if line.count(delimiter) == wide)
    if any(fits(split(line, how.delimiter), how.header) for line in wider):
        return None
    kept = [line for line in lines if line.count(delimiter) == wide - 1]
    return b"".join(line + b"\n" for line in kept), len(lines) - len(kept)


def _is_even(data: bytes, delimiter: bytes, wide: int) -> bool:
    """True where each line has ``wide`` cells."""
    text = np.frombuffer(data, np.uint8)
    ends = text[(text == ord(delimiter)) | (text == ord("\n"))] == ord("\n")
    return len(ends) % wide == 0 and bool((ends.reshape(-1, wide) == (np.arange(wide) == wide - 1)).all())


def columns_of(data: bytes, how: Layout) -> dict[str, Numbers]:
    r"""The numbers of each column, as ``number`` reads them with a decimal point; ``data``: what ``fitting`` gives.

    >>> columns_of(b"1,3.5\n2,\n", Layout(",", ("step", "loss"), 1))
    {'step': (None, array([1., 2.])), 'loss': (array([0]), array([3.5]))}
    """
    wide, table = len(how.header), _numbers_in(data, how.delimiter.encode())
    if table is not None:
        rows = table.reshape(-1, wide)
        return {name: _known(rows[:, i]) for i, name in enumerate(how.header)}
    cells = data.decode("utf-8", "replace").replace("\n", how.delimiter).split(how.delimiter)[:-1]
    return {name: numbers_of(cells[i::wide]) for i, name in enumerate(how.header)}


def _numbers_in(data: bytes, delimiter: bytes) -> np.ndarray | None:
    """The numbers of all cells, nan where one is empty; None where one is neither, or none that JSON writes so."""
    cells = b"," + data.replace(delimiter, b",").replace(b"\n", b",")
    if (delimiter != b"," and b"," in data) or MINUS_ZERO.search(cells):
        return None
    if np.diff(np.flatnonzero(np.frombuffer(cells, np.uint8) == ord(","))).max() > LONGEST + 1:
        return None
    cells = cells.replace(b",,", b",null,").replace(b",,", b",null,")  # again: those that it ended with
    try:
        return np.array(JSON.decode(b"[" + cells[1:-1] + b"]"), np.float64)
    except msgspec.MsgspecError:
        return None


def _known(column: np.ndarray) -> Numbers:
    known = ~np.isnan(column)
    return (None, column) if known.all() else (np.flatnonzero(known), column[known])


def numbers_of(cells: list[str]) -> Numbers:
    """The numbers among cells, as ``number`` reads them with a decimal point.

    >>> numbers_of(["3.5", "2"]), numbers_of(["", "2", "best"])
    ((None, array([3.5, 2. ])), (array([1]), array([2.])))
    """
    if max(map(len, cells)) <= LONGEST:
        try:
            return None, np.fromiter(map(float, cells), np.float64, len(cells))
        except ValueError:
            pass
    told = {cell: number(cell) for cell in set(cells)}  # words repeat themselves
    found = [(i, value) for i, cell in enumerate(cells) if (value := told[cell]) is not None]
    return np.array([i for i, _ in found], np.int64), np.array([value for _, value in found], np.float64)
