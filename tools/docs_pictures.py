"""The pictures of the docs: those that a report draws, of the run that comes with the package.

Each has a wide and a narrow layout; both follow the reader's light or dark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from html import escape
from pathlib import Path

from unplateau.asked import asks_of
from unplateau.diagnosis import diagnose
from unplateau.futures import forecast
from unplateau.reading import read_runs
from unplateau.report.figures import Figure, figures_of

EXAMPLE = Path(__file__).parent.parent / "src" / "unplateau" / "examples" / "reference-run"
PLACE = "assets/pictures"  # in docs/
SETS = ("cooldown=2000", "n_embd=768")  # the futures that docs/story.md asks about
NARROW = 600  # CSS pixels of the window; below it the narrow layout is shown
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
OFF = 1.0  # units of a picture, by which a number may differ on another machine: its last digit is no news


@cache
def figures() -> dict[str, Figure]:
    """By their names in the docs: ``curve``, ``health``, ``budget``, ``remedies``, and ``futures``."""
    (run,) = read_runs(EXAMPLE)
    found = diagnose(run)
    ahead = forecast(run, asks_of(SETS, run))
    named = {figure.name: figure for figure in figures_of(found)}
    return named | {"futures": next(f for f in figures_of(found, ahead) if f.name == "curve")}


def files() -> dict[str, str]:
    """Path in docs/ -> the SVG that belongs there."""
    found = {}
    for name, figure in figures().items():
        found[f"{PLACE}/{name}.svg"] = figure.svg
        found[f"{PLACE}/{name}-narrow.svg"] = replace(figure, wide=figure.narrow).svg
    return found


def shown(name: str, up: str = "") -> Iterator[str]:
    """A picture in a page, as HTML that GitHub and the site take alike. ``up``: the way to docs/."""
    figure, place = figures()[name], f"{up}{PLACE}/{name}"
    yield "<picture>"
    yield f'<source media="(max-width: {NARROW}px)" srcset="{place}-narrow.svg">'
    yield f'<img src="{place}.svg" alt="{escape(figure.alt)}">'
    yield "</picture>"


def alike(one: str, other: str) -> bool:
    """True where two pictures differ by no more than the last digits of numbers.

    >>> alike('<path d="M1.0 2">', '<path d="M1.1 2">'), alike('<path d="M1.0 2">', '<path d="M9.0 2">')
    (True, False)
    """
    if NUMBER.sub("#", one) != NUMBER.sub("#", other):
        return False
    return all(abs(a - b) <= OFF for a, b in zip(_numbers(one), _numbers(other), strict=True))


def _numbers(svg: str) -> Iterable[float]:
    return (float(number) for number in NUMBER.findall(svg))
