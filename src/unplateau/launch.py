"""Where a mended run lies and how it is started: its config file, its folder, its checkpoint, its command.

A mended run never goes into the folder of the old one: nanoGPT would write over its checkpoint, and nothing could be
compared any more.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .config import LIMIT, choose, dialect, in_own_words, parse, read_config
from .config._dialect import Settings
from .config._edit_flags import written
from .config.edit import alike
from .config.spelling import spelled
from .errors import UnplateauError, UnreadableError, UsageError, printable, why
from .places import look
from .run import Run

OURS = "unplateau"  # the name of our trainer, its dialect and the format of its log
NANOGPT = "nanogpt"
CKPT = "ckpt.pt"
LOG = "train.log"  # nanoGPT keeps no log: what it prints is
YOURS = "YOUR_CONFIG.py"  # stands for a config that was not found
CHECKPOINTS = "checkpoints"  # in a run's folder of ours
#: trainers whose flags have dashes where the settings have underscores
DASHED = ("megatron", "nanochat", "llmc")
#: what is started with a mended file, by the dialect of the file
STARTED = {
    OURS: "unplateau train {file}",
    NANOGPT: "python train.py {file}",
    "litgpt": "litgpt pretrain --config {file}",
    "torchtitan": "CONFIG_FILE={file} ./run_train.sh",
}
#: settings that nanoGPT takes from the checkpoint when it resumes, whatever its config says (train.py)
RESTORED = ("weight_decay", "beta1", "beta2")
MOST = 100  # folders of one name that are tried


@dataclass(frozen=True, slots=True)
class File:
    """A config file of the run. ``ran``: own keys that the run had otherwise than the file says, as it echoed them."""

    path: Path
    text: str
    dialect: str
    settings: Settings
    ran: Mapping[str, Any] = field(default_factory=dict)
    overridden: frozenset[str] = frozenset()  # the canonical names of those

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True, slots=True)
class Launch:
    """``settings``: own keys that say where the run lies and what it starts from, ``was`` what they were.

    ``lines``: what to type, the last one the command; ``notes``: what else is to be known; ``verify``: what to type
    once it has run, empty where its folder is not known.
    """

    settings: Mapping[str, Any]
    was: Mapping[str, Any]
    lines: tuple[str, ...]
    notes: tuple[str, ...] = ()
    verify: str = ""

    @property
    def command(self) -> str:
        return " && ".join(self.lines)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be started: the run at ``path`` without ``causes``, from step ``start`` (0: afresh).

    ``own``: the settings that change besides, own key -> (old, new); ``to``: the file that they are written to.
    """

    run: Run
    path: Path
    causes: tuple[str, ...]
    own: Mapping[str, tuple[Any, Any]]
    start: int = 0
    file: File | None = None
    to: str = ""

    @property
    def changes(self) -> dict[str, Any]:
        return {key: new for key, (_, new) in self.own.items()}

    @property
    def suffix(self) -> str:
        """Of the folder of the mended run."""
        return f"-{self.causes[0]}" if len(self.causes) == 1 else "-fixed"

    @property
    def dialect(self) -> str:
        return self.file.dialect if self.file else str(self.run.get("config_dialect", ""))


# --- the config file


def config_of(path: Path, run: Run, given: Path | None, patch: Mapping[str, tuple[Any, Any]]) -> File | None:
    """The config file of ``run``: the one ``given``, else of those beside its log the one that says most of ``patch``.

    None where there is none that fits. Raises ``UnreadableError`` for a given one that can't be read.
    """
    if given is not None:
        return _file(given, run)
    wanted = {setting: new for setting, (_, new) in patch.items()}
    found = [file for place in _beside(path) if (file := _fitting(place, run)) is not None]
    says = {file.path: len(set(_words(file, wanted, run)) & set(file.settings.found)) for file in found}
    best = max(found, key=lambda file: says[file.path], default=None)
    # Hugging Face's config.json is the model's, and written by the trainer
    return best if best is not None and (says[best.path] or best.dialect != "huggingface") else None


def _words(file: File, wanted: Mapping[str, Any], run: Run) -> Mapping[str, Any]:
    return spelled(file.dialect, wanted, run.facts, file.settings).own


def _beside(path: Path) -> list[Path]:
    return [] if str(path) == "-" else [config for place in look(path) for config in place.configs]


def _fitting(path: Path, run: Run) -> File | None:
    try:
        file = _file(path, run)
    except UnplateauError:
        return None
    return file if file.dialect == run.get("config_dialect") else None


