"""An evaluation by all processes of a run: each reads its share of the windows, and all learn every loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .chosen import Corpora
from .data import Corpus, Stream
from .distributed import Devices
from .evaluate import Context, Evaluates, FixedWindows, Model, NanoGPTEstimate, evaluator_of, windows_of
from .settings import Settings
from .survey import F64, Sample


def evaluator_among(
    devices: Devices, settings: Settings, corpora: Corpora, folder: Path, context: Context
) -> Evaluates:
    """The evaluator that ``settings`` ask for, its work shared; process 0 alone writes the plan into ``folder``."""
    if devices.alone:
        return evaluator_of(settings, corpora, folder, context)
    if settings.sampling == "nanogpt" and settings.eval_iters:
        return LeadEstimate(settings, corpora[0][0], context, devices)
    return SharedWindows(settings, corpora, folder, context, devices)


class SharedWindows(FixedWindows):
    """``FixedWindows``, of which process r of W reads every W-th from r on."""

    def __init__(
        self, settings: Settings, corpora: Corpora, folder: Path, context: Context, devices: Devices
    ) -> None:
        super().__init__(settings, corpora, folder if devices.world.leads else None, context)
        self._devices = devices
        counts = devices.lead(torch.tensor([part.sample.count for part in self.parts])).tolist()
        self.parts = tuple(
            replace(part, sample=part.sample.survey.sample(count))
            for part, count in zip(self.parts, counts, strict=True)
        )

    def _losses(self, model: Model, sample: Sample) -> F64:
        """As many windows in each process: with fsdp the others wait for each pass."""
        rank, size = self._devices.world.rank, self._devices.world.size
        start_N = sample.starts[np.arange(rank, rank + size * -(-sample.count // size), size) % sample.count]
        stream = sample.survey.stream
        mine_N = windows_of(model, stream, start_N, self._settings, self._context)
        all_WN = [found.numpy() for found in self._devices.all(torch.from_numpy(mine_N))]
        told: F64 = np.stack(all_WN, axis=1).ravel()[: sample.count]
        return told


class LeadEstimate(NanoGPTEstimate):
    """nanoGPT's estimate, which train.py makes in process 0 alone; with fsdp the others draw too, for it needs them."""

    def __init__(self, settings: Settings, corpus: Corpus, context: Context, devices: Devices) -> None:
        super().__init__(settings, corpus, context)
        self._devices = devices

    def _drawn(self, model: Model, stream: Stream) -> Tensor:
        if self._devices.world.leads or self._settings.parallel == "fsdp":
            return self._devices.lead(super()._drawn(model, stream))
        return self._devices.lead(torch.zeros(self._settings.eval_iters))
