"""The verbs that train: train."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UnplateauError, UsageError, printable
from ._core import DONE, INTERRUPTED, group, look, say
from ._foresight import Foresight

if TYPE_CHECKING:
    from ..train.data import Corpus
    from ..train.preflight import Plan
    from ..train.settings import Resolved, Settings
    from ..train.start import Start


@group.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[CONFIG] [--key=value ...]")
@click.option("--dry-run", is_flag=True, help="Say what the run will be, time some steps, and stop.")
@click.option(
    "--print-config", is_flag=True, help="Each setting, its value and where it came from; then stop."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def train(words: tuple[str, ...], *, dry_run: bool, print_config: bool, as_json: bool) -> int:
    """Train a decoder, into a folder that `diagnose` reads.

    CONFIG is nanoGPT's .py (read, never run), a TOML, or a run's folder, which
    goes on. Keys are ours or nanoGPT's; docs/train.md has them all.
    Stopped by Ctrl-C or SIGTERM, everything is saved, and the same command
    with --init_from=resume goes on.
    """
    from ..train.configure import resolve, split_words
    from ..train.world import once_a_machine

    with once_a_machine():
        plain, settings = split_words(words)
        if len(plain) > 1:
            raise UsageError(f"train wants one config; found {', '.join(plain)}")
        resolved = resolve(Path(plain[0]) if plain else None, settings)
    if print_config:
        return show_config(resolved, as_json=as_json)
    return ended(run(resolved, dry_run=dry_run, as_json=as_json))


def ended(code: int) -> int:
    """``code``; one of torchrun's processes ends with it at once.

    Threads of torch's process groups may outlive them, and abort one in four processes while the interpreter goes
    (torch 2.13): torchrun would call a run that is done a failure.
    """
    from ..train.world import World

    if World.of().size > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def show_config(resolved: Resolved, *, as_json: bool) -> int:
    """Print each setting with its origin."""
    from ..report.train import config_table
    from ..train.configure import describe

    if not as_json:
        say(config_table(describe(resolved), resolved.notes))
        return DONE
    told = {"schema": "unplateau.settings/1", "settings": asdict(resolved.settings)}
    say(dumped({**told, "origin": dict(resolved.origin), "notes": list(resolved.notes)}))
    return DONE


def run(resolved: Resolved, *, dry_run: bool, as_json: bool) -> int:
    """Say what the run will be, and train it. What can't be is refused first, in one line and nothing else."""
    from ..report.train import end_text
    from ..train.folder import refuse_held
    from ..train.trackers import services
    from ..train.world import World, once_a_machine

    begun, leads = time.perf_counter(), World.of().leads
    with once_a_machine():
        if leads and not dry_run:
            refuse_held(Path(resolved.settings.out_dir))
        told, data, notes = planned(resolved)
    stream = sys.stderr if as_json else sys.stdout
    with services(told.settings) if leads and not dry_run else nullcontext(()) as begun_services:
        if leads and not (dry_run and as_json):
            say(told_in_words(told, notes), stream)
        if dry_run:
            return show_time(resolved, told, data, begun, as_json=as_json)
        from ..train.loop import train as begin

        s = resolved.settings
        result = begin(resolved, stream, Foresight(Path(s.out_dir), s.max_steps), begun_services)
    if as_json and leads:
        say(dumped({"schema": "unplateau.training/1", **result.as_dict()}))
    elif leads and s.log_style == "rich" and not result.stopped:
        say(end_text(result, columns(stream)))
    return INTERRUPTED if result.stopped else DONE


def planned(resolved: Resolved) -> tuple[Plan, list[tuple[Corpus, float]], tuple[str, ...]]:
    """What the run will be, its data, and what was taken otherwise than it was written. Raises for all that can be known to be wrong before anything is built."""
    from ..train.folder import refuse_another_run
    from ..train.preflight import preflight
    from ..train.settle import settled
    from ..train.start import data_for, shaped, start_of
    from ..train.trackers import refuse_missing
    from ..train.world import World

    s, start = resolved.settings, start_of(resolved.settings)
    if s.init_from != "resume" and World.of().leads:
        refuse_another_run(Path(s.out_dir))
    resolved = shaped(resolved, start)
    data = data_for(resolved, start)
    refuse_missing(s)
    with needs_torch():
        from ..train.machine import device_of
        from ..train.models import model_kind
    device_of(s)
    model_kind(s.architecture)
    resolved = settled(resolved, data[0][0])
    return (
        preflight(resolved.settings, data, start),
        data,
        (*resolved.notes, *noted(resolved.settings, start)),
    )


def noted(s: Settings, start: Start) -> Iterator[str]:
    """What may not be meant, though it can be done."""
    if s.max_steps == 0 and not (s.eval_only or s.inspect):
        yield "max_steps is 0: the model is evaluated and saved, and no step is taken"
    if s.init_from == "resume" and start.kind == "nanogpt":
        kept = "written over at each save (--nanogpt_ckpt)" if s.nanogpt_ckpt else "read, and stays as it is"
        yield (
            f"{start.path.name} in {printable(s.out_dir)} is {kept}; log.jsonl, config.json and checkpoints/ of this run come "
            f"to lie beside it (--init_from={printable(s.out_dir)} with another --out_dir keeps them apart)"
        )


@contextmanager
def needs_torch() -> Iterator[None]:
    """One line where the trainer's extra is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UnplateauError(f"training needs {error.name}: pip install 'unplateau[train]'") from None


def show_time(
    resolved: Resolved, told: Plan, data: list[tuple[Corpus, float]], begun: float, *, as_json: bool
) -> int:
    """Take some steps, and say how long the run will take; ``begun`` is when this process began to prepare it."""
    from ..train.rehearsal import rehearse
    from ..train.world import World

    found = rehearse(resolved, data, begun)
    if not World.of().leads:
        return DONE
    if as_json:
        say(dumped({"schema": "unplateau.preflight/1", **told.as_dict(), "rehearsal": asdict(found)}))
    else:
        from ..report.train import time_text

        say(time_text(found, **look()))
    return DONE


def told_in_words(told: Plan, taken: tuple[str, ...]) -> str:
    """What will be, and what was taken otherwise than it was written."""
    from ..report.train import plan_text
    from ..train.terminal import folded

    wide = columns(sys.stdout)
    notes = "".join(folded(f"note: {note}", wide) + "\n" for note in taken)
    return notes + plan_text(told, **look())


def columns(stream: Any) -> int | None:
    """Of a line on ``stream``; None where it is no terminal, and nothing is folded."""
    return look()["width"] if stream.isatty() else None


def dumped(told: dict[str, Any]) -> str:
    from ..report import json

    return json.dumps(told) + "\n"
