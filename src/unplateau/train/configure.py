"""From what the user wrote to a run's settings: a config file, ``--key=value``, a preset; and where each came from.

A config is nanoGPT's ``.py`` (read, never run), TOML, YAML, JSON, or a run's folder, whose ``config.json`` holds
all settings of that run. What the command line says holds over the file, the file over the preset.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..config import LIMIT, parse
from ..config import nanogpt as dialect
from ..config._dialect import Settings as Parsed
from ..config._python import tree_of
from ..errors import UnreadableError, UsageError, printable
from ..source import Source
from .branch import inherited
from .check import check
from .datasets import found_at
from .settings import DEFAULTS, TYPES, Resolved, Settings
from .words import ALIASES, DECAY, IDLE, called, setting_of, typed

SCRATCH = DEFAULTS["init_from"]
CONFIG = "config.json"  # in a run's folder
ORIGIN = "origin"  # the key in it that says where each setting came from
#: in a run's config.json, and no setting: what follows from the settings, for whoever reads it
FOLLOWS = ("schema", ORIGIN, "tokens_per_step", "world_size", "gpu", "gpu_memory")
GOES_ON = ("out_dir", "init_from")  # what a run's folder as the config means: that run goes on
ENDS = ("decay_end", "decay_start")  # what follows from the length of a run, where nobody set it
BY_LENGTH = "max_steps"  # the origin of those, as ``settle`` tells it
MACHINE = ("this machine", "auto on ")  # the start of the origins of what ``machine.on`` chose
#: two ways to say one thing: of two sources the nearer one holds, whichever way it says it
RIVALS: Mapping[str, str] = {"eval_tokens": "eval_iters", "eval_iters": "eval_tokens"}
WARMUP_SHARE = 10  # the default's warmup is this part of the run at most, 1/10

#: nanoGPT's train.py, where its config is silent; its device and dtype are by what there is, as are ours
NANOGPT: Mapping[str, Any] = {
    **{name: value for name, value in dialect.DEFAULTS.items() if name in TYPES and name != "compile"},
    **{name: value for name, value in dialect.FIXED.items() if name in TYPES},
    "schedule": "cosine",
}
#: what decay_lr = False makes of a schedule
CONSTANT: Mapping[str, Any] = {"schedule": "constant", "warmup_steps": 0, "floor_lr": 0.0, "decay_end": 0}
PRESETS: Mapping[str, Mapping[str, Any]] = {"modern": {}, "nanogpt": NANOGPT}


@dataclass(slots=True)
class Told:
    """Settings as one source tells them, with the place of each; ``decays`` is nanoGPT's decay_lr."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)  # setting -> what the user called it
    notes: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)  # setting -> where code sets it

    def take(self, key: str, value: Any, where: str) -> None:
        """One key of the user's; raises ``UsageError`` where it is none, or told in two words."""
        name = setting_of(key, where)
        if name in IDLE:
            self.notes.append(f"{called(name, where)} has no effect: {IDLE[name]}")
            return
        word = key.replace("-", "_")
        if self.places.get(name, where) != where:  # one flag twice: the later holds
            first = called(self.words[name], self.places[name])
            raise UsageError(f"{called(word, where)} and {first} are the same setting; keep one of the two")
        self.values[name], self.places[name] = typed(name, value, where, word), where
        self.words[name] = word

    def over(self, other: Told) -> Told:
        """Both, where this one holds."""
        unread = {n: w for n, w in other.unread.items() if n not in self.values}
        kept = {n: v for n, v in other.values.items() if not self.values.get(RIVALS.get(n, ""))}
        return Told(
            {**kept, **self.values},
            {**{n: w for n, w in other.places.items() if n in kept}, **self.places},
            {**other.words, **self.words},
            [*other.notes, *self.notes],
            {**unread, **self.unread},
        )


