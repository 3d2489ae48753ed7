"""What the number that a cause gives itself is worth: from the strength of its evidence to a probability.

A cause says how strong its evidence is (.3: a habit of such runs; .9: two kinds of evidence). How often a
cause of that strength held and mattered is counted on runs whose cause is known, and stands in ``KNOTS``.
The verdict is the evidence's alone and stays: calibrating changes no "undecided" into an accusation.
"""

from __future__ import annotations

from bisect import bisect_left

#: strength -> share of runs in which the cause held and mattered: isotonic regression on 141 runs of
#: benchmarks/planted, refitted by benchmarks/calibration.py; straight lines between the knots
KNOTS: tuple[tuple[float, float], ...] = (
    *((0.02, 0.001), (0.03, 0.002), (0.05, 0.003), (0.08, 0.004), (0.219, 0.018)),
    *((0.4, 0.088), (0.45, 0.1), (0.617, 0.75), (0.845, 0.908), (0.983, 0.961)),
)
#: what each verdict may be given as: verdicts are cut from the strength at .1 and .7 (hypotheses/_say.py)
RANGES = {"supported": (0.7, 0.99), "undecided": (0.01, 0.69), "refuted": (0.01, 0.1)}


def calibrated(strength: float, verdict: str) -> float:
    """The probability that a cause of this strength holds and matters, within what its verdict may say.

    >>> calibrated(0.05, "refuted") <= 0.1 and calibrated(0.72, "supported") >= 0.7
    True
    """
    low, high = RANGES[verdict]
    return min(max(interpolated(strength, KNOTS), low), high)


def interpolated(x: float, knots: tuple[tuple[float, float], ...]) -> float:
    """The straight line between the knots around ``x``; the first and last value beyond them.

    >>> interpolated(0.5, ((0.2, 0.0), (0.6, 0.8)))
    0.6
    >>> interpolated(0.1, ((0.2, 0.0), (0.6, 0.8)))
    0.0
    """
    place = bisect_left(knots, (x,))
    if place == 0:
        return knots[0][1]
    if place == len(knots):
        return knots[-1][1]
    (x0, y0), (x1, y1) = knots[place - 1], knots[place]
    return round(y0 + (y1 - y0) * (x - x0) / (x1 - x0), 6)
