"""Fewer points that look the same: the lowest and the highest of each column of the screen, so that no spike is lost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .draw import Floats

Index = NDArray[np.int64]

COLUMNS = (
    480  # of each of the two axes that a page can show; a quarter of a wide screen's, and two points in each
)


FEWEST = (
    60  # columns of a run among several; in a chart of 720 pixels twelve pixels each, and two points in each
)


GRAIN, COARSE = 2.0, 16.0  # units of a column of a still picture of one run; of many at most
SOME, COARSER = (
    3,
    1.5,
)  # runs, from which on the three pictures of all of them weigh more than one run's; times


def shared(runs: int) -> int:
    """Columns for each of several runs of one page, so that it stays as small as that of one.

    >>> shared(1), shared(3), shared(20)
    (480, 106, 60)
    """
    return max(FEWEST, int(COLUMNS / _share(runs)))


def grain(runs: int) -> float:
    """Units of a column of a still picture on a page of so many runs.

    >>> grain(1), grain(3), grain(20)
    (2.0, 9.0, 16.0)
    """
    return min(COARSE, GRAIN * _share(runs))


def _share(runs: int) -> float:
    """How many times fewer points a run of so many gets."""
    return max(1, runs) * (COARSER if runs >= SOME else 1.0)


def thinned(x: Floats, y: Floats, columns: int = COLUMNS) -> Index:
    """Indices of the points to keep, rising; at most 4 x ``columns`` + 2 of them.

    ``x``, ``y``: shape (n,), x rising. For columns of equal width in x, and for columns of equal width in log x, the
    lowest and the highest point of each; the first and the last; non-finite ones are left out.

    >>> y = np.zeros(100_000)
    >>> y[54_321] = 9.0
    >>> kept = thinned(np.arange(100_000.0), y, columns=10)
    >>> len(kept) < 43, 54_321 in kept
    (True, True)
    """
    good = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if len(good) <= 4 * columns:
        return np.asarray(good, dtype=np.int64)
    kept = [good[[0, -1]], _extremes(x[good], y[good], good, columns)]
    above = good[x[good] > 0]
    if len(above) > 1:
        kept.append(_extremes(np.log(x[above]), y[above], above, columns))
    return np.asarray(np.unique(np.concatenate(kept)), dtype=np.int64)


def seen(across: Floats, y: Floats, start: float, end: float, width: float = GRAIN) -> Index:
    """Indices of what a still picture shows between two places: of each ``width`` the lowest and the highest point.

    ``across``: places, shape (n,), rising, nan where there are none. One point beyond each end is kept: lines go there.

    >>> across = np.linspace(0.0, 100.0, 5_001)
    >>> kept = seen(across, np.sin(across), 20.0, 30.0)
    >>> len(kept) < 20, float(across[kept[0]].round(2)), float(across[kept[-1]].round(2))
    (True, 19.98, 30.0)
    """
    good = np.flatnonzero(np.isfinite(across) & np.isfinite(y))
    first, last = np.searchsorted(across[good], (start, end), side="left")
    inside = good[max(0, first - 1) : last + 1]
    columns = max(1, int((end - start) / width))
    if len(inside) <= 2 * columns:
        return np.asarray(inside, dtype=np.int64)
    kept = [inside[[0, -1]], _extremes(across[inside], y[inside], inside, columns)]
    return np.asarray(np.unique(np.concatenate(kept)), dtype=np.int64)


def _extremes(x: Floats, y: Floats, index: Index, columns: int) -> Index:
    """The lowest and the highest point of each column that has any."""
    width = float(x[-1] - x[0]) or 1.0
    column = np.minimum(((x - x[0]) / width * columns).astype(np.int64), columns - 1)
    first = np.flatnonzero(np.diff(column, prepend=-1))
    low, high = np.minimum.reduceat(y, first), np.maximum.reduceat(y, first)
    which = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(y))))
    out = []
    for extreme in (low, high):
        hits = np.flatnonzero(y == extreme[which])
        out.append(hits[np.unique(which[hits], return_index=True)[1]])
    return np.asarray(index[np.concatenate(out)], dtype=np.int64)


def smoothed(x: Floats, y: Floats, parts: int) -> tuple[Floats, Floats]:
    """Means of ``parts`` stretches of equal width in log x; fewer where some hold no point. x above 0.

    >>> x, y = smoothed(np.array([1.0, 2, 8, 9]), np.array([4.0, 2, 1, 3]), 2)
    >>> x.round(1).tolist(), y.tolist()
    ([1.4, 8.5], [3.0, 2.0])
    """
    good = np.isfinite(x) & np.isfinite(y) & (x > 0)
    if not good.any():
        return np.empty(0), np.empty(0)
    logs, y = np.log(x[good]), y[good]
    width = float(logs[-1] - logs[0]) or 1.0
    column = np.minimum(((logs - logs[0]) / width * parts).astype(np.int64), parts - 1)
    first = np.flatnonzero(np.diff(column, prepend=-1))
    counts = np.diff(np.append(first, len(y)))
    return np.exp(np.add.reduceat(logs, first) / counts), np.add.reduceat(y, first) / counts
