"""The folder of a demo: whose it is, what is done of it already, and one demo at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..durable import told, write_durably
from ..errors import UnplateauError, UsageError, printable
from ..probe.kept import held
from .steps import Done

STATE, LOCK = "demo.json", ".lock"
SCHEMA = "unplateau.demo-state/1"
LIMIT = 1 << 20  # bytes of the state


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for: a mistake, a seed, how long the run is, where all goes, and further words for the probes."""

    cause: str
    seed: int
    steps: int
    out: Path
    probing: tuple[
        str, ...
    ] = ()  # none: a fifth of the run's tokens, whatever the machine, and so the same verdict

    @property
    def facts(self) -> dict[str, Any]:
        """What a demo that goes on must have been begun with."""
        return {"cause": self.cause, "seed": self.seed, "run_steps": self.steps}


@contextmanager
def alone(order: Order) -> Iterator[dict[str, Any]]:
    """Hold the folder of ``order``, made where it is missing, for one demo; what is done of it already, by step.

    Raises ``UsageError`` for a folder that holds anything else, or another demo; ``UnplateauError`` where one works there.
    """
    done = _begun(order)
    out = order.out
    with told(out):
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if held(handle):
            raise UnplateauError(
                f"another demo works in {printable(str(out))}: wait for it, or give another --out"
            )
        write(order, done)
        yield done
    finally:
        os.close(handle)


def _begun(order: Order) -> dict[str, Any]:
    out, name = order.out, printable(str(order.out))
    if out.exists() and not out.is_dir():
        raise UsageError(f"{name} is no folder; give another --out")
    if not out.exists() or not any(one.name != LOCK for one in out.iterdir()):
        return {}
    state = _state(out)
    if state.get("schema") != SCHEMA:
        raise UsageError(f"{name} is there already, and holds no demo; give another --out, or remove it")
    asked = {key: state.get(key) for key in order.facts}
    if asked != order.facts:
        raise UsageError(
            f"{name} holds the demo of {printable(str(asked['cause']))} with seed {asked['seed']} and "
            f"{asked['run_steps']} steps; give another --out, or remove it"
        )
    done = state.get("done")
    return dict(done) if isinstance(done, dict) else {}


def _state(out: Path) -> dict[str, Any]:
    try:
        with (out / STATE).open("rb") as file:
            found = json.loads(file.read(LIMIT))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def note(order: Order, done: dict[str, Any], found: Done) -> None:
    """Write down that a step is done, durably."""
    done[found.step.name] = {
        "words": list(found.step.words),
        "code": found.code,
        "seconds": round(found.seconds, 2),
        "cpu": round(found.cpu, 2),
    }
    write(order, done)


def write(order: Order, done: dict[str, Any]) -> None:
    told_now = {"schema": SCHEMA, **order.facts, "done": done}
    write_durably(order.out / STATE, json.dumps(told_now, indent=1).encode() + b"\n")