def resolve(config: Path | None, overrides: Sequence[str] = ()) -> Resolved:
    """The settings of a run; ``overrides`` are words of the command line, ``--key=value``.

    Raises ``UsageError`` for a key or a value that can't be, ``UnreadableError`` for a file that can't be read.

    >>> found = resolve(None, ["--batch_size=8", "--max_iters=100"])
    >>> found.settings.max_steps, found.origin["max_steps"], found.origin["n_layer"]
    (100, '--max_iters', 'default')
    """
    told = read_words(overrides)
    preset = "modern"
    config = config or _of_the_run(told)
    if config is not None:
        from_file, preset = read_file(config)
        told = told.over(from_file)
    elif told.values.get("init_from", SCRATCH) not in (SCRATCH, "resume"):
        values, where, preset, origins = inherited(told.values["init_from"])
        parent = _taken(values, where)
        parent.places |= {name: BY_LENGTH for name in ENDS if origins.get(name) == BY_LENGTH}
        told = told.over(parent)
    preset = told.values.pop("preset", preset)
    if preset not in PRESETS:
        place = called("preset", told.places.get("preset", ""))
        raise UsageError(f"{place} is {printable(preset)!r}; expected {' or '.join(PRESETS)}")
    told = told.over(Told(dict(PRESETS[preset]), dict.fromkeys(PRESETS[preset], f"preset {preset}")))
    for name, where in told.unread.items():
        _by_code(name, where, told)
    if dataset := told.values.get("dataset"):
        told.values["dataset"] = found_at(dataset, config, first="data" if preset == "nanogpt" else "")
    return _completed(told)


def _of_the_run(told: Told) -> Path | None:
    """The folder of the run that is to go on, where no config is given; None where it holds none of ours."""
    folder = Path(told.values.get("out_dir", DEFAULTS["out_dir"]))
    goes_on = told.values.get("init_from") == "resume"
    return folder if goes_on and (folder / CONFIG).is_file() else None


def _taken(values: Mapping[str, Any], where: str) -> Told:
    told = Told()
    for name, value in values.items():
        told.take(name, value, where)
    return told


def _by_code(name: str, where: str, told: Told) -> None:
    if name in ("run_name", "out_dir", "wandb_project"):
        told.notes.append(f"{where}: {name} is set by code, which is never run; it keeps its default")
        return
    raise UsageError(f"{where} sets {name} by code, which is never run: give --{name}=VALUE")


