"""Runs whose truth is known because we made them: a schedule law, evaluation noise, nanoGPT's settings.

``healthy_run(seed)`` is a finished run without a fault. Any fact of VOCABULARY can be given as a keyword
(``healthy_run(3, dropout=0.2)``; ``None`` leaves one out); the curve follows those that shape it: the
vocabulary, the schedule, the length, the batch. ``with_values`` plants a fault in a series.

The law: L = L0 + A (1 + S/tau)^-a + B eta S/(S + 5 tau), S the summed learning rate over its peak. With
the values below it runs within .1 nats of the reference run (10.87, 5.4 at 500, 4.04 at 2,000, 3.57 at 14,500).
"""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np

from unplateau.curve import Curve
from unplateau.derive import derive
from unplateau.run import Fact, Run

WINDOW_SD = 0.35  # nats; sd of the mean loss of one window, as in state.py
WEIGHTS_SD = 0.0015  # nats; two runs with one seed differ by this, SCIENCE.md section 2
TAU = 33.0  # steps
BASE = {
    "architecture": "gpt2",
    "n_layer": 12,
    "n_head": 12,
    "n_embd": 768,
    "vocab_size": 50304,
    "block_size": 1024,
    "bias": False,
    "tied": True,
    "batch_size": 12,
    "gradient_accumulation_steps": 40,
    "schedule": "cosine",
    "warmup_steps": 500,
    "optimizer": "adamw",
    "beta1": 0.9,
    "beta2": 0.95,
    "weight_decay": 0.1,
    "grad_clip": 1.0,
    "dropout": 0.0,
    "dtype": "bfloat16",
    "compile": True,
    "eval_iters": 200,
    "log_interval": 10,
    "init_from": "scratch",
    "eval_modes_equal": True,
}


def healthy_run(seed: int = 0, *, done: float = 1.0, extras: bool = False, **config) -> Run:
    """A run without a fault; ``done``: the share of the plan that is in the log; ``extras``: lr and gradient norms too."""
    rng = np.random.default_rng(seed)
    facts = settings(rng, config)
    steps = round(facts["max_steps"] * done)
    run = derive(Run(f"synthetic-{seed}", "nanogpt", {}, as_facts(facts)))
    law = Law(run, rng)
    every = facts.get("eval_interval") or max(1, facts["max_steps"] // 40)
    at = np.arange(0, steps + 1, every)
    lines = np.arange(0, steps + 1, facts.get("log_interval") or 10)
    windows = facts["eval_iters"] * facts["batch_size"]
    wander = rng.normal(0, WEIGHTS_SD, len(at))
    offset = rng.normal(0, 0.002)  # two random halves of one text differ by about this
    series = {
        "train_loss": Curve(at, law(at) + wander + noise(rng, len(at), windows), "nats"),
        "val_loss": Curve(at, law(at) + wander + offset + noise(rng, len(at), windows), "nats"),
        "batch_loss": Curve(
            lines, law(lines, train_mode=True) + noise(rng, len(lines), facts["batch_size"]), "nats"
        ),
    }
    if extras:
        series |= {"lr": Curve(lines, law.eta(lines) * facts["peak_lr"])}
        series |= {"grad_norm": Curve(lines, gradient_norms(rng, lines))}
    return derive(replace(run, series={n: rounded(c) for n, c in series.items()}))


def settings(rng, config) -> dict:
    """nanoGPT's settings: those asked for, else a likely value that varies with the seed."""
    facts = BASE | {
        "max_steps": int(rng.integers(6, 24)) * 500,
        "peak_lr": float(rng.choice([3e-4, 6e-4, 1e-3])),
    }
    facts |= config
    facts.setdefault("floor_lr", facts["peak_lr"] / 10)
    facts.setdefault("decay_end", facts["max_steps"])
    facts.setdefault("eval_interval", max(1, facts["max_steps"] // 40))
    return {name: value for name, value in facts.items() if value is not None}


def as_facts(values) -> dict[str, Fact]:
    """Facts as a config file would give them."""
    return {name: Fact(v, "", f"config.py:{line}") for line, (name, v) in enumerate(values.items(), 1)}


class Law:
    """The noiseless loss of a run at a step."""

    def __init__(self, run: Run, rng) -> None:
        self.run = run
        start = log(run.get("vocab_size") or 50304) + rng.uniform(0.02, 0.1)  # GPT-2's init gives .05 to .1
        self.floor = start * rng.uniform(0.26, 0.3)
        self.fall, self.power = start - self.floor, rng.uniform(0.45, 0.52)
        self.bounce = rng.uniform(0.1, 0.2) * ((run.get("peak_lr") or 1e-3) / 1e-3) ** 0.3
        self.dropout = 0.5 * (run.get("dropout") or 0.0)
        steps = np.arange(int(run.get("planned_end") or run.get("max_steps")) + 1)
        schedule, peak = run.schedule, run.get("peak_lr") or 1e-3
        self._eta = np.array([schedule(int(s)) / peak for s in steps]) if schedule else np.ones(len(steps))
        self._sum = np.append(0.0, np.cumsum(self._eta))

    def eta(self, step):
        return self._eta[np.minimum(step, len(self._eta) - 1)]

    def __call__(self, step, *, train_mode: bool = False):
        s = self._sum[np.minimum(step, len(self._eta) - 1)]
        loss = self.floor + self.fall * (1 + s / TAU) ** -self.power
        loss = loss + self.bounce * self.eta(step) * s / (s + 5 * TAU)
        return loss + self.dropout * s / (s + 5 * TAU) if train_mode else loss


def noise(rng, n: int, windows: int):
    """The error of a mean over ``windows`` random windows."""
    return rng.normal(0, WINDOW_SD / windows**0.5, n)


def gradient_norms(rng, step):
    """Large at the start, then about a third, with the few percent that minibatches give."""
    return (0.3 + 5 * np.exp(-step / 60)) * rng.lognormal(0, 0.12, len(step))


def rounded(curve: Curve) -> Curve:
    """As a log prints it: losses with four decimals, the rest with four digits."""
    if curve.unit == "nats":
        return Curve(curve.step, np.round(curve.value, 4), curve.unit)
    return Curve(curve.step, [float(f"{v:.4g}") for v in curve.value], curve.unit)


def with_values(run: Run, **change) -> Run:
    """The run with series changed: each keyword names one and gives ``f(step, value) -> value``.

    >>> run = with_values(healthy_run(0), val_loss=lambda step, value: value + 1.0)
    >>> run.series["val_loss"].first > 11
    True
    """
    series = dict(run.series)
    for name, f in change.items():
        curve = series[name]
        series[name] = Curve(curve.step, f(curve.step, curve.value.copy()), curve.unit)
    return derive(replace(run, series=series))


def without_series(run: Run, *names: str) -> Run:
    """The run with some series left out of its log."""
    return derive(replace(run, series={n: c for n, c in run.series.items() if n not in names}))


def losses(run: Run) -> tuple[str, ...]:
    """The names of its losses."""
    return tuple(n for n in ("train_loss", "val_loss", "batch_loss") if n in run.series)
