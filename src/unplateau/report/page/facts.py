"""The facts with their sources, how the curve went in phases, what probes told, and the warnings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...evidence import Told, newest
from ...facts import VOCABULARY
from ...run import Fact
from ..facts import measured, ordered, short_facts
from ..probe import odds_of
from ..redact import shown_value
from .html import Child, Html, join, tag
from .parts import Section, folded, linked, listed, number, table
from .view import View


def facts(view: View) -> Iterator[Section]:
    """The few that one asks for first, then each with its source and its meaning."""
    run = view.found.run
    if not run.facts:
        return
    short = [line.text for line in short_facts(run)][1:]
    rows = [_row(name, fact) for name, fact in run.facts.items()]
    heads = ("fact", "value", "from", "meaning")
    every = folded(
        f"All facts ({len(rows)}), with where each came from", table("Facts", heads, rows, kind="known")
    )
    yield Section(view.id("facts"), "The facts", join((tag("p", line) for line in short), every))


def _row(name: str, fact: Fact) -> tuple[Child, ...]:
    shown = measured(replace(fact, value=shown_value(name, fact.value)))
    return name, shown, fact.source, VOCABULARY.get(name, ("", ""))[1]


def phases(view: View) -> Html | None:
    """The straight pieces of the curve and its bumps, for those who want the numbers of the picture."""
    state = view.found.state
    if not state.phases:
        return None
    rows = [
        (
            f"{p.first:,} to {p.last:,}",
            f"{p.loss_from:.3f} to {p.loss_to:.3f}",
            f"{p.per_doubling:+.2g}",
            f"{p.per_1000_steps:+.2g}",
        )
        for p in state.phases
    ]
    bumps = [f"bump at step {b.step:,}: +{b.size:.3f}, {b.errors:.1f} standard errors" for b in state.bumps]
    heads = ("steps", "loss", "per doubling", "per 1,000 steps")
    return folded(
        f"Its phases in numbers ({len(rows)})",
        table(
            f"Stretches over which {state.series} is a straight line in the logarithm of the step",
            heads,
            rows,
        ),
        listed(bumps),
    )


def probes(view: View) -> Iterator[Section]:
    """What experiments told, where any was run: the latest word of each."""
    told = newest(view.found.run.probed)
    if not told:
        return
    heads = ("probe", "cause", "what it told", "measured", "where")
    rows = [_told(view, one) for one in told]
    yield Section(view.id("probes"), "What probes told", table("Experiments on this run", heads, rows))


def _told(view: View, one: Told) -> tuple[Child, ...]:
    causes = {f.cause: view.id("cause", f.cause) for f in view.found.findings}
    fact = join(one.fact, "; ", odds_of(one.cause, one.log_odds))
    where = ", ".join(
        word for word in (one.source, f"step {one.step:,}" if one.step is not None else "", one.date) if word
    )
    return one.probe, linked(one.cause, causes), fact, number(one.contrast) if one.contrast else "", where


def warnings(view: View) -> Iterator[Section]:
    """What the reader met on the way, what changes the numbers first."""
    found = listed(ordered(view.found.run.warnings))
    if found:
        yield Section(view.id("warnings"), "Warnings", found)
