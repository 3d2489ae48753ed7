"""A forecast in words and as JSON: the loss at the end, the futures side by side, and what they rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..cost import GIB
from ..estimate import Estimate
from ..futures import Forecast, Future
from ..reach import Reach
from ..units import count
from .json import plain
from .lines import WIDTH, Line, render
from .patch import own_patch
from .redact import redacted
from .text import setting

FORECAST = "unplateau.forecast/1"
#: columns of the table: title, width; the loss has the room of an interval
COLUMNS = (
    *(("step", 10), ("loss (90 %)", 23), ("from now", 10), ("tokens", 8), ("FLOP", 9), ("hours", 7)),
    ("GiB", 12),
)
STARTS = {
    "continue": "",
    "branch": "from the last checkpoint",
    "fresh": "a fresh run from step 0",
}
SURE = 0.8  # probability above which one future is named the best for its cost
UNKNOWN = "?"


def text(found: Forecast, *, width: int = WIDTH, colour: bool = False) -> str:
    """The report of one forecast."""
    parts = [_title(found), _table(found), _reaches(found), _worth(found), _assumes(found), _unpriced(found)]
    lines: list[Line] = []
    for part in parts:
        rows = list(part)
        lines += [Line(), *rows] if rows and lines else rows
    return render(lines, width, colour=colour)


def _title(found: Forecast) -> Iterator[Line]:
    first = found.futures[0]
    yield Line(f"{found.run.name} ({found.run.format or 'unknown format'})", "dim", most=1)
    if first.step <= found.last:
        yield Line(f"The run is at its end: {found.series} is {found.now} at step {found.last:,}.", "title")
        return
    yield Line(
        f"{found.series} will be {first.loss} at step {first.step:,}, {_what(found)}; the trend is now {found.now} "
        f"at step {found.last:,}.",
        "title",
    )


def _what(found: Forecast) -> str:
    end, step = found.run.get("planned_end"), found.futures[0].step
    if not end:
        return (
            "twice the steps so far: no end is planned"
            if step == 2 * found.last
            else "where no end is planned"
        )
    if step == end:
        return "its planned end"
    return f"{'before' if step < end else 'past'} its planned end {int(end):,}"


def _table(found: Forecast) -> Iterator[Line]:
    yield Line("FUTURES", "title")
    yield Line("".join(f"{title:>{room}}" for title, room in COLUMNS), "dim", whole=True)
    for future in found.futures:
        yield Line(_named(found, future), "good" if future.kind != "continue" else "", hang=4)
        cells = _cells(future)
        yield Line(
            "".join(f"{cell:>{room}}" for cell, (_, room) in zip(cells, COLUMNS, strict=True)), whole=True
        )
        for note in future.notes:
            yield Line(note, "doubt", indent=4, hang=6)


def _named(found: Forecast, future: Future) -> str:
    changes = ", ".join(
        f"{key} = {setting(new)}" + (f" (was {setting(old)})" if old is not None else "")
        for key, (old, new) in own_patch(found.run, future.patch).items()
    )
    # a name that is the settings themselves says nothing that the changes don't
    said = [word for word in (changes, STARTS[future.kind]) if word]
    name = [] if "=" in future.name and changes else [redacted(future.name)]
    return ": ".join([*name, "; ".join(said)] if said else name)


def _cells(future: Future) -> Sequence[str]:
    cost = future.cost
    return (
        f"{future.step:,}" if future.step < 10**9 else f"{future.step:.3g}",
        _short(future.loss),
        f"{-future.gain.value:+.{min(3, future.gain.places)}f}",
        UNKNOWN if cost.tokens is None else count(cost.tokens),
        UNKNOWN if cost.flops is None else f"{cost.flops:.2g}",
        UNKNOWN if cost.hours is None else f"{cost.hours.value:,.3g}",
        _memory(future),
    )


def _short(loss: Estimate) -> str:
    places = min(3, loss.places)
    return f"{loss.value:.{places}f} ({loss.low:.{places}f}-{loss.high:.{places}f})"


def _memory(future: Future) -> str:
    need, card = future.cost.memory, future.cost.card
    if need is None:
        return UNKNOWN
    return f"{need / GIB:.1f}" + (f" of {card / GIB:.0f}" if card else "")


def _reaches(found: Forecast) -> Iterator[Line]:
    asked = [(future, future.reaches) for future in found.futures if future.reaches]
    if asked:
        yield Line(f"WHEN IT REACHES {asked[0][1].loss:g}", "title")
    for future, reach in asked:
        yield Line(f"{redacted(future.name)}: {reached(reach, future)}", indent=2, hang=4)


def reached(reach: Reach, future: Future) -> str:
    """When, in words."""
    floor = f"; the law's floor is {reach.floor}" if reach.floor else ""
    if reach.verdict == "already":
        return f"the trend is there since about step {reach.step:,}"
    if reach.verdict == "never":
        return f"never under this law{floor}"
    if reach.verdict == "not-before" or reach.step is None:
        early = reach.earliest or reach.searched
        why = (
            "where it ends"
            if early >= future.step and reach.searched == future.step
            else "and more likely later or never"
        )
        return f"not before step {early:,}, {why}{floor}"
    late = f"to {reach.latest:,}" if reach.latest else "to never"
    past = f", past its end {future.step:,} at the rate it has there" if reach.step > future.step else ""
    return f"step {reach.step:,} ({reach.earliest or reach.step:,} {late}){past}"


def _worth(found: Forecast) -> Iterator[Line]:
    """What each future gains for what it costs from here."""
    priced = [f for f in found.futures if f.rate is not None and f.cost.steps > 0]
    if priced:
        yield Line("IS IT WORTH IT?", "title")
    for future in priced:
        doubt = "" if future.gain.excludes(0.0) else "; no gain can be told from none"
        gain = f"{future.gain} below now" if future.gain.value >= 0 else f"{_up(future.gain)} above now"
        yield Line(f"{redacted(future.name)}: {gain}, {future.rate}{doubt}", indent=2, hang=4)
    if found.best is not None:
        name, sure = found.best
        per = str(priced[0].rate.unit).partition(" ")[2] if priced[0].rate else ""
        said = f"{redacted(name)} gains most {per} ({sure:.0%} sure)"
        yield Line(
            said if sure >= SURE else f"which gains most {per} can't be told: {said}", indent=2, hang=4
        )


def _up(gain: Estimate) -> Estimate:
    return Estimate(-gain.value, -gain.high, -gain.low, gain.unit)


def _assumes(found: Forecast) -> Iterator[Line]:
    yield Line("IT ASSUMES", "title")
    for line in found.assumes:
        yield Line(redacted(line), indent=2, hang=4, most=3)


def _unpriced(found: Forecast) -> Iterator[Line]:
    yield Line("WHAT IT CAN'T PRICE", "title")
    for line in found.unpriced:
        yield Line(redacted(line), "dim", indent=2, hang=4, most=3)


# --- JSON


def forecast(found: Forecast) -> dict[str, Any]:
    """``forecast --json`` for one run."""
    return {"schema": FORECAST, **_forecast(found)}


def forecasts(found: Sequence[Forecast]) -> dict[str, Any]:
    """``forecast --json``: one run at the top level, several in a list."""
    if len(found) == 1:
        return forecast(found[0])
    return {"schema": FORECAST, "forecasts": [_forecast(one) for one in found]}


def stored(found: Forecast) -> dict[str, Any]:
    """What is kept of a forecast: all that ``--json`` says, as plain values."""
    kept: dict[str, Any] = plain(_forecast(found))
    return kept


def _forecast(found: Forecast) -> dict[str, Any]:
    return {
        "run": found.run.name,
        "series": found.series,
        "last_step": found.last,
        "now": found.now.as_dict(),
        "futures": [_future(found, one) for one in found.futures],
        "best_for_its_cost": None
        if found.best is None
        else dict(zip(("name", "probability"), found.best, strict=True)),
        "law": found.law,
        "assumes": list(found.assumes),
        "unpriced": list(found.unpriced),
    }


def _future(found: Forecast, one: Future) -> dict[str, Any]:
    told = {
        "name": one.name,
        "kind": one.kind,
        "patch": {key: list(change) for key, change in own_patch(found.run, one.patch).items()},
        "step": one.step,
        "loss": one.loss.as_dict(),
        "gain": one.gain.as_dict(),
        "rate": None if one.rate is None else one.rate.as_dict(),
        "cost": {
            "steps": one.cost.steps,
            "tokens": one.cost.tokens,
            "flops": one.cost.flops,
            "hours": None if one.cost.hours is None else one.cost.hours.as_dict(),
            "memory": one.cost.memory,
            "card_memory": one.cost.card,
        },
        "notes": list(one.notes),
    }
    return told | ({"reaches": _reach(one.reaches)} if one.reaches else {})


def _reach(reach: Reach) -> dict[str, Any]:
    return {
        "loss": reach.loss,
        "step": reach.step,
        "verdict": reach.verdict,
        "earliest": reach.earliest,
        "latest": reach.latest,
        "searched_to": reach.searched,
        "floor": None if reach.floor is None else reach.floor.as_dict(),
    }
