"""AdamW (Loshchilov & Hutter 2019), in one fused kernel where torch has one: cards, and CPUs too.

Weight decay is that of nanoGPT's ``configure_optimizers``: of all weights with two dimensions, and of no other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..settings import Settings

EPSILON = 1e-8  # torch's and nanoGPT's
FUSED = ("cpu", "cuda", "mps")  # devices for which torch has the kernel


def build(settings: Settings, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW over all weights of ``model``; the learning rate is 0 until ``set_rate``."""
    groups = [
        {"name": name, "scale": 1.0, "params": weights, "weight_decay": decay(settings, weights)}
        for name, weights in parted(model.groups()).items()  # type: ignore[operator]
    ]
    betas = settings.beta1, settings.beta2
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=EPSILON, fused=is_fused(groups))


def parted(roles: dict[str, list[nn.Parameter]]) -> dict[str, list[nn.Parameter]]:
    """The roles of a model, with learned positions apart from true vectors: they decay, as a table does."""
    found: dict[str, list[nn.Parameter]] = {}
    for role, weights in roles.items():
        for weight in weights:
            name = "positions" if role == "vectors" and weight.ndim >= 2 else role
            found.setdefault(name, []).append(weight)
    return found


def decay(settings: Settings, weights: list[nn.Parameter]) -> float:
    """nanoGPT's rule, for weights of one group."""
    return settings.weight_decay if weights[0].ndim >= 2 else 0.0


def is_fused(groups: list[dict[str, Any]]) -> bool:
    """True where torch has the fused kernel for all weights."""
    weights = [weight for group in groups for weight in group["params"]]
    return all(weight.device.type in FUSED and weight.is_floating_point() for weight in weights)
