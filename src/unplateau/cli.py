"""The command line: one small function per verb, and the only place where errors become words.

Each verb imports what it needs inside itself, so ``unplateau --help`` starts at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from . import __version__
from .errors import UnplateauError, UnreadableError, UsageError, printable
from .units import UNITS

if TYPE_CHECKING:
    from .diagnose import Diagnosis
    from .futures import Forecast
    from .readers import Options
    from .run import Run

DONE, FAILED, USAGE, UNREADABLE, INTERRUPTED = 0, 1, 2, 3, 4  # exit codes of CONTRACT.md
MESSAGE = 1000  # characters of an error; a longer one is no help
#: the verdicts on a curve that ``--fail-on`` takes beside the causes
CURVES = ("falling", "slowing", "flat", "rising", "diverged", "too-short")

F = TypeVar("F", bound=Callable[..., Any])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code; prints one line for any error, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 gets question marks
    try:
        return run(list(sys.argv[1:] if argv is None else argv) or ["--help"])
    except click.ClickException as error:
        return complain(usage(error), USAGE)
    except UnplateauError as error:
        return complain(str(error), error.exit_code)
    except BrokenPipeError:
        hush(sys.stdout)  # click printed help to a reader that had gone
        return DONE
    except (click.Abort, KeyboardInterrupt):
        return complain("interrupted", INTERRUPTED)
    except Exception as error:
        if os.environ.get("UNPLATEAU_DEBUG"):
            raise
        kind = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        hint = "this is a fault of unplateau; set UNPLATEAU_DEBUG=1 to see where"
        return complain(f"{kind} ({hint})", UNREADABLE)


def run(args: list[str]) -> int:
    """The verb's exit code. Not click's own ``main``, which prints more than one line when interrupted."""
    try:
        with group.make_context("unplateau", args) as context:
            done = group.invoke(context)
    except click.exceptions.Exit as left:  # after --help and --version
        return left.exit_code
    return done if isinstance(done, int) else DONE


def usage(error: click.ClickException) -> str:
    """A wrong call in one line, and where help is."""
    where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "unplateau"
    return f"{error.format_message().rstrip('.')}. Try: {where} --help"


def complain(message: str, code: int) -> int:
    """One line on standard error; the exit code."""
    say(f"unplateau: {printable(' '.join(message.split()), MESSAGE)}\n", sys.stderr)
    return code


def say(text: str, stream: Any = None) -> None:
    """Print, and stay quiet where the reader (``| head``) has gone."""
    stream = stream or sys.stdout
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        hush(stream)


def hush(stream: Any) -> None:
    """Send a stream nowhere: Python flushes it again at exit (see the docs of signal.SIGPIPE)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def amount(option: str) -> Callable[[str], int]:
    """The type of an option that takes a whole number above 0 as people write it: 20000, 1e9, 2k, 1.5B."""

    def convert(value: str) -> int:
        from .asked import scaled
        from .config._dialect import as_kind

        found = as_kind("max_steps", scaled(value.strip()))
        if found is None:
            raise UsageError(f"{option} wants a whole number above 0, like 20000, 2k or 1e9; found {value!r}")
        return int(found)

    return convert


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="unplateau")
def group() -> None:
    """Why did my loss stop going down, and what do I do now?

    Point `unplateau diagnose` at the log of any language-model trainer.
    """


