"""Runs side by side, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..comparison import BASES, Comparison, Equal, Told
from ..cost import SPANS
from ..errors import printable
from ..estimate import Estimate
from ..settings import Setting
from ..units import count
from .json import plain
from .lines import WIDTH, Line, render
from .redact import redacted, shown_value

SCHEMA = "unplateau.comparison/1"
CELL = 15  # columns of a loss with its error
SHOWN = 24  # settings that are shown


def text(found: Comparison, *, width: int = WIDTH, colour: bool = False) -> str:
    """A row a run, the losses at equal amounts in columns; a paragraph a run where the terminal is too narrow."""
    return render(_lines(found, width), width, colour=colour)


def _lines(found: Comparison, width: int) -> Iterator[Line]:
    for i, one in enumerate(found.told, 1):
        yield Line(f"{i:>2}  {redacted(one.name)}: {done(one)}", hang=4)
    yield Line()
    yield Line(f"LOSS ({found.told[0].series}, {found.unit}; +- half a 90 % interval)", "title")
    room = width - CELL * (len(found.equal) + 1) - 4
    yield from _table(found, room) if room >= 0 else _paragraphs(found)
    for sentence in said(found):
        yield Line(sentence, hang=2)
    for base, why in found.unequal.items():
        yield Line(f"not at equal {base}: {why}", "doubt", hang=2)
    yield Line()
    yield Line("WHAT DIFFERS" if found.differs else "Nothing differs that their configs say.", "title")
    for setting in found.differs[:SHOWN]:
        yield Line(setting_of(setting), indent=2, hang=4)
    if len(found.differs) > SHOWN:
        yield Line(f"and {len(found.differs) - SHOWN} more: --json has all", "dim", indent=2)
    for warning in found.warnings:
        yield Line(f"warning: {redacted(warning)}", "doubt", hang=2)


def done(one: Told) -> str:
    """How far a run goes."""
    amounts = (amount_of(base, one.end * one.per_step[base]) for base in BASES if base in one.per_step)
    return ", ".join([f"{one.end:,} steps", *amounts])


def amount_of(base: str, amount: float) -> str:
    """An amount in words.

    >>> amount_of("tokens", 7.6e9), amount_of("time", 7200), amount_of("FLOPs", 1.23e18), amount_of("steps", 1000)
    ('7.60B tokens', '2 h', '1.23e+18 FLOPs', '1,000 steps')
    """
    if base == "time":
        hours = amount / 3600
        times, unit = next((t, unit) for most, t, unit in (*SPANS, (float("inf"), 1, "h")) if hours <= most)
        return f"{hours * times:,.3g} {unit}"
    if base == "FLOPs":
        return f"{amount:.3g} FLOPs"
    return f"{amount:,.0f} steps" if base == "steps" else f"{count(amount)} tokens"


def _table(found: Comparison, room: int) -> Iterator[Line]:
    titles = ["at the end", *(f"equal {equal.base}" for equal in found.equal)]
    yield Line(f"{'':{room + 4}}" + "".join(f"{title:>{CELL}}" for title in titles), "dim", whole=True)
    for i, one in enumerate(found.told):
        cells = [one.loss(one.end), *(equal.losses[i] for equal in found.equal)]
        best = any(equal.lowest == i for equal in found.equal)
        name = printable(redacted(one.name), max(room - 1, 1)) if room > 1 else ""
        row = f"{i + 1:>2}  {name:<{room}}" + "".join(f"{cell(loss):>{CELL}}" for loss in cells)
        yield Line(row, "good" if best else "", whole=True)


def cell(loss: Estimate | None) -> str:
    """A loss and half of its interval.

    >>> cell(Estimate(2.9367, 2.9267, 2.9467, "nats")), cell(None)
    ('2.937 +-0.010', '?')
    """
    if loss is None:
        return "?"
    places = min(max(loss.places, 2), 4)
    return f"{loss.value:.{places}f} +-{(loss.high - loss.low) / 2:.{places}f}"


def _paragraphs(found: Comparison) -> Iterator[Line]:
    for i, one in enumerate(found.told):
        said = [f"{cell(one.loss(one.end))} at the end"]
        said += [f"{cell(equal.losses[i])} at equal {equal.base}" for equal in found.equal]
        yield Line(f"{i + 1:>2}  {'; '.join(said)}", hang=4)


def said(found: Comparison) -> list[str]:
    """Which run is lowest at equal amounts of each; that none can be called so, where the text is not alike."""
    if found.unlike:
        return [f"no run is called better: {redacted(found.unlike)}"]
    return [said_of(equal) for equal in found.equal]


def said_of(equal: Equal) -> str:
    """Which is lowest, in a sentence."""
    head = f"at equal {equal.base} ({amount_of(equal.base, equal.amount)}) "
    if equal.lowest is None or sum(loss is not None for loss in equal.losses) < 2:
        return head + "only one run has a loss"
    ties = ", ".join(str(i + 1) for i in equal.ties)
    behind = f"; {ties} within its noise" if ties else ""
    return f"{head}run {equal.lowest + 1} is lowest{behind}"


def setting_of(setting: Setting) -> str:
    """A setting with its values, and the numbers of the runs that have each.

    >>> setting_of(Setting("n_embd", (192, 1280, 192, None), "n_embd"))
    'n_embd: 192 (1, 3), 1280 (2), not known (4)'
    """
    held: dict[str, list[int]] = {}
    for i, value in enumerate(setting.values, 1):
        held.setdefault(shown_setting(setting, value), []).append(i)
    values = ", ".join(f"{value} ({', '.join(map(str, places))})" for value, places in held.items())
    return f"{setting.name}: {values}"


def shown_setting(setting: Setting, value: Any) -> str:
    """A run's value of a setting as it may be shown."""
    return "not known" if value is None else printable(str(shown_value(setting.canonical, value)), 60)


def comparison(found: Comparison) -> dict[str, Any]:
    """``compare --json``."""
    told = {
        "schema": SCHEMA,
        "series": found.told[0].series,
        "unit": found.unit,
        "runs": [_run(one) for one in found.told],
        "equal": [_equal(equal) for equal in found.equal],
        "unequal": found.unequal,
        "differs": {
            one.name: [shown_value(one.canonical, value) for value in one.values] for one in found.differs
        },
        "warnings": list(found.warnings),
        **({"unlike": found.unlike} if found.unlike else {}),
    }
    out: dict[str, Any] = plain(told)
    return out


def _run(one: Told) -> dict[str, Any]:
    amounts = {base: one.end * one.per_step[base] if base in one.per_step else None for base in BASES}
    return {
        "name": one.name,
        "step": one.end,
        "tokens": amounts["tokens"],
        "seconds": amounts["time"],
        "flops": amounts["FLOPs"],
        "loss": one.loss(one.end).as_dict(),
    }


def _equal(equal: Equal) -> dict[str, Any]:
    return {
        "equal": equal.base,
        "amount": equal.amount,
        "unit": BASES.get(equal.base, equal.base),
        "losses": _losses(equal.losses),
        "steps": list(equal.steps),
        "lowest": equal.lowest,
        "ties": list(equal.ties),
    }


def _losses(losses: Sequence[Estimate | None]) -> list[Any]:
    return [None if loss is None else loss.as_dict() for loss in losses]
