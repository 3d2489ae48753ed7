"""How hard windows of text are, by a cheap model that has read other windows of train: one yardstick for all splits. No torch.

A network loses more on val than on train where it has learnt train by heart, and also where val is harder text. The
cheap model (counts of up to ``ngrams.LONGEST`` tokens) has seen none of the windows that it judges, so what it loses more
on val than on train is the second alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from . import ngrams
from .data import Corpus, Stream
from .ngrams import LONGEST
from .order import I64
from .survey import F64, SEARCHED, Survey

#: where documents are not told, train is cut into pieces, at most so many, of so many tokens at least
PIECES, PIECE = 16, 4096
AHEAD = 4  # windows of the fixed order that are looked through for each that is wanted
SPLITS = ("train", "val", "fresh")  # seen is a part of train, so the cheap model would have read it


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Windows of a split, ``length`` tokens from each of ``starts`` (n,) on; rising, so in the order of the text."""

    stream: Stream
    length: int
    starts: I64

    @property
    def text(self) -> I64:
        """Their tokens, one after another."""
        tokens: I64 = self.stream.windows(self.starts, self.length).ravel()
        return tokens


def windows_of(corpus: Corpus, length: int, count: int) -> tuple[dict[str, Windows], Windows]:
    """Of each split the windows that are judged, ``count`` where it has as many; and those of train that the cheap model reads."""
    found = {}
    for split in (name for name in SPLITS if name in corpus.splits):
        survey = Survey(corpus.splits[split], length)
        wanted = min(survey.windows, AHEAD * (count + SEARCHED // length))
        start_N = survey.starts(0, wanted) if wanted else np.zeros(0, np.int64)
        if split == "train":
            odd_N = _piece(start_N, survey) % 2 == 1
            read, start_N = start_N[odd_N][: max(1, SEARCHED // length)], start_N[~odd_N]
        found[split] = Windows(survey.stream, length, np.sort(start_N[:count]))
    return {split: one for split, one in found.items() if len(one.starts)}, Windows(
        corpus.train, length, np.sort(read)
    )


def _piece(start_N: I64, survey: Survey) -> I64:
    """The document of each window, or the piece of the text: windows of one are alike, and easy to who has read the others."""
    stream = survey.stream
    if stream.numbered:
        return stream.document_of(start_N)
    return start_N * min(PIECES, max(2, len(stream) // PIECE)) // len(stream)


def difficulty(judged: Mapping[str, Windows], read: Windows) -> dict[str, F64]:
    """By split, the loss on each window of the cheap model that has read ``read``, nats (windows, orders)."""
    read_N = read.text
    return {split: _judged(read_N, one) for split, one in judged.items()}


def _judged(read_N: I64, one: Windows) -> F64:
    """With the tokens before each window, which are no part of it."""
    start_N = np.maximum(one.starts - LONGEST, 0)
    text_N = one.stream.windows(start_N, LONGEST + one.length).ravel()
    by_order = ngrams.losses(np.concatenate([read_N, text_N]), one.stream.vocab_size, read=len(read_N))
    by_window = by_order[:, len(read_N) :].reshape(len(by_order), len(start_N), -1)
    means: F64 = by_window[:, :, LONGEST:].mean(2).T
    return means
