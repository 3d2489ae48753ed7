"""An exponential moving average of the weights: what a run would be were its last steps' noise taken out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The average of a model's weights, of which a share of ``1 - decay`` is renewed at each step.

    It starts at the first weights it is given, so early ones are remembered for about ``1 / (1 - decay)`` steps.

    >>> model = nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.constant_(model.weight, 1.0)
    >>> average = Average(model, decay=0.75)
    >>> _ = nn.init.constant_(model.weight, 3.0)
    >>> average.update()
    >>> average.weights["weight"].item()
    1.5
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._named = dict(model.named_parameters())
        self.weights = {name: w.detach().clone() for name, w in self._named.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of a step."""
        torch._foreach_lerp_([*self.weights.values()], [*self._named.values()], 1 - self.decay)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Within it the model has the average's weights, to be evaluated or saved."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, weight in self._named.items():
            weight.data, self.weights[name] = self.weights[name], weight.data

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.weights)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, weight in self.weights.items():
            weight.copy_(state[name])