def _file(path: Path, run: Run) -> File:
    try:
        raw = path.read_bytes()[: LIMIT + 1]
    except OSError as error:
        raise UnreadableError(
            f"can't read {printable(path.name)}: {why(error)}; expected the trainer's config"
        ) from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableError(
            f"{printable(path.name)} is no text in UTF-8, so it can't be changed in place"
        ) from None
    settings, kind = parse(text.removeprefix("\ufeff"), path.name)
    told = choose(settings, kind)
    if told is None:
        read_config(text, name=path.name)  # says what was expected
    name = told.name if told else ""
    ran = _ran(run, settings, name)
    canonical = frozenset(dialect(name).from_own.get(key, "") for key in ran)
    return File(path, text, name, settings, ran, canonical)


def _ran(run: Run, settings: Settings, name: str) -> dict[str, Any]:
    """What nanoGPT's log echoes otherwise than the file has it: overrides of the command line, which a rerun needs too."""
    echo = run.get("config_echo")
    if name != NANOGPT or not echo:
        return {}
    from .config.nanogpt import parse_echo

    told = parse_echo(str(echo), "log").found
    known = dialect(NANOGPT).from_own
    return {
        key: s.value
        for key, s in told.items()
        if key in known and not (key in settings.found and alike(settings.found[key].value, s.value))
    }


# --- the start


def launched(order: Order) -> Launch:
    """How the mended run is started."""
    if order.run.format == OURS:
        return _of_ours(order)
    return _of_nanogpt(order) if order.dialect == NANOGPT else _of_others(order)


def _of_ours(order: Order) -> Launch:
    run, file = order.run, order.file
    folder = _folder_of(order.path)
    key = {told: word for word, told in dialect(file.dialect if file else OURS).from_own.items()}
    settings: dict[str, Any] = {key["out_dir"]: str(_free(Path(str(folder) + order.suffix)))}
    notes: list[str] = []
    if order.start:
        checkpoint = _checkpoint(folder, order.start)
        settings[key["init_from"]] = str(checkpoint)
        if checkpoint.name != str(order.start):
            notes.append(f"checkpoint {order.start:,} is not kept: it goes on from {checkpoint.name}")
    elif run.get("init_from") == "resume":
        settings[key["init_from"]] = "scratch"
    was = {word: run.get(told) for told, word in key.items() if word in settings}
    words = _flags({**order.changes, **settings})
    line = f"unplateau train {words}"
    if order.to and file is not None:
        line = f"unplateau train {shlex.quote(order.to)}"
    elif not order.start and file is not None:
        line = f"unplateau train {shlex.quote(str(file.path))} {words}"
    return Launch(settings, was, (line,), tuple(notes), _verify(order, settings[key["out_dir"]]))


def _verify(order: Order, after: str) -> str:
    """The command that holds the mended run to what was said; none for a log that has no place."""
    words = ["unplateau", "verify", str(order.path), after]
    return "" if str(order.path) == "-" else shlex.join(words)


def startable(run: Run, path: Path, step: int, cause: str) -> None:
    """Raise ``UsageError`` where ``cause`` goes on from a checkpoint that the run of ours at ``path`` does not keep."""
    if run.format != OURS or not step:
        return
    try:
        _checkpoint(_folder_of(path), step)
    except UsageError as error:
        raise UsageError(f"{cause} is left out: {error}") from None


def _folder_of(path: Path) -> Path:
    """The folder of a run of ours, from it or from its log."""
    return path if path.is_dir() else path.parent


def _checkpoint(folder: Path, step: int) -> Path:
    """The checkpoint of ``step``, else the last before it. Raises ``UsageError`` where none is kept."""
    try:
        kept = sorted(int(p.name) for p in (folder / CHECKPOINTS).iterdir() if p.name.isdigit())
    except OSError:
        kept = []
    before = [one for one in kept if one <= step]
    if not before:
        raise UsageError(
            f"{printable(folder.name)} keeps no checkpoint of step {step:,} or before, which this goes on from; "
            f"it has {', '.join(f'{one:,}' for one in kept) or 'none'}"
        )
    return folder / CHECKPOINTS / str(before[-1])


def _free(folder: Path) -> Path:
    """``folder``, or the first of its name with a number that is not there yet."""
    names = (folder if i == 1 else folder.with_name(f"{folder.name}-{i}") for i in range(1, MOST))
    return next((name for name in names if not name.exists()), folder)


def _unused(out_dir: str, path: Path) -> str:
    """``out_dir``, with a number where one of that name is there, from here or beside the run: it holds another's checkpoint."""
    beside = path.with_name(Path(out_dir).name)
    ending = max((_free(place).name for place in (Path(out_dir), beside)), key=len)
    return f"{out_dir}{ending.removeprefix(beside.name)}"


