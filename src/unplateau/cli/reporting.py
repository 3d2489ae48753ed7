"""The verb that shows what is known of runs to people: report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UnplateauError, UnreadableError, UsageError, printable
from ..spare import PAGE, PNG, SVG, spare, takes_files
from ._core import DONE, FAILED, USAGE, complain, group, look, reading_options, runs_of, say

if TYPE_CHECKING:
    from ..comparison import Comparison
    from ..diagnosis import Diagnosis
    from ..report.figures import Figure, Theme
    from ..report.page import View
    from ..report.written import Written
    from ..run import Run

STDOUT = "-"
OF_ONE = ("config", "evidence")  # options that speak of one run


@group.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@reading_options
@click.option(
    "--html", "page_file", metavar="FILE", help="Write one self-contained page to FILE (- is stdout)."
)
@click.option("--svg", "svg_folder", metavar="DIR", help="Write the pictures to DIR as SVG files.")
@click.option("--png", "png_folder", metavar="DIR", help="Write the pictures to DIR as PNG files.")
@click.option(
    "--dark",
    is_flag=True,
    help="The picture files on dark paper; else PNG is light, SVG as its reader's system.",
)
@click.option(
    "--set",
    "groups",
    multiple=True,
    metavar="[NAME:]KEY=VALUE,...",
    help="A future beside the planned one, as for forecast. Repeatable.",
)
@click.option("--until", type=float, metavar="LOSS", help="Say when the loss comes down to LOSS.")
@click.option("--fail-on", multiple=True, metavar="NAME", help="As for diagnose. Repeatable.")
def report(
    paths: tuple[str, ...],
    *,
    page_file: str | None,
    svg_folder: str | None,
    png_folder: str | None,
    dark: bool,
    groups: tuple[str, ...],
    until: float | None,
    fail_on: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> int:
    """Write what is known of a run as one page to look at and send.

    PATH is a log, a run's folder, or - for standard input; several are set side
    by side. The page needs no network and no other file; it says what diagnose
    and forecast say, with pictures.
    """
    from ..report.causes import claims
    from ..report.written import document, text
    from .logs import check_names, meets

    check_names(fail_on)
    folders = {"svg": svg_folder, "png": png_folder}
    check(paths, page_file, folders, until, given, as_json=as_json, dark=dark)
    found = diagnosed(runs_at(paths, given))
    views = [seen(one, groups, until, len(found)) for one in found]
    if groups and not any(view.ahead for view in views):
        raise UsageError(views[0].refused)
    together, apart = side_by_side(found)
    keep(views, together, folders)
    files = [*write(views, together, apart, page_file), *draw(views, together, folders, dark=dark)]
    if as_json:
        from ..report import json

        say(json.dumps(document(found, files, claims(), apart)) + "\n")
    elif page_file != STDOUT:
        say(text(found, files, claims(), **look()))
    unpriced = dict.fromkeys(line for view in views for line in (view.ahead.refused if view.ahead else ()))
    if unpriced:
        return complain("; ".join(unpriced), USAGE)
    return FAILED if any(meets(one, fail_on) for one in found) else DONE


def check(
    paths: Sequence[str],
    page_file: str | None,
    folders: Mapping[str, str | None],
    until: float | None,
    given: dict[str, Any],
    *,
    as_json: bool,
    dark: bool,
) -> None:
    """Refuse what can't be meant, before anything is read."""
    if page_file is None and not any(folders.values()):
        raise UsageError("report wants to be told what to write: --html FILE, --svg DIR or --png DIR")
    if dark and not any(folders.values()):
        raise UsageError(
            "--dark is of the picture files, for --svg and --png; the page has a switch of its own, "
            "and begins as its reader's system is: leave --dark out"
        )
    if page_file == STDOUT and as_json:
        raise UsageError("--html - and --json both want standard output; give --html a file")
    if until is not None and not 0 < until < float("inf"):
        raise UsageError(f"--until wants a loss above 0; found {until}")
    if len(paths) > 1:
        for name in OF_ONE:
            if given[name]:
                raise UsageError(
                    f"--{name} is of one run, and here are {len(paths)} paths; give it one of them alone"
                )
        if STDOUT in paths:
            raise UsageError("standard input is one log; it can't be set beside others: keep it in a file")
    if page_file is not None and page_file != STDOUT:
        spare("--html", Path(page_file), PAGE, (*paths, given.get("config"), given.get("data")))
    for kind, folder in folders.items():
        if folder:
            takes_files(f"--{kind}", Path(folder))


def runs_at(paths: Sequence[str], given: dict[str, Any]) -> list[Run]:
    """The runs at all ``paths``, each under a name of its own."""
    from ..comparison import MOST

    found: list[tuple[str, Run]] = []
    for path in paths:
        runs = runs_of(path, **given)
        found += [(path if len(runs) == 1 else f"{path}: {run.name}", run) for run in runs]
        if len(found) > MOST:
            raise UsageError(f"a page holds up to {MOST} runs; {printable(path)} makes them {len(found)}")
    names = [run.name for _, run in found]
    # two runs may both be called train.log: then each goes by its path
    alike = [names.count(run.name) > 1 for _, run in found]
    told = iter(shortened([path for (path, _), same in zip(found, alike, strict=True) if same]))
    return [
        replace(run, name=next(told)) if same else run for (_, run), same in zip(found, alike, strict=True)
    ]


