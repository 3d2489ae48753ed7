"""What lies ahead: the loss at the planned end and in each other future, what it costs, and what that rests on."""

from __future__ import annotations

from collections.abc import Iterator

from ...futures import Forecast, Future
from ..forecast import COLUMNS, cells, label, named, notes_of, reached, title_of
from .html import Child, Html, join, tag
from .parts import Section, folded, listed, table
from .view import View


def section(view: View) -> Iterator[Section]:
    """The futures, where a law fits."""
    ahead = view.ahead
    if ahead is None:
        return
    rows = [_row(ahead, future) for future in ahead.futures]
    heads = ("future", *(title for title, _ in COLUMNS))
    parts: list[Child] = [
        tag("p", title_of(ahead)),
        table("Futures of this run", heads, rows, kind="futures"),
    ]
    parts.append(_reaches(ahead))
    assumed = listed(ahead.assumes)
    if assumed:
        parts.append(folded(f"What this rests on ({len(ahead.assumes)})", assumed))
    yield Section(view.id("futures"), "What lies ahead", join(*parts))


def _row(ahead: Forecast, future: Future) -> tuple[Child, ...]:
    notes = (tag("span", note, class_="aside") for note in notes_of(ahead, future))
    return join(named(ahead, future), notes), *cells(future)


def _reaches(ahead: Forecast) -> Html | None:
    """When each comes down to the loss that was asked for."""
    end = ahead.run.get("planned_end")
    return listed(
        f"{label(ahead, one)} reaches {one.reaches.loss:g}: {reached(one.reaches, one, end)}"
        for one in ahead.futures
        if one.reaches
    )
