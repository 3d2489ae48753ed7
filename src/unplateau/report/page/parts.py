"""Pieces that all sections are made of: sections themselves, tables, lists, marks of a verdict, links to causes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...diagnosis import READINGS
from ...estimate import Estimate
from ...hypotheses import Finding
from ..headline import chance
from .html import Child, Html, join, tag, text

#: a verdict is told by its sign and its word, never by colour alone
SIGNS = {"supported": "●", "undecided": "◐", "refuted": "○", "untestable": "–"}

#: kinds of tables that become a block a row in a narrow window: their cells bear the words of the head (page.css)
STACKED = ("futures", "losses")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page under a heading of its own. ``id``: what the table of contents links to; ``kind``: its class."""

    id: str
    title: str
    body: Html
    kind: str = ""

    def html(self, level: int) -> Html:
        """The part, its heading first."""
        heading = tag(f"h{level}", self.title, id=f"{self.id}-title")
        return tag(
            "section",
            heading,
            self.body,
            id=self.id,
            class_=self.kind or None,
            aria_labelledby=f"{self.id}-title",
        )


def table(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[Child]],
    *,
    foot: Sequence[Child] = (),
    kind: str = "",
) -> Html:
    """A table whose first column names the row. ``kind``: its class. Wider than the window, it scrolls by itself."""
    head = tag("tr", *(tag("th", word, scope="col") for word in heads))
    words = heads if kind in STACKED else ()
    body = join(_row(row, words) for row in rows)
    found = tag(
        "table",
        tag("caption", caption),
        tag("thead", head),
        tag("tbody", body),
        tag("tfoot", _row(foot)) if foot else None,
        class_=kind or None,
    )
    return tag("div", found, class_="scrolls", role="region", aria_label=caption, tabindex="0")


def _row(cells: Sequence[Child], heads: Sequence[str] = ()) -> Html:
    """A row; with ``heads`` each cell bears its own."""
    first, *others = cells
    words = heads[1:] or [""] * len(others)
    made = (tag("td", cell, data_head=word or None) for cell, word in zip(others, words, strict=True))
    return tag("tr", tag("th", first, scope="row"), *made)


def listed(items: Iterable[Child], name: str = "ul", kind: str | None = None) -> Html | None:
    """A list; nothing where it has no items."""
    made = [tag("li", item) for item in items]
    return tag(name, *made, class_=kind) if made else None


def pairs(items: Iterable[tuple[Child, Child]], kind: str | None = None) -> Html | None:
    """Words and what they stand for; nothing where there are none."""
    made = [tag("div", tag("dt", word), tag("dd", said)) for word, said in items if said]
    return tag("dl", *made, class_=kind) if made else None


def folded(title: str, *children: Child) -> Html:
    """What one opens to see; on paper it is open."""
    return tag("details", tag("summary", title), *children)


def mark(finding: Finding) -> Html:
    """The verdict on a cause, with how sure it is; a mere reading of the curve accuses nobody, and is in no colour."""
    verdict = finding.verdict
    kind = "reading" if finding.cause in READINGS else verdict
    sign = tag("span", SIGNS[verdict], aria_hidden="true", class_="sign")
    return tag("span", sign, f" {verdict}{chance(finding)}", class_=f"mark {kind}")


def number(estimate: Estimate) -> Html:
    """A value, its unit, and its interval as an aside.

    >>> number(Estimate(0.031, 0.024, 0.039, "nats"))
    '<span class="num">0.031</span> nats <span class="range">(0.024 to 0.039)</span>'
    """
    value, _, rest = str(estimate).partition(" ")
    unit, bracket, interval = rest.rpartition("(")
    return join(
        tag("span", value, class_="num"), f" {unit.strip()} ", tag("span", bracket + interval, class_="range")
    )


def sourced(fact: str, source: str) -> Html:
    """A fact, and where it came from.

    >>> sourced("the rate is 0", "log line 3")
    'the rate is 0 <span class="source">[log line 3]</span>'
    """
    return join(fact, " ", tag("span", f"[{source}]", class_="source")) if source else text(fact)


def linked(words: str, targets: dict[str, str]) -> Html:
    """``words`` with each name that has a target as a link to it: the same words, easier to follow.

    >>> linked("Also: capacity (9%), <b>", {"capacity": "cause-capacity"})
    'Also: <a href="#cause-capacity">capacity</a> (9%), &lt;b&gt;'
    """
    if not targets:
        return text(words)
    names = "|".join(sorted(map(re.escape, targets), key=len, reverse=True))
    pieces = re.split(rf"(?<![\w-])({names})(?![\w-])", words)
    return join(
        tag("a", piece, href=f"#{targets[piece]}") if i % 2 else piece for i, piece in enumerate(pieces)
    )
