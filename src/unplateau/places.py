"""What lies at a path: which files could be logs, and which config, manifest and checkpoint belong to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import UnreadableError

ENTRIES = 2_000  # of a folder that are looked at
CANDIDATES = 12  # logs of one folder that are read, the largest first
GROUPS = 64  # folders below the given one that are looked into
PACKED = (".gz", ".zst")
LOGS = (".log", ".txt", ".out", ".csv", ".tsv", ".jsonl")
#: files with a log's suffix that are none
NOT_LOGS = re.compile(
    r"(?:readme|licen[cs]e|requirements|constraints|vocab|merges|notice|changelog|cmakelists|input|meta)\b",
    re.IGNORECASE,
)
WHOLE = {"trainer_state.json": 0, "log.jsonl": 0}  # names that are logs whatever their suffix
CONFIGS = ("config.py", "config.json", "training_args.json")  # trusted beside a single log
FOLDER_CONFIGS = (*CONFIGS, "hyperparameters.yaml", "config.yaml", "config.yml", "config.toml")
CHECKPOINTS = ("ckpt.pt", "training_args.bin")
NUMBERED = re.compile(r"checkpoint-(\d{1,12})")


@dataclass(frozen=True, slots=True)
class Place:
    """A path, and what belongs to it.

    ``groups``: candidates for one run's log, under the name of the folder below ``path`` they are in.
    """

    path: Path
    groups: tuple[tuple[str, tuple[Path, ...]], ...]
    configs: tuple[Path, ...] = ()
    manifest: Path | None = None
    checkpoints: tuple[Path, ...] = ()

    @property
    def roots(self) -> tuple[Path, ...]:
        """Folders that nanoGPT may have been started in."""
        if str(self.path) == "-":
            return ()
        base = self.path if self.path.is_dir() else self.path.parent
        return (base, base.parent)


def look(path: Path) -> Place:
    """What lies at ``path``; raises ``UnreadableError`` where nothing does."""
    if str(path) == "-":
        return Place(path, (("", (path,)),))
    try:
        if path.is_dir():
            return _folder(path)
        if not path.exists():
            raise UnreadableError(
                f"there is no {path.name or path}; expected a log, a run's folder, or - for standard input"
            )
    except OSError as error:
        raise UnreadableError(f"can't look at {path.name}: {error.strerror or error}") from None
    return Place(path, (("", (path,)),), *_beside(path.parent, CONFIGS))


def _folder(path: Path) -> Place:
    logs = _logs(path)
    if logs:
        return Place(path, (("", logs),), *_beside(path, FOLDER_CONFIGS))
    below = [folder for folder in _entries(path) if folder.is_dir() and not folder.is_symlink()][:GROUPS]
    if numbered := [f for f in below if NUMBERED.fullmatch(f.name) and (f / "trainer_state.json").is_file()]:
        last = max(numbered, key=lambda folder: int(folder.name.partition("-")[2]))
        groups: list[tuple[str, tuple[Path, ...]]] = [("", (last / "trainer_state.json",))]
    else:
        groups = [(folder.name, found) for folder in below if (found := _logs(folder))]
    configs, manifest, checkpoints = _beside(path, FOLDER_CONFIGS)
    if len(groups) == 1:
        inside = _beside(groups[0][1][0].parent, FOLDER_CONFIGS)
        configs, manifest = (*inside[0], *configs), inside[1] or manifest
        checkpoints = (*inside[2], *checkpoints)
    return Place(path, tuple(groups), configs, manifest, checkpoints)


def _beside(folder: Path, names: tuple[str, ...]) -> tuple[tuple[Path, ...], Path | None, tuple[Path, ...]]:
    def there(wanted: tuple[str, ...]) -> tuple[Path, ...]:
        return tuple(folder / name for name in wanted if (folder / name).is_file())

    manifest = there(("manifest.json",))
    return there(names), manifest[0] if manifest else None, there(CHECKPOINTS)


def _entries(folder: Path) -> list[Path]:
    entries: list[Path] = []
    for entry in folder.iterdir():
        entries.append(entry)
        if len(entries) >= ENTRIES:
            break
    return sorted(entries)


def _logs(folder: Path) -> tuple[Path, ...]:
    """The candidates for a run's log in ``folder``, or the folder itself where it is one log as a whole."""
    entries = _entries(folder)
    names = [entry.name for entry in entries]
    found = [entry for entry in entries if _is_log(entry)]
    found = sorted(found, key=_order)[:CANDIDATES]
    wandb = any(n.endswith(".wandb") or n == "wandb-summary.json" for n in names)
    wandb = wandb or (folder / "files" / "wandb-summary.json").is_file() or _wandb_below(entries)
    events = any("events.out.tfevents" in n for n in names) or _events_below(entries)
    return (folder, *found) if wandb or events else tuple(found)


def _wandb_below(entries: list[Path]) -> bool:
    """True for the folder that W&B makes beside a script, with a folder for each run."""
    folders = [e for e in entries if "run-" in e.name and e.is_dir() and not e.is_symlink()][:GROUPS]
    return any(next(folder.glob("run-*.wandb"), None) is not None for folder in folders)


def _events_below(entries: list[Path]) -> bool:
    folders = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()][:GROUPS]
    return any(next(_events(folder), None) is not None for folder in folders)


def _events(folder: Path) -> Iterator[Path]:
    try:
        yield from folder.glob("events.out.tfevents*")
    except OSError:
        return


def _is_log(path: Path) -> bool:
    name = path.name.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    if name in WHOLE:
        return path.is_file()
    return name.endswith(LOGS) and not NOT_LOGS.match(name) and path.is_file()


def _order(path: Path) -> tuple[int, int, str]:
    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    return WHOLE.get(path.name, 1), -size, path.name
