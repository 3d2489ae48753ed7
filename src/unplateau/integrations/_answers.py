"""What the tools of the MCP server do: from checked arguments to one object of CONTRACT.md and a summary in our own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..curve import Curve
from ..diagnosis import Diagnosis
from ..errors import UnplateauError, UnreadableError, UsageError, printable
from ..report.headline import STATE
from ..report.json import plain
from ..run import SERIES, Run
from ..units import count
from ._fence import inside
from ._untrusted import shorter

POINTS, MOST_POINTS = 200, 2_000  # of a series: by default, and at most
TOGETHER = 8_000  # points of all series of an answer
NAMED = 20  # runs that a summary speaks of
Arguments = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """``document``: the object of CONTRACT.md; ``summary``: without a word from a file; ``names``: of the runs in it."""

    document: dict[str, Any]
    summary: str
    names: tuple[str, ...] = ()
    shortened: tuple[str, ...] = field(default=())  # what was left out, in words


def answer(
    work: Callable[[Arguments, Sequence[Path]], Answer], given: Arguments, roots: Sequence[Path]
) -> Answer:
    """What a tool answers, its strings cut to what a message may hold."""
    found = work(given, roots)
    document, cuts = shorter(plain(found.document))
    said = (f"{cuts} long strings are cut",) if cuts else ()
    return replace(found, document=document, shortened=(*found.shortened, *said))


def runs_of(given: Arguments, roots: Sequence[Path], path: str | None = None) -> list[Run]:
    """The runs at ``path``, by default the one that was given, with what else was given."""
    from ..readers import Options
    from ..reading import read_runs

    return read_runs(
        inside(given["path"] if path is None else path, roots),
        config=inside(given["config"], roots) if given.get("config") else None,
        data=inside(given["data"], roots) if given.get("data") else None,
        unique_tokens=given.get("unique_tokens"),
        options=Options.checked(given.get("map") or {}, given.get("unit"), ("map wants a series", "unit")),
    )


# --- read


def read(given: Arguments, roots: Sequence[Path]) -> Answer:
    """The series of the runs, thinned to ``points`` each, and their facts."""
    from ..report.json import reading

    wanted, runs = given.get("series"), runs_of(given, roots)
    chosen = [replace(run, series=_chosen(run, wanted)) for run in runs]
    amount = sum(len(run.series) for run in chosen)
    most = max(2, min(given.get("points", POINTS), TOGETHER // max(amount, 1)))
    thin = [replace(run, series={n: thinned(c, most) for n, c in run.series.items()}) for run in chosen]
    pairs = [(a.series[n], b.series[n]) for a, b in zip(chosen, thin, strict=True) for n in a.series]
    whole, kept = sum(len(a) for a, _ in pairs), sum(len(b) for _, b in pairs)
    said = f"{kept:,} of {whole:,} points: of each stretch of a series the lowest and the highest"
    lines = [f"format {runs[0].format}, {len(runs)} {'run' if len(runs) == 1 else 'runs'}."]
    lines += [_held(number, run) for number, run in enumerate(chosen[:NAMED], 1)]
    names = tuple(run.name for run in runs[:NAMED])
    return Answer(reading(thin), "\n".join(lines), names, (said,) if kept < whole else ())


def _chosen(run: Run, wanted: Sequence[str] | None) -> dict[str, Curve]:
    return {name: curve for name, curve in run.series.items() if not wanted or name in wanted}


def _held(number: int, run: Run) -> str:
    """What a run holds; a series under a trainer's own name is only counted."""
    known = [
        f"{name} ({len(curve):,} points, to step {int(curve.step[-1]):,})"
        for name, curve in run.series.items()
        if name in SERIES and len(curve)
    ]
    others = sum(name not in SERIES for name in run.series)
    return f"run {number}: {', '.join(known) or 'no known series'}" + (
        f" and {others} others" if others else ""
    )


