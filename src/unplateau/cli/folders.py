"""The verbs that write folders: simulate and prepare."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ..errors import StoppedError, UsageError, printable
from ._core import DONE, amount, group, say


@group.command()
@click.option(
    "--cause", default="healthy", metavar="NAME", help="What to plant; without it the run is healthy."
)
@click.option(
    "--severity",
    type=float,
    default=0.5,
    show_default=True,
    metavar="S",
    help="From 0, nothing, to 1, as strong as one meets.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="N",
    help="Draws size, data, schedule and noise.",
)
@click.option(
    "--out",
    metavar="DIR",
    help="A folder that is not there yet, or empty.  [default: simulated-CAUSE-SEVERITY-SEED]",
)
@click.option(
    "--dialect",
    default="nanogpt",
    show_default=True,
    metavar="NAME",
    help="Whose log and config: nanogpt, hf or jsonl.",
)
@click.option(
    "--steps",
    type=int,
    metavar="N",
    help="Steps of the run, 100 to 200,000; by default 12 to 40 tokens a parameter.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def simulate(cause: str, severity: float, seed: int, out: str | None, as_json: bool, **how: Any) -> int:
    """Write a synthetic run with a planted cause, and its truth.

    DIR/run has the cause, DIR/mended is the same run without it, DIR/truth.json says what it costs.
    """
    from ..simulate import simulate as make
    from ..simulate.write import text, write

    made = make(cause, severity, seed, **how)
    told = write(made, Path(out or f"simulated-{made.cause}-{made.severity:g}-{seed}"))
    if as_json:
        from ..report import json

        say(json.dumps(told) + "\n")
    else:
        say(text(told))
    return DONE


@group.command()
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.option("--out", metavar="DIR", help="A folder that is new, empty, or holds the same job unfinished.")
@click.option(
    "--tokenizer",
    metavar="NAME",
    help="gpt2, bytes, chars, or a tokenizer.json.  [default: gpt2]",
)
@click.option(
    "--train-bpe",
    type=click.IntRange(257, 1 << 20),
    metavar="SIZE",
    help="Learn a BPE of SIZE tokens instead.",
)
@click.option(
    "--dedup",
    default="keep",
    show_default=True,
    metavar="WHAT",
    help="Copies are counted: keep or drop them; off does not look for near ones.",
)
@click.option(
    "--format", default="own", show_default=True, metavar="NAME", help="Of the shards: own, nanogpt or llmc."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Draws the splits."
)
@click.option(
    "--workers", type=click.IntRange(1), metavar="N", help="Parts at once; by default one for each core."
)
@click.option(
    "--executor",
    "where_to",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Processes here, or tasks of Ray: at RAY_ADDRESS, else here.",
)
@click.option("--shard", metavar="I/N", help="Only share I of N, from 0: one command for each machine.")
@click.option("--merge", is_flag=True, help="Finish what --shard 0/N to N-1/N began, with the same options.")
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="At damage: stop, or count it and go on.",
)
@click.option("--text-column", metavar="NAME", help="The column of the text, where it can't be told.")
@click.option("--preset", metavar="NAME", help="Columns of a known data set: fineweb or fineweb-edu.")
@click.option("--where", metavar="CONDITION", help="Documents to take, as in 'score >= 3'.")
@click.option(
    "--limit-docs", type=amount("--limit-docs"), metavar="N", help="End after N documents (also 20k, 1e6)."
)
@click.option(
    "--limit-tokens", type=amount("--limit-tokens"), metavar="N", help="End after N tokens (also 10M, 1.5B)."
)
@click.option("--val-tokens", type=click.IntRange(0), metavar="N", help="Tokens of val, and of fresh.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="NAME",
    help="Remove too-short, too-long, repeated-lines, non-text or language. Repeatable.",
)
@click.option(
    "--language",
    "languages",
    multiple=True,
    metavar="NAME",
    help="A language to keep, with --filter language. Repeatable.",
)
@click.option("--whole-files", is_flag=True, help="Keep each text file as one document.")
@click.option(
    "--batch-tokens",
    type=amount("--batch-tokens"),
    metavar="N",
    help="Tokens of a step, to tell the steps of a pass.",
)
@click.option(
    "--manifest-only", metavar="DATA", help="Only count data that others prepared; writes its manifest.json."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def prepare(sources: tuple[str, ...], out: str | None, as_json: bool, **given: Any) -> int:
    """Turn documents into token shards, fair splits and a manifest.

    SOURCE is parquet, JSONL (also gzip or zstd) or text: a file, a folder, a
    glob or a URL; or embedded:sotu, 2 MB of speeches that come with the
    package. Stopped at any moment, the same command goes on.
    """
    if (data := given.pop("manifest_only")) is not None:
        return count_only(data, sources, out, as_json=as_json, **given)
    if not sources or not out:
        raise UsageError("prepare wants SOURCE... --out DIR, or --manifest-only DATA")
    with (
        resumable(),
        executor_of(given.pop("where_to"), given.pop("workers"), Path(out)) as executor,
    ):
        return all_or_share(sources, out, as_json=as_json, executor=executor, **given)


@contextmanager
def resumable() -> Iterator[None]:
    """Within it SIGTERM, by which Slurm ends jobs, does what Ctrl-C does; and either is told with what to do next."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    mine = threading.current_thread() is threading.main_thread()  # where alone Python takes signals
    before = signal.signal(signal.SIGTERM, stop) if mine else None
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError("interrupted: the same command goes on where it was") from None
    finally:
        if mine:
            signal.signal(signal.SIGTERM, before)


