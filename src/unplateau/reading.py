"""From a path to complete runs: which files of a folder to read, and how their facts come together.

Where two sources tell one fact, the nearer to what really ran holds: an option of the command line, the
log's own words, the configuration that the log repeats, a configuration file, a checkpoint's header,
a manifest; and what any of them tells before what is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log
from pathlib import Path

from .captures import nothing, read_all
from .derive import derive
from .errors import UnplateauError, UnreadableError, UsageError, printable, why
from .implausible import plausible
from .places import OWN, Place, look
from .readers import Options
from .readers._parts import with_sums
from .run import Fact, Run

FIRST = 0.7  # nats between the first loss and ln(vocabulary) that an assumed vocabulary may miss
OURS = "unplateau"  # the format of our own log.jsonl
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
    config: Path | str | None = None,
    data: Path | str | None = None,
    unique_tokens: int | None = None,
    options: Options | None = None,
    evidence: Sequence[Path | str] = (),
) -> list[Run]:
    """The runs at ``path`` (a file, ``-`` for standard input, or a folder), with all that is known of them.

    ``config``: the trainer's configuration; ``data``: a manifest, or nanoGPT's data folder; ``evidence``: folders
    of what probes told, besides those that lie in the run's folder or beside it. Raises ``UnreadableError``, in one line, where no loss can be read.
    """
    places = look(Path(path))
    found = read_all(places, options or Options())
    if not found:
        raise nothing(Path(path), places)
    option: dict[str, Fact] = {}
    if unique_tokens is not None:
        option["unique_tokens"] = Fact(unique_tokens, "tokens", "--unique-tokens")
    files = {"config": Path(config) if config else None, "data": Path(data) if data else None}
    runs = [complete(run, place, option=option, **files) for place, run in found]
    if evidence and len(runs) > 1:
        named = printable(", ".join(run.name for run in runs), 200)
        raise UsageError(
            f"--evidence is of one run, and here are {len(runs)}: {named}; give one of them alone"
        )
    folders = [Path(folder) for folder in evidence]
    return [probed(run, place, folders) for run, (place, _) in zip(runs, found, strict=True)]


def probed(run: Run, place: Place, folders: Sequence[Path] = ()) -> Run:
    """``run`` with the evidence in ``folders``, and with what lies in its own folder or beside it."""
    from .evidence import FOLDER, given, read

    warnings: list[str] = []
    told = [one for folder in folders for one in given(folder, warnings)]
    told += [one for root in _roots(place) for one in read(root / FOLDER, warnings)]
    last = run.get("steps_done")
    # a checkpoint may lie between two rows of the log: a run that is stopped saves at any step
    until = None if last is None else last + max(run.get("log_interval") or 0, run.get("eval_interval") or 0)
    late = [one for one in told if one.step is not None and until is not None and one.step > until]
    warnings += dict.fromkeys(
        f"{one.source} is of step {one.step:,}, the log ends at {last:,}: not used" for one in late
    )
    kept = tuple(one for one in told if one not in late)
    return replace(run, probed=kept, warnings=(*run.warnings, *warnings)) if kept or warnings else run


def _roots(place: Place) -> list[Path]:
    """Where evidence of the run at ``place`` may lie; not beside a folder that may hold the logs of others."""
    from .evidence import beside, root_of

    if str(place.path) == "-":
        return []
    alone = place.path.is_dir() or place.checkpoints or place.path.name == OWN
    paths = (*place.logs, *(place.folders if alone else ()))
    return list(dict.fromkeys(root for path in paths for root in (root_of(path), beside(path))))


def complete(run: Run, place: Place, *, config: Path | None, data: Path | None, option: Facts) -> Run:
    """One run with the facts of its configuration, its data and its checkpoint, and what follows from them."""
    warnings: list[str] = []
    run = plausible(run)
    configured = _configuration(run, place, config, warnings)
    saved = _saved(place, warnings)
    run_facts = {n: f for n, f in run.facts.items() if n not in NOT_FACTS}
    windows = _windows(place, configured, warnings)
    told = merge(option, run_facts, windows, configured, saved, _fixed(run.format))
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
    from .config import read_merged

    echo, where = run.get("config_echo", ""), run.source("config_echo")
    if config is not None:
        _there(config, "the config that the trainer read")
        given = read_merged(config, str(echo), where)
        own = _beside(run, place, str(echo), where, []) if run.format == OURS else {}
        return merge({n: f for n, f in given.items() if n.startswith("config_")}, own, given)
    return _beside(run, place, str(echo), where, warnings)


def _beside(run: Run, place: Place, echo: str, where: str, warnings: list[str]) -> dict[str, Fact]:
    """The facts of the configs that lie with the log; of our own trainer that is each setting as it was in the end."""
    from .config import read_config, read_merged

    facts: dict[str, Fact] = read_merged(None, echo, where) if echo else {}
    for path in place.configs:
        try:
            if not _fits(read_config(path), run.format):
                warnings.append(f"{path.name}, found beside the log, is another trainer's config: not used")
                continue
            facts = merge(read_merged(path, echo, where), facts)
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
    return facts | _weights(place)


def _weights(place: Place) -> dict[str, Fact]:
    """Of the newest checkpoint in the run's own folder: which of its tensors moved."""
    from .weights import newest, weights_of

    saved = newest(place.folders[0]) if place.folders else None
    return weights_of(saved) if saved is not None else {}


def _windows(place: Place, configured: Facts, warnings: list[str]) -> dict[str, Fact]:
    """How much our own trainer evaluates, where it reads the same windows each time."""
    from .evaluated import read_plan

    if place.plan is None or "eval_windows" not in configured or configured["eval_windows"].value != "fixed":
        return {}
    try:
        return read_plan(place.plan)
    except UnplateauError as error:
        warnings.append(f"{place.plan.name}, found beside the log, can't be used: {error}")
        return {}


def _data(run: Run, place: Place, data: Path | None, told: Facts, warnings: list[str]) -> dict[str, Fact]:
    from .manifest import count_bins, read_manifest

    if data is not None:
        return _given_data(data)
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


def _given_data(data: Path) -> dict[str, Fact]:
    from .manifest import DATA, read_manifest, refused

    _there(data, "a manifest, or nanoGPT's data folder")
    if facts := read_manifest(data):
        return facts
    if wrong := refused(data):
        raise UnreadableError(
            f"{data.name} tells nothing of the data that can be so: {wrong} (docs/manifest.md)"
        )
    raise UnreadableError(
        f"{data.name} tells nothing of the data; expected one of the keys {', '.join(DATA)} (docs/manifest.md)"
    )


def _there(path: Path, expected: str) -> None:
    try:
        there = path.exists()
    except OSError as error:
        raise UnreadableError(f"can't look at {printable(path.name)}: {why(error)}") from None
    if not there:
        raise UnreadableError(f"there is no {path.name or path}; expected {expected}")


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
