"""What an experiment is worth, and what it told: the information that its outcome is expected to give, and log odds.

A prediction is two normal distributions of a contrast, one where the cause holds and one where it does not; the error of
the measurement widens both.
"""

from __future__ import annotations

from math import exp, log, log1p, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from ..estimate import Estimate
from ..probes import Normal, Prediction

POINTS, REACH = 2001, 8.0  # of the grid of an integral, and how far it reaches, in standard deviations
LEAST_SD = 1e-6  # of a contrast; what is exactly known is not told from this

F64 = NDArray[np.float64]


def entropy(chance: float) -> float:
    """What is not known of a cause with this probability, nats.

    >>> round(entropy(0.5), 3), entropy(0.0)
    (0.693, 0.0)
    """
    if not 0 < chance < 1:
        return 0.0
    return -chance * log(chance) - (1 - chance) * log1p(-chance)


def expected(prediction: Prediction, chance: float, noise: float) -> float:
    """The mutual information of "the cause holds" (probability ``chance``) and the contrast, nats.

    The integral of the mixture of two normal distributions, each with the ``noise`` of the measurement added
    (Cover and Thomas 2006, section 8.5); between 0 and ``entropy(chance)``.

    >>> far, near = Normal(1.0, 0.1), Normal(0.05, 0.1)
    >>> told = [expected(Prediction("capacity", so, Normal(0.0, 0.1), ""), 0.5, 0.0) for so in (far, near)]
    >>> [round(nats, 2) for nats in told]
    [0.69, 0.03]
    """
    so, no = (_widened(normal, noise) for normal in (prediction.if_so, prediction.if_not))
    low = min(n.mean - REACH * n.sd for n in (so, no))
    high = max(n.mean + REACH * n.sd for n in (so, no))
    # each distribution has its own grid: a narrow one would fall between the points of a wide one's
    grid = np.unique(np.concatenate([np.linspace(low, high, POINTS), *(_around(n) for n in (so, no))]))
    with_it, without = np.exp(_log_density(grid, so)), np.exp(_log_density(grid, no))
    mixed = chance * with_it + (1 - chance) * without
    nats = chance * _relative(with_it, mixed) + (1 - chance) * _relative(without, mixed)
    return min(max(float(np.trapezoid(nats, grid)), 0.0), entropy(chance))


def together(chance: float, parts: list[float]) -> float:
    """What several experiments on one cause tell together, nats: each tells its share of what the others left open.

    >>> round(together(0.5, [0.3]), 3), round(together(0.5, [0.3, 0.3]), 3)
    (0.3, 0.47)
    """
    whole = entropy(chance)
    left = 1.0
    for part in parts:
        left *= 1 - part / whole if whole else 0.0
    return whole * (1 - left)


def log_odds(prediction: Prediction, contrast: Estimate) -> float:
    """The natural logarithm of how many times likelier ``contrast`` is with the cause than without it.

    A contrast beyond the mean of either distribution says no more than that mean: of two normal ones the wider is always
    the likelier far out, on both sides, and a cause would be supported by what speaks most against it.

    >>> prediction = Prediction("lr-too-high", Normal(0.2, 0.15), Normal(0.0, 0.05), "")
    >>> [round(log_odds(prediction, Estimate(x, x, x, "nats")), 1) for x in (-3.0, 0.0, 0.1, 0.2, 3.0)]
    [-2.0, -2.0, 0.7, 6.9, 6.9]
    """
    so, no = (_widened(normal, contrast.sd) for normal in (prediction.if_so, prediction.if_not))
    low, high = sorted((so.mean, no.mean))
    place = np.array([min(max(contrast.value, low), high)])
    return float(_log_density(place, so)[0] - _log_density(place, no)[0])


def _widened(normal: Normal, noise: float) -> Normal:
    return Normal(normal.mean, max(sqrt(normal.sd**2 + noise**2), LEAST_SD))


def _around(normal: Normal) -> F64:
    return np.linspace(normal.mean - REACH * normal.sd, normal.mean + REACH * normal.sd, POINTS)


def _log_density(x: F64, normal: Normal) -> F64:
    return -0.5 * ((x - normal.mean) / normal.sd) ** 2 - log(normal.sd * sqrt(2 * pi))


def _relative(part: F64, mixed: F64) -> F64:
    """The integrand of a relative entropy; 0 where the part is."""
    out = np.zeros_like(part)
    inside = part > exp(-700)
    out[inside] = part[inside] * np.log(part[inside] / mixed[inside])
    return out
