"""A plan as a run in memory: what a reader would make of its files, without the digits that a log cuts off."""

from __future__ import annotations

from ..derive import derive
from ..facts import VOCABULARY
from ..run import Fact, Run
from .plan import Plan
from .world import series_of


def run_of(plan: Plan, name: str = "simulated") -> Run:
    """The run of ``plan``, as nanoGPT would log it, with the rates and norms that it does not.

    >>> from .healthy import healthy
    >>> run = run_of(healthy(1))
    >>> run.get("params") == healthy(1).shape.params, round(run.get("passes"), 2)
    (True, 0.34)
    """
    told = {**plan.settings, "eval_modes_equal": True}
    facts = {n: Fact(v, VOCABULARY[n][0], f"config.py:{line}") for line, (n, v) in enumerate(told.items(), 1)}
    facts |= {n: Fact(v, VOCABULARY[n][0], "manifest.json") for n, v in plan.data.items()}
    if plan.resumed_at is not None:
        facts["resumed_at"] = Fact([plan.resumed_at], "steps", "log line 9")
        facts["init_from"] = Fact("resume", "", "log line 9")
    return derive(Run(name, "nanogpt", series_of(plan), facts))
