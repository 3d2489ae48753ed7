"""Our own ``log.jsonl``: one object a line, the step first, then series by their names.

A series that was not finite is null there, for JSON has no NaN.
"""

from __future__ import annotations

import re
from typing import Any

from ..run import SERIES, Run
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
    rec, damaged = Recorder(source.name, NAME, options.unit or "nats"), 0
    for _, text in source.lines():
        record = object_of(text)
        if record is None:
            damaged += bool(text.strip())
        elif not _row(rec, record, options):
            damaged += 1
    if damaged:
        rec.warn(f"{damaged:,} lines are no record (cut, or of something else), left out")
    for note in source.notes:
        rec.warn(note)
    return [] if rec.empty else [rec.finish()]


def _row(rec: Recorder, record: dict[str, Any], options: Options) -> bool:
    step = step_of(record.get("step"))
    if step is None:
        return False
    mapped = {key: name for name, key in options.columns.items()}
    values = {}
    for key, raw in record.items():
        value = float("nan") if raw is None else number(raw)
        name = mapped.get(key, key)
        if name in SERIES and value is not None:
            values[name] = value
    if values:
        rec.row(tuple(values), step, tuple(values.values()))
    return bool(values)


READER = Reader(NAME, 'our own log.jsonl: {"step": 500, "val_loss": 5.01, "lr": 0.001}', sniff, read)
