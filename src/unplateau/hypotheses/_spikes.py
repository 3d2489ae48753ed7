"""Spikes of a series: points far above what came before, and whether they came back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..curve import Curve
from ..state import neighbour_residuals

Floats = NDArray[np.float64]

BEFORE = 21  # points that a point is compared with, at most an eighth of all
FEWEST = 12  # points; fewer have no typical noise
ERRORS = 8.0  # robust sd; single micro-batches have tails that reach 5
LEAST = 0.3  # nats; a smaller rise has never cost a run anything
CHUNK = 1 << 15  # windows whose medians are taken at once; bounds memory on long logs


@dataclass(frozen=True, slots=True)
class Spike:
    """A stretch above the median of the points before it."""

    first: int
    top: int
    last: int
    base: float
    height: float  # nats above the median of the points before
    errors: float  # height over the noise of one point
    recovered: bool
    points: int  # logged points that it lasts


@dataclass(frozen=True, slots=True)
class Spikes:
    """All spikes of a curve, its noise, and the largest rise of the points that are none."""

    found: tuple[Spike, ...]
    noise: float
    threshold: float
    looked_at: int
    since: int


def spikes(curve: Curve, since: float = 0.0, least: float = LEAST) -> Spikes | None:
    """Spikes of ``curve`` from step ``since`` on; None where there are too few points.

    >>> value = [4.0, 4.1] * 20
    >>> value[30] = 7.0
    >>> found = spikes(Curve(range(40), value)).found
    >>> [(s.first, s.last, round(s.height, 1), s.recovered) for s in found]
    [(30, 30, 2.9, True)]
    """
    curve = curve.between(since, np.inf)
    if len(curve) < FEWEST:
        return None
    y = curve.value
    width = max(3, min(BEFORE, len(y) // 8))
    noise = noise_of(curve)
    threshold = max(least, ERRORS * noise)
    rise = y[width:] - _medians(y, width)
    candidates = np.flatnonzero(rise > threshold) + width
    return Spikes(
        tuple(_events(curve, candidates, y[candidates] - rise[candidates - width], threshold, noise)),
        noise,
        threshold,
        len(y) - width,
        int(curve.step[width]),
    )


def noise_of(curve: Curve) -> float:
    """Robust sd of one point around the line through its neighbours."""
    residual = neighbour_residuals(curve.step.astype(float), curve.value)
    return max(1.4826 * float(np.median(np.abs(residual))), 1e-4) if len(residual) else 1e-4


def _medians(y: Floats, width: int) -> Floats:
    """The median of the ``width`` points before each point from ``width`` on."""
    windows = np.lib.stride_tricks.sliding_window_view(y, width)[:-1]
    parts = [np.median(windows[i : i + CHUNK], axis=1) for i in range(0, len(windows), CHUNK)]
    return np.concatenate(parts) if parts else np.empty(0)


def _events(
    curve: Curve, at: NDArray[np.int64], bases: Floats, threshold: float, noise: float
) -> list[Spike]:
    """Neighbouring points above one base are one spike; it ends where half of the threshold is left."""
    found: list[Spike] = []
    end = -1
    step, y = curve.step, curve.value
    for i, base in zip(at.tolist(), bases.tolist(), strict=True):
        if i <= end:
            continue
        end = i
        while end + 1 < len(y) and y[end + 1] > base + threshold / 2:
            end += 1
        top = i + int(np.argmax(y[i : end + 1]))
        height = float(y[top]) - base
        came_back = end + 1 < len(y)
        found.append(
            Spike(
                int(step[i]),
                int(step[top]),
                int(step[end]),
                base,
                height,
                height / noise,
                came_back,
                end + 1 - i,
            )
        )
    return found
