"""Optimisers: fused AdamW, or Muon for matrices with AdamW for the rest; one file each.

What ``optimizer_of`` gives is a ``torch.optim.Optimizer`` whose groups have two words more: ``name``, and ``scale``,
by which the schedule's learning rate is multiplied for this group.
"""

from __future__ import annotations

import torch
from torch import nn

from ...errors import UsageError
from ..settings import Settings
from . import adamw, muon

KINDS = {"adamw": adamw.build, "muon": muon.build}

__all__ = ["KINDS", "optimizer_of", "set_rate"]


def optimizer_of(settings: Settings, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that ``settings`` ask for, over all weights of a ``models.Model``; its learning rate is 0 yet.

    Raises ``UsageError`` for a name that is not known.
    """
    if settings.optimizer not in KINDS:
        raise UsageError(f"optimizer {settings.optimizer!r} is not known; expected one of {', '.join(KINDS)}")
    return KINDS[settings.optimizer](settings, model)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give each group the schedule's learning rate times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)