def shortened(paths: Sequence[str]) -> list[str]:
    """Paths without the folders that all of them lie in: the rest of each tells it from the others.

    >>> shortened(["/data/runs/a/run", "/data/runs/b/run"]), shortened(["a/x.csv: one", "a/x.csv: two"])
    (['a/run', 'b/run'], ['x.csv: one', 'x.csv: two'])
    >>> shortened(["a", "a/b"]), shortened(["../a", "/b"])
    (['a', 'a/b'], ['../a', '/b'])
    """
    parts = [path.rstrip("/").split("/") for path in paths]
    shared = 0
    while parts and all(len(one) > shared + 1 and one[shared] == parts[0][shared] for one in parts):
        shared += 1
    return ["/".join(one[shared:]) for one in parts]


def diagnosed(runs: Sequence[Run]) -> list[Diagnosis]:
    """Those of ``runs`` that have something to say; a line of the others."""
    from ..diagnosis import diagnose
    from .logs import without_losses

    found = [diagnose(run) for run in runs]
    if empty := [one.run for one in found if one.empty]:
        if len(empty) == len(found):
            raise UnreadableError(without_losses(empty))
        complain(f"left out: {without_losses(empty)}", DONE)
    return [one for one in found if not one.empty]


def seen(found: Diagnosis, groups: Sequence[str] = (), until: float | None = None, runs: int = 1) -> View:
    """What is shown of a run: with its forecast, or why there is none."""
    from ..asked import asked
    from ..futures import forecast
    from ..report.page import view

    try:
        asks, unmeant = asked(groups, found.run)
        return view(found, forecast(found.run, asks, until=until, refused=unmeant), runs=runs)
    except UnplateauError as error:
        return view(found, None, str(error), runs)


def side_by_side(found: Sequence[Diagnosis]) -> tuple[Comparison | None, str]:
    """Several runs held against each other, or why that can't be; one without a loss that is a number is left out."""
    from ..comparison import FEWEST, compare

    if len(found) < FEWEST:
        return None, ""
    runs = [one.run for one in found]
    held = [run for run in runs if _numbers(run)]
    held = held if len(held) >= FEWEST else runs
    try:
        together = compare([(run.name, run) for run in held])
    except UnreadableError as error:
        return None, str(error)
    lost = [printable(run.name, 60) for run in runs if len(held) < len(runs) and not _numbers(run)]
    out = [f"{name} is left out: none of its losses is a number" for name in lost]
    return replace(together, warnings=(*out, *together.warnings)), ""


def _numbers(run: Run) -> bool:
    """True where any loss of it is a number."""
    from ..run import LOSSES

    return any(len(run.series[name].finite) for name in LOSSES if name in run.series)


def write(
    views: Sequence[View], together: Comparison | None, apart: str, page_file: str | None
) -> list[Written]:
    """The page and the pictures; what was written."""
    from ..durable import write_durably
    from ..report.page import page
    from ..report.written import Written

    if page_file is None:
        return []
    made = page(views, together, apart)
    if page_file == STDOUT:
        say(made)
        return []
    data = made.encode()
    write_durably(Path(page_file), data)
    return [Written(Path(page_file), "html", len(data))]


def sets(views: Sequence[View], together: Comparison | None) -> list[tuple[Sequence[Figure], str]]:
    """The pictures of each run and of all together, and how a file begins: of several with the number and name of its run."""
    from ..report.figures import compared

    found: list[tuple[Sequence[Figure], str]] = [
        (view.figures, f"{i}-{view.found.run.name}" if len(views) > 1 else "")
        for i, view in enumerate(views, 1)
    ]
    return found + ([(compared(together), "")] if together is not None else [])


def keep(views: Sequence[View], together: Comparison | None, folders: Mapping[str, str | None]) -> None:
    """Refuse to write over what is no picture of ours, before anything is written."""
    if not any(folders.values()):
        return
    from ..report.figures.files import named

    for figures, before in sets(views, together):
        for kind, folder in folders.items():
            for figure in figures if folder else ():
                place = Path(folder or "") / named(figure, before, f".{kind}")
                if place.exists():
                    spare(f"--{kind}", place, SVG if kind == "svg" else PNG)


def draw(
    views: Sequence[View], together: Comparison | None, folders: Mapping[str, str | None], *, dark: bool
) -> list[Written]:
    """The pictures of each run, and of all together."""
    from ..report.figures.files import write_png, write_svg
    from ..report.written import Written

    places: list[tuple[str, Path]] = []
    for figures, before in sets(views, together):
        if folders["svg"]:
            theme: Theme = "dark" if dark else "auto"
            places += [
                ("svg", p) for p in write_svg(figures, Path(folders["svg"]), theme=theme, before=before)
            ]
        if folders["png"]:
            places += [("png", p) for p in write_png(figures, Path(folders["png"]), dark=dark, before=before)]
    return [Written(place, kind, place.stat().st_size) for kind, place in places]
