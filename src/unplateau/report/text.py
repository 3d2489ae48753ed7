"""A diagnosis in words: the verdict first, then causes, what to do, what is missing, facts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..budget import happened
from ..diagnosis import Diagnosis
from ..hypotheses import Finding, Remedy
from ..run import Run
from ..state import State
from .budget import budget_lines, forecast_line, runner_up_line
from .chart import HEIGHT, chart
from .facts import fact_lines, short_facts, warning_lines
from .headline import headline, how, named, of, suspected, wanted_facts, wanted_probes
from .lines import WIDTH, Line, render
from .patch import own_patch, setting
from .redact import redacted
from .remedies import chosen, doubt

SHORT = 60  # lines; what fits on a screen and a half
E = 10**6  # entries; no run has so many
BESIDE = ("train_loss", "batch_loss")  # the second curve of the chart
SHOWN = 16  # the chart shows the last sixteenth to the end: four doublings; before that the loss only falls


@dataclass(frozen=True, slots=True)
class Limits:
    """How many entries of each part are shown; the rest is counted, and ``-v`` shows it."""

    causes: int  # supported ones in full
    evidence: int  # facts of a cause
    undecided: int
    refuted: int
    remedies: int
    missing: int
    contradictions: int
    warnings: int
    rows: int  # of a sentence that is not of the first importance; 0 is all
    height: int = HEIGHT  # of the chart


ALL = Limits(E, E, E, E, E, E, E, E, rows=0)
#: the short form, and shorter ones for a run with so much wrong that it would pass ``SHORT`` lines
BRIEF = (
    Limits(3, 3, 4, 8, 3, 5, 4, 3, rows=2),
    Limits(3, 2, 3, 6, 3, 4, 3, 2, rows=2, height=9),
    Limits(2, 2, 3, 4, 3, 3, 3, 2, rows=1, height=9),
    Limits(1, 2, 2, 3, 3, 2, 2, 1, rows=1, height=7),
    Limits(1, 2, 2, 1, 3, 2, 1, 1, rows=1, height=7),
    Limits(1, 2, 2, 1, 3, 1, 1, 1, rows=1, height=5),
    Limits(1, 2, 0, 1, 3, 1, 1, 1, rows=1, height=5),
    Limits(1, 2, 2, 0, 3, 1, 1, 1, rows=1, height=5),
    Limits(1, 2, 2, 0, 2, 1, 1, 1, rows=1, height=5),
    Limits(1, 2, 2, 0, 1, 1, 1, 1, rows=1, height=5),
)
#: one cause may have three numbers: its row of the budget is its whole share of the loss, these answer other questions
COSTS, GAINS = (
    " (costs: against the same steps without it)",
    " (gain: the trend now less the loss afterwards)",
)
INK = {"supported": "bad", "undecided": "doubt", "refuted": "good", "untestable": "dim"}


def text(
    found: Diagnosis,
    *,
    claims: Mapping[str, str] | None = None,
    width: int = WIDTH,
    colour: bool = False,
    verbose: bool = False,
) -> str:
    """The report of one run. ``claims``: what each cause says, by its name."""
    claims = claims or {}
    for limits in (ALL,) if verbose else BRIEF:
        said = render(_report(found, claims, limits, width), width, colour=colour)
        if said.count("\n") <= SHORT:
            break
    return said


def _report(found: Diagnosis, claims: Mapping[str, str], limits: Limits, width: int) -> Iterator[Line]:
    verbose = limits is ALL
    parts = [
        _title(found, claims),
        (Line(row, whole=True) for row in loss_chart(found.run, found.state, width, limits.height)),
        _causes(found, claims, limits),
        budget_lines(found, verbose=verbose),
        _remedies(found, limits),
        _missing(found.findings, limits),
        fact_lines(found.run) if verbose else short_facts(found.run),
        _phases(found.state) if verbose else (),
        _contradictions(found, limits),
        warning_lines(found.run, limits.warnings, limits.rows),
    ]
    return _spaced([list(part) for part in parts])


def _spaced(parts: Sequence[Sequence[Line]]) -> Iterator[Line]:
    """The parts that have lines, an empty line between them."""
    for i, part in enumerate(p for p in parts if p):
        if i:
            yield Line()
        yield from part


def _title(found: Diagnosis, claims: Mapping[str, str]) -> Iterator[Line]:
    yield Line(f"{found.run.name} ({found.run.format or 'unknown format'})", "dim", most=1)
    yield Line(headline(found, claims), "title")
    yield from forecast_line(found)
    if said := counted_in(found.run):
        yield Line(said)


def counted_in(run: Run) -> str:
    """What a step is, where it is no optimiser step; else empty."""
    unit = run.get("step_unit")
    return f"The log has no optimiser steps: every step here is one of its {unit}." if unit else ""


def loss_chart(run: Run, state: State, width: int, height: int) -> list[str]:
    """The judged loss and one beside it, with a row that says which is which."""
    main = run.series.get(state.series)
    if main is None:
        return []
    beside = next((n for n in BESIDE if n in run.series and n != state.series), "")
    if beside and run.series[beside].unit != main.unit:
        beside = ""  # two units have no axis in common
    per_step = run.get("tokens_per_step")
    known = isinstance(per_step, (int, float)) and per_step > 0
    start = int(main.step[-1]) // SHOWN if len(main) else 0
    rows = chart(
        main.between(start, math.inf),
        run.series[beside].between(start, math.inf) if beside else None,
        float(per_step) if known else 1.0,
        "tokens" if known else "steps",
        width=width,
        height=height,
    )
    second = f", {beside} as +" if beside else ""
    legend = f"{state.series} as dots{second}; last 4 doublings of {'tokens' if known else 'steps'}"
    return [f"{'loss':>7} {legend}"[:width], *rows] if rows else []


def _causes(found: Diagnosis, claims: Mapping[str, str], limits: Limits) -> Iterator[Line]:
    """The cause that the headline names, the other supported ones, then the rest by verdict."""
    front = [found.first] if found.first else []
    others = [f for f in found.findings if f is not found.first]
    sure, unsure, against, unknown = (
        of(others, v) for v in ("supported", "undecided", "refuted", "untestable")
    )
    if found.findings:
        priced = any(f.effect for f in found.findings)
        yield Line("CAUSES" + (COSTS if priced else ""), "title")
    for finding in [*front, *sure][: limits.causes]:
        # the headline has said what the first one claims
        said = claims if limits is ALL or finding is not found.first else {}
        yield from _full(finding, said, limits)
        if finding is found.first:
            yield from runner_up_line(found)
    yield from _brief(sure[limits.causes - len(front) :], limits, 0)
    # what is plain to see and cost nothing is told before what only may be
    yield from _brief(sorted(unsure, key=lambda f: not happened(f)), limits, limits.undecided)
    yield from _brief(against, limits, limits.refuted)
    if unknown:
        names = ", ".join(f.cause for f in unknown)
        yield Line(f"untestable  {names}", "dim", hang=12, most=limits.rows and limits.rows + 1)


def _full(finding: Finding, claims: Mapping[str, str], limits: Limits) -> Iterator[Line]:
    costs = f", costs {finding.effect}{after(finding.basis)}" if finding.effect else ""
    costs += f"; effect: {finding.unpriced}" if finding.unpriced else ""
    yield Line(f"{finding.verdict:<10}  {named(finding)}{costs}", INK[finding.verdict], hang=12)
    if claim := claims.get(finding.cause):
        yield Line(claim, indent=12, hang=12)
    # the decisive evidence points the way of the verdict
    way = "against" if finding.verdict == "refuted" else "for"
    ordered = sorted(finding.evidence, key=lambda e: e.points != way)
    for evidence in ordered[: limits.evidence]:
        sign = "+" if evidence.points == "for" else "-"
        source = f"  [{evidence.source}]" if limits is ALL else ""
        yield Line(f"{sign} {redacted(evidence.fact)}{source}", indent=12, hang=14)


def after(basis: str) -> str:
    """What a number rests on, behind it.

    >>> after("from 12 planted runs, left out by text"), after("")
    (', from 12 planted runs, left out by text', '')
    """
    return f", {basis}" if basis else ""


def _brief(findings: Sequence[Finding], limits: Limits, most: int) -> Iterator[Line]:
    """A line each, with the one number that decided; the rest by name. In full where all is asked for."""
    if limits is ALL:
        for finding in findings:
            yield from _full(finding, {}, limits)
        return
    if findings and most:
        yield Line(findings[0].verdict, INK[findings[0].verdict])
    for finding in findings[:most]:
        way = "against" if finding.verdict == "refuted" else "for"
        decisive = sorted(finding.evidence, key=lambda e: e.points != way)
        if happened(finding):
            decisive = list(finding.evidence[:1])
        name = named(finding) if finding.verdict == "undecided" else finding.cause
        said = f"{name}: {redacted(decisive[0].fact)}" if decisive else name
        # a refuted cause deserves one row, an open one what there is room for
        rows = 1 if finding.verdict == "refuted" else limits.rows
        yield Line(said, INK[finding.verdict], indent=2, hang=4, most=rows)
    if more := ", ".join(named(f) if f.verdict == "undecided" else f.cause for f in findings[most:]):
        verdict = findings[0].verdict
        if most:
            yield Line(f"also {more}", INK[verdict], indent=2, hang=4, most=2)
        else:
            yield Line(f"{verdict:<10}  {more}", INK[verdict], hang=12, most=2)


def _remedies(found: Diagnosis, limits: Limits) -> Iterator[Line]:
    told = chosen(found)
    if told:
        won = any(f.remedy and f.remedy.gain for f in told)
        yield Line("WHAT TO DO" + (GAINS if won else ""), "title")
    for finding in told[: limits.remedies]:
        if finding.remedy:
            unsure = doubt(finding)
            yield from _remedy(finding.remedy, finding.cause + unsure, found.run, limits, sure=not unsure)


def _remedy(remedy: Remedy, cause: str, run: Run, limits: Limits, *, sure: bool) -> Iterator[Line]:
    advice = f": {remedy.advice}" if remedy.advice else ""
    yield Line(f"{cause}{advice}", indent=2, hang=4, most=limits.rows and limits.rows + 1)
    patch = own_patch(run, remedy.patch).items()
    for key, (old, new) in patch if sure or not limits.rows else ():
        yield Line(f"{key} = {setting(new)}    # was {setting(old)}", "good", indent=4, hang=6)
    if patch and limits.rows and not sure:  # of an option a row is enough
        yield Line(", ".join(f"{key} = {setting(new)}" for key, (_, new) in patch), "good", indent=4, hang=6)
    gain = f"{remedy.gain}{after(remedy.basis)}" if remedy.gain else ""
    price = [
        f"{word}: {said}"
        for word, said in (("gain", gain), ("cost", remedy.cost), ("risk", remedy.risk))
        if said
    ]
    if price:
        yield Line("; ".join(price), "dim", indent=4, hang=4)


def _missing(findings: Sequence[Finding], limits: Limits) -> Iterator[Line]:
    wanted, probes = wanted_facts(findings), wanted_probes(suspected(findings))
    if wanted or probes:
        or_else = (
            f"; or unplateau probe: {', '.join(dict.fromkeys(name for name, _ in probes))}" if probes else ""
        )
        title = f"WHAT IS MISSING{part_of(len(wanted), limits.missing)}"
        yield Line(title + ("" if limits is ALL else or_else), "title", most=limits.rows and 1)
    for item, causes in wanted[: limits.missing]:
        yield Line(f"{how(item)}: would settle {', '.join(causes)}", indent=2, hang=4, most=limits.rows)
    for probe, cause in wanted_probes(findings) if limits is ALL else ():
        yield Line(f"a probe, {probe} (unplateau probe RUN): would settle {cause}", indent=2, hang=4)


def part_of(there: int, shown: int) -> str:
    """For a title whose part is cut.

    >>> part_of(7, 2), part_of(2, 2)
    (' (2 of 7; all with -v)', '')
    """
    return f" ({shown} of {there}; all with -v)" if there > shown else ""


def _phases(state: State) -> Iterator[Line]:
    if state.phases:
        yield Line("PHASES", "title")
    for p in state.phases:
        drop = f"{p.loss_from:.3f} to {p.loss_to:.3f}"
        rates = f"{p.per_1000_steps:+.2g} per 1,000 steps, {p.per_doubling:+.2g} per doubling"
        yield Line(f"steps {p.first:,} to {p.last:,}: {drop}; {rates}", indent=2, hang=4)
    for b in state.bumps:
        yield Line(
            f"bump at step {b.step:,}: +{b.size:.3f}, {b.errors:.1f} standard errors", indent=2, hang=4
        )


def _contradictions(found: Diagnosis, limits: Limits) -> Iterator[Line]:
    if found.contradictions:
        yield Line(f"CONTRADICTIONS{part_of(len(found.contradictions), limits.contradictions)}", "title")
    for c in found.contradictions[: limits.contradictions]:
        source = f"  [{c.source}]" if c.source and limits is ALL else ""
        yield Line(f"{redacted(c.fact)}{source}", "doubt", indent=2, hang=4, most=limits.rows)
