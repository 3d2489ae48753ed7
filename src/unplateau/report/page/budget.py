"""Where the loss goes: the waterfall, and the table that it is drawn from."""

from __future__ import annotations

from collections.abc import Iterator

from ..budget import Part, notes_of, parts_of, runner_up_line, total_of
from .figure import drawn
from .html import Html, join, tag
from .parts import Section, table
from .view import View

UNITS = "Parts of the loss, in nats per token. Each value is the mean of the same draws, so that the values add up to the loss; their intervals do not add."


def section(view: View) -> Iterator[Section]:
    """The budget, where a law explains a part of the loss."""
    budget = view.found.budget
    if budget is None or not budget.rows:
        return
    rows = [(_named(part), part.value, part.interval) for part in parts_of(budget)]
    total = total_of(view.found, budget)
    notes = [*notes_of(budget), *(line.text for line in runner_up_line(view.found))]
    yield Section(
        view.id("budget"),
        "Where the loss goes",
        join(
            drawn(view, "budget"),
            table(
                UNITS,
                ("part", "nats", "90% interval"),
                rows,
                foot=(total.name, total.value, total.interval),
                kind="budget",
            ),
            (tag("p", note, class_="note") for note in notes),
        ),
        "budget-part",
    )


def _named(part: Part) -> Html:
    """The part, and why it is not split further."""
    return join(part.name, tag("span", part.note, class_="aside") if part.note else None)
