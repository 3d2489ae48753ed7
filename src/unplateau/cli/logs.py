"""The verbs that read logs: read, diagnose, forecast, causes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UnplateauError, UnreadableError, UsageError, printable

if TYPE_CHECKING:
    from ..diagnosis import Diagnosis
    from ..futures import Forecast
    from ..record import Entry
    from ..run import Run

from ._core import DONE, FAILED, USAGE, amount, complain, group, log_options, look, runs_of, say, unknown

#: the verdicts on a curve that ``--fail-on`` takes beside the causes
CURVES = ("falling", "slowing", "flat", "rising", "diverged", "too-short")


@group.command()
@log_options
@click.option(
    "--csv", "csv_file", metavar="FILE", help="Write rows run,series,step,value to FILE (- is stdout)."
)
def read(path: str, csv_file: str | None, as_json: bool, **given: Any) -> int:
    """Show what is understood of a log: series, facts, warnings.

    PATH is a file (also gzip or zstd), a folder, or - for standard input.
    """
    if csv_file:
        from ..report.csv import spare_rows, write

        spare_rows(csv_file, path, (given.get("config"), given.get("data")))
    runs = runs_of(path, **given)
    if csv_file:
        write(runs, csv_file, say)
    if as_json:
        from ..report import json

        for chunk in json.reading_chunks(runs):
            say(chunk)
        say("\n")
    elif csv_file != "-":
        from ..report import facts

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
@click.option(
    "--sarif",
    "sarif_file",
    metavar="FILE",
    help="Write the findings to FILE as SARIF 2.1.0, for code hosts.",
)
@click.option(
    "--tensorboard",
    "board",
    metavar="DIR",
    help="Write the findings to DIR/unplateau as TensorBoard's event files.",
)
def diagnose(
    path: str,
    *,
    as_json: bool,
    verbose: bool,
    fail_on: tuple[str, ...],
    sarif_file: str | None,
    board: str | None,
    **given: Any,
) -> int:
    """Say why the loss stopped falling, and what to do.

    PATH is a file (also gzip or zstd), a folder, or - for standard input.
    """
    check_names(fail_on)
    keeps = [sarif_of(path, sarif_file, given, fail_on)] if sarif_file else []
    runs = runs_of(path, **given)
    keeps += [board_of(board)] if board else []
    return show(runs, as_json=as_json, verbose=verbose, fail_on=fail_on, keeps=keeps)


def sarif_of(
    path: str, file: str, given: Mapping[str, Any], fail_on: Sequence[str]
) -> Callable[[Sequence[Diagnosis]], None]:
    """What writes diagnoses to ``file`` as SARIF; refused before anything is read where that is not ours to write."""
    from ..spare import SARIF, spare

    if file == "-":
        raise UsageError("--sarif wants the name of a file: standard output has the report")
    config = given.get("config")
    spare("--sarif", Path(file), SARIF, (path, config, given.get("data")))

    def write(found: Sequence[Diagnosis]) -> None:
        from ..durable import write_durably
        from ..report.json import dumps
        from ..report.sarif import sarif

        place = None if config is None else Path(config)
        text = dumps(sarif(found, Path(path), config=place, failing=fail_on)) + "\n"
        write_durably(Path(file), text.encode())

    return write


def board_of(folder: str) -> Callable[[Sequence[Diagnosis]], None]:
    """What writes diagnoses to ``folder`` for TensorBoard."""

    def write(found: Sequence[Diagnosis]) -> None:
        from ..integrations.tensorboard import write_all

        say(f"written to {write_all(found, Path(folder))}\n", sys.stderr)

    return write


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
    """Say what the loss will be, as planned or with other settings.

    PATH is a file (also gzip or zstd), a folder, or - for standard input.
    """
    from ..report import forecast as words

    if until is not None and not 0 < until < float("inf"):
        raise UsageError(f"--until wants a loss above 0; found {until}")
    place = place_to_store(path) if kept else None
    found = forecasts_of(runs_of(path, **given), groups, at=at, until=until)
    if place is not None:
        from ..stored import store

        number = store(place, [words.stored(one) for one in found])
        say(f"stored as number {number} in {place.name}\n", sys.stderr)
    if as_json:
        from ..report import json

        say(json.dumps(words.forecasts(found)) + "\n")
    else:
        say("\n".join(words.text(one, **look()) for one in found))
    unpriced = [line for one in found for line in one.refused]
    return complain("; ".join(dict.fromkeys(unpriced)), USAGE) if unpriced else DONE


@group.command()
@click.argument("name", required=False)
@click.option(
    "--record",
    "folders",
    multiple=True,
    metavar="DIR",
    help="Count the verdicts (verdicts.jsonl) in DIR and the folders in it; default: here. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def causes(name: str | None, folders: tuple[str, ...], as_json: bool) -> int:
    """List the causes that are tested, or show the page of one.

    With what `unplateau verify` kept of runs that were mended: how often the
    loss came as predicted, and each time it did not.
    """
    from ..report import causes as pages

    known = pages.known()
    if name is not None:
        known = [(h, page) for h, page in known if h.name == name] or unknown(
            name, [h.name for h, _ in known]
        )
    record = pages.tallies(known, verdicts(folders))
    if as_json:
        from ..report import json

        say(json.dumps(json.causes(known, record)) + "\n")
    elif name:
        say(pages.page(*known[0], record.get(name)))
    else:
        say(pages.listing(known, record, **look()))
    return DONE


def verdicts(folders: Sequence[str]) -> list[Entry]:
    """What ``verify`` kept in ``folders``, by default the working one; warnings go to standard error."""
    from ..record import below

    for folder in folders:
        if not Path(folder).is_dir():
            raise UnreadableError(f"there is no folder {printable(folder)}; expected one that holds runs")
    warnings: list[str] = []
    found = below([Path(folder) for folder in folders or (".",)], warnings)
    if folders and not found:
        warnings.append(f"no verdicts in {printable(', '.join(folders), 200)}: unplateau verify keeps them")
    for warning in warnings:
        complain(warning, DONE)
    return found


def show(
    runs: Sequence[Run],
    *,
    as_json: bool,
    verbose: bool,
    fail_on: Sequence[str] = (),
    keeps: Sequence[Callable[[Sequence[Diagnosis]], None]] = (),
) -> int:
    """Diagnose, let each of ``keeps`` keep what was found, and print; 1 where a ``--fail-on`` condition is met."""
    from ..diagnosis import diagnose as examine

    found = [d for d in map(examine, runs) if not d.empty]
    if not found:
        raise UnreadableError(without_losses(runs))
    for keep in keeps:
        keep(found)
    if as_json:
        from ..report import json

        say(json.dumps(json.diagnoses(found)) + "\n")
    else:
        from ..report.causes import claims
        from ..report.text import text

        said = claims()
        say("\n".join(text(d, claims=said, verbose=verbose, **look()) for d in found))
    return FAILED if any(meets(d, fail_on) for d in found) else DONE


def place_to_store(path: str) -> Path:
    """Where ``--store`` keeps a forecast; refused before anything is read where it can't."""
    from ..stored import place_of, stored

    place = place_of(Path(path))
    stored(place)
    return place


def forecasts_of(
    runs: Sequence[Run], groups: Sequence[str], *, at: int | None, until: float | None
) -> list[Forecast]:
    """A forecast of each run; what can't be forecast is a line on standard error where another run can be."""
    from ..asked import asked
    from ..futures import forecast as ahead

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
        from ..plugins import discover

        known = [*discover("hypotheses"), *CURVES]
        for name in names:
            if name not in known:
                unknown(name, known)
