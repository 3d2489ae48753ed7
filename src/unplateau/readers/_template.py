"""Numbers out of many lines of one shape at once, a few nanoseconds a byte.

A log of a million steps is the same line a million times. Take the digits away and what is left must be
that line's skeleton, repeated; then every number lies between two known marks, and whole columns are
added up digit by digit. Anything else (a nan, an extra field) is not touched: ``columns`` gives None and
the caller reads line by line.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from ..curve import Values

DIGITS = b"0123456789"
FIELD = re.compile(rb"\d(?:\.\d)?")
EXACT = 15  # decimal digits that a double holds, so that digits / 10**k is the nearest double
POWERS = 10.0 ** np.arange(EXACT + 1)


class Template:
    r"""An example line, each number written as ``0`` or ``0.0``; it begins with ``\n``, ends in a mark.

    >>> lines = Template(b"\nstep 0: loss 0.0;")
    >>> [column.tolist() for column in lines.columns(b"\nstep 9: loss 3.25;\nstep 10: loss 12.5;")]
    [[9.0, 10.0], [3.25, 12.5]]
    >>> lines.columns(b"\nstep 9: loss nan;") is None
    True
    """

    def __init__(self, example: bytes) -> None:
        self.skeleton = example.translate(None, DIGITS)
        #: for each number: the mark before it, and how many marks it holds (1 for its point)
        self.fields = [
            (len(example[: m.start()].translate(None, DIGITS)) - 1, m[0].count(b"."))
            for m in FIELD.finditer(example)
        ]

    def columns(self, data: bytes) -> list[Values] | None:
        """One array per number, or None where ``data`` is not lines of this shape and nothing else."""
        count, odd = divmod(len(data.translate(None, DIGITS)), len(self.skeleton))
        if odd or not count or data.translate(None, DIGITS) != self.skeleton * count:
            return None
        digits = np.frombuffer(data, np.uint8) - np.uint8(48)  # what is no digit wraps round to above 9
        marks = np.flatnonzero(digits > 9).reshape(count, -1)
        columns = []
        for before, points in self.fields:
            column = _column(digits, marks[:, before : before + points + 2])
            if column is None:
                return None
            columns.append(column)
        return columns


def _column(digits: NDArray[np.uint8], marks: NDArray[np.int64]) -> Values | None:
    """The numbers between marks: ``|whole|`` or ``|whole.fraction|``."""
    lengths = np.diff(marks, axis=1) - 1
    if lengths[:, 0].min() < 1 or lengths.sum(axis=1).max() > EXACT:
        return None
    whole = _integers(digits, marks[:, 1], lengths[:, 0])
    if lengths.shape[1] == 1:
        return whole
    unit: Values = POWERS[lengths[:, 1]]
    number: Values = (whole * unit + _integers(digits, marks[:, 2], lengths[:, 1])) / unit
    return number


def _integers(digits: NDArray[np.uint8], ends: NDArray[np.int64], lengths: NDArray[np.int64]) -> Values:
    """The numbers of ``lengths`` digits that stop before ``ends``."""
    total = np.zeros(len(ends))
    shortest = int(lengths.min())
    for place in range(int(lengths.max())):
        digit = digits[ends - (place + 1)] * POWERS[place]
        total += digit if place < shortest else np.where(place < lengths, digit, 0.0)
    return total
