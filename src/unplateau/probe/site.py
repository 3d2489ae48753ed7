"""Where a run can be probed: its newest checkpoint, its data, and the folder that what is learned goes into. No torch.

A folder of our own trainer has ``checkpoints/`` and keeps its evidence itself; another's, nanoGPT's with its ``ckpt.pt``, is
only read. Nothing in either is executed (``checkpoint`` reads facts alone).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..checkpoint import read_checkpoint
from ..cost import checkpoint_of
from ..durable import sha256_of
from ..errors import UnreadableError, UsageError, printable, why
from ..evidence import root_of
from ..probes import Site
from ..run import Run

CKPT, CONFIG, LOG, MANIFEST = "ckpt.pt", "config.json", "log.jsonl", "manifest.json"
CHECKPOINTS, STATE, HASHES = "checkpoints", "state.json", "sha256.json"  # of our own trainer
STEP = re.compile(r"\d{1,15}")
LIMIT = 64 << 20  # bytes of a state.json, a config.json or a manifest
#: settings that the weights of a checkpoint hold the config to
SHAPE = ("n_layer", "n_head", "n_embd", "vocab_size", "block_size", "bias", "tied")
#: settings that nanoGPT saves with a checkpoint, and that its log echoes
SAVED_WITH = ("peak_lr", "floor_lr", "warmup_steps", "dropout", "weight_decay", "beta1", "beta2")
BINS = ("train.bin", MANIFEST)  # what a folder of tokens has: nanoGPT's, or ours

Kind = Literal["own", "nanogpt", "none"]


@dataclass(frozen=True, slots=True)
class Where:
    """A run that is to be probed. ``folder``: its own; ``root``: what we write goes below it.

    ``kind``: whose checkpoint; none where there is none, or it was ``supposed`` for a plan alone. ``data``: as the trainer's
    ``dataset`` takes it, empty where it was not found. ``same_data``: proved to be the run's own by its manifest.
    """

    run: Run
    folder: Path
    root: Path
    kind: Kind = "none"
    checkpoint: Path | None = None
    step: int = 0
    data: str = ""
    same_data: bool = False
    supposed: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)  # of our own run, as config.json has them

    def site(self, tokens: int) -> Site:
        """What probes are told of it, with a budget for one trial."""
        data = Path(self.data.split("=")[0]) if self.data else None
        return Site(self.step, self.checkpoint, data, tokens)

    def sha256(self) -> str:
        """Of the checkpoint: of its file, or of the file that lists its hashes; empty where there is none."""
        if self.checkpoint is None or self.kind == "none":
            return ""
        try:
            return sha256_of(self.checkpoint if self.kind == "nanogpt" else self.checkpoint / HASHES)
        except OSError as error:
            raise UnreadableError(f"can't read {self.checkpoint.name}: {error.strerror or error}") from None


def where(run: Run, path: Path, data: Path | None = None, out: Path | None = None) -> Where:
    """What there is at ``path`` to probe ``run`` with. ``data``: a folder, or the manifest in it; ``out``: instead of the root.

    Raises ``UnreadableError`` for a checkpoint that does not fit its config, or data that is named and is none.
    """
    if str(path) == "-":
        raise UsageError("probe needs a run's folder or its log on disk; standard input has no checkpoint")
    folder = path if path.is_dir() else path.parent
    own = (folder / LOG).is_file()
    found = _own(run, folder) if own else _nanogpts(run, folder)
    root = out.absolute() if out is not None else root_of(path)
    told = _dataset(run, folder, data)
    same = bool(told) and _same_manifest(folder, told)
    return Where(
        run,
        folder.absolute(),
        root,
        *found,
        data=told,
        same_data=same,
        settings=object_at(folder / CONFIG) if own else {},
    )


def suppose(place: Where) -> Where:
    """For a plan alone, where no checkpoint lies here: as if the one that the log last speaks of did."""
    from dataclasses import replace

    if place.checkpoint is not None:
        return place
    step = checkpoint_of(place.run, int(place.run.get("steps_done") or 0)) or int(
        place.run.get("steps_done") or 0
    )
    return replace(place, checkpoint=place.folder / CKPT, step=step, supposed=True) if step else place


# --- checkpoints


def _own(run: Run, folder: Path) -> tuple[Kind, Path | None, int]:
    """The newest checkpoint of our own trainer that was written whole."""
    places = folder / CHECKPOINTS
    try:
        names = [p for p in places.iterdir() if STEP.fullmatch(p.name) and (p / HASHES).is_file()]
    except OSError:
        return "none", None, 0
    newest = max(names, key=lambda p: int(p.name), default=None)
    if newest is None:
        return "none", None, 0
    state = object_at(newest / STATE, needed=True)
    _fits(run, state.get("settings") or {}, f"{CHECKPOINTS}/{newest.name}")
    return "own", newest.absolute(), int(newest.name)


def _nanogpts(run: Run, folder: Path) -> tuple[Kind, Path | None, int]:
    path = folder / CKPT
    if not path.is_file():
        return "none", None, 0
    told = {name: fact.value for name, fact in read_checkpoint(path).items()}
    step = told.get("checkpoint_step")
    if not isinstance(step, int | float) or "n_layer" not in told:
        raise UnreadableError(f"{CKPT} does not tell its step and its model; expected what nanoGPT saves")
    _fits(run, told, CKPT)
    _same_run(run, told)
    return "nanogpt", path.absolute(), int(step)


def _fits(run: Run, told: Mapping[str, Any], name: str) -> None:
    """Raise ``UnreadableError`` where the checkpoint is of another model than the config and the log speak of."""
    for key in SHAPE:
        fact = run.facts.get(key)
        if fact is None or fact.source.startswith(("assumed", "counted", CKPT)) or key not in told:
            continue
        if told[key] != fact.value:
            raise UnreadableError(
                f"{printable(name)} has {key} {told[key]}, but {fact.source} says {fact.value}: it is of another run; "
                "give the config that it was trained with (--config FILE)"
            )


def _same_run(run: Run, told: Mapping[str, Any]) -> None:
    """Raise ``UnreadableError`` where nanoGPT saved the checkpoint in a run with other settings than this log echoes.

    One that was resumed may have changed them on the way: of that nothing is said.
    """
    if run.get("init_from") == "resume" or run.get("resumed_at") or run.get("resumed_after"):
        return
    for key in SAVED_WITH:
        fact = run.facts.get(key)
        if fact is not None and fact.source.startswith("log") and key in told and told[key] != fact.value:
            raise UnreadableError(
                f"{CKPT} was saved by a run with {key} {told[key]}, but {fact.source} says {fact.value}: it is of another "
                f"run; expected the {CKPT} of this one"
            )


def object_at(path: Path, *, needed: bool = False) -> Mapping[str, Any]:
    """A JSON object; nothing where it is none, or one line where it is ``needed``."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(LIMIT))
        if isinstance(found, dict):
            return found
        reason = "it is no JSON object"
    except (OSError, ValueError, RecursionError) as error:
        reason = why(error)
    if needed:
        raise UnreadableError(f"{path.parent.name}/{path.name} can't be read: {reason}")
    return {}


