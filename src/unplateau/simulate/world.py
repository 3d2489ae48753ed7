"""The loss of a run that never was: what published laws say of its settings, and the noise of a log.

The noiseless loss, nats per token, of settings in VOCABULARY's words:

    L(t) = r (E + A (N + 1M)^-.348) + F (1 + S / tau)^-a + g (B eta-part + settings that cost)

with the terms of SCIENCE.md: the size law of Besiroglu et al. 2024 (arXiv 2404.10102) without its data term, for which
the fall F from ln(vocabulary) in effective steps S stands; the multi-power response of Luo et al. 2025 (ICLR) to the learning
rate; McCandlish et al. 2018 (arXiv 1812.06162) for the batch. r scales nats of GPT-2's tokens to those of another vocabulary,
g = S / (S + 5 tau) lets nothing cost before something is learned. What no law tells is taken from runs, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any

import numpy as np

from ..curve import Curve
from .plan import Floats, Plan, Steps

GPT2 = 50304  # tokens; the vocabulary whose nats the laws are in
DENSE = 1.5  # power of ln V that bytes a token, and so nats a token, grow by: 4.4 for GPT-2's, about 1 for characters
SIZE, SIZE_POWER = 482.01, 0.3478  # nats, A and alpha of Besiroglu et al. 2024
LEAST_SIZE = 1e6  # parameters added to all: smaller models are better than that law (benchmarks/planted)
RESPONSE, RESPONSE_POWER = (
    0.06,
    0.3,
)  # per step, 1: C and beta of the multi-power law (SCIENCE.md section 2), gamma 1
SLOWEST = 1e-3  # share of the peak; a rate of 0 moves nothing, and has no power
BOUNCE, BOUNCE_POWER = 0.258, 0.303  # nats at a peak of 1e-3, 1: B of SCIENCE.md section 2
CLOCK = 0.6  # power of the rate by which steps count (benchmarks/laws/schedule.py); 1 in the published laws
NODES = 60  # drops of the rate that the response is summed over (SCIENCE.md section 2: 40 to 60)
EARLY = 500.0  # steps at the peak; the gradient's noise grows as the loss falls (McCandlish et al. 2018, figure 4)
TOO_HIGH = 0.04  # nats per squared e-fold of the peak above the best: .02 at twice, .3 at 15 times (SCIENCE.md section 2, planted runs)
DROPOUT = 3.0  # nats per squared dropout: .5 at .4 (benchmarks/planted), .03 at .1
DROPPED = 1.0  # nats per unit of dropout that the batches' own loss lies above: units are missing there
CONTEXT, CONTEXT_POWER = (
    5.1,
    0.61,
)  # loss of token T is L + c T^-p (Kaplan et al. 2020, figure 20, large models)
REUSED, WORN, WORN_OUT, WORN_POWER = (
    0.004,
    0.4,
    30.0,
    3.0,
)  # nats a pass; nats at 30 passes (SCIENCE.md section 4)
LEARNT = 2.0  # nats that train gains by heart for each that val loses
THROWN = 0.01  # share of the run that a start without warm-up is thrown back for
WORSE = (1.0, 5.0)  # nats above a fresh model, there
WINDOW_SD = 0.4  # nats; sd of the mean loss of one window (median of benchmarks/planted)
FRESH_SD = 0.05  # of it before anything is learned: a fresh model finds every window alike
WEIGHTS_SD = 0.0015  # nats; reruns with one seed differ by this (SCIENCE.md section 2)
SPLIT_SD = 0.002  # nats; two random halves of one text differ by about this
NORMS = 0.12  # sd of the logarithm of a gradient norm


class Loss:
    """The noiseless losses of a plan at any step."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.text = plan, plan.text
        told, rates = plan.settings, plan.rates()
        self.rates, self.peak = rates, float(rates.max())
        self.share = rates / self.peak
        self.nats = density(told["vocab_size"])
        params = plan.shape.params
        best = self.text.best_peak(params)
        clock = self.share**CLOCK
        self.sum = np.append(0.0, np.cumsum(clock))
        known = plan.known + self.sum[:-1]
        critical = self.text.critical * known / (known + EARLY)
        pace = clock * plan.tokens_per_step / (plan.tokens_per_step + critical)
        low = min(1.0, self.peak / best)
        pace *= low * (2 - low) * plan.moved  # in proportion far below the best peak, flat around it
        self.effective = plan.known + np.append(0.0, np.cumsum(pace))
        start = log(told["vocab_size"])
        self.floor = self.nats * (self.text.entropy + SIZE * (params + LEAST_SIZE) ** -SIZE_POWER)
        self.fall = start + self.text.init - self.floor
        self.bounce = self.nats * self.text.bounce * BOUNCE * (self.peak / 1e-3) ** BOUNCE_POWER * plan.moved
        self.costs = self.nats * (TOO_HIGH * max(0.0, log(self.peak / best)) ** 2 + _context(told))

    def base(self, step: Steps) -> Floats:
        """Without what a series has for itself."""
        s, tau, grown = self.effective[step], self.text.tau, self.grown(step)
        dropout = DROPOUT * (self.plan.settings.get("dropout") or 0.0) ** 2
        learnt = self.floor + self.fall * (1 + s / tau) ** -self.text.power
        value = learnt + grown * (self.bounce * self.unannealed(step) + self.costs + self.nats * dropout)
        share, height = self.thrown(step)
        return np.asarray(value + share * np.maximum(0.0, height - value))

    def grown(self, step: Steps) -> Floats:
        """From 0 before anything is learned to 1."""
        s = self.effective[step]
        return np.asarray(s / (s + 5 * self.text.tau))

    def window_sd(self, step: Steps) -> Floats:
        """Sd of the mean loss of one window, nats."""
        return np.asarray(WINDOW_SD * (FRESH_SD + (1 - FRESH_SD) * self.grown(step)))

    def unannealed(self, step: Steps) -> Floats:
        """The response to all changes of the rate so far, 1 for a rate that stood at its peak for ever."""
        moves = np.abs(np.diff(self.share, prepend=0.0)).cumsum()
        ends = np.unique(np.searchsorted(moves, np.linspace(0.0, moves[-1], NODES + 1)[1:]))
        ends = np.minimum(ends, len(moves) - 1)
        change = np.diff(self.share[ends], prepend=0.0)
        rate = np.maximum(self.share[ends], SLOWEST)
        since = np.maximum(0.0, self.sum[step][:, None] - self.sum[ends][None, :])
        answered = 1 - (1 + RESPONSE / rate * since) ** -RESPONSE_POWER
        return np.asarray((answered * change).sum(axis=1))

    def thrown(self, step: Steps) -> tuple[Floats, float]:
        """How far the weights are still off from where the first steps threw them (share), and the loss there, nats."""
        width = max(2.0, THROWN * self.plan.steps)
        height = self.floor + self.fall + self.plan.rng("start").uniform(*WORSE)
        return np.asarray(self.plan.thrown * (step > 0) * np.exp(-step / width)), float(height)

    def passes(self, step: Steps) -> Floats:
        unique = self.plan.data.get("unique_tokens") or float("inf")
        return np.asarray(step * self.plan.tokens_per_step / unique)

    def worn(self, step: Steps) -> Floats:
        """What repeated data costs val, by the passes so far."""
        more = np.maximum(0.0, self.passes(step) - 1)
        return np.asarray(self.nats * (REUSED * more + WORN * (more / WORN_OUT) ** WORN_POWER))

    def __call__(self, name: str, step: Steps) -> Floats:
        """One of the three losses, at steps of any order."""
        value, worn = self.base(step), self.worn(step)
        if name == "val_loss":
            value = value + worn
        else:
            value = np.maximum(value - LEARNT * worn * (value > self.floor / 2), 0.3 * value)
        if name == "batch_loss":
            dropped = DROPPED * (self.plan.settings.get("dropout") or 0.0)
            value = value + self.nats * dropped * self.grown(step)
        for change in self.plan.trained:
            if name in change.names:
                value = change.f(step, value)
        return np.asarray(value)


