"""Laws of the loss, one file each: fitted to a run, they price what would change if the run were another.

A law says which settings it can price (``prices``, names of VOCABULARY); what no law prices needs a probe.
Prices are draws from a posterior, so that prices of several laws add up and every sum has its interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..estimate import Estimate
from ..run import Run

DRAWS = 400  # of each posterior; the error of a 90 % interval's ends is then a sixth of its half width
#: shape (DRAWS,), nats: equally likely values; the same place in all draws of one law belongs together
Draws = NDArray[np.float64]


class Fitted(Protocol):
    """A law with the posterior of its parameters."""

    @property
    def parameters(self) -> Mapping[str, Estimate]: ...

    def price(self, other: Run, step: int) -> Draws:
        """What ``other`` loses or wins by what this law prices: nats at ``step`` above the fitted run's trend
        at its last logged step. Zeros where nothing differs that the law prices."""
        ...


class Trend(Fitted, Protocol):
    """A law that also knows where the run stands: exactly one of these carries a forecast, the others add to it."""

    @property
    def level(self) -> Draws:
        """The trend of the judged loss at the last logged step, nats."""
        ...


#: parts of the loss, as rows of a budget: one run cannot tell the first two apart, so they are one
FLOOR, DATA, ANNEALING = "irreducible + capacity", "finite data", "not annealed"


@runtime_checkable
class Parted(Protocol):
    """A fitted law that says what the loss is made of.

    The parts of a trend add up to its level, draw for draw, and hold ``FLOOR``. The parts of any other law
    (repetition, for one) are in that level too, unseen by the trend: the budget takes them out of its ``FLOOR``.
    """

    def parts(self, run: Run) -> Mapping[str, Draws]:
        """Nats at the last logged step, by the name of a part; parts that cost nothing may be left out."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """A run made from a law's own formula and prior, and the truth about it: what the contract suite tests with."""

    run: Run
    other: Run
    step: int
    change: float  # nats that ``other`` at ``step`` truly lies above the run's trend at its last step
    parameters: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Law:
    """A law, as a value.

    ``fit``: the first run is the one that is priced; more runs of the same model and data under other
    schedules share its parameters. Raises ``ValueError`` with one line where the law can't be fitted.
    ``world``: a run drawn from the law's own prior by a seed.
    """

    name: str
    formula: str
    source: str
    parameters: tuple[str, ...]
    prices: tuple[str, ...]
    fit: Callable[[Sequence[Run]], Fitted]
    world: Callable[[int], World]