def _of_nanogpt(order: Order) -> Launch:
    run, file = order.run, order.file
    old = str(run.get("out_dir") or "out").rstrip("/")
    settings, notes = {"out_dir": _unused(f"{old}{order.suffix}", order.path)}, []
    beside = order.path.is_dir() and order.path.name == Path(old).name  # where it is seen from here
    seen = str(order.path.with_name(Path(settings["out_dir"]).name)) if beside else settings["out_dir"]
    out, lines = shlex.quote(seen), [f"mkdir -p {shlex.quote(seen)}"]
    if beside and order.path.parent != Path():
        notes.append(f"python train.py is run in nanoGPT's own folder, which holds {old}")
    if order.start:
        settings["init_from"] = "resume"
        here = (
            order.path / CKPT if order.path.is_dir() and (order.path / CKPT).is_file() else Path(old) / CKPT
        )
        lines = [f"{lines[0]} && cp {shlex.quote(str(here))} {out}/"]
        if kept := [key for key in RESTORED if key in order.own]:
            notes.append(
                f"nanoGPT resumes with the {' and '.join(kept)} of the checkpoint: a fresh run can change that"
            )
    elif run.get("init_from") == "resume":
        settings["init_from"] = "scratch"
    if not file:
        notes.append(
            f"the config of the run was not found: {YOURS} stands for it (--config FILE names it; beside the log "
            "config.py is looked for, and the name that the log has after Overriding config with)"
        )
    log = f"{settings['out_dir']}/{LOG}"
    lines.append(f"{_nanogpt_line(order, settings)} > {shlex.quote(log)}")
    was = {name: run.get(name) for name in ("out_dir", "init_from")}
    return Launch(settings, was, tuple(lines), tuple(notes), _verify(order, seen))


def _nanogpt_line(order: Order, settings: Mapping[str, Any]) -> str:
    """What starts nanoGPT, with its config or with flags."""
    file = order.file
    if order.to:
        return f"python train.py {'' if file else f'{YOURS} '}{shlex.quote(order.to)}"
    yours = shlex.quote(str(file.path)) if file else YOURS
    return f"python train.py {yours} {_flags({**(file.ran if file else {}), **order.changes, **settings})}"


def _of_others(order: Order) -> Launch:
    old, name = order.run.get("out_dir"), order.dialect
    settings = in_own_words(name, {"out_dir": f"{str(old).rstrip('/')}{order.suffix}"}) if old else {}
    notes = (
        []
        if settings
        else ["give the mended run a folder of its own: the old one is what it is compared with"]
    )
    if order.start:
        notes.append(
            f"it goes on from the checkpoint of step {order.start:,}: tell your trainer to resume from it"
        )
    if order.file is not None and order.to:
        line = STARTED.get(name, "YOUR_COMMAND  # with {file} as its config").format(
            file=shlex.quote(order.to)
        )
    else:
        line = f"YOUR_COMMAND {flags_of(name, {**order.changes, **settings})}"
    return Launch(settings, dict.fromkeys(settings, old), (line,), tuple(notes))


def _flags(settings: Mapping[str, Any]) -> str:
    return " ".join(shlex.quote(f"--{key}={value}") for key, value in settings.items())


def flags_of(name: str, settings: Mapping[str, Any]) -> str:
    """Settings as words of the command line of that trainer.

    >>> flags_of("megatron", {"min_lr": 0.0}), flags_of("litgpt", {"train.min_lr": 0.0}), flags_of("llmc", {"-q": 0.1})
    ('--min-lr=0.0', '--train.min_lr=0.0', '-q 0.1')
    """
    if name in DASHED:
        return " ".join(written(key, value) for key, value in settings.items())
    return _flags(settings)


# --- without a config file


def config_text(run: Run) -> str:
    """The name of a file of changed settings alone, whose suffix says its syntax."""
    return "mended.py" if run.get("config_dialect") in (NANOGPT, OURS) and run.format != OURS else "mended.sh"


def as_words(run: Run, settings: Mapping[str, Any], was: Mapping[str, Any]) -> str:
    """The changed settings alone: lines of a Python config for nanoGPT, else words of a command line."""
    if config_text(run) == "mended.py":
        told = {key: f"  # was {was[key]!r}" if was.get(key) is not None else "" for key in settings}
        return "".join(f"{key} = {value!r}{told[key]}\n" for key, value in settings.items())
    return flags_of(str(run.get("config_dialect", "")), settings) + "\n"
