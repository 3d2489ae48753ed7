"""A forecast in words and as JSON: the loss at the end, the futures side by side, and what they rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..cost import GIB, duration
from ..estimate import Estimate
from ..futures import SUREST, Forecast, Future, Lowest, Trade
from ..reach import Reach
from ..units import count
from .json import plain
from .lines import WIDTH, Line, render
from .patch import in_a_line, own_patch, unsayable
from .redact import redacted

FORECAST = "unplateau.forecast/1"
#: columns of the table: title, width; the loss has the room of an interval
COLUMNS = (
    *(("step", 11), ("loss (90 %)", 23), ("from now", 9), ("tokens", 7), ("FLOP", 8), ("time", 9)),
    ("GiB", 12),
)
STARTS = {
    "continue": "",
    "branch": "from the last checkpoint",
    "fresh": "a fresh run from step 0",
}
SURE = 0.8  # probability above which one future is said to end lowest
GOES_ON = "going on as it is"  # the first future where nobody planned it
LEAST_GIB = 0.1
MANY = 10_000  # GiB, days: more are said in words
UNKNOWN = "?"


def text(found: Forecast, *, width: int = WIDTH, colour: bool = False) -> str:
    """The report of one forecast."""
    parts = [_title(found), _table(found), _reaches(found), _worth(found)]
    parts += [_assumes(found), _unpriced(found)]
    lines: list[Line] = []
    for part in parts:
        rows = list(part)
        lines += [Line(), *rows] if rows and lines else rows
    return render(lines, width, colour=colour)


def _title(found: Forecast) -> Iterator[Line]:
    yield Line(f"{found.run.name} ({found.run.format or 'unknown format'})", "dim", most=1)
    yield Line(title_of(found), "title")


def title_of(found: Forecast) -> str:
    """What the loss will be, or where it stands that is asked for no later step, in a sentence."""
    first = found.futures[0]
    if first.step <= found.last:
        return f"{_stands(found)}: {found.series} is {found.now} at step {found.last:,}."
    return (
        f"{found.series} will be {first.loss} at step {first.step:,}, {_what(found)}; the trend is now {found.now} "
        f"at step {found.last:,}."
    )


def _stands(found: Forecast) -> str:
    """Where a run stands that is asked for no other step than its last."""
    end = found.run.get("planned_end")
    if end and int(end) > found.last:
        return f"{int(end) - found.last:,} steps are left to the planned end {int(end):,}"
    return "The run is at its end" if end else "The log ends here, and no end is planned"


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
    yield Line(_row([title for title, _ in COLUMNS]), "dim", whole=True)
    for future in found.futures:
        yield Line(named(found, future), "good" if future.kind != "continue" else "", hang=4)
        yield Line(_row(cells(future)), whole=True)
        for note in notes_of(found, future):
            yield Line(note, "doubt", indent=4, hang=6)


def notes_of(found: Forecast, future: Future) -> list[str]:
    return [note for note in (*future.notes, unsayable(found.run, future.patch)) if note]


def _row(cells: Sequence[str]) -> str:
    """Cells in their columns, a blank between any two."""
    return "".join(f" {cell:>{room - 1}}" for cell, (_, room) in zip(cells, COLUMNS, strict=True))


def label(found: Forecast, future: Future) -> str:
    """The name of a future; nobody planned the first where no end is, or where it is past."""
    end = found.run.get("planned_end")
    if future is found.futures[0] and (not end or future.step > int(end)):
        return GOES_ON
    return redacted(future.name)


def _labelled(found: Forecast, name: str) -> str:
    return next((label(found, future) for future in found.futures if future.name == name), redacted(name))


def named(found: Forecast, future: Future) -> str:
    changes = in_a_line(found.run, future.patch)
    # a name that is the settings themselves says nothing that the changes don't
    said = [word for word in (changes, STARTS[future.kind]) if word]
    name = [] if "=" in future.name and changes else [label(found, future)]
    return ": ".join([*name, "; ".join(said)] if said else name)


def cells(future: Future) -> Sequence[str]:
    cost = future.cost
    return (
        f"{future.step:,}" if future.step < 10**9 else f"{future.step:.3g}",
        _short(future.loss),
        f"{_change(future.gain):+.{min(3, future.gain.places)}f}",
        UNKNOWN if cost.tokens is None else count(cost.tokens),
        UNKNOWN if cost.flops is None else f"{cost.flops:.2g}",
        UNKNOWN if cost.hours is None else _time(cost.hours.value),
        _memory(future),
    )


def _change(gain: Estimate) -> float:
    """What a gain adds to the loss; never minus zero."""
    return -round(gain.value, min(3, gain.places)) + 0.0


def _short(loss: Estimate) -> str:
    places = min(3, loss.places)
    return f"{loss.value:.{places}f} ({loss.low:.{places}f}-{loss.high:.{places}f})"


def _time(hours: float) -> str:
    """Hours in few characters.

    >>> [_time(x) for x in (0.0, 0.00109, 0.5, 5.65, 312.0, 6.26e13)]
    ['0 s', '3.92 s', '30 min', '5.65 h', '13 days', '2.61T days']
    """
    time = duration(Estimate(hours, hours, hours, "h"))
    return f"{time.value:.3g} {time.unit}" if time.value < MANY else f"{count(time.value)} {time.unit}"


def _memory(future: Future) -> str:
    need, card = future.cost.memory, future.cost.card
    if need is None:
        return UNKNOWN
    gib = need / GIB
    said = count(gib) if gib >= MANY else f"{gib:.1f}" if gib >= LEAST_GIB else "<0.1"
    return said + (f" of {card / GIB:.0f}" if card else "")


def _reaches(found: Forecast) -> Iterator[Line]:
    asked = [(future, future.reaches) for future in found.futures if future.reaches]
    if asked:
        yield Line(f"WHEN IT REACHES {asked[0][1].loss:g}", "title")
    for future, reach in asked:
        said = reached(reach, future, found.run.get("planned_end"))
        yield Line(f"{label(found, future)}: {said}", indent=2, hang=4)


def reached(reach: Reach, future: Future, end: int | None = None) -> str:
    """When, in words; ``end``: the planned one, which a run as planned does not go beyond."""
    floor = f"; the law's floor is {reach.floor}" if reach.floor else ""
    if reach.verdict == "already":
        return f"the trend is there since about step {reach.step:,}"
    if reach.verdict == "never":
        return f"never under this law{floor}"
    ends = future.kind != "continue" or (end is not None and future.step >= int(end))
    by = f"not by its {'planned ' if future.kind == 'continue' else ''}end at step {future.step:,}"
    if reach.verdict == "reached" and reach.step is not None:
        late = f"to {reach.latest:,}" if reach.latest else "to never"
        when = f"step {reach.step:,} ({reach.earliest or reach.step:,} {late})"
        if not ends or reach.step <= future.step:
            return when
        return f"{by}{_hope(reach)}; if it went on at the rate it has there, at {when}"
    if reach.searched <= future.step:
        return f"{by}{_hope(reach)}, where the run stops{floor}"
    later = (
        f"not before step {reach.earliest:,}, and more likely later or never"
        if reach.earliest
        else f"not by step {reach.searched:,} either, as far as was looked"
    )
    return (
        f"{by}{_hope(reach)}; if it went on at the rate it has there, {later}{floor}"
        if ends
        else later + floor
    )


def _hope(reach: Reach) -> str:
    """How likely the loss comes by the end all the same."""
    return f" ({min(SUREST, reach.likely):.0%} likely that it does)" if reach.likely > 1 - SUREST else ""


def _worth(found: Forecast) -> Iterator[Line]:
    """What each future gains from here, and what the one that ends lowest takes for what it wins."""
    priced = [f for f in found.futures if f.cost.steps > 0]
    if priced:
        yield Line("IS IT WORTH IT?", "title")
    for future in priced:
        doubt = "" if future.gain.excludes(0.0) else "; it may gain nothing, or lose: the interval holds 0"
        gain = f"{future.gain} below now" if future.gain.value >= 0 else f"{_up(future.gain)} above now"
        yield Line(f"{label(found, future)}: {gain}{_for(future)}{doubt}", indent=2, hang=4)
    if (lowest := found.lowest) is None:
        return
    name, sure = _labelled(found, lowest.name), f"{lowest.probability:.0%} sure"
    said = f"{name} ends lowest ({sure})"
    said = said if lowest.probability >= SURE else f"which ends lowest can't be told: perhaps {name} ({sure})"
    yield Line(said + ":", indent=2, hang=4)
    for trade in lowest.trades:
        yield Line(f"{trade.nats} below {_labelled(found, trade.name)}, {_takes(trade)}", indent=4, hang=6)


def _for(future: Future) -> str:
    cost = future.cost
    if cost.hours is not None:
        return f", for {_time(cost.hours.value)}"
    return f", for {count(cost.tokens)} tokens" if cost.tokens else f", for {cost.steps:,} steps"


def _takes(trade: Trade) -> str:
    """What the lowest end takes more than another, or less."""
    if trade.hours is None and trade.tokens is None:
        return "at a cost that is not known"
    more = trade.hours if trade.hours is not None else trade.tokens or 0
    size = _time(abs(more)) if trade.hours is not None else f"{count(abs(more))} tokens"
    if not more:
        return "for the same cost"
    return f"for {size} more" if more > 0 else f"and {size} sooner" if trade.hours else f"for {size} fewer"


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
        "lowest": None if found.lowest is None else _lowest(found.lowest),
        "law": found.law,
        "assumes": list(found.assumes),
        "unpriced": list(found.unpriced),
    } | ({"refused": list(found.refused)} if found.refused else {})


def _lowest(told: Lowest) -> dict[str, Any]:
    rows = [
        {"name": t.name, "nats": t.nats.as_dict(), "hours": t.hours, "tokens": t.tokens} for t in told.trades
    ]
    return {"name": told.name, "probability": told.probability, "trades": rows}


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
        "notes": notes_of(found, one),
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
        "probability": reach.likely,
        "floor": None if reach.floor is None else reach.floor.as_dict(),
    }
