"""One run, as facts: its curves, what is known of its settings, and where each fact came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from .curve import Curve

if TYPE_CHECKING:
    from .evidence import Told

LOSSES = ("val_loss", "train_loss", "batch_loss")
#: the series of CONTRACT.md; a reader may add others under the trainer's own names
SERIES = (*LOSSES, "lr", "grad_norm", "tokens", "epoch", "mfu", "step_ms")


class Schedule(Protocol):
    """The learning rate as a function of the optimiser step; the trainer and the doctor share it."""

    name: ClassVar[str]

    @property
    def peak(self) -> float: ...
    def __call__(self, step: int) -> float: ...


@dataclass(frozen=True, slots=True)
class Fact:
    """A value, its unit, and the place it was read from.

    ``source`` is one of: ``config.py:18`` (file and line), ``log line 2``, ``counted`` (arithmetic on
    other facts), ``assumed: ...`` (a default of the trainer, named), ``manifest.json``, ``--option``.
    """

    value: Any
    unit: str = ""
    source: str = "counted"

    def as_dict(self) -> dict[str, Any]:
        return {"value": self.value, "unit": self.unit, "source": self.source}


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of one training run. A fact that is not known is absent, never guessed."""

    name: str
    format: str = ""
    series: Mapping[str, Curve] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)
    schedule: Schedule | None = None
    warnings: tuple[str, ...] = ()
    probed: tuple[Told, ...] = ()  # what probes told of it

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a fact, or ``default`` where it is not known."""
        fact = self.facts.get(name)
        return default if fact is None else fact.value

    def source(self, name: str) -> str:
        """Where a fact came from; empty where it is not known."""
        fact = self.facts.get(name)
        return "" if fact is None else fact.source

    def has(self, name: str) -> bool:
        """True when ``name`` is a series with a finite point, a fact, or ``schedule`` and known."""
        if name == "schedule":
            return self.schedule is not None
        if name in self.series:
            return len(self.series[name].finite) > 0
        return name in self.facts

    def missing(self, needs: Iterable[str]) -> tuple[str, ...]:
        """Those of ``needs`` that are not known; ``a|b`` is met by either."""
        return tuple(n for n in needs if not any(self.has(option) for option in n.split("|")))

    @property
    def loss(self) -> Curve | None:
        """The loss to judge the run by: val, else train, else batch; finite points only."""
        for name in LOSSES:
            if name in self.series and len(self.series[name].finite):
                return self.series[name].finite
        return None

    def with_facts(self, **values: Fact) -> Run:
        """The same run with facts added or replaced."""
        return replace(self, facts={**self.facts, **values})
