"""A chart for the terminal: loss on a linear axis against tokens (or steps) on a logarithmic one.

Points only, no line through them: what is drawn was logged. Braille gives each character cell two by
four dots; the second curve is drawn with one sign a cell, so that the two are told apart without colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np
from numpy.typing import NDArray

from ..curve import Curve
from ..units import count

HEIGHT = 11  # rows of cells; odd, so that one row lies in the middle
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # Unicode's braille: row, column -> bit
BLANK = 0x2800
OTHER = "+"  # a point of the second curve
AXIS = 8  # columns left of the field: the label of the loss, a space and a bar


@dataclass(frozen=True, slots=True)
class Field:
    """Where a point falls: columns over log10 of the step, rows down from the highest loss."""

    left: float  # log10 of the first step
    right: float
    low: float  # loss
    high: float
    columns: int
    rows: int

    def place(self, curve: Curve, across: int, down: int) -> NDArray[np.int64]:
        """Cells of shape (n, 2), for a grid of ``across`` x ``down`` parts a character."""
        x = (np.log10(curve.step) - self.left) / (self.right - self.left) * (self.columns * across - 1)
        y = (self.high - curve.value) / (self.high - self.low) * (self.rows * down - 1)
        return np.column_stack([np.rint(x), np.rint(y)]).astype(np.int64)


def chart(
    main: Curve,
    other: Curve | None = None,
    per_step: float = 1.0,
    unit: str = "steps",
    *,
    width: int = 80,
    height: int = HEIGHT,
) -> list[str]:
    """Rows of text, the highest loss first, then the axis; none when fewer than three points fit.

    ``per_step`` turns steps into ``unit`` (tokens). Step 0 has no place on a logarithmic axis.

    >>> for row in chart(Curve([1, 10, 100], [4.0, 3.0, 2.0]), width=30, height=3):
    ...     print(row.rstrip())
       4.00 ┤⠁
            │          ⠄
       2.00 ┤                    ⢀
            └┬──────┬─────┬──────┬
      steps  1      5     20   100
    """
    curves = [_drawable(c) for c in (main, other) if c is not None]
    if len(curves[0]) < 3:
        return []
    field = _field(curves, width - AXIS - 1, height)
    rows = _dots(curves[0], field)
    for column, row in field.place(curves[1], 1, 1).tolist() if len(curves) > 1 else []:
        if rows[row][column] == chr(BLANK):
            rows[row][column] = OTHER
    labels = _labels(field)
    drawn = [f"{labels.get(i, ''):>7} {'┤' if i in labels else '│'}{''.join(r)}" for i, r in enumerate(rows)]
    return [row.replace(chr(BLANK), " ") for row in drawn] + _axis(field, per_step, unit)


def _drawable(curve: Curve) -> Curve:
    finite = curve.finite
    return finite.between(1, float("inf"))


def _field(curves: list[Curve], columns: int, rows: int) -> Field:
    steps = np.concatenate([c.step for c in curves])
    values = np.concatenate([c.value for c in curves])
    left, right = log10(steps.min()), log10(steps.max())
    low, high = float(values.min()), float(values.max())
    if high == low:
        low, high = low - 0.5, high + 0.5
    return Field(left, max(right, left + 1e-9), low, high, columns, rows)


def _dots(curve: Curve, field: Field) -> list[list[str]]:
    cells = np.full((field.rows, field.columns), BLANK)
    for x, y in field.place(curve, 2, 4).tolist():
        cells[y // 4, x // 2] |= DOTS[y % 4][x % 2]
    return [[chr(cell) for cell in row] for row in cells.tolist()]


def _labels(field: Field) -> dict[int, str]:
    """Losses beside the first, the middle and the last row."""
    at = {0, field.rows // 2, field.rows - 1} if field.rows > 4 else {0, field.rows - 1}
    step = (field.high - field.low) / max(1, field.rows - 1)
    places = 2 if field.high - field.low > 0.2 else 4
    return {i: f"{field.high - i * step:.{places}f}"[:7] for i in at}


def _axis(field: Field, per_step: float, unit: str) -> list[str]:
    """The line below the field and the words below it: 1, 2 and 5 of each power of ten, where they fit."""
    rule, words, free = list("─" * field.columns), [" "] * field.columns, 0
    shift = log10(per_step)
    for tick in _ticks(10 ** (field.left + shift), 10 ** (field.right + shift)):
        where = (log10(tick) - shift - field.left) / (field.right - field.left)
        column, word = round(where * (field.columns - 1)), count(tick)
        start = min(column, field.columns - len(word))
        if start >= free:
            rule[column] = "┬"
            words[start : start + len(word)] = word
            free = start + len(word) + 3
    return [" " * AXIS + "└" + "".join(rule), f"{unit:>{AXIS - 1}}  {''.join(words).rstrip()}"]


def _ticks(first: float, last: float) -> list[float]:
    powers = range(floor(log10(first)), ceil(log10(last)) + 1)
    return [t * 10.0**p for p in powers for t in (1, 2, 5) if first * 0.999 <= t * 10.0**p <= last * 1.001]
