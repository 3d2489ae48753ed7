"""What probes told of a run, as kept in files: ``evidence/PROBE.json``, read by the diagnosis.

{"schema": "unplateau.evidence/1", "probe", "question", "date", "version", "checkpoint": {"step", "sha256"} or null,
"arms": [{"name", "patch", "steps", "run", "loss": EST or null}], "outcome": str,
"told": [{"cause", "fact", "log_odds", "contrast": EST, "effect": EST or null}]}. ``log_odds`` is the natural logarithm of
how many times likelier the contrast is with the cause than without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import exp, isfinite, log
from os.path import normpath
from pathlib import Path
from typing import Any

import msgspec

from . import __version__
from .durable import write_durably
from .errors import UnplateauError, UnreadableError, printable, why
from .estimate import Estimate
from .places import OWN

SCHEMA = "unplateau.evidence/1"
FOLDER = "evidence"
BESIDE = "-probes"  # the end of the name of the folder beside a run that is not ours
LIMIT = 4 << 20  # bytes; a file of evidence has some thousand
FILES = 200  # files that are read of one folder
WORDS = 400  # characters of a fact
LEAST = 0.01  # no probe, as no log, shows 0 or 1
#: of one probe: what its normal distributions say of their tails is not believed beyond one in a thousand
MOST = log(999)


@dataclass(frozen=True, slots=True)
class Told:
    """What a probe told of one cause."""

    cause: str
    fact: str
    log_odds: float
    probe: str
    source: str  # the file
    effect: Estimate | None = None
    contrast: Estimate | None = None  # what was measured
    step: int | None = None  # of the checkpoint that was probed
    steps: int | None = None  # of its longest arm
    date: str = ""  # when, ISO 8601: of two files of one probe the later holds
    arms: tuple[Mapping[str, Any], ...] = field(
        default=(), hash=False
    )  # what changed in each, key -> new value


@dataclass(frozen=True, slots=True)
class ArmRun:
    """An arm as it was run. ``patch``: key -> (old, new); ``run``: its folder; ``loss``: where it ended."""

    name: str
    steps: int
    patch: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    run: str | None = None
    loss: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A file of evidence, as a value. ``checkpoint``: step and sha256 of what was probed; None for fresh arms alone."""

    probe: str
    question: str
    arms: tuple[ArmRun, ...]
    told: tuple[Told, ...]
    outcome: str
    checkpoint: tuple[int, str] | None = None


def root_of(run: Path) -> Path:
    """Where what we learn of ``run`` (a folder or a log) is kept: in its own folder where that is ours, else beside it.

    A folder is ours where it holds our log. Nothing is ever written into another trainer's.

    >>> root_of(Path("/runs/out-fineweb")).as_posix(), root_of(Path("/runs/night.log")).as_posix()
    ('/runs/out-fineweb-probes', '/runs/night-probes')
    """
    run = run.absolute()
    if run.name == OWN and run.is_file():
        return run.parent
    if (run / OWN).is_file():
        return run
    return beside(run)


def beside(run: Path) -> Path:
    """The folder beside ``run``, whosever it is: a run that went on as ours may have had one before."""
    run = Path(normpath(run.absolute()))
    return run.with_name((run.name if run.is_dir() or not run.suffix else run.stem) + BESIDE)


def write(folder: Path, found: Evidence) -> Path:
    """Write ``found`` whole to ``folder/PROBE.json`` (``folder``: ROOT/evidence, made where it is missing); its path.

    One line (``UnplateauError``) where the folder can't be written.
    """
    place = folder / f"{found.probe}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnplateauError(
            f"can't make {printable(str(folder))}: {error.strerror or error}; give another folder with --out"
        ) from None
    write_durably(
        place, msgspec.json.format(msgspec.json.encode(_document(found), enc_hook=str), indent=1) + b"\n"
    )
    return place


def _document(found: Evidence) -> dict[str, Any]:
    step_sha = found.checkpoint
    return {
        "schema": SCHEMA,
        "probe": found.probe,
        "question": found.question,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "checkpoint": {"step": step_sha[0], "sha256": step_sha[1]} if step_sha is not None else None,
        "arms": [_arm(arm) for arm in found.arms],
        "outcome": found.outcome,
        "told": [_said(told) for told in found.told],
    }


def _arm(arm: ArmRun) -> dict[str, Any]:
    patch = {key: list(change) for key, change in arm.patch.items()}
    return {"name": arm.name, "patch": patch, "steps": arm.steps, "run": arm.run, "loss": arm.loss}


