"""The Python API: what the command line does, as functions of values. The package hands on all that stands here.

Where a run is wanted, a path does as well: ``diagnose("train.log")``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from . import given
from .errors import UnplateauError, UnreadableError, UsageError, printable
from .integrations.logger import Logger, StopTraining, finish, init, log, should_stop

if TYPE_CHECKING:
    from .comparison import Comparison
    from .diagnosis import Diagnosis
    from .estimate import Estimate
    from .futures import Forecast
    from .hypotheses import Finding
    from .readers import Options
    from .report.page import View
    from .run import Run

__all__ = [
    "EXAMPLE",
    "Comparison",
    "Diagnosis",
    "Estimate",
    "Finding",
    "Forecast",
    "Logger",
    "Run",
    "StopTraining",
    "UnplateauError",
    "UnreadableError",
    "UsageError",
    "as_dict",
    "compare",
    "diagnose",
    "finish",
    "forecast",
    "init",
    "log",
    "read",
    "read_all",
    "should_stop",
    "text",
    "write_back",
    "write_report",
]
#: the folder of a real run that comes with the package: the log and the config of nanoGPT
EXAMPLE = Path(__file__).parent / "examples" / "reference-run"
SHOWN = ("Run", "Diagnosis", "Forecast", "Comparison")  # what ``text`` and ``as_dict`` take
NARROW = 20  # columns; in fewer no table is to be read
#: classes that are loaded where they are asked for: they bring numpy
CLASSES = {
    "Comparison": "comparison",
    "Diagnosis": "diagnosis",
    "Estimate": "estimate",
    "Finding": "hypotheses",
    "Forecast": "futures",
    "Run": "run",
}


def __getattr__(name: str) -> Any:
    if name not in CLASSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{CLASSES[name]}", __package__), name)


def read(
    path: str | os.PathLike[str],
    *,
    config: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    unique_tokens: int | None = None,
    evidence: Sequence[str | os.PathLike[str]] = (),
    columns: Mapping[str, str] | None = None,
    unit: str | None = None,
) -> Run:
    """Read the one run at ``path``: a log of any trainer, a run's folder, or ``-`` for standard input.

    ``config``: the trainer's configuration, where it does not lie beside the log. ``data``: the folder of the data, or
    its manifest. ``unique_tokens``: tokens of the train set, once each. ``evidence``: folders of what probes told.
    ``columns``: series -> the log's own name for it. ``unit``: of the losses, where the log can't tell.
    Losses are in nats per token where the unit is known. Raises ``UnreadableError`` where no run can be read,
    ``UsageError`` where there are several (``read_all`` reads them).

    >>> run = read(EXAMPLE)
    >>> run.loss.last, run.loss.unit, run.get("n_layer"), run.source("n_layer")
    (3.5696, 'nats', 12, 'config.py:16')
    """
    runs = read_all(
        path,
        config=config,
        data=data,
        unique_tokens=unique_tokens,
        evidence=evidence,
        columns=columns,
        unit=unit,
    )
    if len(runs) > 1:
        names = printable(", ".join(run.name for run in runs), 200)
        raise UsageError(
            f"{printable(str(path))} holds {len(runs)} runs ({names}); read_all gives them as a list"
        )
    return runs[0]


def read_all(
    path: str | os.PathLike[str],
    *,
    config: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    unique_tokens: int | None = None,
    evidence: Sequence[str | os.PathLike[str]] = (),
    columns: Mapping[str, str] | None = None,
    unit: str | None = None,
) -> list[Run]:
    """All runs at ``path``, as ``read`` reads one; at least one.

    >>> [(run.name, run.format) for run in read_all(EXAMPLE)]
    [('train.log', 'nanogpt')]
    """
    from .reading import read_runs

    found = read_runs(
        given.path(path, "path"),
        config=given.path_or_none(config, "config"),
        data=given.path_or_none(data, "data"),
        unique_tokens=None if unique_tokens is None else given.whole(unique_tokens, "unique_tokens", 1),
        options=_options(columns or {}, unit),
        evidence=given.paths(evidence, "evidence"),
    )
    _show()
    return found


def _show() -> None:
    """Let values show themselves as pictures, where this is a notebook."""
    if "IPython" in sys.modules:
        from .report.notebook import install

        install()


def _options(columns: Mapping[str, str], unit: str | None) -> Options:
    from .readers import Options

    told = given.mapping(columns, "columns", "a series to its column")
    return Options.checked(told, unit, ("columns wants a series", "unit"))


def _run(log: Run | str | os.PathLike[str]) -> Run:
    """The run itself, or the one at a path. Raises ``UsageError`` for what is neither."""
    from .run import Run

    if isinstance(log, Run):
        return log
    if not given.is_path(log):
        hint = ": give its .run" if hasattr(log, "run") else ""
        raise UsageError(f"expected a Run, or the path of one; found {given.kind(log)}{hint}")
    return read(log)


def diagnose(run: Run | str | os.PathLike[str]) -> Diagnosis:
    """Say why the loss stopped falling: every cause tested, ranked by the nats it costs and how sure it is.

    ``.findings`` are the causes, ``.first`` the one to name, ``.state`` how the curve moves, ``.budget`` where the loss
    goes, ``.planned`` the planned end and the loss there. Raises ``UnreadableError`` where the log has no loss.

    >>> found = diagnose(EXAMPLE)
    >>> found.first.verdict, found.first.remedy.advice
    ('supported', 'let the schedule finish: 5,200 steps are left')
    >>> [row.name for row in found.budget.rows]
    ['irreducible + capacity', 'finite data', 'not annealed']
    """
    from .diagnosis import diagnose as examine

    found = examine(_run(run))
    _show()
    if found.empty:
        series = printable(", ".join(sorted(found.run.series)), 200) or "no series"
        raise UnreadableError(
            f"no losses in {printable(found.run.name)}: found {series}; "
            "name the column that is one: read(path, columns={'val_loss': COLUMN})"
        )
    return found


def forecast(
    run: Run | str | os.PathLike[str],
    *,
    at: int | None = None,
    until: float | None = None,
    futures: Mapping[str, Mapping[str, Any]] | None = None,
    **settings: Any,
) -> Forecast:
    """Say what the loss will be, as planned and under other settings.

    ``settings`` make one future beside the planned one: ``cooldown``, ``horizon`` (steps), ``tokens``, ``floor``,
    ``schedule``, ``unique_tokens``, ``n_layer``, ``n_embd``, or a setting of the trainer under its own name. ``futures``:
    name -> settings, for several. ``at``: the step that is asked about (default: the planned end). ``until``: a loss, in
    the run's unit, to say when it is reached. ``.futures[0]`` is as planned, the others follow in their order.

    Raises ``UsageError`` for settings that can't be meant, or that no law prices; ``UnreadableError`` where the log can't
    carry a forecast.

    >>> ahead = forecast(EXAMPLE, futures={"wider": {"n_embd": 768}, "longer": {"horizon": 40_000}})
    >>> for future in ahead.futures:
    ...     print(f"{future.name}: {future.loss.value:.2f} at step {future.step:,}")
    as planned: 3.54 at step 20,000
    wider: 3.23 at step 20,000
    longer: 3.47 at step 40,000
    """
    from .asked import AS_PLANNED, ask_of
    from .futures import forecast as ahead

    known = _run(run)
    named = given.mapping(futures or {}, "futures", "a name to its settings")
    groups = {**({_named(settings): settings} if settings else {}), **named}
    if AS_PLANNED in groups:
        raise UsageError(f"the first future is called {AS_PLANNED!r}; give yours another name")
    try:
        asks = [ask_of(str(name), _words(name, group), known) for name, group in groups.items()]
    except UsageError as error:
        raise UsageError(str(error).removeprefix("--set").lstrip(": ")) from None
    step = None if at is None else given.whole(at, "at", 0)
    found = ahead(known, asks, at=step, until=None if until is None else given.number(until, "until"))
    _show()
    return found


def _named(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items())


def _words(name: str, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    told = given.mapping(settings, f"the future {printable(str(name))!r}", "a setting to its value")
    return [(str(key), str(value)) for key, value in told.items()]


def compare(*runs: Run | str | os.PathLike[str]) -> Comparison:
    """Set runs side by side: at equal tokens, equal time and equal FLOPs, with the settings in which they differ.

    2 to 20 runs. Raises ``UsageError`` for another number of them, ``UnreadableError`` for losses that do not compare.

    >>> found = compare(EXAMPLE, EXAMPLE)
    >>> [one.base for one in found.equal], found.differs
    (['tokens', 'time', 'FLOPs'], ())
    """
    from .comparison import compare as beside

    known = [_run(run) for run in runs]
    names = [one.name if one is run else str(run) for one, run in zip(known, runs, strict=True)]
    again = [names[:i].count(name) + 1 for i, name in enumerate(names)]
    told = [f"{name} ({n})" if n > 1 else name for name, n in zip(names, again, strict=True)]
    return beside(list(zip(told, known, strict=True)))


def text(found: Run | Diagnosis | Forecast | Comparison, *, width: int = 80, verbose: bool = False) -> str:
    """What the command line prints of it. ``width``: columns; ``verbose``: all of a diagnosis.

    >>> print(text(diagnose(EXAMPLE)).splitlines()[1])
    The loss is still falling: val_loss 3.570 nats at step 14,500, -0.13 nats per
    """
    from .report import compare, facts
    from .report import forecast as foretold
    from .report.causes import claims
    from .report.text import text as report

    width = given.whole(width, "width", NARROW)
    match given.of_class(found, *SHOWN):
        case "Diagnosis":
            return report(cast("Diagnosis", found), claims=claims(), width=width, verbose=verbose)
        case "Forecast":
            return foretold.text(cast("Forecast", found), width=width)
        case "Comparison":
            return compare.text(cast("Comparison", found), width=width)
    return facts.text([cast("Run", found)], width=width)


def as_dict(found: Run | Diagnosis | Forecast | Comparison) -> dict[str, Any]:
    """What ``--json`` prints of it, as plain values; the schemas lie in ``unplateau/schemas``.

    >>> told = as_dict(diagnose(EXAMPLE))
    >>> told["schema"], told["findings"][0]["cause"]
    ('unplateau.diagnosis/1', 'lr-not-annealed')
    """
    from .report import compare, forecast, json

    match given.of_class(found, *SHOWN):
        case "Diagnosis":
            told = json.diagnosis(cast("Diagnosis", found))
        case "Forecast":
            told = forecast.forecasts([cast("Forecast", found)])
        case "Comparison":
            told = compare.comparison(cast("Comparison", found))
        case _:
            told = json.reading([cast("Run", found)])
    return cast("dict[str, Any]", json.plain(told))


def write_back(
    found: Diagnosis,
    to: str,
    *,
    ahead: Forecast | None = None,
    folder: str | os.PathLike[str] | None = None,
    run: Any = None,
) -> str:
    """Write the findings, and the forecast ``ahead`` if given, to where the run is looked at; where they went, in words.

    ``to``: ``tensorboard`` (event files in ``folder``/unplateau, which shows them as a run of that name), ``wandb`` (the
    summary of ``run``, else of the open one: nothing is sent but what that run sends), ``trackio`` (a table in the open
    run). Raises ``UsageError`` where the package is missing or no run is open.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     _ = write_back(diagnose(EXAMPLE), to="tensorboard", folder=place)
    ...     [path.name for path in Path(place).iterdir()]
    ['unplateau']
    """
    given.of_class(found, "Diagnosis")
    given.of_class(ahead, "Forecast", "NoneType")
    if to == "tensorboard":
        from .integrations.tensorboard import write as tensorboard

        if folder is None:
            raise UsageError(
                "write_back to tensorboard wants folder=, the folder that tensorboard --logdir is given"
            )
        return tensorboard(found, given.path(folder, "folder"), ahead)
    if to == "wandb":
        from .integrations.wandb import write as wandb

        return wandb(found, run, ahead)
    if to == "trackio":
        from .integrations.trackio import write as trackio

        return trackio(found, ahead)
    told = repr(to) if isinstance(to, str) else given.kind(to)
    raise UsageError(f"write_back goes to tensorboard, wandb or trackio; found {told}")


def write_report(
    found: Run | Diagnosis | str | os.PathLike[str] | Sequence[Run | Diagnosis | str | os.PathLike[str]],
    file: str | os.PathLike[str],
    *,
    ahead: Forecast | None = None,
) -> Path:
    """Write the page of a run, or of several side by side, as one HTML file that needs no other; the file.

    ``ahead``: the forecast to show of a single run (default: what is planned). Raises ``UsageError`` where ``file`` is there
    and is no page of ours, ``UnreadableError`` where a log has no loss, ``UnplateauError`` where the file can't be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     page = write_report(EXAMPLE, Path(place) / "page.html")
    ...     page.read_text(encoding="utf-8")[:15]
    '<!doctype html>'
    """
    from .cli.reporting import side_by_side
    from .diagnosis import Diagnosis
    from .durable import write_durably
    from .report.page import page
    from .spare import PAGE, spare

    target = given.path(file, "file")
    given.of_class(ahead, "Forecast", "NoneType")
    ones = list(found) if isinstance(found, list | tuple) else [found]
    if not ones:
        raise UsageError("write_report wants a run, or some; found an empty list")
    spare("write_report", target, PAGE, [one for one in ones if isinstance(one, str | os.PathLike)])
    known = [one if isinstance(one, Diagnosis) else diagnose(cast("Run", one)) for one in ones]
    views = [_view(one, ahead if len(known) == 1 else None) for one in known]
    write_durably(target, page(views, *side_by_side([view.found for view in views])).encode())
    return target


def _view(found: Diagnosis, ahead: Forecast | None) -> View:
    from .futures import forecast as foresee
    from .report.page import view

    try:
        return view(found, ahead or foresee(found.run))
    except UnplateauError as error:
        return view(found, None, str(error))
