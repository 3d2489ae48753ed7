"""From a path to complete runs: which files of a folder to read, and how their facts come together.

Where two sources tell one fact, the nearer to what really ran holds: an option of the command line, the
log's own words, the configuration that the log repeats, a configuration file, a checkpoint's header,
a manifest; and what any of them tells before what is assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from math import log
from pathlib import Path

from .derive import derive
from .errors import UnplateauError, UnreadableError, printable
from .places import Place, look
from .readers import Options, Reader, choose
from .readers._parts import with_sums
from .run import LOSSES, SERIES, Fact, Run
from .source import Source

TRIED = 3  # readers that are tried on one log before it counts as unreadable
EVALUATED = 20  # a point of val_loss is worth so many of the optimiser's own batches
KNOWN = "A CSV with columns step,train_loss,val_loss always works."
FIRST = 0.7  # nats between the first loss and ln(vocabulary) that an assumed vocabulary may miss
#: what a trainer's code fixes, whatever its configuration
GPT2 = {
    "architecture": "gpt2",
    "tied": True,
    "optimizer": "adamw",
    "beta1": 0.9,
    "beta2": 0.95,
    "grad_clip": 1.0,
}
BY_FORMAT: dict[str, dict[str, object]] = {
    "llm.c": {**GPT2, "bias": True, "dropout": 0.0},
    "llm.c-stdout": {**GPT2, "bias": True, "dropout": 0.0},
    "build-nanogpt": {**GPT2, "bias": True, "dropout": 0.0},
    "build-nanogpt-stdout": {**GPT2, "bias": True, "dropout": 0.0},
    "nanochat": {"dtype": "bfloat16", "tied": False},
}
NOT_FACTS = ("config_overridden", "claims", "config_echo_before")
SCHEDULED = ("schedule", "peak_lr", "floor_lr", "warmup_steps", "decay_start", "decay_end", "max_steps")

Facts = Mapping[str, Fact]


def read_runs(
    path: Path | str,
    *,
    config: Path | None = None,
    data: Path | None = None,
    unique_tokens: int | None = None,
    options: Options | None = None,
) -> list[Run]:
    """The runs at ``path`` (a file, ``-`` for standard input, or a folder), with all that is known of them.

    ``config``: the trainer's configuration; ``data``: a manifest, or nanoGPT's data folder.
    Raises ``UnreadableError``, in one line, where no loss can be read.
    """
    options = options or Options()
    place = look(Path(path))
    runs = read_place(place, options)
    if not runs:
        raise UnreadableError(nothing(place))
    option: dict[str, Fact] = {}
    if unique_tokens is not None:
        option["unique_tokens"] = Fact(unique_tokens, "tokens", "--unique-tokens")
    return [complete(run, place, config=config, data=data, option=option) for run in runs]


def complete(run: Run, place: Place, *, config: Path | None, data: Path | None, option: Facts) -> Run:
    """One run with the facts of its configuration, its data and its checkpoint, and what follows from them."""
    warnings: list[str] = []
    configured = _configuration(run, place, config, warnings)
    saved = _saved(place, warnings)
    run_facts = {n: f for n, f in run.facts.items() if n not in NOT_FACTS}
    told = merge(option, run_facts, configured, saved, _fixed(run.format))
    told |= _listed(run.facts, configured)
    told = merge(option, told, _data(run, place, data, told, warnings))
    told = _believable(told, run, warnings)
    told |= _schedule_before(run)
    return derive(with_sums(replace(run, facts=told, warnings=(*run.warnings, *warnings))))


def _fixed(format_name: str) -> dict[str, Fact]:
    source = f"assumed: fixed in {format_name.removesuffix('-stdout')}'s code"
    return {name: Fact(value, "", source) for name, value in BY_FORMAT.get(format_name, {}).items()}


def merge(*layers: Facts) -> dict[str, Fact]:
    """The first that tells a fact holds; what is only assumed comes after all that is told.

    >>> facts = merge({"seed": Fact(1, "", "assumed: default")}, {"seed": Fact(2, "", "config.py:3")})
    >>> facts["seed"].value
    2
    """
    merged: dict[str, Fact] = {}
    for guessed in (False, True):
        for layer in layers:
            for name, fact in layer.items():
                if fact.source.startswith("assumed") is guessed:
                    merged.setdefault(name, fact)
    return merged


def _listed(logged: Facts, configured: Facts) -> dict[str, Fact]:
    """Facts that are lists: what all sources hold, together."""
    from .config import overridden

    facts: dict[str, Fact] = {}
    rows = [
        *_rows(configured, "config_overridden"),
        *_rows(overridden(configured, logged), "config_overridden"),
    ]
    claims = [*_rows(logged, "claims"), *_rows(configured, "claims")]
    for name, value in (("config_overridden", rows), ("claims", claims)):
        if value:
            facts[name] = Fact(value, "", (configured.get(name) or logged.get(name) or Fact(0)).source)
    return facts


def _rows(facts: Facts, name: str) -> list[list[object]]:
    return list(facts[name].value) if name in facts else []


def _schedule_before(run: Run) -> dict[str, Fact]:
    """The schedules that held before a resume with other settings, where the log repeats those too."""
    from .config import read_echo

    source = run.source("config_echo_before")
    past = [(step, read_echo(text, source)) for step, text in run.get("config_echo_before", [])]
    kept = [[step, {n: facts[n].value for n in SCHEDULED if n in facts}] for step, facts in past]
    return {"schedule_before": Fact(kept, "", source)} if kept else {}


def _configuration(run: Run, place: Place, config: Path | None, warnings: list[str]) -> dict[str, Fact]:
    from .config import read_config, read_merged

    echo, where = run.get("config_echo", ""), run.source("config_echo")
    if config is not None:
        return read_merged(config, str(echo), where)
    facts: dict[str, Fact] = read_merged(None, str(echo), where) if echo else {}
    for path in place.configs:
        try:
            if not _fits(read_config(path), run.format):
                warnings.append(f"{path.name}, found beside the log, is another trainer's config: not used")
                continue
            facts = merge(read_merged(path, str(echo), where), facts)
        except UnplateauError as error:
            warnings.append(f"{path.name}, found beside the log, can't be used: {error}")
    return facts


#: the dialects that a log's format can have been configured in; others may have been in any
CONFIGURED_IN = {"nanogpt": ("nanogpt",), "nanochat": ("nanochat",), "litgpt": ("litgpt",)}


def _fits(found: Facts, format_name: str) -> bool:
    dialects = (*CONFIGURED_IN.get(format_name, ()), "unplateau")
    return len(dialects) == 1 or found["config_dialect"].value in dialects


def _saved(place: Place, warnings: list[str]) -> dict[str, Fact]:
    from .checkpoint import read_checkpoint

    facts: dict[str, Fact] = {}
    for path in place.checkpoints:
        try:
            facts = merge(facts, read_checkpoint(path))
        except UnplateauError as error:
            warnings.append(f"{path.name}, found beside the log, can't be used: {error}")
    return facts


def _data(run: Run, place: Place, data: Path | None, told: Facts, warnings: list[str]) -> dict[str, Fact]:
    from .manifest import count_bins, read_manifest

    if data is not None:
        return read_manifest(data)
    if place.manifest is not None:
        try:
            return read_manifest(place.manifest)
        except UnplateauError as error:
            warnings.append(f"{place.manifest.name}, found beside the log, can't be used: {error}")
    dataset = str(told["dataset"].value) if "dataset" in told else ""
    if run.format != "nanogpt" or not dataset or Path(dataset).name != dataset:
        return {}
    # nanoGPT reads data/DATASET under its own folder, which holds the log or the log's folder
    return next((found for folder in place.roots if (found := count_bins(folder / "data" / dataset))), {})


def _believable(told: dict[str, Fact], run: Run, warnings: list[str]) -> dict[str, Fact]:
    """Without an assumed vocabulary that the first loss contradicts: a meta.pkl may have told another."""
    fact = told.get("vocab_size")
    if fact is None or not fact.source.startswith("assumed"):
        return told
    for name in ("val_loss", "batch_loss"):
        first = run.series[name].at(0) if name in run.series else None
        if first is not None and abs(first - log(fact.value)) > FIRST:
            warnings.append(
                f"vocab_size is not known: {name} {first:.2f} at step 0 does not fit the default {fact.value:,}"
            )
            return {n: f for n, f in told.items() if n != "vocab_size"}
    return told


# --- logs


def read_place(place: Place, options: Options) -> list[Run]:
    """The runs of the richest log of each folder; the others are named in a warning."""
    found = [f for f in (_group(group, options) for group in place.groups) if f]
    if len(found) > 1:
        return [_named(run, origin) for origin, runs in found for run in runs]
    return [run for _, runs in found for run in runs]


def _named(run: Run, origin: str) -> Run:
    return run if not origin or origin in run.name else replace(run, name=f"{origin}/{run.name}")


@dataclass(frozen=True, slots=True)
class Read:
    """What one candidate gave."""

    name: str
    runs: list[Run]

    @property
    def worth(self) -> int:
        curves = [(n, r.series[n].finite) for r in self.runs for n in LOSSES if n in r.series]
        return sum(len(curve) * (EVALUATED if n == "val_loss" else 1) for n, curve in curves)


def _group(group: tuple[str, tuple[Path, ...]], options: Options) -> tuple[str, list[Run]] | None:
    origin, candidates = group
    reads: list[Read] = []
    error: UnplateauError | None = None
    for path in candidates:
        try:
            runs = read_folder(path, options) if path.is_dir() else read_file(path, options)
        except UnplateauError as failed:
            error = failed
            continue
        if with_loss := [run for run in runs if has_loss(run)]:
            reads.append(Read(path.name, with_loss))
    if not reads:
        if error is not None and len(candidates) == 1:
            raise error
        return None
    best = max(reads, key=lambda read: read.worth)
    # what the whole of a folder holds, its own files hold again
    apart = [r for r in reads if r is not best and not (r.worth == best.worth and candidates[0].is_dir())]
    others = ", ".join(printable(read.name, 60) for read in apart)
    if not others:
        return origin, best.runs
    note = f"{printable(best.name, 60)} holds most and is read; also logs: {others} (give its own path to read it)"
    return origin, [replace(run, warnings=(*run.warnings, note)) for run in best.runs]


def read_file(path: Path, options: Options) -> list[Run]:
    """The runs with a loss in one log, by the reader that knows it best; raises ``UnreadableError``."""
    source = Source.stdin() if str(path) == "-" else Source(path)
    try:
        return _with_loss(source, options)
    finally:
        source.close()


def _with_loss(source: Source, options: Options) -> list[Run]:
    tried: list[str] = []
    refusal: UnplateauError | None = None
    for reader in islice(mapping(source) if options.columns else claims(source), TRIED):
        try:
            runs = [run for run in reader.read(source, options) if has_loss(run)]
        except UnplateauError as error:
            refusal = refusal or error
            continue
        if runs:
            _check_mapped(runs, options)
            notes = tuple(note for note in source.notes if note not in runs[0].warnings)
            return [replace(run, warnings=(*run.warnings, *notes)) for run in runs] if notes else runs
        tried.append(reader.name)
    if refusal is not None:
        raise refusal
    raise UnreadableError(unread(source, tried))


def has_loss(run: Run) -> bool:
    """True when a loss has a point, be it nan: a run that only ever gave nan is worth a diagnosis.

    A loss under the trainer's own name counts too: the user can map it.
    """
    return any(len(curve) and (name in LOSSES or "loss" in name) for name, curve in run.series.items())


def claims(source: Source) -> Iterator[Reader]:
    """The readers that claim a log: the chosen one, then who recognises most, those for unknown logs last.

    The others are not asked before their turn: some look at every word, half a second for a large log.
    """
    from .plugins import discover

    if (chosen := choose(source)) is None:
        return
    yield chosen
    readers: list[Reader] = [r for r in discover("readers").values() if r is not chosen]
    for late in (False, True):
        scored = [(r.sniff(source.sample, source.name), r) for r in readers if r.last_resort is late]
        found = [(score, r) for score, r in scored if score > 0]
        yield from (r for _, r in sorted(found, key=lambda pair: -pair[0]))


def mapping(source: Source) -> Iterator[Reader]:
    """The readers that heed a translation of names: those that claim the log, then the last resorts.

    They don't claim a log by names that only the user knows.
    """
    from .plugins import discover

    scored = [(r.sniff(source.sample, source.name), r) for r in discover("readers").values() if r.maps]
    ranked = sorted(scored, key=lambda pair: (pair[1].last_resort, -pair[0]))
    return (r for score, r in ranked if score > 0 or r.last_resort)


def _check_mapped(runs: list[Run], options: Options) -> None:
    """Every series that the user gave a name for must have come."""
    from .readers._names import absent

    held = {name: None for run in runs for name in run.series}
    for series, key in options.columns.items():
        if series in SERIES and series not in held:
            raise absent(series, key, held)


def unread(source: Source, tried: Iterable[str]) -> str:
    """What was found, what was expected, what to do; one line."""
    if as_format := ", ".join(tried):
        return f"{source.name} was read as {as_format}, and holds no loss at a step; expected train or val losses. {KNOWN}"
    start = source.sample.lstrip()[:60].partition(b"\n")[0].decode("utf-8", "replace")
    found = f"starts with {printable(start)!r}" if start else "is empty"
    return f"no reader knows a log that {found} ({source.name}). See docs/formats.md. {KNOWN}"


def nothing(place: Place) -> str:
    """Why a folder gave no run; one line."""
    names = [path.name for _, paths in place.groups for path in paths]
    listed = printable(", ".join(names[:6]) + (", ..." if len(names) > 6 else ""), 200)
    found = f"{len(names)} files that could be logs ({listed}), none with a loss" if names else "no log"
    return (
        f"{place.path.name or place.path} holds {found}; expected train.log, metrics.csv, trainer_state.json, "
        "event files or a wandb folder; give the log's own path"
    )


def read_folder(path: Path, options: Options) -> list[Run]:
    """A folder that is one log: of event files, or of Weights & Biases."""
    from importlib import import_module

    module = "tensorboard" if any(path.glob("**/events.out.tfevents*")) else "wandb_dir"
    try:
        read: Callable[[Path, Options], list[Run]] | None
        read = getattr(import_module(f"unplateau.readers.{module}"), "read_folder", None)
    except ModuleNotFoundError:
        read = None
    return read(path, options) if read is not None else []