def _said(told: Told) -> dict[str, Any]:
    return {
        "cause": told.cause,
        "fact": told.fact,
        "log_odds": told.log_odds,
        "contrast": told.contrast,
        "effect": told.effect,
    }


class _Checkpoint(msgspec.Struct):
    step: int
    sha256: str = ""


class _Said(msgspec.Struct):
    cause: str
    fact: str
    log_odds: float
    contrast: Estimate | None = None
    effect: Estimate | None = None


class _Arm(msgspec.Struct):
    steps: int = 0
    patch: dict[str, tuple[Any, Any]] = {}


class _File(msgspec.Struct):
    schema: str
    probe: str
    told: list[_Said]
    date: str = ""
    checkpoint: _Checkpoint | None = None
    arms: list[_Arm] = []


def read(folder: Path, warnings: list[str] | None = None) -> tuple[Told, ...]:
    """What the files in ``folder`` tell; nothing where there is no such folder.

    A file that is damaged, or is something else, is left out, and ``warnings`` gets a line of it.
    """
    try:
        files = sorted(path for path in folder.glob("*.json") if path.is_file())
    except OSError:
        files = []
    found: list[Told] = []
    for path in files[:FILES]:
        try:
            found += _read(path)
        except UnplateauError as error:
            if warnings is not None:
                warnings.append(str(error))
    if len(files) > FILES and warnings is not None:
        warnings.append(f"{len(files) - FILES:,} files of evidence beyond the first {FILES} are left out")
    return tuple(found)


def given(folder: Path, warnings: list[str]) -> tuple[Told, ...]:
    """What ``folder`` tells that the user named: a folder of evidence, or one that holds such a folder.

    Raises ``UnreadableError`` where it tells nothing.
    """
    before = len(warnings)
    told = (*read(folder / FOLDER, warnings), *read(folder, warnings))
    if told:
        return told
    name = printable(folder.name or str(folder))
    why_not = (
        warnings[-1]
        if warnings[before:]
        else f"{name} holds no evidence"
        if folder.is_dir()
        else f"there is no {name}"
    )
    raise UnreadableError(f"{why_not}; expected the folder that unplateau probe wrote: it says where")


def _read(path: Path) -> list[Told]:
    """Raises ``UnreadableError`` for a file that is no evidence."""
    name = f"{FOLDER}/{printable(path.name)}"
    try:
        held = _decoded(path)
        return [_told(one, held, name) for one in held.told]
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableError(f"{name} is not used: {why(error)}; expected {SCHEMA}") from None


def _decoded(path: Path) -> _File:
    with path.open("rb") as file:
        data = file.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise ValueError(f"it is larger than {LIMIT >> 20} MiB")
    held = msgspec.json.decode(data, type=_File)
    if held.schema != SCHEMA:
        raise ValueError(f"its schema is {printable(held.schema)!r}")
    return held


def _told(said: _Said, held: _File, name: str) -> Told:
    if not isfinite(said.log_odds):
        raise ValueError("its log_odds is no number")
    return Told(
        cause=printable(said.cause, 60),
        fact=printable(said.fact, WORDS),
        log_odds=said.log_odds,
        probe=printable(held.probe, 60),
        source=name,
        effect=said.effect,
        contrast=said.contrast,
        step=held.checkpoint.step if held.checkpoint else None,
        steps=max((arm.steps for arm in held.arms), default=None),
        date=held.date,
        arms=tuple({key: new for key, (_, new) in arm.patch.items()} for arm in held.arms),
    )


def newest(told: Iterable[Told]) -> tuple[Told, ...]:
    """Each probe's word on each cause once, the latest: the same probe again is no second witness.

    >>> old, new = (Told("capacity", f"{n} steps", n, "width", "", date=f"2026-01-0{n}") for n in (1, 2))
    >>> [told.fact for told in newest([new, old])]
    ['2 steps']
    """
    kept: dict[tuple[str, str], Told] = {}
    for one in told:
        before = kept.get((one.probe, one.cause))
        if before is None or one.date > before.date:
            kept[one.probe, one.cause] = one
    return tuple(kept.values())


def posterior(prior: float, log_odds: Iterable[float]) -> float:
    """The probability of a cause after independent probes, each trusted up to ``MOST``; never below .01 or above .99.

    >>> round(posterior(0.2, [log(8)]), 2), posterior(0.5, [300.0])
    (0.67, 0.99)
    """
    prior = min(max(prior, LEAST), 1 - LEAST)
    odds = log(prior / (1 - prior)) + sum(min(max(one, -MOST), MOST) for one in log_odds)
    return min(max(1 / (1 + exp(-odds)), LEAST), 1 - LEAST)
