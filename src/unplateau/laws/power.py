"""The plain power law of the loss in steps: what most people extrapolate. It ignores the schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..curve import Curve
from ..derive import derive
from ..estimate import Estimate
from ..run import Fact, Run
from ..state import binned_curve, judged, noise_of
from . import DATA, DRAWS, FLOOR, Draws, Law, World

Floats = NDArray[np.float64]

#: of the loss, sd: how far a trend that ignores the schedule misses the end of an endless run, times the part that is
#: still ahead to the power ``AHEAD``. Its mean errors at 1/10, 1/4 and 1/2 ahead are .016, .030 and .047 nats on
#: mpl_curves, .032, .041 and .071 on schaipp_val, .011, .051 and .109 on modded_val (benchmarks/curves), which end near 3
UNSEEN, AHEAD = 0.045, 0.75
EXPONENTS = np.geomspace(0.05, 2.0, 400)  # published exponents in steps or tokens are .05 to .8
IDLE = 0.3  # share of the steps
NOTHING = 0.02  # share of the peak; a fifth of the usual floor
TRIES = 8
BELOW = "the loss is not levelling off: its floor may well lie below zero"
LIKELY = 0.75  # share of draws with a floor above zero; with fewer the law is not one of this curve
LEAST = 4  # points; the law has three parameters


@dataclass(frozen=True, slots=True)
class PowerFit:
    """L(t) = L0 + A (t / unit)^-a, as equally likely values of (L0, A, a)."""

    unit: float
    last: float  # step
    theta: Floats  # shape (DRAWS, 3)

    @property
    def parameters(self) -> Mapping[str, Estimate]:
        units = {"L0": "nats", "A": "nats", "a": ""}
        return {name: Estimate.of(self.theta[:, i], unit) for i, (name, unit) in enumerate(units.items())}

    @property
    def level(self) -> Draws:
        return self.at(self.last)

    def at(self, step: float) -> Draws:
        floor, scale, power = self.theta.T
        return np.asarray(floor + scale * (step / self.unit) ** -power)

    def parts(self, run: Run) -> Mapping[str, Draws]:  # noqa: ARG002
        """The floor is as far off as the end of an endless run can be where the schedule is not seen."""
        off = UNSEEN * abs(float(self.level.mean()))
        floor = np.clip(self.theta[:, 0] + np.random.default_rng(1).normal(0.0, off, DRAWS), 0.0, self.level)
        return {FLOOR: floor, DATA: self.level - floor}

    def through(self, level: float) -> PowerFit:
        """The same law, moved so that its trend at the last step is ``level``."""
        return replace(self, theta=self.theta + np.array([level - self.level.mean(), 0.0, 0.0]))

    def price(self, other: Run, step: int) -> Draws:  # noqa: ARG002
        return self.at(step) - self.level


def fit(runs: Sequence[Run]) -> PowerFit:
    """Posterior of the law for the judged loss of ``runs[0]``; other runs tell it nothing.

    Least squares for the floor and the scale at each exponent of a grid, flat priors, floors below zero
    left out; where the law misfits, the noise is raised to what is seen.
    """
    name, curve = judged(runs[0])
    if curve is None or len(good := curve.finite.between(1, np.inf)) < LEAST:
        raise ValueError(f"a power law has 3 parameters; fewer than {LEAST} points cannot test it")
    if not np.ptp(good.value):
        raise ValueError("a loss that never moves is no curve")
    if spent(runs[0], float(good.step[-1])):
        raise ValueError(
            "the learning rate was spent long before the end: what follows is no curve of learning"
        )
    found = posterior(*binned_curve(good, noise_of(runs[0], name, good)))
    return replace(found, last=float(good.step[-1]))  # bins end before it


def spent(run: Run, last: float) -> bool:
    """True where the rate, if it is known, is as good as zero over the last ``IDLE`` of the log: its floor is no floor."""
    if run.schedule is None:
        return False
    return max(run.schedule(int(last * share)) for share in (1 - IDLE, 1.0)) < NOTHING * run.schedule.peak


def posterior(good: Curve, error: Floats | float) -> PowerFit:
    """The law for ``good``, steps above 0, whose points have these errors, nats (sd).

    >>> t = np.arange(1, 21) * 500
    >>> print(Estimate.of(posterior(Curve(t, 3.0 + 0.7 * (t / 500) ** -0.5), 0.001).at(20_000), "nats"))
    3.1107 nats (3.1095 to 3.1118)
    """
    errors = np.broadcast_to(np.asarray(error, dtype=float), len(good))
    noise = float(errors.min())
    weight = noise / errors
    unit, y = float(good.step[0]), good.value * weight
    powers = (good.step / unit)[None, :] ** -EXPONENTS[:, None]
    design = np.stack([np.ones_like(powers), powers], axis=2) * weight[None, :, None]  # (e, n, 2)
    gram = np.einsum("eni,enj->eij", design, design)
    mean = np.linalg.solve(gram, np.einsum("eni,n->ei", design, y)[..., None])[..., 0]
    rss = ((y - np.einsum("eni,ei->en", design, mean)) ** 2).sum(axis=1)
    allowed = (mean[:, 0] >= 0) & (mean[:, 1] > 0)
    if not allowed.any():
        raise ValueError("no power law with a floor above zero fits: the loss is not levelling off")
    sigma2 = max(noise**2, float(rss[allowed].min()) / max(1, len(y) - 3))
    log_weight = -rss / (2 * sigma2) - 0.5 * np.linalg.slogdet(gram)[1]
    weight_of_all = np.exp(log_weight - log_weight.max())
    if weight_of_all[allowed].sum() < (1 - LIKELY) * weight_of_all.sum():
        raise ValueError(BELOW)
    likely = np.where(allowed, np.exp(np.minimum(log_weight - log_weight[allowed].max(), 0.0)), 0.0)
    return PowerFit(unit, float(good.step[-1]), _draws(likely, mean, sigma2 * np.linalg.inv(gram)))


def _draws(weight: Floats, mean: Floats, cov: Floats) -> Floats:
    """Equally likely (L0, A, a): exponents by their weight, a normal over the others for each."""
    rng = np.random.default_rng(0)
    places = (np.arange(DRAWS) + rng.random()) / DRAWS
    cell = np.minimum(np.searchsorted(np.cumsum(weight) / weight.sum(), places), len(weight) - 1)
    rng.shuffle(cell)
    root = np.linalg.cholesky(cov[cell])
    tries = mean[cell, None] + np.einsum("dij,dtj->dti", root, rng.standard_normal((DRAWS, TRIES, 2)))
    good = (tries > 0).all(axis=2)  # no loss ends below zero, none rises
    if good.mean() < LIKELY:
        raise ValueError(BELOW)
    sane = np.argmax(good, axis=1)
    linear = np.maximum(tries[np.arange(DRAWS), sane], 0.0)
    return np.column_stack([linear, EXPONENTS[cell]])


def world(seed: int) -> World:
    """A run on a power law, with noise, and its truth at four times its length."""
    rng = np.random.default_rng(seed)
    floor, scale, power = rng.uniform(1.5, 3.2), rng.uniform(0.5, 2.0), rng.uniform(0.3, 0.7)
    t = np.arange(1, 31) * 500
    truth = floor + scale * (np.append(t, 4 * t[-1]) / 500.0) ** -power
    run = derive(
        Run(f"power-{seed}", series={"val_loss": Curve(t, truth[:-1] + rng.normal(0, 0.01, len(t)), "nats")})
    )
    other = replace(run, facts={**run.facts, "max_steps": Fact(int(4 * t[-1]), "steps")})
    parameters = {"L0": floor, "A": scale, "a": power}
    return World(run, other, int(4 * t[-1]), float(truth[-1] - truth[-2]), parameters)


LAW = Law(
    name="power",
    formula="L(t) = L0 + A t^-a",
    source="Kaplan et al. 2020 (arXiv 2001.08361), with a floor as in Hoffmann et al. 2022",
    parameters=("L0", "A", "a"),
    prices=("max_steps",),
    fit=fit,
    world=world,
)
