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

Verdict = Literal["supported", "refuted", "undecided", "untestable"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measured fact, and which way it points."""

    fact: str  # a sentence with its numbers in it
    points: Literal["for", "against"]
    source: str  # the curve, file:line or config key it came from


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to change, in the canonical keys of ``run.facts``: key -> (old, new)."""

    patch: Mapping[str, tuple[Any, Any]]
    cost: str
    risk: str
    advice: str = ""  # what to do where no config key says it
    gain: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What testing one hypothesis on one run gave.

    ``probability``: that this cause holds and matters, given the evidence; None where untestable.
    ``stake``: a rough share of the remaining excess loss that the cause explains, 0 to 1, used only to
    rank findings of one verdict until laws price them in nats.
    """

    cause: str
    verdict: Verdict
    evidence: tuple[Evidence, ...] = ()
    probability: float | None = None
    effect: Estimate | None = None  # loss this cause costs at the end of the run
    missing: tuple[str, ...] = ()  # what would make it testable, or settle it
    remedy: Remedy | None = None
    stake: float = 0.0


def nothing_to_change(run: Run) -> Run | None:  # noqa: ARG001
    """For a cause that is a reading of the curve, not a setting of the run."""
    return None


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A cause, as a value: what it claims, what it needs, how to test it, and the run without it."""

    name: str
    claim: str
    needs: tuple[str, ...]
    test: Callable[[Run], Finding]
    without: Callable[[Run], Run | None] = nothing_to_change
    asks: tuple[str, ...] = field(default=())  # what to send, in the user's words, where needs are missing
