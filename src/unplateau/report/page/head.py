"""The head of a run's part: the verdict, the three numbers that matter, how it went from its start to now."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...cost import duration
from ...estimate import Estimate
from ...units import count
from ..budget import forecast_line, span
from ..headline import headline, step_of
from ..remedies import by_rate, price
from ..text import counted_in
from .figure import drawn
from .html import Child, Html, join, tag
from .parts import linked, number
from .view import View

MATTER = 3  # numbers beside the verdict
LEAST = 5e-4  # nats; a gain below it is none to any three decimals
NEAREST = 2  # decimals of a forecast at the least, as in the text report


def head(view: View) -> Html:
    """The run's name as the heading, then the verdict in the words of the text report."""
    found = view.found
    causes = {f.cause: view.id("cause", f.cause) for f in found.findings}
    notes = [line.text for line in forecast_line(found)] + [counted_in(found.run)]
    return tag(
        "header",
        tag("p", f"unplateau report, {found.run.format or 'unknown format'}", class_="kicker"),
        tag(f"h{view.level}", found.run.name, id=view.id("run")),
        tag("p", linked(headline(found, view.claims), causes), class_="verdict"),
        join(tag("p", note, class_="note") for note in notes if note),
        tag("dl", *_numbers(view), class_="numbers"),
        drawn(view, "health"),
    )


def _numbers(view: View) -> list[Html]:
    told = (*_now(view), *_end(view), *_won(view), *_slope(view), *_lowest(view), *_seen(view), *_noise(view))
    return [
        tag("div", tag("dt", word), tag("dd", value, class_="value"), tag("dd", note, class_="of"))
        for word, value, note in told[:MATTER]
    ]


#: what is shown, as: what it is, the number, what it is of
Number = tuple[str, Child, str]


def _now(view: View) -> Iterator[Number]:
    found = view.found
    curve = found.run.series.get(found.state.series)
    if curve is None or not len(curve):
        return
    tokens = found.run.get("tokens_seen")
    at = f"{found.state.series} at {step_of(found)} {int(curve.step[-1]):,}"
    at += f", {count(tokens)} tokens" if isinstance(tokens, (int, float)) else ""
    if not np.isfinite(curve.value[-1]):
        yield "Loss now", tag("span", "not a number", class_="num"), at
        return
    places = found.state.level.places if found.state.level else 4
    last = tag("span", f"{curve.last:.{places}f}", class_="num")
    yield "Loss now", join(last, f" {curve.unit}"), at


def _end(view: View) -> Iterator[Number]:
    found = view.found
    if found.planned is not None and found.planned[0] > int(found.run.get("steps_done") or 0):
        step, loss = found.planned
        value, _, interval = span(loss, max(NEAREST, loss.places)).partition(" ")
        shown = join(
            tag("span", value, class_="num"), f" {loss.unit} ", tag("span", interval, class_="range")
        )
        yield "At its planned end", shown, f"at {step_of(found)} {step:,}"


def _won(view: View) -> Iterator[Number]:
    for finding in by_rate(view.found):
        remedy = finding.remedy
        if remedy is None or remedy.gain is None or remedy.gain.value < LEAST:
            continue
        cost = price(remedy, view.found.run)
        hours = f", in {_short(cost.hours)}" if cost is not None and cost.hours is not None else ""
        unsure = "" if finding.verdict == "supported" else " if it is"
        yield "To be won", number(remedy.gain), f"{unsure.strip()} {finding.cause}{hours}".strip()
        return


def _short(hours: Estimate) -> str:
    time = duration(hours)
    return f"{time.value:.3g} {time.unit}"


def _slope(view: View) -> Iterator[Number]:
    slope = view.found.state.slope
    if slope is not None:
        amount = "tokens" if view.found.run.has("tokens_per_step") else f"{step_of(view.found)}s"
        yield "Slope now", number(slope), f"of {amount}, by {view.found.state.series}"


def _lowest(view: View) -> Iterator[Number]:
    """Where it was best, where that is not where it is."""
    curve = view.found.run.series.get(view.found.state.series)
    if curve is None or len(curve.finite) < 2:
        return
    best = int(np.argmin(curve.finite.value))
    if curve.finite.step[best] != curve.step[-1]:
        low = tag("span", f"{curve.finite.value[best]:.4g}", class_="num")
        yield (
            "Lowest",
            join(low, f" {curve.unit}"),
            f"at {step_of(view.found)} {int(curve.finite.step[best]):,}",
        )


def _seen(view: View) -> Iterator[Number]:
    """How much there is to judge by."""
    curve = view.found.run.series.get(view.found.state.series)
    if curve is not None and len(curve):
        shown = join(tag("span", f"{len(curve):,}", class_="num"), f" point{'s' * (len(curve) > 1)}")
        reach = f"{step_of(view.found)}s {int(curve.step[0]):,} to {int(curve.step[-1]):,}"
        yield "Logged", shown, f"of {view.found.state.series}, {reach}"


def _noise(view: View) -> Iterator[Number]:
    noise, curve = view.found.state.noise, view.found.run.series.get(view.found.state.series)
    if noise is not None and curve is not None:
        shown = join(tag("span", f"{noise:.2g}", class_="num"), f" {curve.unit}")
        yield "Noise", shown, f"standard deviation of one point of {view.found.state.series}"
