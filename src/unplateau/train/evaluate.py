"""The loss on fixed windows of each split, with its standard error; or nanoGPT's own estimate, to the bit.

Evaluations of a run read the same windows (``survey``), so what differs between two of them is the weights alone. Where
no number of them is asked for, they read no more tokens than nanoGPT's default estimate: 200 batches of each of two splits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .batches import Batch, batch_at, drawn
from .chosen import SHARES, Corpora, parts_of, place_of, write_arrays
from .data import Corpus, Stream
from .settings import Settings
from .survey import F64, Sample

READ = {"cpu": 4096}  # tokens of one forward pass: what its caches hold
READ_ELSEWHERE = 65_536  # tokens; on a card, halved until they fit
LOGITS = 256 << 20  # bytes of float32 logits at once

Context = Callable[[], AbstractContextManager[Any]]
Model = Any  # a ``models.Model``, which is an nn.Module too


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The mean loss of a split, nats per token, from ``tokens`` of its ``of``.

    ``error``: standard error as an estimate of the whole split's, 0 where all was read; ``text_error``: of other text
    of the kind, by whole documents, None where that can't be told. ``mean``: of the windows alone, uncorrected.
    """

    loss: float
    error: float
    text_error: float | None
    mean: float
    tokens: int
    of: int


@dataclass(frozen=True, slots=True, eq=False)
class Evaluations:
    """One evaluation of a model: by split, and in a mixture by ``split/source`` too.

    ``losses``: by the same names, the mean loss of each window (or of each of nanoGPT's batches), nats.
    """

    splits: Mapping[str, Evaluation]
    losses: Mapping[str, F64]

    def row(self) -> dict[str, float]:
        """For the log: ``val_loss``, ``val_loss_error``, ``val_text_error``, ...; no sources of a mixture."""
        splits = {name: one for name, one in self.splits.items() if "/" not in name}
        found = {f"{name}_loss": one.loss for name, one in splits.items()}
        errors = {f"{name}_loss_error": one.error for name, one in splits.items()}
        of_text = {
            f"{n}_text_error": one.text_error for n, one in splits.items() if one.text_error is not None
        }
        return found | errors | of_text

    def save(self, folder: Path, step: int) -> None:
        """Into ``evaluations/STEP.npz`` of a run's folder, durably: the losses of all windows, by split or ``SPLIT.SOURCE``.

        Beside them what is told of each: ``loss_SPLIT`` (of the whole split, as estimated), ``error_SPLIT``,
        ``text_error_SPLIT`` and ``mean_SPLIT`` (of the windows alone).
        """
        arrays: dict[str, Any] = {k.replace("/", "."): v.astype(np.float32) for k, v in self.losses.items()}
        for key, one in self.splits.items():
            name = key.replace("/", ".")
            numbers = {"loss": one.loss, "error": one.error, "text_error": one.text_error, "mean": one.mean}
            arrays |= {f"{n}_{name}": np.float64(v) for n, v in numbers.items() if v is not None}
        write_arrays(place_of(folder) / f"{step:08d}.npz", arrays)


class Evaluates(Protocol):
    """How the loop asks for losses."""

    def __call__(self, model: Model) -> Evaluations:
        """Evaluate ``model``, in eval mode, without gradients; it is left in the mode that it had."""

    def change(self, before: Evaluations, after: Evaluations) -> dict[str, Evaluation]:
        """What the loss of each split changed by; with its standard errors, which are far smaller where paired."""

    def described(self) -> list[str]:
        """What is read of each split, in words."""


def evaluator_of(
    settings: Settings, corpora: Corpora, folder: Path | None = None, context: Context = nullcontext
) -> Evaluates:
    """The evaluator that ``settings`` ask for; ``context``: the precision of training, as ``torch.autocast`` gives it."""
    if settings.sampling == "nanogpt" and settings.eval_iters:
        return NanoGPTEstimate(settings, corpora[0][0], context)
    return FixedWindows(settings, corpora, folder, context)


class FixedWindows:
    """Evaluates the same windows again and again: made from the data and from ``evaluations/plan.json`` of the run.

    The plan is written when there is none, or when the data or ``block_size`` are not those that it was made for.
    """

    def __init__(
        self, settings: Settings, corpora: Corpora, folder: Path | None = None, context: Context = nullcontext
    ) -> None:
        self._settings, self._context = settings, context
        self.parts = parts_of(settings, corpora, folder)

    def __call__(self, model: Model) -> Evaluations:
        return self._told({part.key: self._losses(model, part.sample) for part in self.parts})

    def change(self, before: Evaluations, after: Evaluations) -> dict[str, Evaluation]:
        """Paired by window."""
        single = len({part.source for part in self.parts}) == 1
        keys = {part.key: part.split if single else part.key for part in self.parts}
        return dict(self._told({k: after.losses[n] - before.losses[n] for k, n in keys.items()}).splits)

    def described(self) -> list[str]:
        return [part.in_words() for part in self.parts]

    def _losses(self, model: Model, sample: Sample) -> F64:
        stream, settings = sample.survey.stream, self._settings
        return windows_of(model, stream, sample.starts, settings, self._context)

    def _told(self, losses: Mapping[str, F64]) -> Evaluations:
        """Of each part, then of each split as a mixture of its parts."""
        found = {part.key: _evaluated(part.sample, losses[part.key]) for part in self.parts}
        splits = {name: [p for p in self.parts if p.split == name] for name in SHARES}
        whole = {name: _mixed([(p.weight, found[p.key]) for p in ps]) for name, ps in splits.items() if ps}
        if len({part.source for part in self.parts}) == 1:
            return Evaluations(whole, {p.split: losses[p.key] for p in self.parts})
        return Evaluations(whole | found, dict(losses))


