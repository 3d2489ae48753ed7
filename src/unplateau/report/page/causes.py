"""Each cause with what speaks for it and against it, and where each number came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...hypotheses import Evidence, Finding
from ..headline import how, of
from ..patch import in_a_line
from ..remedies import by_rate
from .html import Child, Html, join, tag, text
from .parts import Section, listed, mark, number, pairs, sourced
from .view import View

#: what is told of, in this order; what is untestable has a section of its own
TOLD = ("supported", "undecided", "refuted")
LEAD = (
    "Each cause was tested by itself. The evidence is what was measured; after it stands where the number came from. "
    "What a cause costs is against the same steps without it."
)


def section(view: View) -> Iterator[Section]:
    """The causes that could be tested, by verdict."""
    groups = [(verdict, of(view.found.findings, verdict)) for verdict in TOLD]
    if not any(findings for _, findings in groups):
        return
    parts: list[Child] = [tag("p", LEAD, class_="note")]
    for verdict, findings in groups:
        if findings:
            title = f"{verdict[0].upper()}{verdict[1:]} ({len(findings)})"
            parts.append(tag(f"h{view.level + 2}", title))
            parts += [_cause(view, finding) for finding in findings]
    yield Section(view.id("causes"), "The causes, tested", join(*parts), "causes-part")


def _cause(view: View, finding: Finding) -> Html:
    """One cause, open where it is supported or named in the first line."""
    shown = finding.verdict == "supported" or finding is view.found.first
    summary = tag(
        "summary",
        tag("span", finding.cause, class_="name"),
        " ",
        mark(finding),
        tag("span", view.claims.get(finding.cause, ""), class_="claim"),
    )
    return tag(
        "details",
        summary,
        tag("div", *_body(view, finding), class_="body"),
        id=view.id("cause", finding.cause),
        class_="cause",
        open=shown,
    )


def _body(view: View, finding: Finding) -> Iterator[Child]:
    yield _evidence("For it", [e for e in finding.evidence if e.points == "for"])
    yield _evidence("Against it", [e for e in finding.evidence if e.points == "against"])
    yield pairs(
        (
            ("costs", number(finding.effect) if finding.effect else None),
            ("the cost is", finding.basis),
            ("its effect", finding.unpriced),
            ("would settle it", listed(_settles(finding))),
            ("remedy", _remedy(view, finding)),
        ),
        "facts",
    )


def _evidence(title: str, evidence: Sequence[Evidence]) -> Html | None:
    if not evidence:
        return None
    items = (sourced(e.fact, e.source) for e in evidence)
    return join(tag("p", title, class_="way"), listed(items))


def _settles(finding: Finding) -> Iterator[str]:
    """What would settle it, as the text report asks for it."""
    if finding.verdict == "undecided":
        yield from map(how, finding.missing)
    if finding.probes:
        yield f"a probe, {' or '.join(finding.probes)} (unplateau probe RUN)"


def _remedy(view: View, finding: Finding) -> Html | None:
    """A link to it where it is told of; else what it changes: no law says that this is worth anything."""
    remedy = finding.remedy
    if remedy is None or finding.verdict == "refuted":
        return None
    words = remedy.advice or in_a_line(view.found.run, remedy.patch)
    if not words or finding not in by_rate(view.found):
        return text(words) if words else None
    return tag("a", words, href=f"#{view.id('remedy', finding.cause)}")
