"""What another batch size would reach: the critical batch, from the norms of gradients.

    tokens needed = E_min (1 + B / B_crit),   B_crit = tr(Sigma) / |G|^2

Of a step whose gradient is the mean over micro-batches, two norms tell both (appendix A.1): with b tokens in a
micro-batch and B in the step,

    |G|^2 = (B |g_B|^2 - b |g_b|^2) / (B - b),   tr(Sigma) = (|g_b|^2 - |g_B|^2) / (1 / b - 1 / B)

A trainer that wants this law logs ``grad_norm``, of the mean gradient before clipping, and beside it
``micro_grad_norm``, the root mean square of the norms of the step's micro-batch gradients (nearly free where gradients are
accumulated); or ``gradient_noise_scale``, tr(Sigma) / |G|^2 in tokens. Where neither is there the law is refused:
batch sizes are not guessed at.

Not priced: that the best learning rate is another at another batch (the law is of rates tuned for each).

The trends of the other laws run in steps, so the price here is at equal steps: a step of B' tokens for one of B
is worth (1 + B_crit / B) / (1 + B_crit / B') steps. Asked at equal tokens, both together give the law above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..curve import Curve
from ..derive import changed, derive
from ..estimate import Z90, Estimate
from ..run import Fact, Run
from ..state import state_of
from . import DRAWS, Draws, Law, World

Floats = NDArray[np.float64]

LAST = 0.25  # of the log: the noise scale grows as the loss falls, only its end says what holds now
LEAST = 8  # logged steps in that part; one step's |G|^2 is often below zero
BLOCKS = 20  # means of consecutive steps that are weighed anew: neighbours are not independent
TRUST = (
    np.log(2.0) / Z90
)  # sd of ln B_crit: the simple noise scale is the critical batch within a factor of 2 (figure 4)
EXPONENTS = (0.2, 0.8)  # of a loss in steps; how soon the slope of now gives out
FAR = 1e4  # batches; a critical batch further off makes no difference
NAME = "gradient-noise"
ASKS = (
    "no gradient noise is logged: log grad_norm and micro_grad_norm (rms norm of the micro-batches' gradients, "
    "both before clipping), or gradient_noise_scale in tokens"
)


@dataclass(frozen=True, slots=True)
class NoiseFit:
    """Equally likely critical batches, and what more steps are worth to the run."""

    batch: float  # tokens per step
    critical: Floats  # tokens
    slope: Floats  # nats per e-fold of steps, at the end of the log
    exponent: Floats

    @property
    def parameters(self) -> Mapping[str, Estimate]:
        return {"B_crit": Estimate.of(self.critical, "tokens")}

    def price(self, other: Run, step: int) -> Draws:  # noqa: ARG002
        """Nats at ``step`` by which another batch changes the loss, beside what the trend in steps says."""
        return self.of_batch(other.get("tokens_per_step") or self.batch)

    def of_batch(self, tokens: float) -> Draws:
        """Nats above the run's own loss at equal steps of ``tokens``: as if there were more steps, or fewer.

        >>> fit = NoiseFit(1e5, np.array([1e5]), np.array([-0.1]), np.array([0.5]))
        >>> fit.of_batch(1e30).round(4)  # half of all steps went into the noise
        array([-0.0586])
        """
        steps = (1 + self.critical / self.batch) / (1 + self.critical / tokens)
        return np.asarray(-self.slope * np.expm1(-self.exponent * np.log(steps)) / self.exponent)


def fit(runs: Sequence[Run]) -> NoiseFit:
    """The critical batch at the end of ``runs[0]``. Raises ``ValueError`` where its trainer logs no norms."""
    run = runs[0]
    rng = np.random.default_rng(list(NAME.encode()))
    scale, batch = noise_scale(run, rng), run.get("tokens_per_step")
    if not batch or batch <= 0:
        raise ValueError(
            "tokens per step are not known (batch_size, gradient_accumulation_steps, block_size)"
        )
    slope = state_of(run).slope
    if slope is None:
        raise ValueError("the loss has no slope yet that could say what noise costs")
    critical = np.clip(scale * np.exp(TRUST * rng.standard_normal(DRAWS)), batch / FAR, batch * FAR)
    drawn = slope.value + (slope.high - slope.low) / 2 / Z90 * rng.standard_normal(DRAWS)
    drawn = np.minimum(drawn, 0.0) / np.log(2)  # less noise never costs, whatever the curve does just now
    return NoiseFit(float(batch), critical, drawn, rng.uniform(*EXPONENTS, DRAWS))


def noise_scale(run: Run, rng: np.random.Generator) -> Floats:
    """Draws of tr(Sigma) / |G|^2 over the last part of the log, tokens."""
    logged = run.series.get("gradient_noise_scale")
    if logged is not None:
        positive = (last := _last(logged)).value > 0
        if positive.sum() >= LEAST:
            logs = np.log(last.value[positive])
            return np.asarray(np.exp(_weights(len(logs), rng) @ logs))
    micro, whole = (run.series.get(name) for name in ("micro_grad_norm", "grad_norm"))
    if micro is None or whole is None:
        raise ValueError(ASKS)
    return from_norms(run, _last(micro), _last(whole), rng)


def from_norms(run: Run, micro: Curve, whole: Curve, rng: np.random.Generator) -> Floats:
    """The same from the norms of micro-batches and of their mean."""
    _, at, beside = np.intersect1d(micro.step, whole.step, assume_unique=True, return_indices=True)
    small, large = run.get("batch_size", 0) * run.get("block_size", 0), run.get("tokens_per_step", 0)
    if len(at) < LEAST:
        raise ValueError(
            f"gradient norms of fewer than {LEAST} steps at the end of the log: their noise hides B_crit"
        )
    if not 0 < small < large:
        raise ValueError(
            "one micro-batch a step, or of unknown size: two sizes of batch are needed to tell noise"
        )
    weights = _weights(len(at), rng)
    one, mean = (weights @ (values**2) for values in (micro.value[at], whole.value[beside]))
    noise = (one - mean) / (1 / small - 1 / large)
    if np.median(noise) <= 0:
        raise ValueError(
            "the mean gradient is no shorter than the micro-batches': one of the norms is clipped or a sum"
        )
    signal = (large * mean - small * one) / (large - small)
    return np.asarray(np.maximum(noise, 0.0) / np.maximum(signal, noise.max() / (FAR * large)))


def _last(curve: Curve) -> Curve:
    good = curve.finite
    return good.between((1 - LAST) * float(good.step[-1]), np.inf) if len(good) else good


def _weights(n: int, rng: np.random.Generator) -> Floats:
    """Shape (DRAWS, n): the Bayesian bootstrap (Rubin 1981) over ``BLOCKS`` stretches of consecutive steps."""
    block = np.arange(n) * min(n, BLOCKS) // n
    drawn = rng.dirichlet(np.ones(block[-1] + 1), DRAWS)[:, block]
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True))


def world(seed: int) -> World:
    """A run on a power law in steps whose trainer logs both norms, and the same run with another accumulation."""
    rng = np.random.default_rng(seed)
    told = {"batch_size": 8, "block_size": 512, "gradient_accumulation_steps": int(rng.choice([4, 16, 64]))}
    run = derive(Run(f"{NAME}-{seed}", facts={n: Fact(v, "", "config.py:1") for n, v in told.items()}))
    batch = float(run.get("tokens_per_step"))
    scale, power, fall = batch * np.exp(rng.uniform(-2, 2)), rng.uniform(*EXPONENTS), rng.uniform(0.5, 1.5)
    t = np.arange(1, 61) * 100
    loss = 3.0 + fall * ((t / t[-1]) ** -power - 1) + rng.normal(0, 0.003, len(t))
    series = {"val_loss": Curve(t, loss, "nats")} | _norms(
        rng, scale, batch, told["gradient_accumulation_steps"]
    )
    run = derive(replace(run, series=series))
    times = float(rng.choice([0.25, 0.5, 2.0, 4.0]))
    other = changed(run, {"gradient_accumulation_steps": int(times * told["gradient_accumulation_steps"])})
    critical = float(scale * np.exp(TRUST * rng.standard_normal()))
    steps = (1 + critical / batch) / (1 + critical / (times * batch))
    change = float(fall * (steps**-power - 1))
    return World(run, other, int(t[-1]), change, {"B_crit": critical})


def _norms(rng: np.random.Generator, scale: float, batch: float, parts: int) -> dict[str, Curve]:
    """Norms of micro-batch and mean gradients, of a gradient of norm 0.3 without noise."""
    at = np.arange(10, 6001, 10)
    squares = {"micro_grad_norm": 1 + scale * parts / batch, "grad_norm": 1 + scale / batch}
    return {
        name: Curve(at, 0.3 * np.sqrt(square * rng.lognormal(0, 0.05, len(at))))
        for name, square in squares.items()
    }


LAW = Law(
    name=NAME,
    formula="tokens needed = E_min (1 + B / B_crit)",
    source="McCandlish et al. 2018 (arXiv 1812.06162)",
    parameters=("B_crit",),
    prices=("batch_size", "gradient_accumulation_steps", "world_size", "tokens_per_step"),
    fit=fit,
    world=world,
)
