"""Laws of the loss, one file each: fitted to a curve, they say what it will be, with an interval.

A law says which settings it can price (``prices``, names of VOCABULARY). What no law prices needs a probe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..curve import Curve
from ..estimate import Estimate


class Fitted(Protocol):
    """A law with its parameters: called with a step, it gives the loss there with a 90 % interval."""

    @property
    def parameters(self) -> dict[str, Estimate]: ...
    def __call__(self, step: float) -> Estimate: ...


@dataclass(frozen=True, slots=True)
class Law:
    """A law, as a value. ``fit(curve, noise)`` raises ``ValueError`` for a curve that it can't fit."""

    name: str
    formula: str
    source: str
    parameters: tuple[str, ...]
    prices: tuple[str, ...]
    fit: Callable[[Curve, float], Fitted]
