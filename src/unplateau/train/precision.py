"""The number format of matrix products; and for float16 the scale that keeps small gradients above zero.

Weights, their updates and all that is summed stay in float32 (Micikevicius et al. 2018).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .settings import Settings

FORMATS = {"bfloat16": torch.bfloat16, "float16": torch.float16}
FIRST_SCALE = 2.0**16  # torch's own; halved at each overflow, doubled after 2000 steps without one


class Precision:
    """One run's number format. Only float16 has a scaler; of the others every method is the plain thing.

    >>> precision = Precision(Settings(dtype="float32"), torch.device("cpu"))
    >>> precision.scales, precision.skipped
    (False, 0)
    """

    def __init__(self, settings: Settings, device: torch.device) -> None:
        self._format, self._device = FORMATS.get(settings.dtype), device
        self.scales = settings.dtype == "float16"
        self._scaler = torch.amp.GradScaler(device.type, init_scale=FIRST_SCALE, enabled=self.scales)
        self.skipped = 0  # steps whose gradient overflowed, all through the run

    def autocast(self) -> torch.autocast:
        """Where it holds, matrix products are in the run's number format."""
        number = self._format or torch.bfloat16
        return torch.autocast(self._device.type, number, enabled=self._format is not None)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of ``loss`` to the weights', scaled."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide the gradients by the scale: from here on they are what they mean."""
        self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """Move the weights; False where the gradient overflowed and they were left as they are."""
        if not self.scales:
            optimizer.step()
            return True
        before = self.scale
        self._scaler.step(optimizer)
        self._scaler.update()
        self.skipped += (moved := self.scale >= before) is False
        return moved

    @property
    def scale(self) -> float:
        """What losses are multiplied with before the backward pass; 1 but for float16."""
        return float(self._scaler.get_scale())

    def state_dict(self) -> dict[str, Any]:
        """What a resume has to know; plain numbers."""
        return {"skipped": self.skipped, "scaler": dict(self._scaler.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; a run that had no scaler begins with a fresh one."""
        self.skipped = int(state["skipped"])
        if self.scales and state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])
