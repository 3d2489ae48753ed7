"""LLaMA-Factory's ``trainer_log.jsonl``: one object a line, with the optimiser step as ``current_steps``."""

from __future__ import annotations

import re
from typing import Any

from ..run import Run
from ..source import Source
from . import Options, Reader
from ._hf import Records, number, step_of
from ._json import object_of
from ._records import Recorder

NAME = "llamafactory"
RECORD = re.compile(rb'^\{"current_steps": ?\d', re.MULTILINE)
#: its words -> the Trainer's; newer versions write lr
KEYS = {"lr": "learning_rate", "total_tokens": "num_input_tokens_seen"}
#: progress, not series
PROGRESS = ("current_steps", "total_steps", "percentage", "elapsed_time", "remaining_time", "throughput")


def sniff(sample: bytes, name: str) -> int:  # noqa: ARG001
    return len(RECORD.findall(sample))


def read(source: Source, options: Options) -> list[Run]:
    rec = Recorder(source.name, NAME)
    records = Records(rec, options)
    damaged = 0
    for line, text in source.lines():
        if not text.strip():
            continue
        record = object_of(text)
        step = step_of(record.pop("current_steps", None)) if record else None
        if record is None or step is None:
            damaged += 1
            continue
        total = step_of(record.get("total_steps"))
        if total:
            rec.fact("max_steps", total, "steps", f"log line {line}")
        records.add(_renamed(record), step)
    if damaged:
        rec.warn(f"{damaged:,} lines are no record of {NAME} (cut or damaged), left out")
    for note in source.notes:
        rec.warn(note)
    return [] if rec.empty else [rec.finish()]


def _renamed(record: dict[str, Any]) -> dict[str, Any]:
    kept = {KEYS.get(key, key): value for key, value in record.items() if key not in PROGRESS}
    if not number(kept.get("num_input_tokens_seen")):
        kept.pop("num_input_tokens_seen", None)  # 0 throughout where it was not counted
    return kept


READER = Reader(
    NAME,
    'LLaMA-Factory\'s trainer_log.jsonl: {"current_steps": 10, "total_steps": 900, "loss": 2.5, ...}',
    sniff,
    read,
    maps=True,
)
