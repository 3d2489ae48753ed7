"""What is minimised, and beside it what is logged: the plain cross-entropy, whatever is smoothed or added.

B batch, T time, V vocabulary, N = B x T tokens. All in nats per token, reckoned in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from .settings import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """``objective`` has the gradient; ``plain`` is the mean cross-entropy, comparable between all runs.

    ``z``: the mean of log(Z)^2, where it is part of the objective; 0 where the softmax is normalised already.
    """

    objective: Tensor
    plain: Tensor
    z: Tensor | None = None


#: inputs, targets and documents (B, T) to the fields of ``Loss``: plain tensors, as a compiler likes them
Objective = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor, Tensor | None]]


def objective_of(network: Callable[[Tensor, Tensor | None], Tensor], settings: Settings) -> Objective:
    """From tokens to losses, in one piece."""

    def losses(
        token_BT: Tensor, target_BT: Tensor, document_BT: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        found = loss_of(network(token_BT, document_BT), target_BT, settings)
        return found.objective, found.plain, found.z

    return losses


def loss_of(logits_BTV: Tensor, targets_BT: Tensor, settings: Settings) -> Loss:
    """The loss of a micro-batch, three scalars.

    Label smoothing mixes the target with the uniform distribution (Szegedy et al. 2016, section 7); the z-loss is
    ``z_loss * log(Z)^2`` (Chowdhery et al. 2022, section 5), which keeps log(Z) near 0.

    >>> import torch
    >>> found = loss_of(torch.zeros(1, 2, 8), torch.zeros(1, 2, dtype=torch.int64), Settings(z_loss=0.1))
    >>> f"{found.plain:.3f} {found.z:.3f} {found.objective:.3f}"  # ln 8, its square, and 0.1 of that more
    '2.079 4.324 2.512'
    """
    logits_NV, targets_N = logits_BTV.flatten(0, 1).float(), targets_BT.flatten()
    if not settings.label_smoothing and not settings.z_loss:
        plain = F.cross_entropy(logits_NV, targets_N)
        return Loss(plain, plain.detach())
    log_z_N = logits_NV.logsumexp(-1)
    plain = (log_z_N - logits_NV.gather(-1, targets_N[:, None])[:, 0]).mean()
    uniform = (log_z_N - logits_NV.mean(-1)).mean()
    z = log_z_N.square().mean()
    objective = plain + settings.label_smoothing * (uniform - plain) + settings.z_loss * z
    return Loss(objective, plain.detach(), z.detach() if settings.z_loss else None)
