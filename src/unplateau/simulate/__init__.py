"""Synthetic runs with a planted cause, of which the truth is known: for tests, docs and the accuracy table.

Never for fitting: a threshold tuned on these would only know the laws they were made from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from ..plugins import discover
from .dialects import DIALECTS, Files
from .faults import PLANTERS
from .healthy import healthy
from .plan import Plan
from .world import final_loss

SCHEMA = "unplateau.simulation/1"
HEALTHY = "healthy"  # in the place of a cause: nothing is planted
#: causes that no log, config or manifest shows
REFUSED = {"data-order": "the order of the data is in the loader: no log, config or manifest shows it"}
SHORTEST, LONGEST = 100, 200_000  # steps


@dataclass(frozen=True, slots=True)
class Simulation:
    """A run with a cause, the same run without it, and what the cause costs."""

    cause: str
    severity: float
    seed: int
    dialect: str
    plan: Plan
    mended: Plan

    @property
    def files(self) -> Files:
        """The files of the run, by name."""
        return DIALECTS[self.dialect].files(self.plan)

    @property
    def mended_files(self) -> Files:
        return DIALECTS[self.dialect].files(self.mended)

    def truth(self) -> dict[str, Any]:
        """The cause and its cost: noiseless final val losses in nats, None where the loss is no number."""
        loss, without = final_loss(self.plan), final_loss(self.mended)
        cost = None if loss is None or without is None else round(loss - without, 6)
        return {
            "cause": self.cause,
            "severity": self.severity,
            "seed": self.seed,
            "dialect": self.dialect,
            "cost": cost,
            "run": _told(self.plan, loss),
            "mended": _told(self.mended, without),
        }


def _told(plan: Plan, loss: float | None) -> dict[str, Any]:
    rounded = None if loss is None else round(loss, 6)
    return {"final_loss": rounded, "steps": plan.steps, "tokens": plan.steps * plan.tokens_per_step}


def simulate(
    cause: str, severity: float, seed: int, *, dialect: str = "nanogpt", steps: int | None = None
) -> Simulation:
    """Plant ``cause`` in the sound run of ``seed``; raises ``UsageError`` for what can't be planted.

    >>> truth = simulate("lr-not-annealed", 0.5, 1).truth()
    >>> truth["cause"], truth["cost"] > 0, simulate("lr-not-annealed", 0.0, 1).truth()["cost"]
    ('lr-not-annealed', True, 0.0)
    """
    check(cause, severity, seed, dialect, steps)
    trainer = DIALECTS[dialect]
    sound = healthy(seed, schedules=trainer.schedules, architecture=trainer.architecture, steps=steps)
    if cause == HEALTHY:
        return Simulation(HEALTHY, 0.0, seed, dialect, sound, sound)
    plant = PLANTERS[cause]
    return Simulation(cause, severity, seed, dialect, plant(sound, severity), plant(sound, 0.0))


def check(cause: str, severity: float, seed: int, dialect: str, steps: int | None) -> None:
    """Raise ``UsageError``, in one line, for a run that can't be made."""
    if dialect not in DIALECTS:
        raise UsageError(f"--dialect wants one of {', '.join(DIALECTS)}; found {dialect!r}")
    if cause != HEALTHY and cause not in PLANTERS:
        raise UsageError(
            (REFUSED.get(cause) and f"{cause} can't be planted: {REFUSED[cause]}") or _unknown(cause)
        )
    if why := DIALECTS[dialect].refused.get(cause):
        raise UsageError(f"{cause} can't be planted in {dialect}: {why}")
    if not 0 <= severity <= 1:
        raise UsageError(
            f"--severity wants a number from 0 (no cause) to 1 (as strong as one meets); found {severity:g}"
        )
    if seed < 0:
        raise UsageError(f"--seed wants a number from 0 up; found {seed}")
    if steps is not None and not SHORTEST <= steps <= LONGEST:
        raise UsageError(f"--steps wants {SHORTEST:,} to {LONGEST:,}; found {steps:,}")


def _unknown(cause: str) -> str:
    from difflib import get_close_matches

    known = [HEALTHY, *PLANTERS, *(set(discover("hypotheses")) - set(PLANTERS))]
    near = get_close_matches(cause, known, n=1)
    if cause in known:
        return f"{cause} can't be planted: nobody has said how"
    return f"no cause is called {cause!r}; " + (
        f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    )
