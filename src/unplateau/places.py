"""What lies at a path: which folders hold logs, and which config, manifest and checkpoint belong to each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .errors import UnreadableError

ENTRIES = 2_000  # of a folder that are looked at
GROUPS = 64  # folders in which event files are looked for
VISITED, DEEPEST = 500, 3  # folders below the given one that are looked into, and how far below
PACKED = (".gz", ".zst")
LOGS = (".log", ".txt", ".out", ".csv", ".tsv", ".jsonl")
#: files with a log's suffix that are none
NOT_LOGS = re.compile(
    r"(?:readme|licen[cs]e|requirements|constraints|vocab|merges|notice|changelog|cmakelists|input|meta)\b",
    re.IGNORECASE,
)
#: folders that hold programs, not runs
NOT_RUNS = re.compile(r"[._].*|node_modules|site-packages|venv")
OWN = "log.jsonl"  # of a run's folder of ours
WHOLE = {"trainer_state.json": 0, OWN: 0}  # names that are logs whatever their suffix
CONFIGS = ("config.py", "config.json", "training_args.json")  # trusted beside a single log
FOLDER_CONFIGS = (*CONFIGS, "hyperparameters.yaml", "config.yaml", "config.yml", "config.toml")
#: nanoGPT says in its log which file its settings came from; one of that name may lie beside the log
NAMED = re.compile(rb"^Overriding config with ([^\r\n:]{1,400}\.py):?[ \t]*\r?$", re.MULTILINE)
LONGEST = 100  # bytes of such a name
HEAD = 1 << 16  # bytes of a log in which that stands
CHECKPOINTS = ("ckpt.pt", "training_args.bin")
NUMBERED = re.compile(r"checkpoint-(\d{1,12})")


@dataclass(frozen=True, slots=True)
class Place:
    """A log or a folder of logs, and where what belongs to it lies.

    ``path`` is what the user gave; ``origin`` the folder of the logs below it; ``folders`` those in which its
    configuration and checkpoint may lie, the nearest first, and beside them ``shared``, in which only what
    several runs have in common may: the data. The first of ``logs`` is their folder itself where that is one
    log as a whole: event files, or Weights & Biases.
    """

    path: Path
    logs: tuple[Path, ...]
    origin: str = ""
    folders: tuple[Path, ...] = ()
    names: tuple[str, ...] = FOLDER_CONFIGS
    shared: tuple[Path, ...] = ()

    @property
    def configs(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys((*self.named, *_there(self.folders, self.names))))

    @property
    def named(self) -> tuple[Path, ...]:
        """What the one log says that its settings came from, where a file of that name lies in its folder; never elsewhere."""
        alone = len(self.logs) == 1 and bool(self.folders)
        return _there((self.logs[0].parent,), tuple(_told(self.logs[0]))) if alone else ()

    @property
    def manifest(self) -> Path | None:
        return next(iter(_there((*self.folders, *self.shared), ("manifest.json",))), None)

    @property
    def plan(self) -> Path | None:
        """What our own trainer evaluates, beside its log."""
        return next(iter(_there(self.folders[:1], ("evaluations/plan.json",))), None)

    @property
    def checkpoints(self) -> tuple[Path, ...]:
        return _there(self.folders, CHECKPOINTS)

    @property
    def roots(self) -> tuple[Path, ...]:
        """Folders that nanoGPT may have been started in."""
        if str(self.path) == "-":
            return ()
        base = self.path if self.path.is_dir() else self.path.parent
        return tuple(dict.fromkeys((*self.folders, *self.shared, base, base.parent)))


def _there(folders: tuple[Path, ...], names: tuple[str, ...]) -> tuple[Path, ...]:
    return tuple(folder / name for folder in folders for name in names if (folder / name).is_file())


def _told(log: Path) -> list[str]:
    """The name, without its folder, of the config that a log of nanoGPT's names last."""
    try:
        if not log.is_file():  # to open a named pipe waits for its writer
            return []
        with log.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return []
    named = [found.replace(b"\\", b"/").rpartition(b"/")[2] for found in NAMED.findall(head)]
    return [name.decode("utf-8", "replace") for name in named[-1:] if len(name) <= LONGEST]


