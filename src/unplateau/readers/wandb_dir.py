"""Weights & Biases: the binary ``run-ID.wandb``, its folder, or only ``wandb-summary.json``.

The binary is read without the wandb package, also where the run was killed. W&B's own ``_step`` counts calls
of log; where the run logs its optimiser step (iter, train/global_step, trainer/global_step) that is used.
A folder without a binary gives what ``output.log`` shows, else the one point of its summary.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UnreadableError
from ..run import Fact, Run
from ..source import Source
from . import Options, Reader, choose
from ._assign import STEPS, assign, first_of
from ._cells import flat, number
from ._collect import Collector
from ._hf import step_of
from ._json import document, value_of
from ._leveldb import MAGIC, Damage, records
from ._wandb_records import Logged, rows

NAME = "wandb"
SUMMARY, CONFIG, OUTPUT = "wandb-summary.json", "config.yaml", "output.log"
BINARY = 1 << 20  # more than any count of text records that a binary file could resemble
STEPPED = 0.9  # share of the losses' points that must carry the run's own step for it to be used
FOLDERS = 500  # runs of one wandb folder


def sniff(sample: bytes, name: str) -> int:
    if sample.startswith(MAGIC):
        return BINARY
    summary = name == SUMMARY or (b'"_wandb"' in sample and b'"_step"' in sample)
    return int(summary and sample.lstrip().startswith(b"{"))


def read(source: Source, options: Options) -> list[Run]:
    if not source.sample.startswith(MAGIC):
        return _one_point(source, options)
    logged, damage, collector = Logged(), Damage(), Collector(source.name)
    for row in _history(source, damage, logged):
        step = step_of(row.get("_step"))
        collector.add((collector.last_step or 0) + 1 if step is None else step, _numbers(row))
    if not collector.columns:
        return []
    collector.name = logged.name or source.name
    run = _run(collector, options, facts_of(logged.config))
    said = [f"{source.name} {text}" for text in _damages(damage, logged)]
    return [replace(run, warnings=(*said, *source.notes, *run.warnings))] if run else []


def _history(source: Source, damage: Damage, logged: Logged) -> Iterator[dict[str, Any]]:
    for record in records(source.blocks(), damage):
        try:
            yield from rows(record, logged)
        except ValueError:
            damage.records += 1


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    found = ((key, value if isinstance(value, float) else number(value)) for key, value in row.items())
    return {key: value for key, value in found if value is not None and not isinstance(row[key], str)}


def _damages(damage: Damage, logged: Logged) -> Iterator[str]:
    if damage.records:
        where = f", the first at byte {damage.first_at:,}" if damage.first_at >= 0 else ""
        yield f"holds {damage.records:,} damaged records{where}"
    if damage.cut:
        yield "is cut within a record"
    if not logged.ended:
        yield "has no end: the run was killed or goes on"


def _run(collector: Collector, options: Options, facts: Mapping[str, Fact]) -> Run | None:
    """The run of a history, its points at the optimiser's steps where it logs them."""
    names = [n for n in collector.columns if n != "_step"]
    columns = assign([*names, *options.columns.values()], options)
    if not columns.has_loss:
        return None
    own = columns.step or first_of(names, STEPS)
    lost = collector.restep(own, [c.column for c in columns.series.values()], STEPPED) if own else None
    columns = replace(columns, step=own if lost is not None else None)
    run = collector.finish(NAME, columns, options)
    if lost:
        run = replace(run, warnings=(*run.warnings, f"{lost:,} points without {own!r} left out"))
    if lost is None:
        run = replace(run, warnings=("steps are W&B's own _step, which counts calls of log", *run.warnings))
    return replace(run, facts={**facts, **run.facts})


def _one_point(source: Source, options: Options) -> list[Run]:
    summary = value_of(document(source))
    if not isinstance(summary, dict):
        raise UnreadableError(f"{source.name} is no JSON object, as a summary of W&B is")
    collector, values = Collector(source.name), flat(summary)
    step = step_of(values.get("_step"))
    if step is None:
        return []
    collector.add(step, _numbers(values))
    run = _run(collector, options, {})
    said = "a summary only: one point a series, no curve"
    return [replace(run, warnings=(said, *run.warnings))] if run else []


def read_folder(path: Path, options: Options) -> list[Run]:
    """The runs of a W&B folder: of one run, of its ``files``, or of all runs under ``wandb``."""
    runs: list[Run] = []
    for folder in _run_folders(path)[:FOLDERS]:
        runs += _read_run_folder(folder, options)
    return runs


def _run_folders(path: Path) -> list[Path]:
    if _files(path, "run-*.wandb", SUMMARY, OUTPUT):
        return [path]
    for root in (path, path / "wandb"):
        found = [p for p in root.glob("*run-*") if p.is_dir() and not p.is_symlink()] if root.is_dir() else []
        if found:
            return sorted(found)
    return []


def _files(folder: Path, *patterns: str) -> list[Path]:
    """Files of the folder or of its ``files``, in the order of ``patterns``."""
    roots = [root for root in (folder, folder / "files") if root.is_dir()]
    return [p for pattern in patterns for root in roots for p in sorted(root.glob(pattern)) if p.is_file()]


def _read_run_folder(folder: Path, options: Options) -> list[Run]:
    config = _config(folder)
    for path in _files(folder, "run-*.wandb"):
        found = read(Source(path), options)
        if found:
            return [replace(run, facts={**config, **run.facts}) for run in found]
    for path in _files(folder, OUTPUT, SUMMARY):
        found = [replace(run, facts={**config, **run.facts}) for run in _read_text(path, options)]
        if found:
            return found
    return []


def _read_text(path: Path, options: Options) -> list[Run]:
    source = Source(path)
    reader = READER if path.name == SUMMARY else choose(source)
    try:
        found = reader.read(source, options) if reader else []
    except UnreadableError:
        return []
    return [run for run in found if run.loss is not None]


def _config(folder: Path) -> dict[str, Fact]:
    """The facts of ``config.yaml``, where each key holds its value under ``value``."""
    for path in _files(folder, CONFIG):
        import yaml

        try:
            tree = yaml.safe_load(Source(path).text(8 << 20))
        except (yaml.YAMLError, RecursionError, ValueError):
            return {}
        if isinstance(tree, dict):
            held = {k: v["value"] for k, v in tree.items() if isinstance(v, dict) and "value" in v}
            return facts_of(held, path.name)
    return {}


def facts_of(settings: Mapping[str, Any], source: str = "W&B config") -> dict[str, Fact]:
    """The facts that a configuration logged to W&B states; a trainer's defaults are not assumed from it."""
    from ..config import read_config

    told = {str(key): value for key, value in settings.items() if key != "_wandb"}
    try:
        facts = read_config(json.dumps(told, default=str), name="wandb.json")
    except UnreadableError:
        return {}
    return {
        name: replace(fact, source=source)
        for name, fact in facts.items()
        if fact.source.startswith("wandb.json") and not name.startswith("config_")
    }


READER = Reader(NAME, "Weights & Biases: run-ID.wandb, or wandb-summary.json", sniff, read, maps=True)
