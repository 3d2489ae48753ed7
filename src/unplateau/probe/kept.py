"""What a probe keeps of itself so that it can be killed at any instant: the plan, which arms are done, and one writer.

``ROOT/evidence/.plan`` holds the plan; ``ROOT/evidence/PROBE/arms.json`` the command of each arm, and whether it is done.
Arms of another plan, or of another checkpoint, are moved aside; nothing is removed.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..durable import told, write_durably
from ..errors import UnplateauError, printable
from ..evidence import FOLDER

PLAN, LOCK, ARMS = ".plan", ".lock", "arms.json"
PLAN_SCHEMA, ARMS_SCHEMA = "unplateau.probing/1", "unplateau.arms/1"
LIMIT = 4 << 20  # bytes of either file


@dataclass(frozen=True, slots=True)
class Kept:
    """A plan that was begun. ``probes``: name -> the tokens it was laid out for; ``before``: the causes as they were ranked."""

    checkpoint: str  # sha256
    asked: str  # the budget, as the user asked for it
    probes: Mapping[str, int]
    before: tuple[str, ...]
    done: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        return self.probes.keys() <= set(self.done)


def evidence_of(root: Path) -> Path:
    """The folder of a root's evidence, made where it is missing."""
    folder = root / FOLDER
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def alone(root: Path) -> Iterator[Path]:
    """Hold ``root/evidence`` for one probe; a second one is refused (``UnplateauError``). The lock ends with the process."""
    folder = evidence_of(root)
    with told(folder / LOCK):
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if held(handle):
            raise UnplateauError(
                f"another probe works in {printable(str(folder))}: wait for it, or give another folder with --out"
            )
        yield folder
    finally:
        os.close(handle)


def held(handle: int) -> bool:
    """True where another process holds the lock of an open file; else it is ours from here on."""
    if os.name != "posix":
        return False
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EWOULDBLOCK, errno.EAGAIN)  # else: a file system without locks
    return False


def read_plan(folder: Path) -> Kept | None:
    """The plan that was begun in a folder of evidence; None where there is none that can be read."""
    held_ = _object(folder / PLAN)
    try:
        if held_.pop("schema") != PLAN_SCHEMA:
            return None
        plan = Kept(**held_)
        probes = {str(name): int(tokens) for name, tokens in plan.probes.items()}
        return Kept(str(plan.checkpoint), str(plan.asked), probes, tuple(plan.before), tuple(plan.done))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def write_plan(folder: Path, plan: Kept) -> None:
    """Keep ``plan``, durably."""
    write_durably(folder / PLAN, _dumped({"schema": PLAN_SCHEMA, **asdict(plan)}))


# --- arms


def begin(folder: Path, checkpoint: str, arms: Mapping[str, Sequence[str]]) -> set[str]:
    """Make ready for the ``arms`` of a probe, name -> words, in its ``folder``; those that are done already.

    Arms that were begun with other words, or from another checkpoint, are moved aside with all of the folder.
    """
    now = {"schema": ARMS_SCHEMA, "checkpoint": checkpoint, "arms": {n: list(w) for n, w in arms.items()}}
    before = dict(_object(folder / ARMS))
    done = before.pop("done", [])
    if folder.exists() and before != now:
        _aside(folder)
        done = []
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if before != now:
        write_durably(folder / ARMS, _dumped({**now, "done": []}))
    return {str(name) for name in done} & set(arms)


def finish(folder: Path, arm: str) -> None:
    """Write down that ``arm`` is done, durably."""
    kept = dict(_object(folder / ARMS))
    kept["done"] = sorted({*kept.get("done", []), arm})
    write_durably(folder / ARMS, _dumped(kept))


def _aside(folder: Path) -> None:
    places = (folder.with_name(f"{folder.name}.before-{n}") for n in range(1, 1_000_000))
    with told(folder):
        folder.rename(next(place for place in places if not place.exists()))


def _dumped(found: Mapping[str, Any]) -> bytes:
    return json.dumps(found, indent=1).encode() + b"\n"


def _object(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(LIMIT))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
