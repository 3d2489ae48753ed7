"""The gradient noise scale, from norms that a step with several micro-batches has anyway."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

MEMORY = 0.95  # of the running means: about 20 steps, as one step's estimate is mostly noise (McCandlish A.1)


class NoiseScale:
    """tr(Sigma) / |G|^2 in tokens: the batch beyond which more tokens a step help little (McCandlish et al. 2018).

    From the squared norms of the gradient of ``small`` tokens and of all ``big`` ones (appendix A.1):
    |G|^2 = (big n_big - small n_small) / (big - small), tr(Sigma) = (n_small - n_big) / (1/small - 1/big). Both are
    without bias; their ratio is that of running means. Nothing here waits for the device but ``value``.

    >>> scale = NoiseScale(small=100, big=400)
    >>> scale.add(torch.tensor(5.0), torch.tensor(2.0))  # |G|^2 = 1 and tr(Sigma) = 400
    >>> scale.value()
    400.0
    """

    def __init__(self, small: int, big: int) -> None:
        self.small, self.big = small, big
        self._signal: Tensor | None = None
        self._noise: Tensor | None = None

    def add(self, small_norm2: Tensor, big_norm2: Tensor) -> None:
        """One step's squared norms, both of mean gradients before clipping."""
        signal = (self.big * big_norm2 - self.small * small_norm2) / (self.big - self.small)
        noise = (small_norm2 - big_norm2) / (1 / self.small - 1 / self.big)
        sound = (small_norm2 + big_norm2).isfinite()  # one step that overflowed must not stay in the means
        self._signal = _mixed(self._signal, signal, sound)
        self._noise = _mixed(self._noise, noise, sound)

    def value(self) -> float | None:
        """The noise scale; None where chance leaves no signal, or nothing was added."""
        if self._signal is None or self._noise is None:
            return None
        signal, noise = float(self._signal), float(self._noise)
        return noise / signal if signal > 0 and noise > 0 else None

    def state_dict(self) -> dict[str, Any]:
        """Two numbers, None before the first step."""
        held = self._signal, self._noise
        return {k: None if v is None else float(v) for k, v in zip(("signal", "noise"), held, strict=True)}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on from ``state``, on ``device``."""
        held = (state["signal"], state["noise"])
        self._signal, self._noise = (None if v is None else torch.tensor(v, device=device) for v in held)


def _mixed(mean: Tensor | None, new: Tensor, sound: Tensor) -> Tensor:
    """The running mean with ``new`` in it, where that is a number."""
    if mean is None:
        return torch.where(sound, new, torch.zeros_like(new))
    return torch.where(sound, torch.lerp(new, mean, MEMORY), mean)
