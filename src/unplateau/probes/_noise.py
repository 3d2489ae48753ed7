"""The share of a gradient's squared norm that is noise, from the gradient norms of branches with other batches.

The mean squared norm of the gradient of a batch of b times the run's is |G|^2 + tr(Sigma) / (b B) (McCandlish et al.
2018, appendix A.1): a straight line in 1 / b. Its two parts at b = 1 are the signal and the noise. With r the gradient
noise scale over the batch, the share of the noise is r / (1 + r): a half at the critical batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, sqrt
from pathlib import Path

import numpy as np

from ..estimate import Z90, Estimate
from ._paired import F64, LOG, _rows

BLOCKS = 8  # of the steps, left out one after another (jackknife): norms of neighbouring steps go together
UNIT = "of the squared gradient norm"


def squared_norms(folder: Path) -> F64:
    """Squared gradient norms before clipping, by step (n,); what is no number is left out."""
    told = {row["step"]: row.get("grad_norm") for row in _rows(folder / LOG)}
    norms = [v for _, v in sorted(told.items()) if isinstance(v, int | float) and isfinite(v)]
    return np.array(norms, dtype=np.float64) ** 2


def noise_share(times: Mapping[float, F64]) -> Estimate | None:
    """The share at the run's own batch, by squared norms (n,) of arms with so many ``times`` its batch.

    Arms with more steps than others are averaged over as many. None where an arm has fewer steps than blocks.

    >>> rng = np.random.default_rng(0)
    >>> norms = {b: (1 + 3 / b) * rng.normal(1, 0.01, 80) for b in (0.5, 1.0, 2.0)}
    >>> print(noise_share(norms))
    0.752 of the squared gradient norm (0.748 to 0.756)
    """
    least = min((len(norms) for norms in times.values()), default=0)
    if least < BLOCKS or len(times) < 2:
        return None
    rows = np.array(
        [norms[: len(norms) // least * least].reshape(least, -1).mean(1) for norms in times.values()]
    )
    inverse = np.array([1 / b for b in times])
    value = _share(inverse, rows.mean(1))
    parts = np.array_split(np.arange(least), BLOCKS)
    without = np.array([_share(inverse, np.delete(rows, part, axis=1).mean(1)) for part in parts])
    half = Z90 * sqrt((BLOCKS - 1) / BLOCKS * float(((without - without.mean()) ** 2).sum()))
    return Estimate(value, value - half, value + half, UNIT)


def _share(inverse: F64, means: F64) -> float:
    slope, constant = np.polyfit(inverse, means, 1)
    return float(slope / (slope + constant))