# --- data


def _dataset(run: Run, folder: Path, data: Path | None) -> str:
    """The data as the trainer takes them: folders, with weights where they are several; empty where they are not here."""
    if data is not None:
        place = data if data.is_dir() else data.parent
        if not data.exists() or not _has_tokens(place):
            raise UnreadableError(
                f"{printable(str(data))} holds no tokens; expected a folder that unplateau prepare wrote, or "
                "nanoGPT's data folder with train.bin and val.bin"
            )
        return str(place.resolve())
    told = str(run.get("dataset") or "")
    parts = [one.strip().rpartition("=") for one in told.split(",") if one.strip()]
    if len(parts) < 2:
        lone = _found(told, folder)
        return str(lone) if lone else ""
    places = [(_found(name, folder), weight) for name, _, weight in parts]
    return ",".join(f"{place}={weight}" for place, weight in places) if all(p for p, _ in places) else ""


def _found(name: str, folder: Path) -> Path | None:
    """A data folder by its name: as it stands, from here or from the run; nanoGPT keeps them in ``data``."""
    if not name:
        return None
    bases = (Path(), folder, folder.parent, folder.parent.parent)
    candidates: Iterable[Path] = (base / inner / name for base in bases for inner in ("", "data"))
    return next((c.resolve() for c in candidates if _has_tokens(c)), None)


def _has_tokens(folder: Path) -> bool:
    try:
        return any((folder / name).is_file() for name in BINS) or any(folder.glob("*.bin"))
    except OSError:
        return False


def _same_manifest(folder: Path, data: str) -> bool:
    """True where the run kept the manifest of these very data, with the hashes of their shards.

    Raises ``UnreadableError`` where both have hashes, and they are others.
    """
    if "=" in data:
        return False
    kept, there = object_at(folder / MANIFEST), object_at(Path(data) / MANIFEST)
    mine, theirs = hashes(kept), hashes(there)
    if not mine or not theirs:
        return False
    if mine != theirs:
        raise UnreadableError(
            f"{printable(Path(data).name)} is not the data of this run: its {MANIFEST} lists other shards; give --data DIR"
        )
    return True


def hashes(manifest: Mapping[str, Any]) -> frozenset[str]:
    """All sha256 that a manifest lists, wherever in it.

    >>> sorted(hashes({"splits": {"val": {"shards": [{"sha256": "ab", "tokens": 3}]}}}))
    ['ab']
    """
    found: set[str] = set()
    waiting: list[Any] = [manifest.get("splits")]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(one.get("sha256"), str):
                found.add(one["sha256"])
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return frozenset(found)
