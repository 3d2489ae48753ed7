"""Is val a fair sample of train, and does train drift from its start to its end? By token frequencies, against chance.

The Jensen-Shannon divergence of a sample's frequencies from the whole's is never zero: a small sample strays, and one
of long documents strays further. So it is set against the divergence of samples that are as large and drawn at random
by document from train (``fair``), and of pieces of train as large that are drawn whole (``pieces``): where pieces
stray more than samples, the text stands in an order, and a val that is one piece of it is no fair sample.

Sources: Lin 1991 (the divergence); SCIENCE.md section 5.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE = 1 << 20  # tokens of a sample at most; more show no smaller difference that matters
DRAWS = 40  # samples that chance is told from
PIECE = 2048  # tokens of a document, where nothing says where documents end
AHEAD = 1 << 16  # tokens; a longer document is taken to end here
SIDE = 64  # train is at least so many times as long as the pieces that stand beside val
FORGET = 64  # stretches taken, after which the pages of mapped files are let go
NEAR = 0.02  # share of random pieces that may be as like val's beginning as the end of train is
Z_95 = 1.645  # sd above the mean that 95 % stay under

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fairness:
    """Divergences in nats. ``divergence``, of val; ``fair``, of fair samples; ``pieces``, of pieces of train.

    ``near``: the share of random pieces of train that are as like the beginning of val as the end of train is, and
    ``cut``: whether train ends within a document.
    """

    divergence: float | None
    fair: Floats
    pieces: Floats
    near: float | None = None
    cut: bool = False

    @property
    def chance(self) -> float:
        """What 95 % of fair samples stay under."""
        return float(self.fair.mean() + Z_95 * self.fair.std(ddof=1))

    @property
    def drifts(self) -> bool:
        """True when pieces of train stray further from the whole than chance lets samples stray."""
        return float(self.pieces.mean()) > self.chance

    @property
    def contiguous(self) -> bool | None:
        """Whether val is one piece of the text, next to train; None where it can't be told."""
        if self.divergence is None:
            return None
        strays = self.divergence > self.chance
        if self.like and (self.cut or (self.drifts and strays)):
            return True
        return False if self.drifts and not strays and not self.cut else None

    @property
    def like(self) -> bool:
        """True when val begins more as train ends than as nearly all other places of train."""
        return self.near is not None and self.near <= NEAR


class Text:
    """Tokens in several mapped files, as one stretch."""

    def __init__(self, parts: Sequence[NDArray[Any]]) -> None:
        self.parts = [part for part in parts if len(part)]
        self._taken = 0
        self.starts = np.concatenate(([0], np.cumsum([len(part) for part in self.parts]))).astype(np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def take(self, start: int, count: int) -> NDArray[np.int64]:
        """``count`` tokens from ``start``, fewer at the end."""
        found, k = [], int(np.searchsorted(self.starts, start, "right")) - 1
        while count > 0 and k < len(self.parts):
            piece = self.parts[k][start - self.starts[k] : start - self.starts[k] + count]
            found.append(np.asarray(piece, np.int64))
            start, count, k = start + len(piece), count - len(piece), k + 1
        self._taken += 1
        if self._taken % FORGET == 0:
            for part in self.parts:
                forget(part)
        return np.concatenate(found) if found else np.zeros(0, np.int64)


def forget(tokens: NDArray[Any]) -> None:
    """Let go of the pages of a mapped file that were read: they would count as this process's memory."""
    mapped = getattr(tokens, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def divergence(counts: NDArray[Any], whole: NDArray[Any]) -> float:
    """Jensen-Shannon divergence of two tables of counts (vocabulary,), nats: 0 for alike, ln 2 for nothing in common.

    >>> divergence(np.array([2, 2]), np.array([50, 50])), round(divergence(np.array([1, 0]), np.array([0, 1])), 4)
    (0.0, 0.6931)
    """
    p, q = counts / max(1, counts.sum()), whole / max(1, whole.sum())
    middle = (p + q) / 2
    return max(0.0, (_against(p, middle) + _against(q, middle)) / 2)


def _against(p: Floats, q: Floats) -> float:
    some = p > 0
    return float(np.sum(p[some] * np.log(p[some] / q[some])))


def fairness(
    train: Text, val: Text, counts: NDArray[Any], eot: int | None, *, seed: int = 0, draws: int = DRAWS
) -> Fairness:
    """Hold val against train, whose tokens were counted; see ``Fairness``."""
    rng = np.random.default_rng(seed)
    size = min(SAMPLE, len(val) or SAMPLE, max(1, len(train) // 4))
    vocab = len(counts)
    held = [_apart(_sample(train, size, vocab, eot, rng), counts) for _ in range(draws)]
    starts = rng.integers(0, len(train) - size + 1, draws)
    pieces = [_apart(_counted(train.take(int(s), size), vocab), counts) for s in starts]
    if not len(val):
        return Fairness(None, np.array(held), np.array(pieces))
    mine = val.take(0, size) if size >= len(val) else None
    table = _counted(mine, vocab) if mine is not None else _sample(val, size, vocab, eot, rng)
    near = _near(train, val, vocab, rng)
    cut = eot is not None and counts[eot] > 1 and _cut(train, val, eot)
    return Fairness(divergence(table, counts), np.array(held), np.array(pieces), near, bool(cut))


def _cut(train: Text, val: Text, eot: int) -> bool:
    """Whether train ends within a document; where documents begin with ``eot``, whether val begins within one."""
    begins = int(train.take(0, 1)[0]) == eot
    return int(val.take(0, 1)[0] if begins else train.take(len(train) - 1, 1)[0]) != eot


def _apart(sample: NDArray[np.int64], counts: NDArray[np.int64]) -> float:
    """Divergence of a sample of train from the rest of it: val is no part of train either."""
    return divergence(sample, np.maximum(counts - sample, 0))


def _counted(tokens: NDArray[np.int64], vocab: int) -> NDArray[np.int64]:
    return np.bincount(np.minimum(tokens, vocab - 1), minlength=vocab)


def _sample(
    text: Text, size: int, vocab: int, eot: int | None, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Counts of ``size`` tokens from documents at random places, each the one after a random token."""
    found, left = [], size
    while left > 0:
        start = int(rng.integers(0, len(text)))
        one = text.take(start, PIECE) if eot is None else _document(text, start, eot)
        found.append(one[:left])
        left -= max(1, len(one))
    return _counted(np.concatenate(found), vocab)


def _document(text: Text, start: int, eot: int) -> NDArray[np.int64]:
    """The document after the one that ``start`` is in, cut at ``AHEAD``; the first where there is none."""
    ahead = text.take(start, PIECE)
    ends = np.flatnonzero(ahead == eot)
    if len(ends) < 2:
        ahead = text.take(start, AHEAD)
        ends = np.flatnonzero(ahead == eot)
    first = int(ends[0]) + 1 if len(ends) else 0
    return ahead[first : int(ends[1]) + 1] if len(ends) > 1 else ahead[first:]


def _near(train: Text, val: Text, vocab: int, rng: np.random.Generator) -> float | None:
    """The share of random pieces of train that are at least as like val's beginning as the end of train is."""
    size = min(len(val), len(train) // SIDE, SAMPLE)
    if size < PIECE:
        return None
    start = _counted(val.take(0, size), vocab)
    end = divergence(_counted(train.take(len(train) - size, size), vocab), start)
    places = rng.integers(0, len(train) - 2 * size, 2 * DRAWS)
    others = [divergence(_counted(train.take(int(p), size), vocab), start) for p in places]
    return float(np.mean(np.array(others) <= end))