def density(vocab: int) -> float:
    """Nats, or bytes, of a token of that vocabulary over those of one of GPT-2's.

    >>> round(density(50_304), 2), round(4.4 * density(86), 1)
    (1.0, 1.2)
    """
    return float((log(vocab) / log(GPT2)) ** DENSE)


def _context(told: Mapping[str, Any]) -> float:
    """Nats that a context shorter than 1,024 tokens costs: the mean of c T^-p over the window's places."""
    place = CONTEXT / (1 - CONTEXT_POWER)
    return float(max(0.0, place * (told["block_size"] ** -CONTEXT_POWER - 1024**-CONTEXT_POWER)))


def series_of(plan: Plan, *, averaged: bool = False) -> dict[str, Curve]:
    """All that a log could show of ``plan``, with noise.

    ``averaged``: as the Trainer of Hugging Face logs: the batch loss is the mean since the last record, and all of val is
    evaluated; else as nanoGPT does: one micro-batch, and random windows.
    """
    told, loss = plan.settings, Loss(plan)
    evaluated, lines = _at(plan.steps, told["eval_interval"]), _at(plan.steps, told["log_interval"])
    wander = plan.rng("weights").normal(0, WEIGHTS_SD, len(evaluated))
    split = plan.rng("split").normal(0, SPLIT_SD)
    windows = told["eval_iters"] * told["batch_size"]
    series, sd = {}, loss.window_sd(evaluated)
    for name in ("train_loss", "val_loss"):
        draws = 1 if averaged else len(evaluated)  # the Trainer evaluates the same windows each time
        noise = plan.rng(name).normal(0, 1, draws) * sd / windows**0.5
        value = loss(name, evaluated) + wander + noise + (split if name == "val_loss" else 0.0)
        series[name] = Curve(evaluated, value, "nats")
    many = told["batch_size"] * (
        told["gradient_accumulation_steps"] * told["log_interval"] if averaged else 1
    )
    noise = plan.rng("batch_loss").normal(0, 1, len(lines)) * loss.window_sd(lines) / many**0.5
    series["batch_loss"] = Curve(lines, loss("batch_loss", lines) + noise, "nats")
    norms = (0.3 + 5 * np.exp(-lines / 60)) * plan.rng("grad_norm").lognormal(0, NORMS, len(lines))
    series["lr"] = Curve(lines, loss.rates[lines], "")
    series["grad_norm"] = Curve(lines, norms, "")
    series["tokens"] = Curve(lines, lines * float(plan.tokens_per_step), "tokens")
    for change in plan.logged:
        for name in change.names:
            curve = series[name]
            series[name] = Curve(curve.step, change.f(curve.step, curve.value), curve.unit)
    return series


def _at(steps: int, every: int) -> Steps:
    """The steps that are logged: each multiple of ``every``."""
    return np.arange(0, steps + 1, every, dtype=np.int64)


def final_loss(plan: Plan) -> float | None:
    """The noiseless val loss at the last step, nats; None where it is no number."""
    value = float(Loss(plan)("val_loss", np.array([plan.steps]))[0])
    return value if np.isfinite(value) else None
