"""What the optimiser sees at each micro-batch: each window once a pass, or nanoGPT's draws, or several sources.

A micro-batch has a global number: ``step * gradient_accumulation_steps + i``; of W devices, number r takes those with
``i % W == r``. With ``Permutation`` and ``Mixture`` a batch is a pure function of the seed and that number.

The loop asks for ``at(micro + 1)`` as soon as the forward pass of ``micro`` is queued: reading overlaps computing, and
nanoGPT's draws fall where they fall in train.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from .blend import Blend, shares_of
from .data import Corpus, Stream
from .order import I64, Windows, key_of
from .settings import Settings

AHEAD = 4096  # windows whose places are computed at once; 1.5 ms, kept until they are used up


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Inputs and targets (B, T) int64; ``starts`` (B,): the first token of each window in its split.

    ``document_BT``: the document of each input, equal where attention may pass. ``sources`` (B,): of a mixture.
    """

    x: Tensor
    y: Tensor
    starts: I64
    document_BT: Tensor | None = None  # noqa: N815 - shapes are in names
    sources: I64 | None = None

    def to(self, device: torch.device) -> Batch:
        """The same on ``device``; towards a CUDA card it goes while the card computes."""
        moved = _moved(self.x, device), _moved(self.y, device)
        document_BT = None if self.document_BT is None else _moved(self.document_BT, device)
        return Batch(*moved, self.starts, document_BT, self.sources)


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class Batches(Protocol):
    """How the loop asks for data. ``micro``: the global number of a micro-batch, or how many were seen."""

    streams: tuple[Stream, ...]

    def at(self, micro: int) -> Batch:
        """That micro-batch, on the CPU."""

    def epoch(self, micro: int) -> float:
        """Passes over the data that the first ``micro`` micro-batches make."""

    def unique(self, micro: int) -> int:
        """Tokens that they showed at least once."""

    def state(self) -> dict[str, Any]:
        """What a resume has to know besides the number of its step, as JSON can hold it."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""


def batches_of(settings: Settings, corpora: Sequence[tuple[Corpus, float]]) -> Batches:
    """The batches that ``settings`` ask for, of data sets and their weights."""
    streams = [corpus.train for corpus, _ in corpora]
    if len(streams) > 1:
        if settings.sampling != "permutation":
            name = "nanoGPT's sampling" if settings.sampling == "nanogpt" else "sampling=one"
            raise UsageError(f"{name} reads one data set: set sampling=permutation for a mixture")
        return Mixture(streams, [weight for _, weight in corpora], settings)
    if settings.sampling == "nanogpt":
        return NanoGPT(streams[0], settings)
    if settings.sampling == "one":
        return One(streams[0], settings)
    return Permutation(streams[0], settings)


class Permutation:
    """Sampling without replacement: every window of a pass once, every pass in another order and with other borders.

    ``at`` is a pure function of (seed, micro): a resume at any step needs no state, and any number of devices sees the
    same windows. Memory does not grow with the data.
    """

    def __init__(self, stream: Stream, settings: Settings) -> None:
        self.streams: tuple[Stream, ...] = (stream,)
        self.windows = Windows(len(stream), settings.block_size, key_of(settings.seed, "windows", 0))
        self._settings = settings
        self._ahead: tuple[int, I64] | None = None

    def at(self, micro: int) -> Batch:
        return batch_at(self.streams[0], self._starts(micro), self._settings)

    def _starts(self, micro: int) -> I64:
        size = self._settings.batch_size
        block, place = divmod(micro, _micros_ahead(size))
        if self._ahead is None or self._ahead[0] != block:
            first, count = block * _micros_ahead(size) * size, _micros_ahead(size) * size
            self._ahead = block, self.windows.starts(np.arange(first, first + count))
        return self._ahead[1][place * size : (place + 1) * size]

    def epoch(self, micro: int) -> float:
        """Exact: windows seen by windows of a pass."""
        return self.windows.epoch(micro * self._settings.batch_size)

    def unique(self, micro: int) -> int:
        """Exact, also where the borders of a later pass show tokens that earlier ones cut off."""
        return self.windows.unique(micro * self._settings.batch_size)

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to go back to: the number of the step says it all."""


class One(Permutation):
    """The first batch of ``Permutation``, whatever the micro-batch."""

    def at(self, micro: int) -> Batch:
        del micro
        return super().at(0)

    def epoch(self, micro: int) -> float:
        """Passes over that batch."""
        return float(micro)

    def unique(self, micro: int) -> int:
        return super().unique(min(micro, 1))


