"""A diagnosis as trackers hold things: numbers by their tags, a flat summary, a table of the findings."""

from __future__ import annotations

from typing import Any

from ..diagnosis import Diagnosis
from ..estimate import Estimate
from ..futures import Forecast
from ..hypotheses import Finding
from ..report.causes import claims
from ..report.headline import headline
from ..report.json import clean
from ..report.text import text
from ._shown import PREFIX, Shown


def shown(found: Diagnosis, ahead: Forecast | None = None) -> Shown:
    """``found``, and the forecast ``ahead`` if given, as trackers hold it."""
    return Shown(
        step_of(found),
        numbers(found, ahead),
        summary(found, ahead),
        rows(found),
        text(found, claims=claims()),
    )


def step_of(found: Diagnosis) -> int:
    """The last logged step."""
    return int(found.run.get("steps_done") or 0)


def numbers(found: Diagnosis, ahead: Forecast | None = None) -> dict[str, float]:
    """What is a number, by its tag: how sure each cause is, the budget in nats, what is forecast."""
    told = {
        f"{PREFIX}/probability/{f.cause}": f.probability for f in found.findings if f.probability is not None
    }
    if found.state.slope is not None:
        told[f"{PREFIX}/slope"] = found.state.slope.value
    for row in found.budget.rows if found.budget is not None else ():
        told[f"{PREFIX}/budget/{clean(row.name)}"] = row.nats.value
    for name, _, value in forecasts(found, ahead):
        for end, number in (("", value.value), (" low", value.low), (" high", value.high)):
            told[f"{PREFIX}/forecast/{clean(name)}{end}"] = number
    return told


def forecasts(found: Diagnosis, ahead: Forecast | None) -> list[tuple[str, int, Estimate]]:
    """Name, step and loss of each future; without ``ahead`` what the diagnosis says of the planned end."""
    if ahead is not None:
        return [(future.name, future.step, future.loss) for future in ahead.futures]
    return [] if found.planned is None else [("as planned", *found.planned)]


def summary(found: Diagnosis, ahead: Forecast | None = None) -> dict[str, Any]:
    """The verdict in words beside ``numbers``."""
    first = found.first
    words: dict[str, Any] = {
        "step": step_of(found),
        "curve": found.state.verdict,
        "verdict": clean(headline(found, claims())),
        "cause": first.cause if first is not None else "",
        "advice": clean(_advice(first)) if first is not None else "",
        "supported": ", ".join(f.cause for f in found.findings if f.verdict == "supported"),
    }
    steps = {f"forecast/{clean(name)} step": step for name, step, _ in forecasts(found, ahead)}
    return {**{f"{PREFIX}/{key}": value for key, value in (words | steps).items()}, **numbers(found, ahead)}


def _advice(finding: Finding) -> str:
    return finding.remedy.advice if finding.remedy is not None and finding.remedy.advice else ""


def rows(found: Diagnosis) -> list[list[Any]]:
    """A row a finding that is not untestable, in their rank; the columns are ``COLUMNS``."""
    return [_row(finding) for finding in found.findings if finding.verdict != "untestable"]


def _row(finding: Finding) -> list[Any]:
    chance = None if finding.probability is None else round(finding.probability, 3)
    costs = "" if finding.effect is None else str(finding.effect)
    evidence = "; ".join(clean(one.fact) for one in finding.evidence)
    return [finding.cause, finding.verdict, chance, costs, evidence, clean(_advice(finding))]
