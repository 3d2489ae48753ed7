"""What a page shows of one run: its diagnosis, what lies ahead of it, its pictures, and the words for its causes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...diagnosis import Diagnosis
from ...futures import Forecast
from ..causes import claims
from ..figures import Figure, figures_of
from .html import slug


@dataclass(frozen=True, slots=True)
class View:
    """One run. ``refused``: why there is no forecast; ``place``: before its ids, where a page shows several runs.

    ``level``: of its heading; its parts have the next one.
    """

    found: Diagnosis
    claims: Mapping[str, str]
    ahead: Forecast | None = None
    refused: str = ""
    figures: tuple[Figure, ...] = ()
    place: str = ""
    level: int = 1

    def id(self, *words: str) -> str:
        """The id of a part of it, one of its kind on the page."""
        return slug(self.place, *words)

    def figure(self, name: str) -> Figure | None:
        """The picture of that name, where there is one."""
        return next((figure for figure in self.figures if figure.name == name), None)


def view(found: Diagnosis, ahead: Forecast | None = None, refused: str = "", runs: int = 1) -> View:
    """All that is shown of ``found`` on a page of so many ``runs``."""
    return View(found, claims(), ahead, refused, figures_of(found, ahead, runs))
