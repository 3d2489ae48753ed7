"""Sound runs of nanoGPT for tests: those of ``unplateau simulate``, with any setting changed.

``healthy_run(seed)`` is a finished run without a fault. Any fact of VOCABULARY can be given as a keyword
(``healthy_run(3, dropout=0.2)``; ``None`` leaves one out); the curve follows those that shape it: the
vocabulary, the size, the schedule, the length, the batch. ``with_values`` plants a fault in a series.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unplateau.curve import Curve
from unplateau.derive import derive
from unplateau.run import Run
from unplateau.simulate.facts import run_of
from unplateau.simulate.plan import Plan, Text

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


FILLED = {"floor_lr": 0.0, "log_interval": 10}  # what the world needs where a test leaves it out


def healthy_run(seed: int = 0, *, done: float = 1.0, extras: bool = False, **config) -> Run:
    """A run without a fault; ``done``: the share of the plan that is in the log; ``extras``: lr and gradient norms too."""
    rng = np.random.default_rng(seed)
    facts = settings(rng, config)
    run = run_of(plan_of(seed, rng, facts), f"synthetic-{seed}")
    shown = {"train_loss", "val_loss", "batch_loss"} | ({"lr", "grad_norm"} if extras else set())
    end = round(facts["max_steps"] * done)
    series = {n: rounded(c.between(0, end + 1)) for n, c in run.series.items() if n in shown}
    known = {n: f for n, f in run.facts.items() if n in facts}
    return derive(replace(run, series=series, facts=known))


def plan_of(seed: int, rng, facts) -> Plan:
    """The plan of these settings, whose batch and peak suit the model whatever they are."""
    told = FILLED | {n: v for n, v in facts.items() if v is not None}
    plan = Plan(seed, told, {})
    text = Text(init=rng.uniform(0.02, 0.1), critical=plan.tokens_per_step, bounce=rng.uniform(0.6, 1.1))
    return replace(plan, text=text)


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
