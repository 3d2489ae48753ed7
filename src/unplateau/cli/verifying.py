"""The verbs that hold runs against each other: verify, compare."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError, printable
from ._core import DONE, group, look, options_of, say, unknown

if TYPE_CHECKING:
    from ..run import Run


@group.command()
@click.argument("before")
@click.argument("after")
@click.option(
    "--cause", metavar="NAME", help="The cause that was mended; default: what the stored forecast says."
)
@click.option("--config", metavar="FILE", help="The config of BEFORE, where it is not beside its log.")
@click.option("--config-after", metavar="FILE", help="The config of AFTER, where it is not beside its log.")
@click.option(
    "--map", "columns", multiple=True, metavar="KEY=COLUMN", help="As for read, of both logs. Repeatable."
)
@click.option("--unit", metavar="UNIT", help="As for read, of both logs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def verify(before: str, after: str, *, cause: str | None, as_json: bool, **given: Any) -> int:
    """Hold what was predicted of a change against what came of it.

    BEFORE and AFTER are logs or folders of runs. The prediction is the one that
    `fix` or `forecast --store` kept of BEFORE; where there is none it is made
    now, and said to be. The verdict is added to verdicts.jsonl in AFTER's
    folder, or beside it where that is another trainer's.
    """
    from ..record import append
    from ..report import verify as words
    from ..verify import verify as hold

    if cause is not None:
        known_cause(cause)
    columns, unit = given["columns"], given["unit"]
    one = run_at(before, "BEFORE", given["config"], columns, unit)
    other = run_at(after, "AFTER", given["config_after"], columns, unit)
    paths = Path(before), Path(after)
    found = hold(one, other, paths, stored_of(paths[0]), cause)
    kept = append(root(paths[1]), words.entry(found, *(str(path.resolve()) for path in paths)))
    if as_json:
        from ..report import json

        say(json.dumps(words.verification(found, (before, after))) + "\n")
    else:
        say(words.text(found, (before, after), **look()))
    say(f"the verdict is kept in {kept}\n", sys.stderr)
    return DONE


def known_cause(name: str) -> None:
    """Refuse a cause that nobody knows."""
    from ..plugins import discover

    if name not in (known := list(discover("hypotheses"))):
        unknown(name, known)


def run_at(path: str, which: str, config: str | None, columns: Sequence[str], unit: str | None) -> Run:
    """The one run at ``path``."""
    from ..reading import read_runs

    if path == "-":
        raise UsageError(f"{which} wants a log or a run's folder; standard input is neither")
    runs = read_runs(Path(path), config=Path(config) if config else None, options=options_of(columns, unit))
    if len(runs) > 1:
        names = printable(", ".join(run.name for run in runs), 200)
        raise UsageError(f"{which} holds {len(runs)} runs: {names}; give the log or the folder of one")
    return runs[0]


def stored_of(path: Path) -> list[dict[str, Any]]:
    """The forecasts kept of the run at ``path``, in its folder and beside it, the oldest first."""
    from ..evidence import beside, root_of
    from ..stored import NAME, place_of, stored

    places = dict.fromkeys((place_of(path).absolute(), root_of(path) / NAME, beside(path) / NAME))
    found = [one for place in places for one in stored(place)]
    return sorted(found, key=lambda one: str(one.get("date", "")))


def root(path: Path) -> Path:
    """The folder that the verdict on the run at ``path`` is kept in."""
    from ..evidence import root_of

    return root_of(path)


@group.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--map", "columns", multiple=True, metavar="KEY=COLUMN", help="As for read, of all logs. Repeatable."
)
@click.option("--unit", metavar="UNIT", help="As for read, of all logs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def compare(runs: tuple[str, ...], *, columns: tuple[str, ...], unit: str | None, as_json: bool) -> int:
    """Set runs side by side at equal tokens, time and FLOPs.

    And show the settings in which they differ. RUN is a log or a run's folder; 2 to
    20 runs. Configs are found beside the logs.
    """
    from ..comparison import compare as beside
    from ..report import compare as words

    found = beside(named_runs(runs, columns, unit))
    if as_json:
        from ..report import json

        say(json.dumps(words.comparison(found)) + "\n")
    else:
        say(words.text(found, **look()))
    return DONE


def named_runs(paths: Sequence[str], columns: Sequence[str], unit: str | None) -> list[tuple[str, Run]]:
    """The runs at ``paths``, each by its path, and by its own name where a path holds several."""
    from ..comparison import MOST
    from ..reading import read_runs

    options, found = options_of(columns, unit), []
    for path in paths:
        runs = read_runs(Path(path), options=options)
        found += [(path if len(runs) == 1 else f"{path}: {run.name}", run) for run in runs]
        if len(found) > MOST:
            raise UsageError(f"compare takes up to {MOST} runs; {printable(path)} makes them {len(found)}")
    return found