class NanoGPTEstimate:
    """train.py's estimate_loss: ``eval_iters`` batches of each split, drawn anew by torch's global generator.

    The numbers are nanoGPT's, and the generator is left where it leaves it.
    """

    def __init__(self, settings: Settings, corpus: Corpus, context: Context = nullcontext) -> None:
        self._settings, self._context = settings, context
        self._streams = {name: corpus.splits[name] for name in ("train", "val") if name in corpus.splits}

    @torch.no_grad()
    def __call__(self, model: Model) -> Evaluations:
        training = model.training
        model.eval()
        losses = {name: self._drawn(model, stream) for name, stream in self._streams.items()}
        model.train(training)
        splits = {name: self._evaluated(name, values) for name, values in losses.items()}
        return Evaluations(splits, {name: values.double().numpy() for name, values in losses.items()})

    def _drawn(self, model: Model, stream: Stream) -> Tensor:
        device = next(model.parameters()).device
        out = torch.zeros(self._settings.eval_iters)
        for index in range(self._settings.eval_iters):
            batch = drawn(stream, self._settings).to(device)
            with self._context():
                logits = model(batch.x, batch.document_BT)
                out[index] = F.cross_entropy(logits.flatten(0, 1), batch.y.flatten()).item()
        return out

    def _evaluated(self, name: str, losses: Tensor) -> Evaluation:
        spread = float(losses.double().std()) if len(losses) > 1 else float("nan")
        tokens = len(losses) * self._settings.batch_size * self._settings.block_size
        error = spread / len(losses) ** 0.5
        mean = float(losses.mean())
        return Evaluation(mean, error, None, mean, tokens, len(self._streams[name]))

    def change(self, before: Evaluations, after: Evaluations) -> dict[str, Evaluation]:
        """Of two independent draws."""
        pairs = {name: (before.splits[name], one) for name, one in after.splits.items()}
        return {
            name: Evaluation(b.loss - a.loss, hypot(a.error, b.error), None, b.mean - a.mean, b.tokens, b.of)
            for name, (a, b) in pairs.items()
        }

    def described(self) -> list[str]:
        size = self._settings.eval_iters * self._settings.batch_size * self._settings.block_size
        return [f"{name}: {size:,} tokens drawn anew each time, as nanoGPT does" for name in self._streams]


def windows_of(
    model: Model, stream: Stream, start_N: np.ndarray[Any, Any], settings: Settings, context: Context
) -> F64:
    """The mean loss of each window (n,), nats; many at once, fewer where a card's memory does not hold them."""
    training, device = model.training, next(model.parameters()).device
    rows = max(1, READ.get(device.type, READ_ELSEWHERE) // settings.block_size)
    out, done = np.empty(len(start_N)), 0
    model.eval()
    try:
        while done < len(start_N):
            part = start_N[done : done + rows]
            try:
                out[done : done + len(part)] = _means(
                    model, batch_at(stream, part, settings).to(device), context
                )
            except torch.OutOfMemoryError:
                if rows == 1:
                    raise
                rows //= 2
                continue
            done += len(part)
    finally:
        model.train(training)
    return out


@torch.no_grad()
def _means(model: Model, batch: Batch, context: Context) -> F64:
    """The mean loss of each window of a batch (B,). The logits of all of it never stand in memory together."""
    with context():
        hidden_NC = model.hidden(batch.x, batch.document_BT).flatten(0, 1)
        chunk, done, parts = 1, 0, []
        while done < len(hidden_NC):
            logits_NV = model.head(hidden_NC[done : done + chunk]).float()
            targets = batch.y.flatten()[done : done + chunk]
            parts.append(F.cross_entropy(logits_NV, targets, reduction="none"))
            done, chunk = done + len(targets), max(1, LOGITS // (4 * logits_NV.shape[1]))
    means: F64 = torch.cat(parts).view(batch.x.shape).double().mean(1).cpu().numpy()
    return means


def _evaluated(sample: Sample, losses: F64) -> Evaluation:
    found = sample.estimate(losses)
    of = sample.survey.windows * sample.survey.length
    return Evaluation(found.loss, found.error, found.text_error, found.mean, sample.tokens, of)


def _mixed(parts: Sequence[tuple[float, Evaluation]]) -> Evaluation:
    """The weighted mean of independent parts."""
    total = sum(weight for weight, _ in parts)
    shares = [(weight / total, one) for weight, one in parts]
    text = [share * one.text_error for share, one in shares if one.text_error is not None]
    return Evaluation(
        sum(share * one.loss for share, one in shares),
        hypot(*(share * one.error for share, one in shares)),
        hypot(*text) if len(text) == len(parts) else None,
        sum(share * one.mean for share, one in shares),
        sum(one.tokens for _, one in parts),
        sum(one.of for _, one in parts),
    )
