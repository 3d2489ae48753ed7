"""Causes, one file each; the module docstring of each is its page (``unplateau causes NAME``).

A page has these parts, each a line ``Word:`` and a paragraph: Claim, Mechanism, Supported by, Refuted
by, Needs, What to do, Sources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..estimate import Estimate
from ..run import Run

SMALL = 0.012  # nats; a cause that costs less is not told from none (docs/accuracy.md)
Verdict = Literal["supported", "refuted", "undecided", "untestable"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measured fact, and which way it points."""

    fact: str  # a sentence with its numbers in it
    points: Literal["for", "against"]
    source: str  # the curve, file:line or config key it came from


@dataclass(frozen=True, slots=True)
class Plan:
    """The run that a remedy makes.

    ``end``: the step at which its loss is compared with what the trend is now; ``start``: the step of the
    checkpoint that it goes on from, 0 for a fresh run. ``given``: the run as the remedy's condition supposes
    it, where the remedy hangs on a fact that is not known.
    """

    run: Run
    end: int
    start: int = 0
    given: Run | None = None


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to change, in the canonical keys of ``run.facts``: key -> (old, new).

    ``plan``: the run that comes of it, where it is one that a law may price. ``condition``: what must hold for
    it to be worth anything, where nobody knows whether it holds ("if ...").
    """

    patch: Mapping[str, tuple[Any, Any]]
    cost: str
    risk: str
    advice: str = ""  # what to do where no config key says it
    gain: Estimate | None = None  # nats below the trend of now
    plan: Plan | None = None
    condition: str = ""
    basis: str = ""  # what the gain rests on, where that is no law


@dataclass(frozen=True, slots=True)
class Finding:
    """What testing one hypothesis on one run gave.

    ``probability``: that this cause holds and matters, given the evidence; None where untestable.
    ``effect``: what the cause costs, by the laws that fit the run; ``unpriced`` says why there is none.
    ``stake``: a rough guess of the nats that the cause costs, to rank it where no law prices it; never shown.
    """

    cause: str
    verdict: Verdict
    evidence: tuple[Evidence, ...] = ()
    probability: float | None = None
    effect: Estimate | None = None  # loss this cause costs at the end of the run
    missing: tuple[str, ...] = ()  # what would make it testable, or settle it
    remedy: Remedy | None = None
    stake: float = 0.0
    unpriced: str = ""
    probes: tuple[str, ...] = ()  # that would tell, and have not yet
    basis: str = ""  # what the effect rests on, where that is neither a law nor a probe

    @property
    def costless(self) -> bool:
        """True where the laws price the cause, and all of the interval lies below what counts."""
        return self.effect is not None and self.effect.high < SMALL

    @property
    def recoverable(self) -> float | None:
        """Nats that can be won back: what the remedy gains, else what the cause costs; None where no law says."""
        gain = self.remedy.gain if self.remedy is not None else None
        known = gain or self.effect
        return None if known is None else max(known.value, 0.0)

    @property
    def expected(self) -> float | None:
        """Nats recoverable, times how sure; None where no law prices the cause."""
        return None if self.recoverable is None else self.recoverable * (self.probability or 0.0)


def nothing_to_change(run: Run) -> Run | None:  # noqa: ARG001
    """For a cause that is a reading of the curve, not a setting of the run."""
    return None


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A cause, as a value: what it claims, what it needs, how to test it, and the run without it.

    ``unpriced``: what it does to a run that no law knows of, where laws price the settings by which it is told.
    """

    name: str
    claim: str
    needs: tuple[str, ...]
    test: Callable[[Run], Finding]
    without: Callable[[Run], Run | None] = nothing_to_change
    asks: tuple[str, ...] = field(default=())  # what to send, in the user's words, where needs are missing
    unpriced: str = ""