def look(path: Path) -> tuple[Place, ...]:
    """What lies at ``path``, a place for each folder that holds logs; ``UnreadableError`` where nothing lies."""
    if str(path) == "-":
        return (Place(path, (path,)),)
    try:
        if path.is_dir():
            next(path.iterdir(), None)  # what may not be listed holds we don't know what, not no log
            return _folder(path)
        if not path.exists():
            raise UnreadableError(
                f"there is no {path.name or path}; expected a log, a run's folder, or - for standard input"
            )
    except OSError as error:
        raise UnreadableError(f"can't look at {path.name}: {error.strerror or error}") from None
    return (Place(path, (path,), "", (path.parent,), CONFIGS),)


def _folder(path: Path) -> tuple[Place, ...]:
    walk = _Walk()
    walk.visit(path, ())
    alone = len(walk.found) == 1
    return tuple(
        Place(path, logs, "" if alone or chain[0] == path else chain[0].relative_to(path).as_posix(), chain)
        for logs, chain in walk.found
    )


@dataclass(slots=True)
class _Walk:
    """Folders with logs at and below one: their logs, and the folders from theirs up to the given one."""

    found: list[tuple[tuple[Path, ...], tuple[Path, ...]]] = field(default_factory=list)
    visited: int = 0

    def visit(self, folder: Path, above: tuple[Path, ...]) -> None:
        self.visited += 1
        logs, chain = _logs(folder), (folder, *above)
        if logs:
            self.found.append((logs, chain))
        if logs[:1] in ((folder,), (folder / OWN,)):
            return  # it holds its sub-folders
        below = _folders(folder)
        if not logs and (saved := _last_checkpoint(below)):
            self.found.append(((saved,), (saved.parent, *chain)))
            return
        for inner in below if len(above) < DEEPEST else ():
            if self.visited < VISITED and not NUMBERED.fullmatch(inner.name):
                self.visit(inner, chain)


def _last_checkpoint(folders: list[Path]) -> Path | None:
    """The state of the last checkpoint that Hugging Face's Trainer saved: it holds what the others hold."""
    states = [f / "trainer_state.json" for f in folders if NUMBERED.fullmatch(f.name)]
    there = [state for state in states if state.is_file()]
    return max(there, key=lambda state: int(state.parent.name.partition("-")[2]), default=None)


def _folders(path: Path) -> list[Path]:
    """The folders in a folder that may hold runs; none where it may not be listed."""
    try:
        entries = _entries(path)
        return [e for e in entries if not NOT_RUNS.fullmatch(e.name) and e.is_dir() and not e.is_symlink()]
    except OSError:
        return []


def _entries(folder: Path) -> list[Path]:
    entries: list[Path] = []
    for entry in folder.iterdir():
        entries.append(entry)
        if len(entries) >= ENTRIES:
            break
    return sorted(entries)


def _logs(folder: Path) -> tuple[Path, ...]:
    """The candidates for logs in ``folder``, the likeliest first; before them itself where it is one as a whole."""
    try:
        entries = _entries(folder)
    except PermissionError:
        return ()
    names = [entry.name for entry in entries]
    found = tuple(sorted((entry for entry in entries if _is_log(entry)), key=_order))
    if folder / OWN in found[:1]:
        return found  # of a trainer that may write event files beside it, with the same numbers
    wandb = any(n.endswith(".wandb") or n == "wandb-summary.json" for n in names)
    wandb = wandb or (folder / "files" / "wandb-summary.json").is_file() or _wandb_below(entries)
    events = any("events.out.tfevents" in n for n in names) or _events_below(entries, alone=not found)
    return (folder, *found) if wandb or events else found


def _wandb_below(entries: list[Path]) -> bool:
    """True for the folder that W&B makes beside a script, with a folder for each run."""
    folders = [e for e in entries if "run-" in e.name and e.is_dir() and not e.is_symlink()][:GROUPS]
    return any(next(folder.glob("run-*.wandb"), None) is not None for folder in folders)


def _events_below(entries: list[Path], *, alone: bool) -> bool:
    """True for a folder whose folders hold event files; where it has no log itself, all that hold logs must."""
    folders = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()][:GROUPS]
    without = [folder for folder in folders if next(_events(folder), None) is None]
    logged = alone and any(_is_log(entry) for folder in without for entry in _readable(folder))
    return len(without) < len(folders) and not logged


def _readable(folder: Path) -> list[Path]:
    try:
        return _entries(folder)
    except OSError:
        return []


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
