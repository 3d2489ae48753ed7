"""Our own ``log.jsonl``: one object a line, the step first, then series by their names.

A series that was not finite is null there, for JSON has no NaN.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ..run import LOSSES, SERIES, Run
from ..runlog import RESUMED
from ..source import Source
from . import Options, Reader
from ._hf import number, step_of
from ._json import object_of
from ._records import Recorder

NAME = "unplateau"
#: series of our own trainer besides those that all share -> unit; docs/train.md says what they are
OWN = {
    **{f"{split}_loss": "nats" for split in ("seen", "fresh")},
    **{f"{split}_loss_error": "nats" for split in ("val", "train", "seen", "fresh")},
    **{f"{split}_text_error": "nats" for split in ("val", "train", "seen", "fresh")},
    "unique_tokens": "tokens",
    "clip_fraction": "fraction",
    "gradient_noise_scale": "tokens",
    "z_loss": "nats",
    "tokens_per_second": "tokens/s",
    "memory": "bytes",
}
RATIO = "update_ratio_"  # the start of the names of update-to-weight ratios, one for each group
SKIPPED, SCALE = "skipped_steps", "loss_scale"  # facts, not series: how many so far; the scale of float16
ALIKE = {"val_loss_error", "train_loss_error"}  # in a row that our own trainer wrote of both splits
RECORD = re.compile(
    rb'^\{"step": ?\d{1,15}, ?"(?:' + "|".join(SERIES).encode() + rb')": ?[-\dNIn]', re.MULTILINE
)


def sniff(sample: bytes, name: str) -> int:  # noqa: ARG001
    return len(RECORD.findall(sample))


def read(source: Source, options: Options) -> list[Run]:
    rec, damaged = Recorder(source.name, NAME), 0
    before: tuple[int, dict[str, float]] = (-1, {})
    told = _Told()
    for _, text in source.lines():
        record = object_of(text)
        found = _row(record, options)
        if found is None:
            damaged += bool(text.strip())
            continue
        step, values = found
        told.take(step, record or {})
        # an evaluation repeats the settings of its step: no second record of them
        repeated = before[1].items() if step == before[0] else ()
        new = {
            name: value for name, value in values.items() if name in LOSSES or (name, value) not in repeated
        }
        if new:
            rec.row(tuple(new), step, tuple(new.values()))
        before = step, values
    for name, unit in OWN.items():
        rec.set_unit(name, unit)
    told.into(rec)
    if told.alike:
        rec.fact("eval_modes_equal", value=True, source="our trainer's evaluations")
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
        if value is not None and (name in SERIES or name in OWN or name.startswith(RATIO)):
            values[name] = value
    if values.keys().isdisjoint(SERIES):  # somebody's own numbers alone are a row, and no point of ours
        return (step, {}) if _others(record) else None
    return step, values


def _others(record: dict[str, Any]) -> bool:
    """True for a row of numbers beside its step."""
    return len(record) > 1 and all(raw is None or number(raw) is not None for raw in record.values())


@dataclass(slots=True)
class _Told:
    """Facts that rows tell as they go on."""

    skipped: int | None = None
    alike: bool = False  # an evaluation of our own trainer: both splits with dropout off
    scales: list[list[float]] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)

    def take(self, step: int, record: dict[str, Any]) -> None:
        self.alike |= ALIKE.issubset(record)
        skipped, scale = (number(record.get(name)) for name in (SKIPPED, SCALE))
        if skipped is not None and skipped >= 0:
            self.skipped = int(skipped)
        if RESUMED in record:
            self.resumed.append(step)
        if scale is not None and (not self.scales or self.scales[-1][1] != scale):
            self.scales.append([step, scale])

    def into(self, rec: Recorder) -> None:
        if self.skipped is not None:
            rec.fact(SKIPPED, self.skipped, "steps", "log")
        if self.resumed:
            rec.fact("resumed_at", sorted(set(self.resumed)), "steps", "log")
        if self.scales:
            rec.fact(SCALE, self.scales, "", "log")


READER = Reader(
    NAME, 'our own log.jsonl: {"step": 500, "val_loss": 5.01, "lr": 0.001}', sniff, read, maps=True
)
