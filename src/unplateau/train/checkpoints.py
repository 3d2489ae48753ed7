"""Checkpoints of a run, ``checkpoints/STEP/``: whole or not there, proved by their hashes, kept by a rule.

A checkpoint is tensors in safetensors files, all else in ``state.json``, and ``sha256.json`` that names every file with
its hash. It is written beside its place, made durable, and only then given its name; older ones go after that. Nothing
in it is unpickled, and nothing here needs torch before tensors are read or written.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..durable import sha256_of, sync, told, write_durably
from ..errors import UnreadableError, printable, why

if TYPE_CHECKING:
    from torch import Tensor

FOLDER, STATE, HASHES, SUFFIX = "checkpoints", "state.json", "sha256.json", ".safetensors"
SCHEMA, HASHES_SCHEMA = "unplateau.checkpoint/1", "unplateau.sha256/1"
STEP = re.compile(r"\d{1,15}")
#: what a run that was killed may leave: half written, half removed, or whole and about to be replaced
BESIDE = re.compile(r"\.(\d{1,15})\.(tmp|gone|old)")
DAMAGED = ".damaged"  # ends the name of one that its hashes gave away
WORDS = ("last", "best")  # that stand for a step in a path
NEWEST = 2  # kept of those: should the last be damaged, there is one before it
LIMIT = 64 << 20  # bytes of a state.json

Tensors = Mapping[str, "Tensor"]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """All that a run goes on from after ``step`` steps.

    ``tensors``: by file (``model``, ``optimizer``, ``ema``), then by name. ``plain``: all else, as JSON holds it;
    ``val_loss`` in it is that of this step, where it was evaluated.
    """

    step: int
    tensors: Mapping[str, Tensors]
    plain: Mapping[str, Any] = field(default_factory=dict)


# --- writing


def write(folder: Path, state: State) -> Path:
    """Write ``folder/STEP``, durably; its path. One of that step is replaced.

    Raises ``UnplateauError`` where that can't be; then nothing of it stays, and nothing that was there is lost.
    """
    from .tensors import write_tensors

    place = folder / f"{state.step:08d}"
    beside = folder / f".{place.name}.tmp"
    try:
        with told(place):
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir()
        hashes = {n + SUFFIX: write_tensors(beside / (n + SUFFIX), t) for n, t in state.tensors.items()}
        plain = {"schema": SCHEMA, "step": state.step, **state.plain}
        hashes[STATE] = write_durably(beside / STATE, json.dumps(plain).encode() + b"\n")
        write_durably(beside / HASHES, _listed(hashes))
        with told(place):
            _take_name(beside, place)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return place


def _listed(hashes: Mapping[str, str]) -> bytes:
    return json.dumps({"schema": HASHES_SCHEMA, "files": hashes}, indent=1).encode() + b"\n"


def _take_name(beside: Path, place: Path) -> None:
    """Rename; where the name is taken, there is no instant at which neither lies there whole under some name."""
    old = place.with_name(f".{place.name}.old")
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    beside.rename(place)
    sync(place.parent)
    shutil.rmtree(old, ignore_errors=True)


def prune(folder: Path, keep_every: int) -> None:
    """Remove all but the last two, the one with the lowest val loss, and those of every ``keep_every`` steps.

    What can't be removed stays: that is no reason to end a run.
    """
    found = steps(folder)
    kept = {*found[-NEWEST:], best(folder)} | {
        step for step in found if keep_every and step % keep_every == 0
    }
    for step in set(found) - kept:
        place, gone = _place(folder, step), folder / f".{step:08d}.gone"
        with suppress(OSError):
            place.rename(gone)  # first its name: none that is half there has one
            shutil.rmtree(gone)


def tidy(folder: Path) -> None:
    """Remove what a run that was killed in the midst of a save has left; by whoever holds the run's lock."""
    if not folder.is_dir():
        return
    for path in list(folder.iterdir()):
        if not (found := BESIDE.fullmatch(path.name)):
            continue
        if found[2] == "old" and not (place := folder / found[1]).exists():
            path.rename(place)  # killed between two renames
        else:
            shutil.rmtree(path, ignore_errors=True)


# --- finding


def steps(folder: Path) -> list[int]:
    """The steps of which ``folder`` holds a checkpoint, rising."""
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if STEP.fullmatch(p.name) and (p / HASHES).is_file())


def best(folder: Path) -> int | None:
    """The step with the lowest val loss among the checkpoints; None where none was evaluated."""
    losses = {step: _val_loss(_place(folder, step)) for step in steps(folder)}
    found = min(losses, key=lambda step: losses[step], default=None)
    return None if found is None or losses[found] == inf else found


def _val_loss(place: Path) -> float:
    with suppress(UnreadableError):
        loss = plain_of(place).get("val_loss")
        return float(loss) if isinstance(loss, int | float) else inf
    return inf


def _place(folder: Path, step: int) -> Path:
    found = (p for p in (folder / f"{step:08d}", folder / str(step)) if p.exists())
    return next(found, folder / f"{step:08d}")