def executor_of(name: str, workers: int | None, out: Path) -> Any:
    """Who does the work, for a ``with`` block."""
    if name == "ray":
        from ..prepare._ray import Ray

        return Ray(out, workers)
    from ..prepare._executor import local

    return local(workers)


def all_or_share(
    sources: tuple[str, ...],
    out: str,
    *,
    as_json: bool,
    shard: str | None,
    merge: bool,
    executor: Any,
    **given: Any,
) -> int:
    """Prepare all, or one share, or what is left when all shares are there."""
    from ..prepare import job

    if shard is None:
        with follow(as_json) as progress:
            told = job.prepare(
                sources, Path(out), preparing(**given), executor=executor, progress=progress, merge=merge
            )
        return show_manifest(told, out, as_json=as_json)
    if merge:
        raise UsageError("--shard makes one share and --merge ends them all: give one of them")
    from ..prepare._shares import share_of
    from ..report.prepare import share_text

    one, options = share_of(shard), preparing(**given)
    with follow(as_json) as progress:
        made = job.prepare_share(sources, Path(out), one, options, executor=executor, progress=progress)
    share = made.as_dict()
    return show(share, share_text(share), as_json=as_json)


def preparing(
    *,
    tokenizer: str | None,
    text_column: str | None,
    preset: str | None,
    where: str | None,
    on_error: str,
    whole_files: bool,
    filters: tuple[str, ...],
    languages: tuple[str, ...],
    **given: Any,
) -> Any:
    """The options of ``prepare``, as its job takes them."""
    from ..prepare._plan import Options
    from ..prepare.filters import Filters
    from ..prepare.sources import Reading

    if where is not None and not where.strip():
        raise UsageError("--where is empty; expected a condition, as in 'score >= 3'")
    if tokenizer and given["train_bpe"] is not None:
        raise UsageError(f"--train-bpe learns a tokenizer; --tokenizer {printable(tokenizer)} names one")
    skip = on_error == "skip"
    reading = Reading(
        text=text_column or "", where=where or "", skip=skip, whole=whole_files, preset=preset or ""
    )
    return Options(
        reading=reading, filters=Filters(filters, languages), tokenizer=tokenizer or "gpt2", **given
    )


def count_only(
    data: str,
    sources: tuple[str, ...],
    out: str | None,
    *,
    as_json: bool,
    batch_tokens: int | None,
    seed: int,
    **_: Any,
) -> int:
    """Write the manifest of data that others prepared, beside it or in ``--out``."""
    if sources:
        raise UsageError(f"--manifest-only counts {data} alone; found {printable(sources[0])} besides")
    from ..prepare.manifest_only import make_manifest, write_manifest

    place = Path(data)
    folder = Path(out) if out else place if place.is_dir() else place.parent
    target = folder / "manifest.json"
    if target != place and target.exists():
        raise UsageError(f"{target} is there already: give another folder with --out, or remove it")
    with follow(as_json) as tell:
        told = make_manifest(
            place,
            batch_tokens=batch_tokens,
            seed=seed,
            progress=lambda done, total: tell("count", done, total, done),
        )
    from ..durable import told as in_words

    with in_words(target):
        folder.mkdir(parents=True, exist_ok=True)
    write_manifest(told, target)
    return show_manifest(told, str(folder), as_json=as_json)


@contextmanager
def follow(as_json: bool) -> Iterator[Callable[[str, int, int, int], None]]:
    """Progress on standard error; its last line is ended, also by an error."""
    from shutil import get_terminal_size

    from ..report.prepare import Progress

    width = get_terminal_size().columns
    progress = Progress(lambda text: say(text, sys.stderr), as_json, sys.stderr.isatty(), width)
    try:
        yield progress
    finally:
        progress.close()


def show_manifest(told: dict[str, Any], folder: str, *, as_json: bool) -> int:
    """Print a manifest, whole or in words."""
    from ..report.prepare import text

    return show(told, text(told, folder), as_json=as_json)


def show(told: dict[str, Any], words: str, *, as_json: bool) -> int:
    """Print one object, or what it says."""
    if as_json:
        from ..report import json

        words = json.dumps(told) + "\n"
    say(words)
    return DONE
