"""Ways to change a plan that several causes share."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log
from typing import Any

import numpy as np

from .healthy import INTERVALS
from .plan import Floats, Plan, Steps

LEARNING = 0.01  # share of the run in which a model learns what tells one text from another
SUITED = 0.85  # of the best peak; people stay below it


def geometric(start: float, end: float, share: float) -> float:
    """From ``start`` to ``end`` by equal factors.

    >>> round(geometric(1.0, 100.0, 0.5), 6)
    10.0
    """
    return start * exp(share * log(end / start))


def at_best(plan: Plan) -> Plan:
    """With the peak that suits its size."""
    peak = float(f"{SUITED * plan.text.best_peak(plan.shape.params):.2g}")
    return with_peak(plan, peak)


def with_peak(plan: Plan, peak: float) -> Plan:
    old = plan.settings["peak_lr"]
    return plan.with_settings(
        peak_lr=float(f"{peak:.3g}"), floor_lr=float(f"{plan.settings['floor_lr'] * peak / old:.3g}")
    )


def learned(plan: Plan, step: Steps) -> Floats:
    """From 0 before the first step to 1."""
    return np.asarray(1 - np.exp(-step / (LEARNING * plan.steps)))


def falling(plan: Plan) -> Plan:
    """With nanoGPT's cosine, whose floor and end can be set."""
    told = {n: v for n, v in plan.settings.items() if n not in ("decay_start", "decay_form")}
    return replace(plan, settings={**told, "schedule": "cosine", "decay_end": plan.steps})


def resumed(plan: Plan) -> Plan:
    """Stopped and resumed at an evaluation between a half and four fifths of the run."""
    every = plan.settings["eval_interval"]
    at = round(plan.rng("resumed at").uniform(0.5, 0.8) * plan.steps / every) * every
    return replace(plan, resumed_at=at)


def lasting(plan: Plan, steps: int) -> Plan:
    """With another number of steps, and its schedule, evaluations and records in proportion."""
    if steps == plan.steps:
        return plan
    by, told = steps / plan.steps, plan.settings
    change: dict[str, Any] = {"max_steps": steps, "decay_end": steps}
    for name in ("warmup_steps", "decay_start"):
        if name in told:
            change[name] = max(1, round(told[name] * by))
    for name in ("eval_interval", "log_interval"):
        change[name] = max(i for i in INTERVALS if i <= max(1, told[name] * by))
    return plan.with_settings(**change)
