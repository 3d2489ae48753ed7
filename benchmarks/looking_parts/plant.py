"""Break the trainer on purpose, in this process alone, and train one case with it: ``python -m looking_parts.plant CASE OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from unplateau.train import session, step
from unplateau.train.configure import resolve
from unplateau.train.loop import train
from unplateau.train.losses import loss_of

from .cases import CASES, Case, words_of

FROZEN = {
    "all": lambda _name: True,
    "matrices": lambda name: name.startswith("blocks.") and "norm" not in name,
    "embedding": lambda name: name.startswith("embed."),
    "half": lambda name: name.startswith("blocks.0."),
    "vectors": lambda name: "norm" in name,
}


def plant(fault: str) -> None:
    """Put ``fault`` into the trainer's modules."""
    kind, _, which = fault.partition("-")
    if kind == "targets" and which == "leak":
        session.use = lambda _settings: everywhere
    elif kind == "targets":
        step.objective_of = lambda network, settings: _wrong(network, settings, which)
    elif kind in ("frozen", "weights"):
        build = session.optimizer_of

        def optimizer_of(settings, model):
            found = build(settings, model)
            if kind == "frozen":
                _freeze(model, which)
            else:
                found.register_step_post_hook(lambda *_: _round(model))
            return found

        session.optimizer_of = optimizer_of


def everywhere(
    q: Tensor, k: Tensor, v: Tensor, *, dropout: float = 0.0, mask: Tensor | None = None
) -> Tensor:
    """Attention with the mask forgotten: every token sees all that come after it."""
    del mask
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout)


def _freeze(model, which: str) -> None:
    """No gradient reaches these; weight decay does, as with an optimiser that holds them."""
    for name, weight in model.named_parameters():
        if FROZEN[which](name):
            weight.register_hook(torch.zeros_like)


@torch.no_grad()
def _round(model) -> None:
    """Weights kept in bfloat16: small updates are rounded away."""
    for weight in model.parameters():
        weight.copy_(weight.bfloat16())


def _wrong(network, settings, which: str):
    """The objective on the wrong labels."""

    def losses(tokens: Tensor, targets: Tensor, documents: Tensor | None):
        if which == "own":
            targets = tokens
        elif which == "two":  # shifted twice; the last of a window has none, and takes its own
            targets = torch.cat([targets[:, 1:], targets[:, -1:]], 1)
        elif which == "previous":
            targets = torch.cat([tokens[:, :1], tokens[:, :-1]], 1)
        elif which == "random":
            targets = targets.flatten()[torch.randperm(targets.numel())].view_as(targets)
        found = loss_of(network(tokens, documents), targets, settings)
        return found.objective, found.plain, found.z

    return losses


def trained(case: Case, out: Path) -> None:
    """Train ``case`` into ``out/runs/NAME``."""
    plant(case.fault)
    data = out / "data" / case.data.name / "plain"
    resolved = resolve(None, words_of(case, data, out / "runs" / case.name / "run"))
    train(resolved, sys.stderr)


if __name__ == "__main__":
    torch.set_num_threads(1)
    trained(next(case for case in CASES if case.name == sys.argv[1]), Path(sys.argv[2]))
