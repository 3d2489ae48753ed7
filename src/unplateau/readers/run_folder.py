"""Our own ``log.jsonl``: one object a line, the step first, then series by their names.

A series that was not finite is null there, for JSON has no NaN.
"""

from __future__ import annotations

import re
from typing import Any

from ..run import LOSSES, SERIES, Run
from ..source import Source
from . import Options, Reader
from ._hf import number, step_of
from ._json import object_of
from ._records import Recorder

NAME = "unplateau"
RECORD = re.compile(
    rb'^\{"step": ?\d{1,15}, ?"(?:' + "|".join(SERIES).encode() + rb')": ?[-\dNIn]', re.MULTILINE
)


def sniff(sample: bytes, name: str) -> int:  # noqa: ARG001
    return len(RECORD.findall(sample))


def read(source: Source, options: Options) -> list[Run]:
    rec, damaged = Recorder(source.name, NAME), 0
    before: tuple[int, dict[str, float]] = (-1, {})
    for _, text in source.lines():
        found = _row(object_of(text), options)
        if found is None:
            damaged += bool(text.strip())
            continue
        step, values = found
        # an evaluation repeats the settings of its step: no second record of them
        repeated = before[1].items() if step == before[0] else ()
        new = {
            name: value for name, value in values.items() if name in LOSSES or (name, value) not in repeated
        }
        if new:
            rec.row(tuple(new), step, tuple(new.values()))
        before = step, values
    if damaged:
        rec.warn(f"{damaged:,} lines are no record (cut, or of something else), left out")
    for note in source.notes:
        rec.warn(note)
    return [] if rec.empty else [rec.finish()]


def _row(record: dict[str, Any] | None, options: Options) -> tuple[int, dict[str, float]] | None:
    step = step_of(record.get("step")) if record else None
    if record is None or step is None:
        return None
    mapped = {key: name for name, key in options.columns.items()}
    values = {}
    for key, raw in record.items():
        value = float("nan") if raw is None else number(raw)
        name = mapped.get(key, key)
        if name in SERIES and value is not None:
            values[name] = value
    return (step, values) if values else None


READER = Reader(
    NAME, 'our own log.jsonl: {"step": 500, "val_loss": 5.01, "lr": 0.001}', sniff, read, maps=True
)
