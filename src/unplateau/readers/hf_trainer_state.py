"""Hugging Face's ``trainer_state.json``: every record of the run, with its step.

The file is written whole at each checkpoint, so its log ends there. One that was cut while it was
written is read as far as it goes.
"""

from __future__ import annotations

from typing import Any

from ..errors import UnreadableError
from ..run import Run
from ..source import Source
from . import Options, Reader
from ._hf import Records, number, step_of
from ._json import document, value_of, whole_objects
from ._records import Recorder

NAME = "hf-trainer-state"
FILE = "trainer_state.json"
#: key at the top of the file -> fact, unit
FACTS = {
    "max_steps": ("max_steps", "steps"),
    "num_train_epochs": ("epochs_planned", "epochs"),
    "train_batch_size": ("batch_size", "sequences"),
    "logging_steps": ("log_interval", "steps"),
}


def sniff(sample: bytes, name: str) -> int:  # noqa: ARG001
    if b'"log_history"' not in sample:
        return 0
    return 1 + sample.count(b'"step":')


def read(source: Source, options: Options) -> list[Run]:
    state, cut = _parse(document(source))
    rec = Recorder(source.name, NAME)
    records = Records(rec, options)
    evaluated: list[int] = []
    for record in state["log_history"]:
        step = step_of(record.get("step")) if isinstance(record, dict) else None
        if step is None:
            continue  # predictions have no step
        records.add(record, step)
        if "eval_loss" in record:
            evaluated.append(step)
    _facts(rec, state, evaluated)
    if cut:
        rec.warn(f"{source.name} is cut or damaged after {len(state['log_history']):,} records")
    for note in source.notes:
        rec.warn(note)
    return [] if rec.empty else [rec.finish()]


def _parse(text: str) -> tuple[dict[str, Any], bool]:
    """The state, and whether the file was cut; what was read before the cut still counts."""
    state = value_of(text)
    if state is None:
        start = text.find('"log_history"')
        return {"log_history": whole_objects(text, start) if start >= 0 else []}, True
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        raise UnreadableError('no list "log_history" in the JSON: not a trainer_state.json')
    return state, False


def _facts(rec: Recorder, state: dict[str, Any], evaluated: list[int]) -> None:
    for key, (name, unit) in FACTS.items():
        value = number(state.get(key))
        if value is not None and 0 < value < 1e15:
            rec.fact(name, int(value) if value == int(value) else value, unit, FILE)
    every, last = number(state.get("eval_steps")), number(state.get("global_step"))
    # 500 stands there by default, whether or not evaluations went by it
    if every and evaluated and every >= 1 and all(step % every == 0 or step == last for step in evaluated):
        rec.fact("eval_interval", int(every), "steps", FILE)
    tokens = number(state.get("num_input_tokens_seen"))
    if tokens and last and rec.last_step("tokens") is None:
        rec.add("tokens", int(last), tokens)


READER = Reader(
    NAME,
    "Hugging Face's trainer_state.json, of a run or of one checkpoint",
    sniff,
    read,
    maps=True,
)
