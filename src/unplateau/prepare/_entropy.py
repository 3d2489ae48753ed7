"""Entropy in nats from counts, and its bias.

Entropies from counts are biased low, as tokens that were not met count as impossible: by a thousandth for the tokens
of a text. Grassberger's estimator halves the bias that Miller and Madow's takes a third off; pairs are too many for
either (``_bigram``).

Sources: Grassberger 2003, "Entropy estimates from insufficient samplings", arXiv physics/0307138, equations 27 to 35;
Miller 1955 and Paninski 2003 (the bias).
"""

from __future__ import annotations

from math import log

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
Floats = NDArray[np.float64]

EULER = 0.5772156649015329
SERIES = 1024  # counts above it: G(c) = ln c to seven digits


def plug_in(counts: I64) -> float:
    """Entropy of the frequencies of ``counts``, nats: exact for what was counted.

    >>> round(plug_in(np.array([2, 2, 0])), 4)
    0.6931
    """
    some = counts[counts > 0].astype(np.float64)
    total = some.sum()
    return float(log(total) - (some * np.log(some)).sum() / total) if total else 0.0


def entropy(counts: I64) -> float:
    """Grassberger's estimate of the entropy of what ``counts`` were drawn from, nats.

    >>> round(entropy(np.array([500, 500])), 3), round(entropy(np.ones(1000, int)), 2), round(plug_in(np.ones(1000, int)), 2)
    (0.693, 8.18, 6.91)
    """
    some = counts[counts > 0]
    total = float(some.sum())
    if not total:
        return 0.0
    digits = np.log(some.astype(np.float64))
    few = some <= SERIES
    digits[few] = G[some[few]]
    return float(log(total) - (some * digits).sum() / total)


def of_kinds(counts: I64) -> float:
    """``entropy`` where ``counts`` are of all kinds that there are: between none and that of as many alike.

    Of few tokens it is at most ln(tokens): they can't show more, and the estimate goes beyond.

    >>> of_kinds(np.array([2, 0])), round(of_kinds(np.ones(1000, int)), 2), round(of_kinds(np.eye(3, 9, dtype=int).sum(0)), 3)
    (0.0, 6.91, 1.099)
    """
    most = min(len(counts), int(counts.sum()))
    return min(max(0.0, entropy(counts)), log(max(1, most)))


def _series() -> Floats:
    """G(c) for c = 0 to ``SERIES``: -gamma - ln 2 + 2 + 2/3 + 2/5 + ... (c // 2 terms); Grassberger's equation 35."""
    terms = 2.0 / (2.0 * np.arange(1, SERIES // 2 + 1) - 1.0)
    sums = np.concatenate([[0.0], np.cumsum(terms)])
    return np.asarray(np.repeat(sums, 2)[: SERIES + 1] - EULER - log(2.0))


G = _series()
