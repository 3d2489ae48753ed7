"""What could not be tested and why, and what this log can't tell whoever reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...hypotheses import Finding
from ..headline import how, of, wanted_facts, wanted_probes
from .html import Child, Html, join, tag
from .parts import Section, folded, listed, table
from .view import View

MANY = 8  # rows, or items: of more those that follow are folded, so that what was tested is not buried


def section(view: View) -> Iterator[Section]:
    """Not tested because ...; what to send; what can't be told."""
    parts = [part for part in (_untested(view), _wanted(view), _cannot(view)) if part]
    if parts:
        yield Section(view.id("unknown"), "What this can’t tell you", join(*parts), "unknown-part")


def _title(view: View, words: str) -> Html:
    return tag(f"h{view.level + 2}", words)


def _untested(view: View) -> Html | None:
    """Each cause that could not be tested, and what it lacks."""
    untested = of(view.found.findings, "untestable")
    if not untested:
        return None
    rows = [_because(view, finding) for finding in untested]
    heads = ("cause", "claim", "not tested because this is missing")
    made = table("Causes that could not be tested", heads, rows, kind="untested")
    if len(rows) > MANY:
        made = folded(f"{len(rows)} causes, with what each lacks", made)
    return join(_title(view, "Not tested, because …"), made)


def _because(view: View, finding: Finding) -> tuple[Child, Child, Child]:
    name = tag("span", finding.cause, id=view.id("cause", finding.cause), class_="name")
    probe = [f"or a probe: {' or '.join(finding.probes)}"] if finding.probes else []
    lacks = [how(item) for item in finding.missing] + probe
    return name, view.claims.get(finding.cause, ""), listed(lacks) or "its facts"


def _wanted(view: View) -> Html | None:
    """What to send, the most useful first, and the probes that would tell."""
    findings = view.found.findings
    asked: list[Child] = [
        join(how(item), ": would settle ", _names(view, causes)) for item, causes in wanted_facts(findings)
    ]
    asked += [
        join(f"a probe, {probe} (unplateau probe RUN): would settle ", _names(view, causes))
        for probe, causes in _by_probe(wanted_probes(findings))
    ]
    found, rest = listed(asked[:MANY]), listed(asked[MANY:])
    more = folded(f"{len(asked) - MANY} more", rest) if rest else None
    return join(_title(view, "What would settle more"), found, more) if found else None


def _by_probe(wanted: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Each probe once, with all causes that it would settle."""
    causes: dict[str, list[str]] = {}
    for probe, cause in wanted:
        causes.setdefault(probe, []).append(cause)
    yield from causes.items()


def _names(view: View, causes: list[str]) -> Html:
    links = [tag("a", cause, href=f"#{view.id('cause', cause)}") for cause in causes]
    return join((", " if i else "", link) for i, link in enumerate(links))


def _cannot(view: View) -> Html | None:
    """What no law prices, and what one run can't split."""
    budget, ahead = view.found.budget, view.ahead
    rows = budget.rows if budget else ()
    said = [f"{row.name}: {row.note}" for row in rows if row.note and not (row.measured or row.rate)]
    said += [
        f"what {f.cause} costs: {f.unpriced}" for f in of(view.found.findings, "undecided") if f.unpriced
    ]
    said += ahead.unpriced if ahead is not None else ()
    said += ahead.refused if ahead is not None else ()
    said += [view.refused] if view.refused else []
    found = listed(dict.fromkeys(said))
    return join(_title(view, "What no law here can price"), found) if found else None
