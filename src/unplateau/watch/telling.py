"""An update in words, a line an event, and as JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ..cost import duration
from ..errors import printable
from ..estimate import Estimate
from ..report.json import dumps
from ..report.lines import WIDTH, Line, render
from ..report.redact import redacted
from .seen import Event, Standing, Update, Watched

SCHEMA = "unplateau.watch/1"
INK = {
    "raised": "bad",
    "cleared": "good",
    "trouble": "doubt",
    "quiet": "doubt",
    "gone": "doubt",
    "cut": "doubt",
}
WORDS = {"raised": "RAISED ", "cleared": "CLEARED "}
LONG, SHORT = "%Y-%m-%d %H:%M:%S", "%H:%M:%S"


def clock(when: float, form: str = SHORT) -> str:
    """Local time."""
    return time.strftime(form, time.localtime(when))


def lines(update: Update, *, width: int | None = None, colour: bool = False, several: bool = False) -> str:
    """A line an event; ``width``: columns of a terminal, that they are wrapped to; None where nothing is cut.

    ``several``: more runs are to come, so that each line says whose it is.
    """
    if update.waiting and not update.runs:
        return _line(update.when, f"waiting: {update.waiting}", width, "dim", colour=colour)
    several = several or len(update.runs) > 1
    return "".join(
        _line(event.when, said, width, "" if event.calm else INK.get(event.kind, ""), colour=colour)
        for event in update.events
        for said in _said(event, update.run(event.run), several=several)
    )


def _line(when: float, said: str, width: int | None, ink: str, *, colour: bool) -> str:
    said = redacted(said)
    if width is None:
        return f"{clock(when, LONG)} {printable(said, 2000)}\n"
    return render([Line(f"{clock(when)} {said}", ink, hang=9)], min(width, WIDTH), colour=colour)


def _said(event: Event, run: Watched | None, *, several: bool) -> Iterator[str]:
    whose = f"{printable(event.run, 200)}: " if event.run and (several or event.kind == "appeared") else ""
    if event.kind == "evaluated" and run is not None:
        yield whose + evaluated(run)
    elif event.kind == "raised":
        word = "NOTED " if event.calm else WORDS["raised"]
        yield f"{whose}{word}{event.text}{' This run had ended before it was watched.' if event.old else ''}"
    else:
        yield f"{whose}{WORDS.get(event.kind, '')}{event.text}"


def evaluated(run: Watched) -> str:
    """How a run stands, in a row: where it is, how it moves, what the next hour wins, how long, and where it ends."""
    verdict = run.verdict if run.judged in ("", run.series) else f"{run.verdict} (by {run.judged})"
    unit = f" {run.unit}" if run.unit else ""
    said = [f"step {run.evaluated:,}: {run.series} {_loss(run)}{unit}, {verdict}"]
    if run.rate is not None:
        said.append(f"{rate(run.rate)} from here")
    if run.left is not None and run.left.value > 0:
        said.append(f"{hours(run.left)} left{f' by {run.pace}' if run.pace else ''}")
    if run.planned is not None and run.step is not None and run.planned[0] > run.step:
        step, loss = run.planned
        said.append(f"{short(loss)} at step {step:,}")
    return "; ".join(said)


def _loss(run: Watched) -> str:
    return "nan" if run.loss is None else f"{run.loss:.4g}"


def short(found: Estimate) -> str:
    """A value and its interval, without the unit.

    >>> short(Estimate(3.536, 3.521, 3.552, "nats"))
    '3.536 (3.521 to 3.552)'
    """
    return str(found).replace(f" {found.unit} ", " ")


def rate(found: Estimate) -> str:
    """Nats per hour, as what an hour takes off the loss.

    >>> rate(Estimate(0.0058, 0.0043, 0.0074, "nats per hour"))
    '-0.0058 nats per hour (-0.0043 to -0.0074)'
    """
    turned = Estimate(-found.value, -found.high, -found.low, found.unit)
    places = turned.places
    value, low, high = (
        f"{round(x, places) + 0.0:+.{places}f}" for x in (turned.value, -found.low, -found.high)
    )
    return f"{value} {found.unit} ({low} to {high})"


def hours(left: Estimate) -> str:
    """Hours in the unit that one would say, without the interval.

    >>> hours(Estimate(5.6, 5.5, 5.8, "h")), hours(Estimate(0.02, 0.02, 0.02, "h"))
    ('5.6 h', '72 s')
    """
    found = duration(left)
    return f"{found.value:.{0 if found.value >= 10 else 1}f} {found.unit}"


def standing(one: Standing) -> str:
    """A finding that stands: its name, how sure, since when."""
    sure = f" ({one.probability:.0%})" if one.probability is not None else ""
    if one.before:
        return f"{one.name}{sure}, since before step {one.since_step:,}"
    return f"{one.name}{sure}, since step {one.since_step:,} ({clock(one.since, '%d %b %H:%M')})"


def trouble(event: Event) -> str:
    """What went wrong, and of which run."""
    return f"{event.run}: {event.text}" if event.run else event.text


def as_json(update: Update) -> str:
    """One update as one line of JSON (schemas/watch-1.json)."""
    return dumps(
        {
            "schema": SCHEMA,
            "number": update.number,
            "time": _iso(update.when),
            "path": str(update.path),
            "waiting": update.waiting or None,
            "runs": [_run(one) for one in update.runs],
            "events": [_event(one) for one in update.events],
        }
    )


def _iso(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds")


def _run(run: Watched) -> dict[str, Any]:
    planned = run.planned
    return {
        "run": run.key,
        "path": str(run.path),
        "format": run.format,
        "verdict": run.verdict or None,
        "headline": run.headline,
        "series": run.series or None,
        "loss": run.loss,
        "unit": run.unit,
        "step": run.step,
        "evaluated": run.evaluated,
        "planned_end": run.end,
        "forecast": {}
        if planned is None
        else {"as_planned": {"step": planned[0], "loss": planned[1].as_dict()}},
        "hours_left": run.left and run.left.as_dict(),
        "pace": run.pace or None,
        "rate": run.rate and run.rate.as_dict(),
        "standing": [
            {
                "name": s.name,
                "since_step": s.since_step,
                "since": _iso(s.since),
                "calm": s.calm,
                "before": s.before,
                "probability": s.probability,
            }
            for s in run.standing
        ],
        "findings": [
            {"cause": name, "verdict": verdict, "probability": sure}
            for name, (verdict, sure) in (run.findings or {}).items()
        ],
        "written": _iso(run.written),
        "quiet": run.quiet,
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "time": _iso(event.when),
        "kind": event.kind,
        "run": event.run or None,
        "name": event.name or None,
        "step": event.step,
        "text": event.text,
        "calm": event.calm,
        "old": event.old,
    }
