"""Pictures on the page: static SVG that a script may bring to life with the numbers beside it."""

from __future__ import annotations

from collections.abc import Iterator

from ...run import LOSSES
from ...units import count
from ..figures import Figure
from . import facts
from .html import Html, join, tag, trusted
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
    """The curve, and its pieces in numbers; else why there is none."""
    picture = drawn(view, "curve") or tag("p", _without(view), class_="note")
    yield Section(view.id("curve"), "The curve", join(picture, facts.phases(view)))


def _without(view: View) -> str:
    """Why there is no curve."""
    run = view.found.run
    held = [(name, run.series[name]) for name in LOSSES if name in run.series]
    if not held:
        return "There is no curve to draw: the log holds no loss."
    if not any(len(curve.finite) for _, curve in held):
        steps = max(len(curve) for _, curve in held)
        return f"There is no curve to draw: none of the {count(steps)} logged losses is a number."
    said = ", ".join(f"{name} {curve.finite.last:.4g}" for name, curve in held if len(curve.finite))
    return f"There is no curve to draw: a curve takes two points at least, and the log holds one ({said})."
