"""What people usually say of such a run, answered; and where the run's own sources disagree."""

from __future__ import annotations

from collections.abc import Iterator

from ...diagnosis import SUSPECTED
from ...hypotheses import Finding
from ..headline import how
from .html import Child, Html, join, tag
from .parts import Section, folded, listed, mark, sourced, table
from .view import View


def section(view: View) -> Iterator[Section]:
    """Every claim with its answer, what is suspected most often first; then the contradictions."""
    findings = [f for f in sorted(view.found.findings, key=_place) if view.claims.get(f.cause)]
    untested = [_answered(view, finding) for finding in findings if finding.verdict == "untestable"]
    rows = [_answered(view, finding) for finding in findings if finding.verdict != "untestable"]
    heads = ("what people say", "answer", "because")
    parts: list[Child] = []
    if rows:
        said = "Claims about a plateau, those that are made most often first"
        parts.append(table(said, heads, rows, kind="claims"))
    if untested:
        rest = table("Claims that could not be tested", heads, untested, kind="claims")
        parts.append(folded(f"{len(untested)} claims that this log can’t answer", rest))
    if found := _contradictions(view):
        parts += [tag(f"h{view.level + 2}", "Where the sources contradict each other"), found]
    if parts:
        yield Section(view.id("claims"), "Claims, answered", join(*parts))


def _place(finding: Finding) -> int:
    return SUSPECTED.index(finding.cause) if finding.cause in SUSPECTED else len(SUSPECTED)


def _answered(view: View, finding: Finding) -> tuple[Child, Child, Child]:
    claim = tag("a", view.claims[finding.cause], href=f"#{view.id('cause', finding.cause)}")
    return claim, mark(finding), _because(finding)


def _because(finding: Finding) -> str:
    """The evidence that decided: it points the way of the verdict; of what could not be tested, what is missing."""
    if finding.verdict == "untestable":
        return f"missing: {how(finding.missing[0])}" if finding.missing else ""
    way = "against" if finding.verdict == "refuted" else "for"
    decisive = sorted(finding.evidence, key=lambda e: e.points != way)
    return decisive[0].fact if decisive else ""


def _contradictions(view: View) -> Html | None:
    return listed(sourced(c.fact, c.source) for c in view.found.contradictions)