def thinned(curve: Curve, most: int) -> Curve:
    """At most ``most`` points: of each stretch the lowest and the highest, so that no spike is lost; a nan counts as one.

    >>> thinned(Curve([1, 2, 3, 4, 5, 6], [5.0, 9.0, 4.0, 3.0, 2.0, 1.0]), 4).step.tolist()
    [2, 3, 4, 6]
    """
    if len(curve) <= most:
        return curve
    edges = np.linspace(0, len(curve), max(most // 2, 1) + 1).astype(int)
    high = np.where(np.isfinite(curve.value), curve.value, np.inf)
    kept = {
        int(at) for a, b in pairwise(edges) for at in (a + np.argmin(high[a:b]), a + np.argmax(high[a:b]))
    }
    index = sorted(kept)
    return Curve(curve.step[index], curve.value[index], curve.unit)


# --- diagnose


def diagnose(given: Arguments, roots: Sequence[Path]) -> Answer:
    """Tested causes of each run."""
    from ..report.json import diagnoses

    found = _diagnosed(runs_of(given, roots))
    lines = [line for number, one in enumerate(found[:NAMED], 1) for line in _verdict(number, one)]
    return Answer(diagnoses(found), "\n".join(lines), tuple(d.run.name for d in found[:NAMED]))


def _diagnosed(runs: Sequence[Run]) -> list[Diagnosis]:
    from ..diagnosis import diagnose as examine

    found = [one for one in map(examine, runs) if not one.empty]
    if not found:
        raise UnreadableError(
            'no losses in it; name the column that is one with map, as in {"val_loss": "COLUMN"}'
        )
    return found


def _verdict(number: int, found: Diagnosis) -> list[str]:
    """The state of a curve and its causes, by names and numbers alone."""
    state, loss = found.state, found.run.loss
    said = f"run {number}: {STATE[state.verdict]}"
    if loss is not None and state.series:
        said += f"; {state.series} {loss.last:.5g} at step {int(loss.step[-1]):,}"
    if found.planned is not None:
        said += f"; as planned {found.planned[1]} at step {found.planned[0]:,}"
    lines = [f"{said}."]
    for verdict in ("supported", "undecided"):
        causes = [f"{f.cause} ({f.probability or 0:.0%})" for f in found.findings if f.verdict == verdict]
        lines += [f"  {verdict}: {', '.join(causes)}"] if causes else []
    return lines


# --- forecast


def forecast(given: Arguments, roots: Sequence[Path]) -> Answer:
    """The loss of each run as planned, and under the settings that were asked about."""
    from ..asked import asked
    from ..futures import Forecast
    from ..futures import forecast as ahead
    from ..report.forecast import forecasts

    found: list[Forecast] = []
    refused: list[UnplateauError] = []
    for run in runs_of(given, roots):
        try:
            asks, unmeant = asked(given.get("set") or [], run)
            found.append(ahead(run, asks, at=given.get("at"), until=given.get("until"), refused=unmeant))
        except UnplateauError as error:
            refused.append(error)
    if not found:
        raise refused[0]
    lines = [line for number, one in enumerate(found[:NAMED], 1) for line in _futures(number, one.futures)]
    lines += [f"{len(refused)} more runs can't be forecast."] if refused else []
    lost = sum(len(one.refused) for one in found)
    lines += [f"{lost} of the futures asked for can't be priced: see refused."] if lost else []
    return Answer(forecasts(found), "\n".join(lines), tuple(one.run.name for one in found[:NAMED]))


def _futures(number: int, futures: Sequence[Any]) -> list[str]:
    """Each future by its number: its name may be anybody's words."""
    names = ["as planned", *(f"future {i}" for i in range(1, len(futures)))]
    return [
        f"run {number}, {name}: {one.loss} at step {one.step:,}"
        for name, one in zip(names, futures, strict=True)
    ]


# --- plan_probe


def plan_probe(given: Arguments, roots: Sequence[Path]) -> Answer:
    """The experiments that would tell the open causes of one run apart; none is run."""
    from ..probe.plan import budget_of, plan, ranked
    from ..probe.site import suppose, where
    from ..report.probe import document

    runs = runs_of(given, roots)
    if len(runs) > 1:
        raise UsageError(f"plan_probe wants one run, and here are {len(runs)}; give the path of one of them")
    (found,) = _diagnosed(runs)
    hours, tokens = given.get("budget_hours"), given.get("budget_tokens")
    if hours is not None and tokens is not None:
        raise UsageError("budget_hours and budget_tokens are two words for one thing: give one")
    budget = budget_of(found.run, seconds=None if hours is None else 3600 * hours, tokens=tokens)
    data = inside(given["data"], roots) if given.get("data") else None
    place = suppose(where(found.run, inside(given["path"], roots), data, None))
    planned = plan(place, found, budget)
    said = [f"{c.trial.probe} ({count(c.trial.tokens)} tokens)" for c in planned.chosen]
    open_causes = ", ".join(f"{name} ({chance:.0%})" for name, chance in planned.chances.items())
    lines = [f"probes: {', '.join(said) or 'none tells of a cause that is open'}."]
    lines += [f"open: {open_causes}."] if open_causes else []
    return Answer(document(planned, place, ranked(found)), "\n".join(lines), (found.run.name,))


# --- compare


def compare(given: Arguments, roots: Sequence[Path]) -> Answer:
    """Runs at equal tokens, time and FLOPs."""
    from ..comparison import MOST
    from ..comparison import compare as beside
    from ..report.compare import comparison, said

    named: list[tuple[str, Run]] = []
    for path in given["paths"]:
        runs = runs_of(given, roots, path)
        named += [(path if len(runs) == 1 else f"{path}: {run.name}", run) for run in runs]
        if len(named) > MOST:
            raise UsageError(f"compare takes up to {MOST} runs; {printable(path)} makes them {len(named)}")
    found = beside(named)
    lines = said(found)
    lines.append(f"{len(found.differs)} settings differ.")
    return Answer(comparison(found), "\n".join(lines), tuple(name for name, _ in named))
