"""What Hugging Face's Trainer calls things, for every reader of its records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import printable
from ..units import to_nats
from . import Options
from ._records import STEP_LIMIT, Recorder
from ._units import said

#: the Trainer's key -> ours. Its ``loss`` is the mean over ``logging_steps`` of the optimiser's own batches.
SERIES = {
    "loss": "batch_loss",
    "eval_loss": "val_loss",
    "learning_rate": "lr",
    "grad_norm": "grad_norm",
    "num_tokens": "tokens",  # trl's
    "num_input_tokens_seen": "tokens",
    "epoch": "epoch",
}
REPEATED = frozenset({"epoch", "tokens"})  # stand in the record of a step and in that of its evaluation
#: speed, sums at the end, and the step itself: no series
NO_SERIES = ("_runtime", "_per_second", "_flos", "_memory_rss", "step", "_step")


def number(value: Any) -> float | None:
    """A logged value as a float; transformers 5 prints numbers as strings.

    >>> number("1.25"), number(2), number("nan"), number(None), number(True)
    (1.25, 2.0, nan, None, None)
    """
    if value is None or isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def step_of(value: Any) -> int | None:
    """A logged step as an integer, or None.

    >>> step_of(10.0), step_of("20"), step_of("nan"), step_of(None), step_of(2.5)
    (10, 20, None, None, None)
    """
    step = number(value)
    return int(step) if step is not None and abs(step) < STEP_LIMIT and step == int(step) else None


def series_of(record: Mapping[str, Any], mapped: Mapping[str, str] | None = None) -> dict[str, float]:
    """The numbers of one record under our names, others under the Trainer's own; empty for a summary.

    ``mapped``: the user's own translation, the Trainer's key -> ours.

    >>> series_of({"loss": 2.5, "learning_rate": 1e-4, "epoch": 0.1, "step": 10})
    {'batch_loss': 2.5, 'lr': 0.0001, 'epoch': 0.1}
    >>> series_of({"train_runtime": 9.5, "train_loss": 2.4, "epoch": 3.0, "step": 45})
    {}
    """
    if "train_runtime" in record or "train_loss" in record:
        return {}  # the mean over the whole run, printed once at its end: not a point of the curve
    names = {**SERIES, **mapped} if mapped else SERIES
    found: dict[str, float] = {}
    for key, raw in record.items():
        value = number(raw)
        if value is not None and (key in names or not key.endswith(NO_SERIES)):
            found[names.get(key) or printable(key)] = value
    return found if set(found) - {"epoch"} else {}


class Records:
    """Adds the Trainer's records to a Recorder; ``epoch`` once a step, though its evaluation repeats it."""

    def __init__(self, rec: Recorder, options: Options) -> None:
        self._rec = rec
        self._unit = options.unit if options.unit not in (None, "nats") else ""
        self._mapped = {key: name for name, key in options.columns.items() if name != "step"}
        self._repeated_at: int | None = None
        if self._unit:
            rec.warn(said(self._unit))
            rec.fact("loss_unit", self._unit, "", "--unit")
        if self._unit and self._unit != "perplexity":
            _checked(rec, self._unit)

    def add(self, record: Mapping[str, Any], step: int) -> bool:
        """True when the record held a point."""
        found = series_of(record, self._mapped)
        if not found:
            return False
        if self._repeated_at == step:
            found = {key: value for key, value in found.items() if key not in REPEATED}
        self._repeated_at = step
        if self._unit:
            found = {k: _converted(v, self._unit) if k.endswith("loss") else v for k, v in found.items()}
        self._rec.row(tuple(found), step, tuple(found.values()))
        return True


def _checked(rec: Recorder, unit: str) -> None:
    """A unit that has no conversion to nats per token is named instead."""
    try:
        to_nats(1.0, unit)
    except ValueError:
        rec.unit = unit


def _converted(value: float, unit: str) -> float:
    try:
        return to_nats(value, unit)
    except ValueError:
        return value  # named by _checked, or no logarithm
