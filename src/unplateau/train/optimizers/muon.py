"""Muon for the matrices inside blocks (Jordan et al. 2024), AdamW for tables and vectors, as one optimiser.

The update of a matrix is its momentum made orthogonal: all its singular values near 1. A weight that is several
matrices in one (queries, keys and values) is taken apart for that. Matrices of equal shape are worked on in one
batch: for small models the calls would else take longer than the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw as adamw_step

from ..distributed import as_held, in_shards, whole
from ..machine import multiplies_in_bfloat16
from ..models import fused
from ..settings import Settings
from .adamw import EPSILON, is_fused, parted

MOMENTUM = 0.95  # Jordan 2024
STEPS = 5  # Newton-Schulz iterations
QUINTIC = (3.4445, -4.7750, 2.0315)  # a, b, c of a X + b (X X') X + c (X X')^2 X: Jordan 2024
TINY = 1e-7  # added to a norm that may be 0
#: of ``weight_decay``: Muon's own learning rate is 5 x AdamW's at width 128, and one setting is to shrink matrices as
#: fast with both. At the full .1 the loss is .011 higher (docs/LOG.md)
DECAY = 0.2
#: learning rates of AdamW's groups over that of the matrices
SCALES = {"embedding": 0.3, "head": 0.3, "positions": 0.3, "vectors": 0.3}
MOMENTS = ("exp_avg", "exp_avg_sq")


def orthogonal(x_KRC: Tensor) -> Tensor:
    """Matrices with the singular vectors of ``x_KRC`` and singular values of about 1 (.7 to 1.2; tiny ones stay small).

    Newton-Schulz with Jordan's quintic. Rows R should not be more than columns C: the work grows with R^2 C.
    """
    a, b, c = QUINTIC
    x_KRC = x_KRC / (torch.linalg.matrix_norm(x_KRC, keepdim=True) + TINY)
    for _ in range(STEPS):
        g_KRR = x_KRC @ x_KRC.mT
        p_KRR = torch.baddbmm(g_KRR, g_KRR, g_KRR, beta=b, alpha=c)
        x_KRC = torch.baddbmm(x_KRC, p_KRR, x_KRC, beta=a)
    return x_KRC


def number_format(device: torch.device) -> torch.dtype:
    """What the iteration is reckoned in: bfloat16 (which suffices: Jordan 2024) where the device multiplies in it."""
    return torch.bfloat16 if device.type == "cuda" or multiplies_in_bfloat16(device) else torch.float32


class Muon(torch.optim.Optimizer):
    """Groups with ``momentum`` are Muon's, the others AdamW's. Weight decay is decoupled in both.

    The update of a matrix of R rows and C columns is scaled by sqrt(max(1, R / C)) (Jordan 2024), so that one
    learning rate serves all shapes and widths.
    """

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of all weights that have a gradient."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            weights = [w for w in group["params"] if w.grad is not None]
            if weights:
                (self._muon if "momentum" in group else self._adamw)(group, weights)

    def _muon(self, group: dict[str, Any], weights: list[nn.Parameter]) -> None:
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        kept = [self.state[w]["momentum_buffer"] for w in weights]
        grads = [w.grad for w in weights if w.grad is not None]
        torch._foreach_lerp_(kept, grads, 1 - group["momentum"])
        moved = torch._foreach_lerp(grads, kept, group["momentum"])  # noqa: SLF001 - Nesterov's look ahead
        if group["weight_decay"]:
            torch._foreach_mul_([*weights], 1 - group["lr"] * group["weight_decay"])
        all_rows = dict(zip(group["params"], group["rows"], strict=True))
        rows = [all_rows[w] for w in weights]
        if not in_shards(weights[0]):
            _turn_all([*weights], moved, rows, group["lr"])
            return
        for weight, part, sizes in zip(
            weights, moved, rows, strict=True
        ):  # one at a time: a card holds no more
            momentum = whole(part)
            update = torch.zeros_like(momentum)
            _turn_all([update], [momentum], [sizes], group["lr"])
            weight.add_(as_held(update, weight))

    def _adamw(self, group: dict[str, Any], weights: list[nn.Parameter]) -> None:
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["step"] = torch.zeros((), device=weight.device)
                self.state[weight].update({name: torch.zeros_like(weight) for name in MOMENTS})
        states = [self.state[w] for w in weights]
        adamw_step(
            [*weights],
            [w.grad for w in weights if w.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=group["fused"],
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )


def _turn_all(
    weights: list[Tensor], moved: Sequence[Tensor], rows: list[tuple[int, ...]], rate: float
) -> None:
    """Move weights by their orthogonal momenta; ``rows`` are those of the matrices that each holds."""
    pairs = [
        pair
        for w, m, sizes in zip(weights, moved, rows, strict=True)
        for pair in zip(torch.split(w, [*sizes]), torch.split(m, [*sizes]), strict=True)
    ]
    for same in _by_shape(pairs).values():
        _turn(same, rate)


def _by_shape(pairs: list[tuple[Tensor, Tensor]]) -> dict[tuple[int, ...], list[tuple[Tensor, Tensor]]]:
    """Weights and momenta by the shape of what is made orthogonal: no more rows than columns."""
    found: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
    for weight, moved in pairs:
        found.setdefault(tuple(sorted(weight.shape)), []).append((weight, moved))
    return found


def _turn(pairs: list[tuple[Tensor, Tensor]], rate: float) -> None:
    """Move weights of one shape, lying or standing, by their orthogonal momenta."""
    number = number_format(pairs[0][0].device)
    lying = torch.stack([m if m.shape[0] <= m.shape[1] else m.mT for _, m in pairs])
    for (weight, _), turned in zip(pairs, orthogonal(lying.to(number)), strict=True):
        R, C = weight.shape
        weight.add_(turned if R <= C else turned.mT, alpha=-rate * max(1.0, R / C) ** 0.5)


def build(settings: Settings, model: nn.Module) -> torch.optim.Optimizer:
    """Muon over the matrices of ``model``, AdamW over the rest; the learning rate is 0 until ``set_rate``."""
    of = fused(model)
    betas = settings.beta1, settings.beta2
    groups: list[dict[str, Any]] = []
    for name, weights in parted(model.groups()).items():  # type: ignore[operator]
        if name == "matrices":
            rows = [of.get(w, (len(w),)) for w in weights]
            own = {"momentum": MOMENTUM, "rows": rows, "weight_decay": DECAY * settings.weight_decay}
        else:
            own = {"betas": betas, "eps": EPSILON, "fused": is_fused([{"params": weights}])}
        groups.append({"name": name, "scale": SCALES.get(name, 1.0), "params": weights, **own})
    return Muon(groups)