class Mixture:
    """Several sources with weights: exact in every short block of windows, each source without replacement.

    ``weights`` are of windows, so of tokens. Each source makes its own passes (``epochs``).
    """

    def __init__(self, streams: Sequence[Stream], weights: Sequence[float], settings: Settings) -> None:
        self.streams = tuple(streams)
        self.windows = tuple(
            Windows(len(s), settings.block_size, key_of(settings.seed, "windows", i))
            for i, s in enumerate(streams)
        )
        self.blend = Blend(shares_of(weights), key_of(settings.seed, "sources"))
        self._settings = settings
        self._ahead: tuple[int, I64, I64] | None = None

    def at(self, micro: int) -> Batch:
        size = self._settings.batch_size
        block, place = divmod(micro, _micros_ahead(size))
        if self._ahead is None or self._ahead[0] != block:
            count = _micros_ahead(size) * size
            self._ahead = block, *self._drawn(block * count, count)
        part = slice(place * size, (place + 1) * size)
        return self._batch(self._ahead[1][part], self._ahead[2][part])

    def _drawn(self, first: int, count: int) -> tuple[I64, I64]:
        source_N, draw_N = self.blend.draws(first, count)
        starts = np.empty(count, np.int64)
        for index, windows in enumerate(self.windows):
            starts[source_N == index] = windows.starts(draw_N[source_N == index])
        return source_N, starts

    def _batch(self, source_B: I64, start_B: I64) -> Batch:
        """Windows of all sources; one number in two sources is two documents, but attention never leaves a window."""
        length, masked = self._settings.block_size, self._settings.document_mask
        tokens = np.empty((len(start_B), length + 1), np.int64)
        document_BT = np.empty((len(start_B), length), np.int64) if masked else None
        for index in np.unique(source_B).tolist():
            mine, stream = source_B == index, self.streams[index]
            tokens[mine] = stream.windows(start_B[mine], length + 1)
            if document_BT is not None:
                document_BT[mine] = documents_at(stream, start_B[mine], length)
        return _batch_of(tokens, start_B, document_BT, source_B)

    def epochs(self, micro: int) -> tuple[float, ...]:
        """Passes over each source, exactly."""
        return tuple(w.epoch(n) for w, n in zip(self.windows, self._counts(micro), strict=True))

    def epoch(self, micro: int) -> float:
        """Windows seen by windows of all sources; ``epochs`` tells them apart."""
        return micro * self._settings.batch_size / sum(w.count for w in self.windows)

    def unique(self, micro: int) -> int:
        """Exact, summed over the sources."""
        return sum(w.unique(n) for w, n in zip(self.windows, self._counts(micro), strict=True))

    def _counts(self, micro: int) -> tuple[int, ...]:
        return self.blend.counts(micro * self._settings.batch_size)

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to go back to: the number of the step says it all."""


class NanoGPT:
    """nanoGPT's batches, bit for bit: windows drawn with replacement by torch's global generator (train.py, get_batch).

    Batches come in order: asking for one twice in a row gives the same, one before it is a ``ValueError``. Between two
    runs they are the same only where all else that draws (weights, dropout, evaluation) does so in the same order.
    """

    def __init__(self, stream: Stream, settings: Settings) -> None:
        self.streams: tuple[Stream, ...] = (stream,)
        self._settings = settings
        self._held: tuple[int, Batch] | None = None
        Windows(len(stream), settings.block_size, 0)  # refuses a text that is too short

    def at(self, micro: int) -> Batch:
        if self._held is None or self._held[0] < micro:
            self._held = micro, drawn(self.streams[0], self._settings)
        if self._held[0] > micro:
            raise ValueError(
                f"micro-batch {micro} was drawn before {self._held[0]}, and can't be drawn again"
            )
        return self._held[1]

    def epoch(self, micro: int) -> float:
        """Tokens seen by tokens of the data: with replacement no pass is ever whole."""
        return micro * self._settings.batch_size * self._settings.block_size / len(self.streams[0])

    def unique(self, micro: int) -> int:
        """What is expected: a token in the middle of the text is missed by each window with the same probability."""
        tokens, length = len(self.streams[0]), self._settings.block_size
        missed = (1 - min(1.0, length / (tokens - length))) ** (micro * self._settings.batch_size)
        return round(tokens * (1 - missed))

    def state(self) -> dict[str, Any]:
        """The batch that was drawn ahead; torch's generator is the checkpoint's to keep."""
        return {} if self._held is None else {"micro": self._held[0], "starts": self._held[1].starts.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        starts = np.array(state.get("starts", []), np.int64)
        self._held = (
            (int(state["micro"]), batch_at(self.streams[0], starts, self._settings)) if len(starts) else None
        )


def drawn(stream: Stream, settings: Settings) -> Batch:
    """One batch of nanoGPT's get_batch, from torch's global generator."""
    starts = torch.randint(len(stream) - settings.block_size, (settings.batch_size,))
    return batch_at(stream, starts.numpy(), settings)


def batch_at(stream: Stream, start_B: I64, settings: Settings) -> Batch:
    """The windows that begin at ``start_B``; with the documents of their tokens where attention is to end at them."""
    length = settings.block_size
    document_BT = documents_at(stream, start_B, length) if settings.document_mask else None
    return _batch_of(stream.windows(start_B, length + 1), start_B, document_BT)


def documents_at(stream: Stream, start_B: I64, length: int) -> I64:
    """The document of each token of windows (B, length)."""
    return np.stack([stream.documents(start, length) for start in start_B.tolist()])


def _batch_of(tokens: I64, start_B: I64, document_BT: I64 | None, source_B: I64 | None = None) -> Batch:
    """Of windows with one token more than ``T``. numpy copies: torch would wake its threads for so little."""
    x, y = (torch.from_numpy(np.ascontiguousarray(part)) for part in (tokens[:, :-1], tokens[:, 1:]))
    return Batch(x, y, start_B, None if document_BT is None else torch.from_numpy(document_BT), source_B)


def documents_of(batch: Batch, streams: Sequence[Stream]) -> dict[int, list[int]]:
    """For each source of a batch, the numbers of its documents; of sources that number them."""
    length = batch.x.shape[1]
    sources = np.zeros(len(batch.starts), np.int64) if batch.sources is None else batch.sources
    found: dict[int, list[int]] = {}
    for index in np.unique(sources).tolist():
        if streams[index].numbered:
            place_N = (batch.starts[sources == index][:, None] + np.arange(length)).ravel()
            found[index] = np.unique(streams[index].document_of(place_N)).tolist()
    return found


def _micros_ahead(batch_size: int) -> int:
    return max(1, AHEAD // batch_size)
