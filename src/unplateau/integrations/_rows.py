"""Rows of somebody's loop as rows of ours: what the names mean, and the time that a step took."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TypeVar

LOSSES = ("val_loss", "train_loss", "batch_loss")
FRONT = (*LOSSES, "lr", "grad_norm", "tokens", "epoch", "mfu", "step_ms")  # series that a row begins with

Value = TypeVar("Value")


class Names:
    """What the names in a run's rows mean.

    ``train_loss`` beside ``val_loss`` is evaluated like it; alone, it is of the optimiser's batches, and is so for good: a loop
    that logs one number for both can't mean an evaluation.

    >>> names = Names()
    >>> names.row({"lr": 1e-3, "val_loss": 3.0, "train_loss": 2.9})
    {'val_loss': 3.0, 'train_loss': 2.9, 'lr': 0.001}
    >>> names.row({"train_loss": 2.8}), names.row({"val_loss": 3.0, "train_loss": 2.7})
    ({'batch_loss': 2.8}, {'val_loss': 3.0, 'batch_loss': 2.7})
    """

    def __init__(self) -> None:
        series_of("loss")  # loads what the first row would else wait for
        self._known: dict[str, str] = {}
        self._alone = False

    def row(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """``values`` by the series' names, in the order in which rows of ours have them."""
        found: dict[str, Value] = {}
        for name, value in values.items():
            series = self._known.get(name) or self._known.setdefault(name, series_of(name))
            found[name if series in found else series] = value
        if "train_loss" in found and "batch_loss" not in found:
            self._alone |= "val_loss" not in found
            if self._alone:
                found["batch_loss"] = found.pop("train_loss")
        return {name: found[name] for name in (*(n for n in FRONT if n in found), *found)}


def series_of(name: str) -> str:
    """The series that a name means, as the readers of logs have it; the name itself where it means none.

    >>> [series_of(name) for name in ("loss", "train_loss", "val/loss", "learning_rate", "accuracy")]
    ['batch_loss', 'train_loss', 'val_loss', 'lr', 'accuracy']
    """
    from ..readers._names import series_of as meaning

    return name if name in FRONT else meaning(name) or name


class Clock:
    """Times a step where nobody does: what lies between two rows of training, without an evaluation between them."""

    def __init__(self) -> None:
        self._before: tuple[int, float] | None = None

    def step_ms(self, step: int, row: Mapping[str, object]) -> float | None:
        """Milliseconds of a step up to this row; None where that is told, or can't be."""
        now, before = time.perf_counter(), self._before
        if "val_loss" in row:
            self._before = None
        elif "batch_loss" in row:
            self._before = (step, now)
            if before is not None and step > before[0] and "step_ms" not in row:
                return 1000 * (now - before[1]) / (step - before[0])
        return None
