"""An exponential moving average of the weights: what a run would be were its last steps' noise taken out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .distributed import as_held


class Average:
    """The average of a model's weights, of which a share of ``1 - decay`` is renewed at each step.

    It begins as the weights after the first step that it takes in; before that it is empty.

    >>> model = nn.Linear(1, 1, bias=False)
    >>> average = Average(model, decay=0.75)
    >>> for value in (1.0, 3.0):
    ...     _ = nn.init.constant_(model.weight, value)
    ...     average.update()
    >>> average.weights["weight"].item()
    1.5
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._named = dict(model.named_parameters())
        self.weights: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of a step."""
        if self.weights:
            torch._foreach_lerp_([*self.weights.values()], [*self._named.values()], 1 - self.decay)
        else:
            self.weights = {name: weight.detach().clone() for name, weight in self._named.items()}

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Within it the model has the average's weights, to be evaluated or saved."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name in self.weights:
            weight = self._named[name]
            weight.data, self.weights[name] = self.weights[name], weight.data

    def state_dict(self) -> dict[str, Tensor]:
        """The average itself, by the names of the weights; empty before the first step."""
        return dict(self.weights)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a copy of ``state``."""
        own = self._named
        self.weights = {n: as_held(value.to(own[n].device, copy=True), own[n]) for n, value in state.items()}
