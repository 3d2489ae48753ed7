"""A run as it was meant: settings, data, the text it learns from, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import log
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ..planned import configured
from ..run import Fact
from ..shape import Shape

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]

RATE = (0.003239, -0.0001395)  # the best peak, a + b ln N (Kaplan et al. 2020, eq. D.1)
LOWEST_RATE = 1e-4  # that rule leaves its range near 1e10 parameters


@dataclass(frozen=True, slots=True)
class Text:
    """What a seed draws once for a run and its mended twin: the text, and how a model learns from it."""

    entropy: float = 1.82  # nats of GPT-2's tokens that no model predicts (E of Besiroglu et al. 2024)
    init: float = 0.05  # nats above ln V at the start (GPT-2's initialisation: .02 to .1)
    tau: float = 20.0  # effective steps; with a power of .48 the reference run's curve
    power: float = 0.48  # of the fall; SCIENCE.md section 2 has LogNormal(ln .477, .12)
    bounce: float = 1.0  # times BOUNCE
    critical: float = 3e5  # tokens, the critical batch
    skill: float = 1.0  # the best peak over RATE's

    def best_peak(self, params: float) -> float:
        """The peak learning rate that suits a model of that size."""
        return self.skill * max(LOWEST_RATE, RATE[0] + RATE[1] * log(params))


@dataclass(frozen=True, slots=True)
class Change:
    """Something done to series: ``f(step, value)`` gives their new values."""

    names: tuple[str, ...]
    f: Callable[[Steps, Floats], Floats]


@dataclass(frozen=True, slots=True)
class Plan:
    """A run as it was meant: settings, data, text, and what goes wrong in training or in its log."""

    seed: int
    settings: Mapping[str, Any]  # VOCABULARY's names
    data: Mapping[str, Any]  # of a manifest
    text: Text = field(default_factory=Text)
    known: float = 0.0  # effective steps that a checkpoint brings
    moved: float = 1.0  # share of an update that reaches the weights
    thrown: float = 0.0  # share of the weights that the first steps throw off
    trained: tuple[Change, ...] = ()  # of the noiseless losses
    logged: tuple[Change, ...] = ()  # of what the log shows
    before: Mapping[str, Any] = field(default_factory=dict)  # settings that held until the resume
    resumed_at: int | None = None

    def with_settings(self, **values: Any) -> Plan:
        return replace(self, settings={**self.settings, **values})

    def with_data(self, **values: Any) -> Plan:
        return replace(self, data={**self.data, **values})

    def training(self, *changes: Change) -> Plan:
        return replace(self, trained=(*self.trained, *changes))

    def logging(self, *changes: Change) -> Plan:
        return replace(self, logged=(*self.logged, *changes))

    @property
    def steps(self) -> int:
        return int(self.settings["max_steps"] if not self.before else self.before["max_steps"])

    @property
    def tokens_per_step(self) -> int:
        told = self.settings
        return int(told["batch_size"] * told["gradient_accumulation_steps"] * told["block_size"])

    @property
    def shape(self) -> Shape:
        found = Shape.of(self.settings)
        assert found is not None
        return found

    def rng(self, purpose: str) -> np.random.Generator:
        """Randomness for one purpose alone: what changes elsewhere leaves it as it was."""
        return np.random.default_rng([self.seed, crc32(purpose.encode())])

    def rates(self) -> Floats:
        """The learning rate of each step from 0 to the last."""
        now, past = _schedule(self.settings), _schedule({**self.settings, **self.before})
        until = self.resumed_at or 0
        return np.array([(past if step < until else now)(step) for step in range(self.steps + 1)])


def _schedule(settings: Mapping[str, Any]) -> Callable[[int], float]:
    found = configured({name: Fact(value) for name, value in settings.items()})
    assert found is not None
    return found
