"""A chart of lines as plain values: what is drawn, before anybody decides how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from . import clock
from .draw import Floats
from .thin import GRAIN

Kind = Literal["bump", "resume", "lost", "end", "phase"]
Mark = Literal["line", "dots", "crosses", "slants", "faint"]
#: significant digits of what goes into a page; a pixel of a wide screen is the 2,560th part of an axis
DIGITS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One series of a chart. ``x``, ``y``, ``low``, ``high``: shape (n,), x rising; ``low`` and ``high`` may be absent.

    ``mark``: how it is drawn; ``faint`` is raw points under a smoothing. ``bars``: the interval is one of each point,
    not a band. ``scaling``: the range of the chart has to hold it.
    """

    key: str
    label: str
    ink: str
    mark: Mark
    x: Floats
    y: Floats
    low: Floats | None = None
    high: Floats | None = None
    bars: bool = False
    dash: int = 0  # of draw.DASHES
    width: float = 2.0
    shown: bool = True
    scaling: bool = True

    def as_dict(self) -> dict[str, Any]:
        """The track for the script of a page."""
        told: dict[str, Any] = {
            "key": self.key,
            "label": self.label,
            "ink": self.ink,
            "mark": self.mark,
            "bars": self.bars,
            "dash": self.dash,
            "width": self.width,
            "shown": self.shown,
            "x": rounded(self.x),
            "y": rounded(self.y),
        }
        if self.half is not None:
            told["half"] = float(f"{self.half:.{DIGITS}g}")
        elif self.low is not None and self.high is not None:
            told |= {"low": rounded(self.low), "high": rounded(self.high)}
        return told

    @property
    def half(self) -> float | None:
        """Half of the interval, where it is the same at every point."""
        if self.low is None or self.high is None or not len(self.y):
            return None
        up, down = self.high - self.y, self.y - self.low
        first = float(up[0])
        same = np.allclose(up, first, rtol=1e-6, atol=1e-12) and np.allclose(
            down, first, rtol=1e-6, atol=1e-12
        )
        return first if same else None


@dataclass(frozen=True, slots=True)
class Flag:
    """A place on the x axis that has something to say; ``y`` where it is a point of the chart."""

    kind: Kind
    x: float
    label: str
    y: float | None = None

    def as_dict(self) -> dict[str, Any]:
        place = {} if self.y is None else {"y": float(f"{self.y:.{DIGITS}g}")}
        return {"kind": self.kind, "x": float(f"{self.x:.{DIGITS}g}"), "label": self.label, **place}


@dataclass(frozen=True, slots=True)
class Panel:
    """One field with a y axis of its own; all panels of a plot share the x axis.

    ``view``: the lowest and the highest y that are shown at first.
    """

    name: str
    label: str
    tracks: tuple[Track, ...]
    view: tuple[float, float]
    log: bool = False

    def as_dict(self) -> dict[str, Any]:
        tracks = [track.as_dict() for track in self.tracks]
        return {
            "name": self.name,
            "label": self.label,
            "log": self.log,
            "view": [float(f"{v:.{DIGITS}g}") for v in self.view],
            "tracks": tracks,
        }


@dataclass(frozen=True, slots=True)
class Plot:
    """Panels over one x axis. ``view``: its part that is shown at first; ``whole``: all of it."""

    label: str  # of the x axis
    unit: str
    view: tuple[float, float]
    whole: tuple[float, float]
    panels: tuple[Panel, ...]
    flags: tuple[Flag, ...] = ()
    log: bool = True
    grain: float = GRAIN  # units of a still picture in which two points of a track are drawn at most

    @property
    def least(self) -> float:
        """Between two round numbers of the x axis: but for time, whole things are counted."""
        return 0.0 if self.unit in clock.WORDS else 1.0

    def as_dict(self) -> dict[str, Any]:
        """The plot for the script of a page."""
        return {
            "kind": "lines",
            "label": self.label,
            "unit": self.unit,
            "log": self.log,
            "least": self.least,
            "view": [float(v) for v in self.view],
            "whole": [float(v) for v in self.whole],
            "panels": [panel.as_dict() for panel in self.panels],
            "flags": [flag.as_dict() for flag in self.flags],
        }


def rounded(values: Floats) -> list[float | int | None]:
    """Numbers with ``DIGITS`` digits; what is not finite is None, as in JSON.

    >>> rounded(np.array([3.14159265, 2000.0, np.nan]))
    [3.14159, 2000, None]
    """
    out: list[float | int | None] = []
    for value in values.tolist():
        if not np.isfinite(value):
            out.append(None)
            continue
        near = float(f"{value:.{DIGITS}g}")
        out.append(int(near) if near == int(near) and abs(near) < 2**53 else near)
    return out
