"""Do val's tokens bear train's numbers? A part of val that another tokenizer cut is train's text under other numbers.

The agreement of a block's token frequencies with train's (Bhattacharyya's coefficient, 1 for alike) is highest where both
count the same things. Text of another kind agrees less, and best as it stands: its frequent tokens are frequent in train too.
Where all numbers, or all from one on, are off by some (another vocabulary's special tokens, a letter more), a block agrees
badly as it stands, and as well as train's own blocks do once it is set back. Another script may agree so too, letter by letter;
so a model of train's pairs has to know the block as well, once it is set back, as it knows text held out of train. How often
blocks of train do all that by chance is counted on train.

Sources: Bhattacharyya 1943 (the coefficient); Wilson 1927 (the upper limit of a share that was never seen).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import comb, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._bigram import BLOCK, Counted
from ._fair import Text

BLOCKS = 256  # of a split; with as many of train a chance of one in a hundred is seen
LEAST = 8  # blocks of either split; fewer tell no share
ALIKE = 0.05  # share of train's own blocks that agree with train less, and of those held out that are known worse, than is asked
GAIN = 0.1  # of agreement, at least, by setting back: a shift by one costs .36 in letters, .15 in a BPE of 512 (docs/LOG.md)
SHIFTS = 4  # of the best, which are tried from every number on
Z_95 = 1.645  # one-sided

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Numbering:
    """``share`` of val's blocks whose numbers are off by ``offset``; 95 % of vals whose numbers are train's stay at ``chance``."""

    share: float
    chance: float
    offset: int
    blocks: int


class _Train:
    """Train's frequencies, held against those of a block at every shift."""

    def __init__(self, counts: NDArray[Any]) -> None:
        self.counts = counts.astype(np.float64)
        self.total = float(self.counts.sum())
        self.root = np.sqrt(self.counts / max(1.0, self.total))
        self.size = 1 << (2 * len(counts) - 1).bit_length()
        self._waves: NDArray[np.complex128] | None = None

    def agreement(self, block: NDArray[np.int64], *, own: bool) -> float:
        """Bhattacharyya's coefficient of a block with train; with the rest of train where it is its ``own``."""
        kinds, times = np.unique(block, return_counts=True)
        rest = np.maximum(self.counts[kinds] - times * own, 0.0) / max(1.0, self.total - len(block) * own)
        return float(np.sqrt(times / len(block)) @ np.sqrt(rest))

    def set_back(self, block: NDArray[np.int64]) -> tuple[float, int, int]:
        """The best agreement of a block once its numbers above one are set back: (agreement, by how many, above which)."""
        vocab = len(self.root)
        mine = np.sqrt(np.bincount(block, minlength=vocab) / len(block))
        if self._waves is None:
            self._waves = np.conj(np.fft.rfft(self.root, self.size))
        by = np.fft.irfft(np.fft.rfft(mine, self.size) * self._waves, self.size)
        by[0] = -1.0
        shifts = np.argpartition(by, -SHIFTS)[-SHIFTS:].tolist()
        signed = [k - self.size * (k > self.size // 2) for k in shifts]
        return max(self._above(mine, k) for k in signed)

    def _above(self, mine: Floats, shift: int) -> tuple[float, int, int]:
        """The same by ``shift``: the number above which it is best, -1 for all."""
        moved = np.zeros_like(mine)
        if shift > 0:
            moved[shift:] = mine[shift:] * self.root[:-shift]
        else:
            moved[:shift] = mine[:shift] * self.root[-shift:]
        right, after = np.cumsum(mine * self.root), np.cumsum(moved)
        sums = np.append(0.0, right - after) + after[-1]
        above = int(np.argmax(sums)) - 1
        return float(sums[above + 1]), shift, above


def numbering(
    train: Text, val: Text, counts: NDArray[Any], pairs: Counted, *, seed: int = 0
) -> Numbering | None:
    """Hold val's numbers against train's, whose tokens and ``pairs`` were counted; None where either has too few blocks."""
    rng = np.random.default_rng(seed)
    mine, theirs = _blocks(train, rng), _blocks(val, rng)
    if min(len(mine), len(theirs)) < LEAST:
        return None
    known = _Train(counts)
    own = [train.take(k * BLOCK, BLOCK) for k in mine]
    agree = np.array([known.agreement(block, own=True) for block in own])
    asked = _Asked(float(np.quantile(agree, ALIKE)), float(np.quantile(pairs.losses, 1 - ALIKE)))
    chances = sum(bool(_off(known, pairs, one, float(at), asked)) for one, at in zip(own, agree, strict=True))
    found = Counter[int]()
    for k in theirs:
        block = np.minimum(val.take(k * BLOCK, BLOCK), len(counts) - 1)
        if off := _off(known, pairs, block, known.agreement(block, own=False), asked):
            found[off] += 1
    (offset, times) = found.most_common(1)[0] if found else (0, 0)
    rate = _upper(chances, len(mine))
    return Numbering(times / len(theirs), _stay(len(theirs), rate) / len(theirs), offset, len(theirs))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a block that is set back has to come to: train's own blocks do."""

    agreement: float
    loss: float


def _blocks(text: Text, rng: np.random.Generator) -> list[int]:
    """The numbers of at most ``BLOCKS`` blocks, in the order of the text."""
    there = len(text) // BLOCK
    return sorted({*range(there)} if there <= BLOCKS else {*map(int, rng.integers(0, there, BLOCKS))})


def _off(known: _Train, pairs: Counted, block: NDArray[np.int64], stands: float, asked: _Asked) -> int:
    """By how many a block's numbers are off; 0 where it ``stands`` well, or does not come to what is ``asked`` when set back."""
    if stands >= asked.agreement:
        return 0
    best, shift, above = known.set_back(block)
    if best < max(asked.agreement, stands + GAIN):
        return 0
    back = np.clip(np.where(block > above, block - shift, block), 0, len(known.root) - 1)
    return shift if float(pairs.model(back).mean()) <= asked.loss else 0


def _upper(times: int, of: int) -> float:
    """The share that ``times`` of ``of`` stay under with 95 %, by Wilson's interval.

    >>> round(_upper(0, 256), 3), round(_upper(5, 100), 2)
    (0.01, 0.1)
    """
    share, z2 = times / of, Z_95**2
    middle, half = share + z2 / 2 / of, Z_95 * sqrt(share * (1 - share) / of + z2 / 4 / of**2)
    return (middle + half) / (1 + z2 / of)


def _stay(n: int, rate: float) -> int:
    """So many of ``n`` or fewer, 95 % of the time, where each comes with ``rate``.

    >>> _stay(24, 0.01), _stay(256, 0.01)
    (1, 5)
    """
    below, k = 0.0, -1
    while below < 0.95:
        k += 1
        below += comb(n, k) * rate**k * (1 - rate) ** (n - k)
    return k


def numbering_facts(found: Numbering | None) -> dict[str, float]:
    """What a manifest says of it, flat."""
    if found is None:
        return {}
    told: dict[str, float] = {"val_renumbered": found.share, "val_renumbered_chance": found.chance}
    return told | ({"val_offset": found.offset} if found.share > found.chance else {})
