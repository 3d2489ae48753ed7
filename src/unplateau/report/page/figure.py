"""Pictures on the page: static SVG that a script may bring to life with the numbers beside it."""

from __future__ import annotations

from collections.abc import Iterator

from ..figures import Figure
from . import facts
from .html import Html, join, trusted
from .parts import Section
from .view import View


def drawn(view: View, name: str) -> Html | None:
    """The picture of that name, where the run has one."""
    figure = view.figure(name)
    return None if figure is None else embedded(figure)


def embedded(figure: Figure) -> Html:
    """A picture with its caption; report/figures escapes what it draws and the data beside it."""
    return trusted(figure.html)


def section(view: View) -> Iterator[Section]:
    """The curve, and its pieces in numbers."""
    body = join(drawn(view, "curve"), facts.phases(view))
    if body:
        yield Section(view.id("curve"), "The curve", body)
