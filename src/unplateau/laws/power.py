"""The plain power law of the loss in steps: what most people extrapolate. It ignores the schedule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..curve import Curve
from ..estimate import Estimate
from . import Fitted, Law

Floats = NDArray[np.float64]

EXPONENTS = np.geomspace(0.05, 2.0, 1000)  # published exponents in steps or tokens are .05 to .8
LEAST = 4  # points; the law has three parameters
QUANTILES = (0.05, 0.5, 0.95)
DRAWS = 64  # quantiles of each exponent's normal that the mixture is summed from


@dataclass(frozen=True, slots=True)
class PowerFit:
    """L(t) = L0 + A (t / unit)^-a, as a posterior: a grid of exponents, a normal over (L0, A) for each."""

    unit: float
    noise: float
    weight: Floats  # shape (e,), posterior of each exponent
    mean: Floats  # shape (e, 2), of L0 and A
    cov: Floats  # shape (e, 2, 2)
    parameters: dict[str, Estimate]

    def __call__(self, step: float) -> Estimate:
        """The trend at ``step`` (without the noise of an evaluation), nats."""
        basis = np.stack([np.ones_like(EXPONENTS), (step / self.unit) ** -EXPONENTS], axis=1)
        mean = np.einsum("ei,ei->e", basis, self.mean)
        sd = np.sqrt(np.einsum("ei,eij,ej->e", basis, self.cov, basis))
        return mixture(mean, sd, self.weight, "nats")


def fit(curve: Curve, noise: float) -> Fitted:
    """Posterior of the law for ``curve`` (steps above 0) with evaluation noise of sd ``noise``, nats.

    Least squares for the floor and the scale at each exponent of a grid, flat priors, floors below zero
    left out; where the law misfits, the noise is raised to what is seen.

    >>> t = np.arange(1, 21) * 500.0
    >>> law = fit(Curve(t, 3.0 + 0.7 * (t / 500) ** -0.5), 0.001)
    >>> print(law(20_000))
    3.1107 nats (3.1095 to 3.1118)
    """
    good = curve.finite.between(1, np.inf)
    if len(good) < LEAST:
        raise ValueError(f"a power law has 3 parameters; {len(good)} points cannot test it")
    unit, y = float(good.step[0]), good.value
    powers = (good.step / unit)[None, :] ** -EXPONENTS[:, None]
    design = np.stack([np.ones_like(powers), powers], axis=2)  # (e, n, 2)
    gram = np.einsum("eni,enj->eij", design, design)
    mean = np.linalg.solve(gram, np.einsum("eni,n->ei", design, y)[..., None])[..., 0]
    rss = ((y - np.einsum("eni,ei->en", design, mean)) ** 2).sum(axis=1)
    allowed = (mean[:, 0] >= 0) & (mean[:, 1] > 0)
    if not allowed.any():
        raise ValueError("no power law with a floor above zero fits: the loss is not levelling off")
    sigma2 = max(noise**2, float(rss[allowed].min()) / max(1, len(y) - 3))
    log_weight = np.where(allowed, -rss / (2 * sigma2) - 0.5 * np.linalg.slogdet(gram)[1], -np.inf)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    cov = sigma2 * np.linalg.inv(gram)
    sd = np.sqrt(np.maximum(np.einsum("eii->ei", cov), 0.0))
    parameters = {
        "L0": mixture(mean[:, 0], sd[:, 0], weight, "nats"),
        "A": mixture(mean[:, 1], sd[:, 1], weight, "nats"),
        "a": mixture(EXPONENTS, np.full_like(EXPONENTS, 1e-9), weight, ""),
    }
    return PowerFit(unit, sigma2**0.5, weight, mean, cov, parameters)


def mixture(mean: Floats, sd: Floats, weight: Floats, unit: str) -> Estimate:
    """Median and 90 % interval of a mixture of normals."""
    from statistics import NormalDist

    keep = weight > 1e-6
    z = np.array([NormalDist().inv_cdf((i + 0.5) / DRAWS) for i in range(DRAWS)])
    values = (mean[keep, None] + sd[keep, None] * z).ravel()
    weights = np.repeat(weight[keep] / DRAWS, DRAWS)
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    low, middle, high = np.interp(QUANTILES, cumulative / cumulative[-1], values[order])
    return Estimate(float(middle), float(low), float(high), unit)


LAW = Law(
    name="power",
    formula="L(t) = L0 + A t^-a",
    source="Kaplan et al. 2020 (arXiv 2001.08361), with a floor as in Hoffmann et al. 2022",
    parameters=("L0", "A", "a"),
    prices=("max_steps",),
    fit=fit,
)