def found_at(path: Path) -> Path:
    """The checkpoint that ``path`` means: its own folder, a run's for its last one, or ``RUN/checkpoints/best``.

    Raises ``UnreadableError`` where there is none.
    """
    word = path.name if path.name in WORDS and not path.exists() else "last"
    folder = path.parent if word == path.name else path
    if (folder / STATE).is_file():
        return folder
    for place in (folder / FOLDER, folder):
        if there := steps(place):
            step = best(place) if word == "best" else there[-1]
            return _place(place, there[-1] if step is None else step)
    if STEP.fullmatch(path.name) and (there := steps(path.parent)):
        place = _place(path.parent, int(path.name))
        if place.exists():
            return place
        raise UnreadableError(f"no checkpoint of step {path.name}; there are {_shown(there)}")
    raise UnreadableError(
        f"{printable(str(path))} holds no checkpoint; expected a run's folder, or {FOLDER}/STEP"
    )


def _shown(there: Iterable[int]) -> str:
    return ", ".join(f"{step:,}" for step in there)


# --- reading


def plain_of(place: Path) -> dict[str, Any]:
    """``state.json`` of a checkpoint; raises ``UnreadableError`` where it is none."""
    return _json(place / STATE, SCHEMA)


def last_told(path: Path) -> tuple[Path, dict[str, Any]]:
    """The checkpoint that ``path`` means, and its ``state.json``; of a run's folder the last that can be read.

    ``whole`` says later, of every byte, which one is taken. Raises ``UnreadableError`` where there is none.
    """
    named = found_at(path)
    before = reversed(steps(named.parent)[:-1]) if named.parent in (path, path / FOLDER) else ()
    for place in (named, *(_place(named.parent, step) for step in before)):
        with suppress(UnreadableError):
            return place, plain_of(place)
    return named, plain_of(named)


def _json(path: Path, schema: str) -> dict[str, Any]:
    name = f"{path.parent.name}/{path.name}"
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(LIMIT))
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableError(f"can't read {name}: {why(error)}") from None
    if not isinstance(found, dict) or found.get("schema") != schema:
        raise UnreadableError(f"{name} is not of {schema}")
    return found


def damage(place: Path) -> str:
    """What is wrong with a checkpoint, in words; empty where each file is as it was written."""
    try:
        hashes = _json(place / HASHES, HASHES_SCHEMA).get("files")
    except UnreadableError as error:
        return str(error)
    if not isinstance(hashes, dict) or STATE not in hashes:
        return f"{place.name}/{HASHES} names no {STATE}"
    with ThreadPoolExecutor() as pool:
        wrong = [
            name
            for name, ok in zip(hashes, pool.map(lambda n: _is(place, n, hashes[n]), hashes), strict=True)
            if not ok
        ]
    return f"{place.name}/{wrong[0]} is not as it was written" if wrong else ""


def _is(place: Path, name: str, sha256: object) -> bool:
    try:
        return Path(name).name == name and sha256_of(place / name) == sha256
    except OSError:
        return False


def read(place: Path, *, proved: bool = True) -> State:
    """A checkpoint, its tensors mapped from its files; raises ``UnreadableError`` where it is damaged.

    ``proved``: every byte is hashed before, about a second for each GB; without it only what can't be parsed is noticed.
    """
    from .tensors import read_tensors

    if proved and (wrong := damage(place)):
        raise UnreadableError(f"the checkpoint is damaged: {wrong}; start from another one in {FOLDER}/")
    plain = plain_of(place)
    tensors = {path.stem: read_tensors(path) for path in sorted(place.glob(f"*{SUFFIX}"))}
    step = plain.get("step")
    if not isinstance(step, int) or isinstance(step, bool) or step < 0 or "model" not in tensors:
        raise UnreadableError(f"{place.name} is no checkpoint: it lacks its step, or model{SUFFIX}")
    return State(step, tensors, plain)


def whole(path: Path, say: Callable[[str], None]) -> Path:
    """The checkpoint that ``path`` means, proved; of a run's folder the last one that is whole, with a line about others.

    Raises ``UnreadableError`` where there is none; and where ``path`` names one that is damaged.
    """
    named = found_at(path)
    if named.parent == path.parent or path.name == "best":
        if wrong := damage(named):
            raise UnreadableError(
                f"the checkpoint is damaged: {wrong}; another one in {FOLDER}/ may be whole"
            )
        return named
    for step in reversed(steps(named.parent)):
        place = _place(named.parent, step)
        if not (wrong := damage(place)):
            return place
        say(f"{wrong}: the checkpoint before it is taken")
    raise UnreadableError(f"{FOLDER}/ of {printable(path.name)} holds no checkpoint that is whole")


def set_aside(folder: Path, after: int) -> None:
    """Rename the checkpoints of steps above ``after``, which are damaged: the run will save these steps again."""
    for step in steps(folder):
        if step > after:
            place = _place(folder, step)
            aside = place.with_name(place.name + DAMAGED)
            shutil.rmtree(aside, ignore_errors=True)
            with told(aside):
                place.rename(aside)
