"""A run in memory: its model, optimiser, data and schedule, built from settled settings, and one step of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..run import Schedule
from .batches import Batch, Batches, batches_of
from .data import Corpus
from .models import model_kind, model_of
from .rates import schedule_of
from .settings import Settings
from .start import Start, fill

SCRATCH = Start("scratch")
FORMATS = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(slots=True)
class Session:
    """``step``: optimiser steps done; ``best``: the lowest val loss so far; ``evaluated``: at this step last."""

    settings: Settings
    device: torch.device
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    batches: Batches
    flops_per_token: float
    step: int = 0
    best: float = inf
    evaluated: int = -1
    last: list[Batch] = field(default_factory=list)  # of the step before, on the CPU

    def take(self) -> dict[str, float]:
        """One optimiser step; what it measured."""
        lr = self.schedule(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("scale", 1.0)
        loss = self._accumulate()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.grad_clip or inf)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return {"batch_loss": loss, "lr": lr, "grad_norm": float(norm)}

    def _accumulate(self) -> float:
        parts = self.settings.gradient_accumulation_steps
        total = torch.zeros((), device=self.device)
        self.last = []
        for micro in range(self.step * parts, (self.step + 1) * parts):
            self.last.append(self.batches.at(micro))
            loss = self.loss(self.last[-1].to(self.device))
            self.batches.at(micro + 1)  # while the card computes, and where train.py draws it
            (loss / parts).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return float(total) / parts

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross-entropy of a micro-batch, in nats per token."""
        with self.autocast():
            logits_BTV = self.model(batch.x, batch.document_BT)
        return F.cross_entropy(logits_BTV.flatten(0, 1).float(), batch.y.flatten())

    def autocast(self) -> torch.autocast:
        """Matrix products in the run's number format."""
        kind = FORMATS.get(self.settings.dtype)
        return torch.autocast(self.device.type, kind or torch.bfloat16, enabled=kind is not None)


def begin(
    settings: Settings, corpora: Sequence[tuple[Corpus, float]], device: torch.device, start: Start = SCRATCH
) -> Session:
    """A run at its first step, or where ``start`` left it. Random numbers are drawn in the order of train.py: weights, then batches."""
    torch.manual_seed(settings.seed)
    model = model_of(settings).to(device)
    optimizer = torch.optim.AdamW(_groups(model, settings), lr=0.0, betas=(settings.beta1, settings.beta2))
    batches = batches_of(settings, corpora)
    flops = model_kind(settings.architecture).shape(settings).flops_per_token
    session = Session(settings, device, model, optimizer, schedule_of(settings), batches, flops)
    fill(session, start)
    batches.at(session.step * settings.gradient_accumulation_steps)
    return session


def _groups(model: Any, settings: Settings) -> list[dict[str, Any]]:
    """Matrices with weight decay, vectors without, as nanoGPT's configure_optimizers has it."""
    roles: dict[str, list[nn.Parameter]] = model.groups()
    weights = [weight for role in roles.values() for weight in role]
    return [
        {"params": [w for w in weights if w.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0},
    ]
