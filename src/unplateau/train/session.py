"""A run in memory: its model, optimiser, data and schedule, built from settled settings, and one step of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import torch
from torch import nn

from ..run import Schedule
from .batches import Batches, batches_of
from .data import Corpus
from .distributed import ALONE, Devices
from .kernels import use
from .machine import hold_memory
from .models import model_kind, model_of
from .optimizers import optimizer_of
from .randomness import seed
from .rates import schedule_of
from .settings import Settings
from .start import Start, fill
from .step import Stepper, Taken

SCRATCH = Start("scratch")


@dataclass(slots=True)
class Session:
    """``step``: optimiser steps done; ``best``: the lowest val loss so far; ``evaluated``: at this step last."""

    settings: Settings
    device: torch.device
    model: nn.Module
    optimizer: torch.optim.Optimizer
    stepper: Stepper
    schedule: Schedule
    batches: Batches
    flops_per_token: float
    step: int = 0
    best: float = inf
    evaluated: int = -1
    losses: dict[str, float] = field(default_factory=dict)  # of that evaluation

    @property
    def devices(self) -> Devices:
        """The processes that share the run."""
        return self.stepper.network.devices

    def take(self, *, told: bool = True) -> Taken:
        """One optimiser step; what it measured, where that is to be ``told``."""
        taken = self.stepper.take(self.step, self.batches.at, self.schedule(self.step), told=told)
        self.step += 1
        return taken

    def autocast(self) -> torch.autocast:
        """Matrix products in the run's number format."""
        return self.stepper.precision.autocast()


def begin(
    settings: Settings,
    corpora: Sequence[tuple[Corpus, float]],
    device: torch.device,
    start: Start = SCRATCH,
    devices: Devices = ALONE,
) -> Session:
    """A run at its first step, or where ``start`` left it. Random numbers are drawn in the order of train.py: weights, then batches."""
    hold_memory(device)
    seed(settings.seed + devices.world.rank)  # other dropout in each process, as train.py has it
    model = model_of(settings, use(settings)).to(device)
    network = devices.spread(model, settings.parallel)
    optimizer = optimizer_of(settings, model)
    stepper = Stepper(settings, model, optimizer, device, network)
    batches = batches_of(settings, corpora)
    flops = model_kind(settings.architecture).shape(settings).flops_per_token
    session = Session(settings, device, model, optimizer, stepper, schedule_of(settings), batches, flops)
    fill(session, start)
    batches.at(session.step * settings.gradient_accumulation_steps + devices.world.rank)
    return session