def _completed(told: Told) -> Resolved:
    values, places = told.values, told.places
    if (decays := values.pop(DECAY, None)) is not None:
        where = places.pop(DECAY)
        # train.py asks for the schedule only `if decay_lr`: warmup is left out with it
        changes: Mapping[str, Any] = {"schedule": "cosine"} if decays else CONSTANT
        values |= changes
        places |= dict.fromkeys(changes, where)
    _lengthen(told)
    if "warmup_steps" not in values:
        steps = values.get("max_steps", DEFAULTS["max_steps"])
        values["warmup_steps"] = min(DEFAULTS["warmup_steps"], steps // WARMUP_SHARE)
    origin = {name: places.get(name, "default") for name in DEFAULTS}
    settings = Settings(**values)
    check(settings, origin, told.words)
    return Resolved(settings, origin, tuple(told.notes))


def _lengthen(told: Told) -> None:
    """A decay whose end nobody set by hand ends with the run, also where that is made longer."""
    end, steps = told.values.get("decay_end", 0), told.values.get("max_steps", 0)
    if told.places.get("decay_end") != BY_LENGTH or steps <= end:
        return
    for name in ENDS:
        if told.places.get(name) == BY_LENGTH:
            del told.values[name], told.places[name]
    told.notes.append(f"the schedule ends with the run, now at step {steps:,} (it was {end:,})")


# --- the command line


def read_words(words: Sequence[str]) -> Told:
    """``--key=value``, ``--key value``, or ``--key`` alone where it is True or False."""
    told, waiting = Told(), list(words)
    while waiting:
        word = waiting.pop(0)
        flag, equals, value = word.partition("=")
        if not flag.startswith("--"):
            raise UsageError(f"found {printable(word)!r}; expected --key=value")
        name = setting_of(flag[2:], flag)
        if equals:
            told.take(flag[2:], value, flag)
        elif TYPES.get(name) is bool:
            told.take(flag[2:], True, flag)
        elif waiting and not waiting[0].startswith("--"):
            told.take(flag[2:], waiting.pop(0), flag)
        else:
            raise UsageError(f"{flag} has no value: write {flag}=VALUE")
    return told


def split_words(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """The words of a command line that are no setting (configs), and those that are.

    >>> split_words(["config.py", "--bias", "--seed", "3", "--n_layer=2"])
    (['config.py'], ['--bias', '--seed', '3', '--n_layer=2'])
    """
    plain: list[str] = []
    settings: list[str] = []
    takes = False  # the word before is a setting that waits for its value
    for word in words:
        (settings if takes or word.startswith("--") else plain).append(word)
        takes = not takes and word.startswith("--") and "=" not in word and not _flag(word)
    return plain, settings


def _flag(word: str) -> bool:
    name = word[2:].replace("-", "_")
    return TYPES.get(ALIASES.get(name, name)) is bool


# --- files


def read_file(path: Path) -> tuple[Told, str]:
    """What a config tells, and the preset for what it does not: nanoGPT's where it is written in its words."""
    if not path.exists():
        raise UnreadableError(f"there is no {printable(str(path))}; expected a config, or a run's folder")
    if path.is_dir():
        if not (path / CONFIG).is_file():
            raise UnreadableError(
                f"{path.name or path} holds no {CONFIG}; expected a run's folder, or a config "
                "(data are given as --dataset=FOLDER, a checkpoint as --init_from=FOLDER)"
            )
        told, preset = read_file(path / CONFIG)
        # the run itself goes on, where it lies now
        return Told({"out_dir": str(path), "init_from": "resume"}, {n: str(path) for n in GOES_ON}).over(
            told
        ), preset
    parsed, kind = parse(Source(path).text(LIMIT), printable(path.name, 200))
    told, helpers = Told(), _helpers(path) if kind == "python" else set()
    saved = parsed.value("schema") is not None
    for setting in parsed.found.values():
        key = setting.key if saved else setting.key.rpartition(".")[2]  # TOML's tables are for order alone
        if key in helpers or (saved and _not_told(key, parsed)):
            continue
        told.take(key, setting.value, path.name if saved else setting.source)
        if saved and key in ENDS and parsed.value(f"{ORIGIN}.{key}") == BY_LENGTH:
            told.places[key] = BY_LENGTH
    told.unread = dict(_set_by_code(parsed, helpers))
    return told, "nanogpt" if _nanogpts(parsed, kind) else "modern"


def _not_told(key: str, parsed: Parsed) -> bool:
    """True for what in a run's config.json is no setting, or was chosen for the machine that it ran on then."""
    where = str(parsed.value(f"{ORIGIN}.{key}") or "")
    return key in FOLLOWS or key.startswith(f"{ORIGIN}.") or where.startswith(MACHINE)


def _nanogpts(parsed: Parsed, kind: str) -> bool:
    """True for a Python config that has no word of our own: those are nanoGPT's."""
    own = set(TYPES) - set(dialect.FROM_OWN) - {"wandb_project", "eval_only"}
    return kind == "python" and own.isdisjoint(parsed.found)


def _helpers(path: Path) -> set[str]:
    """Names that a Python config sets only to reckon with: read later in it, or with an underscore in front."""
    used: set[str] = set()
    names: set[str] = set()
    for node in ast.walk(tree_of(Source(path).text(LIMIT), path.name)):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else names).add(node.id)
    known = {*TYPES, *ALIASES, *IDLE, DECAY, "preset"}
    return {name for name in names if name not in known and (name in used or name.startswith("_"))}


def _set_by_code(parsed: Parsed, helpers: set[str]) -> Iterator[tuple[str, str]]:
    where = ", ".join(parsed.skipped)
    for key in sorted(parsed.unknown - helpers):
        name = ALIASES.get(key, key)
        if name in TYPES or name == DECAY:
            yield name, where


# --- showing


def describe(resolved: Resolved) -> list[tuple[str, str, str]]:
    """A row for each setting: its name, its value, and where it came from."""
    return [(name, shown(value), resolved.origin[name]) for name, value in asdict(resolved.settings).items()]


def shown(value: Any) -> str:
    """A value as a config would write it.

    >>> shown(6e-4), shown(""), shown(600_000)
    ('0.0006', "''", '600000')
    """
    return repr(value) if isinstance(value, str) and not value else str(value)