def log_options(verb: F) -> F:
    """The options of every verb that reads a log."""
    options = [
        click.argument("path"),
        click.option(
            "--config", metavar="FILE", help="The trainer's config, where it is not beside the log."
        ),
        click.option("--data", metavar="MANIFEST", help="manifest.json of the training data."),
        click.option(
            "--unique-tokens",
            type=amount("--unique-tokens"),
            metavar="N",
            help="Tokens in the train set, once each (also 1e9, 1.5B).",
        ),
        click.option(
            "--map",
            "columns",
            multiple=True,
            metavar="KEY=COLUMN",
            help="Read COLUMN of the log as the series KEY (val_loss, train_loss, lr, ...) or as step. Repeatable.",
        ),
        click.option("--unit", metavar="UNIT", help=f"Unit of the losses: {', '.join(UNITS)}."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output."),
    ]
    for option in reversed(options):
        verb = option(verb)
    return verb


@group.command()
@log_options
@click.option(
    "--csv", "csv_file", metavar="FILE", help="Write rows run,series,step,value to FILE (- is stdout)."
)
def read(path: str, csv_file: str | None, as_json: bool, **given: Any) -> int:
    """Show what is understood of a log: format, series, facts, warnings.

    PATH is a file (also gzip or zstd), a folder, or - for standard input.
    """
    runs = runs_of(path, **given)
    if csv_file:
        from .report.csv import write

        write(runs, csv_file, say)
    if as_json:
        from .report import json

        for chunk in json.reading_chunks(runs):
            say(chunk)
        say("\n")
    elif csv_file != "-":
        from .report import facts

        say(facts.text(runs, **look()))
    return DONE


@group.command()
@log_options
@click.option("--verbose", "-v", is_flag=True, help="Every cause, fact and phase, with sources.")
@click.option(
    "--fail-on",
    multiple=True,
    metavar="NAME",
    help="Exit with 1 if this cause is supported, or the curve is so (flat, diverged, ...). Repeatable.",
)
def diagnose(path: str, as_json: bool, verbose: bool, fail_on: tuple[str, ...], **given: Any) -> int:
    """Say why the loss stopped falling: tested causes, and what to do.

    PATH is a file (also gzip or zstd), a folder, or - for standard input.
    """
    check_names(fail_on)
    return show(runs_of(path, **given), as_json=as_json, verbose=verbose, fail_on=fail_on)


@group.command()
@log_options
@click.option(
    "--at",
    type=amount("--at"),
    metavar="STEP",
    help="The step to forecast (also 20k); default: the planned end.",
)
@click.option(
    "--set",
    "groups",
    multiple=True,
    metavar="[NAME:]KEY=VALUE,...",
    help="A future beside the planned one. KEY: one of cooldown (steps), horizon (steps), tokens, floor, "
    "schedule, unique_tokens, n_layer, n_embd, or a setting of the trainer under its own name. Repeatable.",
)
@click.option("--until", type=float, metavar="LOSS", help="Say when the loss comes down to LOSS.")
@click.option("--store", "kept", is_flag=True, help="Keep the forecast in the run's folder (forecast.json).")
def forecast(
    path: str,
    *,
    as_json: bool,
    at: int | None,
    groups: tuple[str, ...],
    until: float | None,
    kept: bool,
    **given: Any,
) -> int:
    """Say what the loss will be, as planned and under other settings.

    PATH is a file (also gzip or zstd), a folder, or - for standard input.
    """
    from .report import forecast as words

    if until is not None and not 0 < until < float("inf"):
        raise UsageError(f"--until wants a loss above 0; found {until}")
    place = place_to_store(path) if kept else None
    found = forecasts_of(runs_of(path, **given), groups, at=at, until=until)
    if place is not None:
        from .stored import store

        number = store(place, [words.stored(one) for one in found])
        say(f"stored as number {number} in {place.name}\n", sys.stderr)
    if as_json:
        from .report import json

        say(json.dumps(words.forecasts(found)) + "\n")
    else:
        say("\n".join(words.text(one, **look()) for one in found))
    unpriced = [line for one in found for line in one.refused]
    return complain("; ".join(dict.fromkeys(unpriced)), USAGE) if unpriced else DONE


@group.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def causes(name: str | None, as_json: bool) -> int:
    """List the causes that are tested, or show the page of one."""
    from .report import causes as pages

    known = pages.known()
    if name is not None:
        known = [(h, page) for h, page in known if h.name == name] or unknown(
            name, [h.name for h, _ in known]
        )
    if as_json:
        from .report import json

        say(json.dumps(json.causes(known)) + "\n")
    else:
        say(pages.page(*known[0]) if name else pages.listing(known, **look()))
    return DONE


@group.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--verbose", "-v", is_flag=True, help="Every cause, fact and phase, with sources.")
def demo(as_json: bool, verbose: bool) -> int:
    """Diagnose the reference run that the package ships."""
    folder = Path(__file__).parent / "examples" / "reference-run"
    runs = runs_of(str(folder / "train.log"), config=str(folder / "config.py"))
    return show(runs, as_json=as_json, verbose=verbose)


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
    """Write a synthetic run with a planted cause, and the truth beside it.

    DIR/run has the cause, DIR/mended is the same run without it, DIR/truth.json says what it costs.
    """
    from .simulate import simulate as make
    from .simulate.write import text, write

    made = make(cause, severity, seed, **how)
    told = write(made, Path(out or f"simulated-{made.cause}-{made.severity:g}-{seed}"))
    if as_json:
        from .report import json

        say(json.dumps(told) + "\n")
    else:
        say(text(told))
    return DONE


@group.command()
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.option("--out", metavar="DIR", help="A folder that is new, empty, or holds the same job unfinished.")
@click.option(
    "--tokenizer",
    default="gpt2",
    show_default=True,
    metavar="NAME",
    help="gpt2, bytes, chars, or a tokenizer.json.",
)
@click.option(
    "--train-bpe", type=click.IntRange(257), metavar="SIZE", help="Learn a BPE of SIZE tokens instead."
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
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Draws the splits.")
@click.option("--workers", type=int, metavar="N", help="Processes; by default one for each core.")
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
@click.option("--limit-docs", type=click.IntRange(1), metavar="N", help="End after N documents.")
@click.option("--limit-tokens", type=click.IntRange(1), metavar="N", help="End after N tokens.")
@click.option("--val-tokens", type=click.IntRange(0), metavar="N", help="Tokens of val, and of fresh.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="NAME",
    help="Remove too-short, too-long, repeated-lines, non-text or language. Repeatable.",
)
@click.option(
    "--language", "languages", multiple=True, metavar="NAME", help="A language to keep. Repeatable."
)
@click.option("--whole-files", is_flag=True, help="Keep each text file as one document.")
@click.option(
    "--batch-tokens",
    type=click.IntRange(1),
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
    glob or a URL. Stopped at any moment, the same command goes on.
    """
    if (data := given.pop("manifest_only")) is not None:
        return count_only(data, sources, out, as_json=as_json, **given)
    if not sources or not out:
        raise UsageError("prepare wants SOURCE... --out DIR, or --manifest-only DATA")
    from .prepare._executor import local
    from .prepare.job import prepare as make

    executor = local(given.pop("workers"))
    told = make(sources, Path(out), preparing(**given), executor=executor, progress=follow(as_json))
    return show_manifest(told, out, as_json=as_json)


def preparing(
    *,
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
    from .prepare._plan import Options
    from .prepare.filters import Filters
    from .prepare.sources import Reading

    skip = on_error == "skip"
    reading = Reading(
        text=text_column or "", where=where or "", skip=skip, whole=whole_files, preset=preset or ""
    )
    return Options(reading=reading, filters=Filters(filters, languages), **given)


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
        raise UsageError(f"--manifest-only counts {data} alone; found {len(sources)} other sources")
    from .prepare.manifest_only import make_manifest, write_manifest

    place = Path(data)
    folder = Path(out) if out else place if place.is_dir() else place.parent
    target = folder / "manifest.json"
    if target.exists():
        raise UsageError(f"{target} is there already: give another folder with --out, or remove it")
    tell = follow(as_json)
    told = make_manifest(
        place,
        batch_tokens=batch_tokens,
        seed=seed,
        progress=lambda done, total: tell("count", done, total, done),
    )
    from .prepare._durable import told as in_words

    with in_words(target):
        folder.mkdir(parents=True, exist_ok=True)
    write_manifest(told, target)
    return show_manifest(told, str(folder), as_json=as_json)


def follow(as_json: bool) -> Callable[[str, int, int, int], None]:
    """Progress on standard error."""
    from .report.prepare import Progress

    return Progress(lambda text: say(text, sys.stderr), as_json, sys.stderr.isatty())


def show_manifest(told: dict[str, Any], folder: str, *, as_json: bool) -> int:
    """Print a manifest, whole or in words."""
    if as_json:
        from .report import json

        say(json.dumps(told) + "\n")
    else:
        from .report.prepare import text

        say(text(told, folder))
    return DONE


def runs_of(
    path: str,
    *,
    config: str | None = None,
    data: str | None = None,
    unique_tokens: int | None = None,
    columns: Sequence[str] = (),
    unit: str | None = None,
) -> list[Run]:
    """The runs at ``path``, with what the user added."""
    options = options_of(columns, unit)
    from .reading import read_runs

    return read_runs(
        Path(path),
        config=Path(config) if config else None,
        data=Path(data) if data else None,
        unique_tokens=unique_tokens,
        options=options,
    )


def options_of(columns: Sequence[str], unit: str | None) -> Options:
    """``--map`` and ``--unit``, checked."""
    from .readers import Options
    from .run import SERIES

    known = ("step", *SERIES)
    chosen: dict[str, str] = {}
    for pair in columns:
        key, equals, column = pair.partition("=")
        if not equals or not column or key not in known:
            raise UsageError(f"--map wants KEY=COLUMN with KEY one of {', '.join(known)}; found {pair!r}")
        chosen[key] = column
    if unit is not None and unit not in UNITS:
        raise UsageError(f"--unit wants one of {', '.join(UNITS)}; found {unit!r}")
    return Options(columns=chosen, unit=unit)


def show(runs: Sequence[Run], *, as_json: bool, verbose: bool, fail_on: Sequence[str] = ()) -> int:
    """Diagnose and print; 1 where a ``--fail-on`` condition is met."""
    from .diagnose import diagnose as examine

    found = [d for d in map(examine, runs) if not d.empty]
    if not found:
        raise UnreadableError(without_losses(runs))
    if as_json:
        from .report import json

        say(json.dumps(json.diagnoses(found)) + "\n")
    else:
        from .report.causes import claims
        from .report.text import text

        said = claims()
        say("\n".join(text(d, claims=said, verbose=verbose, **look()) for d in found))
    return FAILED if any(meets(d, fail_on) for d in found) else DONE


def place_to_store(path: str) -> Path:
    """Where ``--store`` keeps a forecast; refused before anything is read where it can't."""
    from .stored import place_of, stored

    place = place_of(Path(path))
    stored(place)
    return place


def forecasts_of(
    runs: Sequence[Run], groups: Sequence[str], *, at: int | None, until: float | None
) -> list[Forecast]:
    """A forecast of each run; what can't be forecast is a line on standard error where another run can be."""
    from .asked import asked
    from .futures import forecast as ahead

    found: list[Forecast] = []
    refused: list[UnplateauError] = []
    for run in runs:
        try:
            asks, unmeant = asked(groups, run)
            found.append(ahead(run, asks, at=at, until=until, refused=unmeant))
        except UnplateauError as error:
            refused.append(error)
    if not found:
        raise refused[0]
    for why in refused:
        complain(str(why), DONE)
    return found


def without_losses(runs: Sequence[Run]) -> str:
    """The line for a log that has records but no losses."""
    series = sorted({name for run in runs for name in run.series})
    shown = printable(", ".join(series), 200) or "no series"
    return (
        f"no losses in {printable(runs[0].name)}: found {shown}; "
        "name the column that is one with --map val_loss=COLUMN or --map batch_loss=COLUMN"
    )


def meets(found: Diagnosis, names: Sequence[str]) -> bool:
    """True when a cause of ``names`` is supported, or the curve's verdict is one of them."""
    held = {f.cause for f in found.findings if f.verdict == "supported"} | {found.state.verdict}
    return bool(held & set(names))


def check_names(names: Sequence[str]) -> None:
    """Refuse a ``--fail-on`` that could never be met."""
    if names:
        from .plugins import discover

        known = [*discover("hypotheses"), *CURVES]
        for name in names:
            if name not in known:
                unknown(name, known)


def unknown(name: str, known: Sequence[str]) -> list[Any]:
    """Complain of a name that nobody knows, with the nearest that somebody does."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    raise UsageError(f"no cause is called {name!r}; {hint}")


def look() -> dict[str, Any]:
    """Width and colour of standard output: colour only on a terminal without NO_COLOR (no-color.org)."""
    from shutil import get_terminal_size

    from .report.lines import WIDTH

    terminal = sys.stdout.isatty()
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return {"width": min(WIDTH, get_terminal_size().columns) if terminal else WIDTH, "colour": colour}


if __name__ == "__main__":
    raise SystemExit(main())
