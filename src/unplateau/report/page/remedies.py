"""What to do: each remedy as a change of the user's own config, with what it wins and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...hypotheses import Finding, Remedy
from ...run import Run
from ..patch import own_patch, setting, unsayable
from ..remedies import by_rate, doubt, rate
from .figure import drawn
from .html import Html, join, tag
from .parts import Section, mark, number, pairs
from .view import View

GAIN = "Gain: the trend of now less the loss afterwards."
ORDER = "First what mends a supported cause, then what may be worth it; of each, what wins most for its cost comes first."


def section(view: View) -> Iterator[Section]:
    """The remedies, the best for its cost first."""
    found = by_rate(view.found)
    if not found:
        return
    items = [
        tag("li", _remedy(view, finding, finding.remedy), id=view.id("remedy", finding.cause))
        for finding in found
        if finding.remedy
    ]
    yield Section(
        view.id("remedies"),
        "What to do",
        join(_lead(found), drawn(view, "remedies"), tag("ol", *items, class_="remedies")),
        "remedies-part",
    )


def _lead(found: Sequence[Finding]) -> Html | None:
    """What a gain is, and how they are ordered, where there are any, and several."""
    priced = any(finding.remedy and finding.remedy.gain for finding in found)
    said = [GAIN] * priced + [ORDER] * (len(found) > 1)
    return tag("p", " ".join(said), class_="note") if said else None


def _remedy(view: View, finding: Finding, remedy: Remedy) -> Html:
    run = view.found.run
    advice = remedy.advice or ("change the config" if remedy.patch else "")
    heading = tag(
        f"h{view.level + 2}",
        f"{advice[:1].upper()}{advice[1:]}" if advice else finding.cause,
    )
    cause = tag("a", finding.cause, href=f"#{view.id('cause', finding.cause)}")
    why = tag("p", "against ", cause, doubt(finding), " ", mark(finding), class_="why")
    worth = rate(remedy, run)
    facts = (
        ("gain", number(remedy.gain) if remedy.gain else "no law prices it"),
        ("the gain is", remedy.basis),
        ("cost", remedy.cost),
        ("for its cost", number(worth) if worth else None),
        ("risk", remedy.risk),
        ("note", unsayable(run, remedy.patch)),
    )
    return join(heading, why, _patch(run, remedy), pairs(facts, "facts"))


def _patch(run: Run, remedy: Remedy) -> Html | None:
    """The lines of the user's config that change."""
    changes = own_patch(run, remedy.patch)
    if not changes:
        return None
    lines = (
        tag("span", f"{key} = {setting(new)}", tag("span", f"    # was {setting(old)}", class_="was"), "\n")
        for key, (old, new) in changes.items()
    )
    return tag("pre", tag("code", *lines))
