"""Quantiles of Student's t without scipy, whose import costs half a second."""

from __future__ import annotations


def t_ratio(z: float, freedom: int) -> float:
    """Student's t quantile over the normal one, for the normal quantile ``z`` and ``freedom`` >= 1.

    The expansion of Cornish and Fisher to the second order (Abramowitz and Stegun 1964, 26.7.5); within
    2 % of the truth from 4 degrees of freedom for z up to 3, too small by a third at 1.

    >>> round(1.645 * t_ratio(1.645, 10), 2), round(3.0 * t_ratio(3.0, 6), 2)
    (1.81, 4.73)
    """
    first = (z**2 + 1) / 4
    second = (5 * z**4 + 16 * z**2 + 3) / 96
    return 1 + first / freedom + second / freedom**2
