"""What each remedy wins against what it costs: a dot with its interval, and the cost beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...cost import Cost, duration
from ...diagnosis import Diagnosis
from ...estimate import Estimate
from ...units import count
from ..patch import in_a_line
from ..redact import redacted
from ..remedies import by_rate, doubt, price
from . import draw
from .clock import unit_of
from .paint import Drawn, Layout
from .scale import Axis, padded

MOST = 8  # rows
LINE, ROW = 17, 28  # units: of a line of words, and of a dot with the room around it
MOST_LINES = 2  # of a name
SHARE = 0.62  # of the width: what the gains take, the costs have the rest
Base = Literal["hours", "tokens"]


@dataclass(frozen=True, slots=True)
class Gain:
    """One remedy: what it is called, what it wins, and what it costs."""

    name: str
    sure: bool  # the cause is supported
    gain: Estimate
    cost: Cost | None

    def amount(self, base: Base) -> Estimate | None:
        """The cost in ``base``."""
        if self.cost is None:
            return None
        if base == "hours":
            return self.cost.hours
        tokens = self.cost.tokens
        return None if not tokens else Estimate(tokens, tokens, tokens, "tokens")


def gains_of(found: Diagnosis) -> tuple[Gain, ...]:
    """The remedies with a price, in the order of the report: what wins most for its cost first."""
    out = []
    for finding in by_rate(found):
        remedy = finding.remedy
        if remedy is None or remedy.gain is None:
            continue
        words = remedy.advice or in_a_line(found.run, remedy.patch)
        said = f"{finding.cause}{doubt(finding)}" + (f": {words}" if words else "")
        out.append(
            Gain(redacted(said), finding.verdict == "supported", remedy.gain, price(remedy, found.run))
        )
    return tuple(out[:MOST])


def base_of(gains: Sequence[Gain]) -> Base | None:
    """Hours where all costs are known in hours, else tokens; None where neither is."""
    for base in ("hours", "tokens"):
        known = [gain.amount(base) for gain in gains]
        if all(one is not None and one.value > 0 for one in known):
            return base
    return None


@dataclass(frozen=True, slots=True)
class Field:
    """Where gains and costs are drawn; ``costs`` is None where they are not known in one unit.

    ``unit``: of the axis of costs, and how many of it one of ``base`` has.
    """

    nats: Axis
    costs: Axis | None
    base: Base | None
    layout: Layout
    unit: tuple[str, float] = ("", 1.0)

    @classmethod
    def of(cls, gains: Sequence[Gain], layout: Layout) -> Field:
        base = base_of(gains)
        split = layout.width * SHARE if base else layout.width - 8
        ends = [edge for g in gains for edge in (g.gain.low, g.gain.high, 0.0)]
        nats = Axis(*padded(min(ends), max(ends)), 4, split - 16)
        if base is None:
            return cls(nats, None, None, layout)
        known = [one for g in gains if (one := g.amount(base)) is not None]
        unit = unit_of(max(one.value for one in known)) if base == "hours" else (base, 1.0)
        costs = _costs([_times(one, unit[1]) for one in known], split + 8, layout.width - 12)
        return cls(nats, costs, base, layout, unit)

    def cost(self, gain: Gain) -> Estimate | None:
        """What a remedy costs, as the axis counts it."""
        amount = gain.amount(self.base) if self.base else None
        return None if amount is None else _times(amount, self.unit[1])


def _times(found: Estimate, times: float) -> Estimate:
    return Estimate(found.value * times, found.low * times, found.high * times, found.unit)


def dotted(gains: Sequence[Gain], layout: Layout) -> Drawn:
    """A row a remedy: its name, below it the gain on the left and the cost on the right."""
    field = Field.of(gains, layout)
    out: list[str] = []
    top = 0.0
    for gain in gains:
        names = draw.broken(gain.name, layout.width - 8, layout.size, MOST_LINES)
        out += _named(names, gain, top, layout.size)
        top += len(names) * LINE
        out += _row(gain, field, top + ROW / 2 - 2)
        top += ROW
    out += _axes(field, top + 12)
    return Drawn(layout.width, top + 40, "".join(out))


def _named(names: Sequence[str], gain: Gain, top: float, size: float) -> Iterator[str]:
    for i, line in enumerate(names):
        yield draw.text(4, top + (i + 1) * LINE - 4, line, size=size, bold=gain.sure)


def _costs(known: Sequence[Estimate], start: float, end: float) -> Axis:
    low, high = min(one.low for one in known), max(one.high for one in known)
    low = low if low > 0 else min(one.value for one in known)
    return Axis(low / 1.5, high * 1.5, start, end, log=True)


def _row(gain: Gain, field: Field, y: float) -> Iterator[str]:
    """The dot with its interval, filled where the cause is supported, open else; and the cost beside it."""
    yield _grid(field, y)
    ink = "good" if gain.gain.low > 0 else "dim"
    dot = f"M{draw.number(field.nats.at(gain.gain.value))} {draw.number(y)}h0"
    parts = [
        draw.path(_whisker(field.nats, gain.gain, y), ink=ink, width=2),
        draw.path(dot, ink=ink, width=10),
    ]
    parts += [] if gain.sure else [draw.path(dot, ink="paper", width=5)]
    yield draw.titled(f"{gain.name}: gain {gain.gain}", *parts)
    amount = field.cost(gain)
    if field.costs is not None and amount is not None:
        yield _cost(gain, amount, field.costs, y)


def _cost(gain: Gain, amount: Estimate, axis: Axis, y: float) -> str:
    """A square at the cost, with its interval."""
    bar = draw.path(_whisker(axis, amount, y), ink="dim", width=1.5) if amount.low > 0 else ""
    return draw.titled(f"cost {gain.cost}", bar, draw.rect(axis.at(amount.value) - 4, y - 4, 8, 8, ink="dim"))


def _grid(field: Field, y: float) -> str:
    """Short strokes at the round numbers of both axes, a longer one at no gain."""
    size = field.layout.size - 1
    places = [
        p for axis, most in ((field.nats, 5), (field.costs, 3)) if axis for p, _ in axis.labelled(size, most)
    ]
    d = "".join(f"M{draw.number(p)} {draw.number(y - 9)}v18" for p in places)
    zero = f"M{draw.number(field.nats.at(0.0))} {draw.number(y - 11)}v22"
    return draw.path(d, ink="grid", width=1) + draw.path(zero, ink="dim", width=1.5)


def _whisker(axis: Axis, found: Estimate, y: float) -> str:
    a, b = (draw.number(axis.at(v)) for v in (found.low, found.high))
    return f"M{a} {draw.number(y)}H{b}M{a} {draw.number(y - 4)}v8M{b} {draw.number(y - 4)}v8"


def _axes(field: Field, y: float) -> Iterator[str]:
    """Round numbers below the rows, and what they count."""
    size = field.layout.size - 1
    titles = (
        (field.nats, 5, "gain, nats (90 % interval)"),
        (field.costs, 3, f"cost, {field.unit[0]} (log)"),
    )
    for axis, most, title in titles:
        for place, label in axis.labelled(size, most) if axis else ():
            at = max(place, draw.wide(label, size) / 2)
            yield draw.text(at, y, label, ink="dim", size=size, anchor="middle")
        if axis:
            yield draw.text(
                axis.start, y + 20, draw.fitted(title, axis.end - axis.start + 16, size), ink="dim", size=size
            )


def alt(gains: Sequence[Gain]) -> str:
    """The picture in words."""
    parts = "; ".join(f"{g.name}: {g.gain}{_paid(g)}" for g in gains)
    return f"What each remedy wins below the trend of now, and what it costs. {parts}."


def _paid(gain: Gain) -> str:
    if gain.cost is None:
        return ""
    if gain.cost.hours is not None:
        return f" for {duration(gain.cost.hours)}"
    return f" for {count(gain.cost.tokens)} tokens" if gain.cost.tokens else ""


def as_dict(gains: Sequence[Gain]) -> dict[str, Any]:
    """The remedies as data."""
    rows = [
        {
            "name": g.name,
            "supported": g.sure,
            "gain": g.gain.as_dict(),
            "tokens": g.cost.tokens if g.cost else None,
            "hours": g.cost.hours.as_dict() if g.cost and g.cost.hours else None,
        }
        for g in gains
    ]
    return {"kind": "remedies", "unit": "nats", "rows": rows}
