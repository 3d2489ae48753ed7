"""Windows of tokens that stand twice: counted over all of the data, in bounded memory, by hashes chosen by content.

Each window of ``length`` tokens gets a polynomial hash modulo 2^64 of random numbers for its tokens, from one running
sum. Where there are too many windows, those whose hash begins with k zero bits are kept: every copy of a window is
then kept or none, so the share of repeated ones is that of the whole, with an error that is known (a Horvitz-Thompson
estimate over distinct windows).

Sources: Karp and Rabin 1987 (rolling hashes); Broder 1997 (samples by content, "mod 2^k"); Lee et al. 2021
(arXiv 2107.06499: repeated substrings of 50 tokens).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil, log2, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..estimate import Z90, Estimate
from ._fair import forget

CHUNK = 1 << 17  # tokens hashed at once: a few arrays of 1 MB
FORGET = 128  # pieces, of 32 MB, after which the pages of a mapped file are let go
KEPT = 1 << 22  # windows of train that are kept at most: 32 MB
ASKED = 1 << 17  # windows of val that are looked up at most
SIEVE = 1 << 22  # cells of the table that says which hashes are worth a search
BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that it has an inverse modulo 2^64
FINAL = np.uint64(0xD6E8FEB86659FD93)  # spreads the polynomial's low bits; Stafford's mixers, 2011
WORDS = 1 << 16  # random numbers; larger tokens are folded onto them with a second table

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Hasher:
    """Hashes of all windows of ``length`` tokens; the same for equal windows anywhere."""

    length: int
    table: Hashes
    power: Hashes
    inverse: Hashes

    @classmethod
    def of(cls, length: int, seed: int = 0) -> Hasher:
        rng = np.random.default_rng(seed)
        table = rng.integers(0, 1 << 64, 2 * WORDS, dtype=np.uint64)
        n = CHUNK + length
        power, inverse = np.full(n, BASE), np.full(n, np.uint64(pow(int(BASE), -1, 1 << 64)))
        power[0] = inverse[0] = 1
        return cls(length, table, np.multiply.accumulate(power), np.multiply.accumulate(inverse))

    def __call__(self, tokens: NDArray[Any]) -> Hashes:
        """Hashes (n - length + 1,) of tokens (n,), n at most ``CHUNK + length - 1``.

        >>> found = Hasher.of(3)(np.array([5, 6, 7, 1, 5, 6, 7]))
        >>> bool(found[0] == found[4]), len(set(found.tolist()))
        (True, 4)
        """
        n = len(tokens)
        running = np.zeros(n + 1, np.uint64)
        mixed = self._mixed(tokens)
        mixed *= self.power[:n]
        np.cumsum(mixed, out=running[1:])
        found = running[self.length :] - running[: -self.length]
        found *= self.inverse[: len(found)]
        found ^= found >> np.uint64(32)
        found *= FINAL
        return found

    def _mixed(self, tokens: NDArray[Any]) -> Hashes:
        if tokens.dtype.itemsize <= 2:
            return np.take(self.table, tokens)
        low, high = tokens & (WORDS - 1), tokens >> 16
        return np.take(self.table, low) ^ (np.take(self.table, WORDS + (high & (WORDS - 1))) * FINAL)


def chunks_of(parts: Sequence[NDArray[Any]], length: int) -> Iterator[NDArray[Any]]:
    """Pieces of the mapped files, each with the ``length - 1`` tokens that follow it; none crosses files."""
    for part in parts:
        for number, start in enumerate(range(0, len(part), CHUNK)):
            yield part[start : start + CHUNK + length - 1]
            if number % FORGET == FORGET - 1:
                forget(part)


def zero_bits(windows: int, most: int) -> int:
    """How many bits of a kept hash must be zero so that about ``most`` are kept.

    >>> zero_bits(1000, 4000), zero_bits(10**10, 1 << 22)
    (0, 12)
    """
    return max(0, ceil(log2(windows / most))) if windows > most else 0


def chosen(hashes: Hashes, bits: int) -> Hashes:
    """Those that begin with ``bits`` zero bits."""
    return hashes[hashes >> np.uint64(64 - bits) == 0] if bits else hashes


@dataclass(frozen=True, slots=True)
class Repeats:
    """``copies``: share of train's windows that stood before; ``overlap``: share of val's that stand in train."""

    length: int
    counts: NDArray[np.int64]
    copies: Estimate
    overlap: Estimate | None
    sampled: int = 1  # one window in so many was kept


@dataclass(slots=True)
class _Asked:
    """Val's windows, and which of them were met in train."""

    bits: int
    hashes: Hashes
    times: NDArray[np.int64]
    met: NDArray[np.bool_]
    sieve: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(SIEVE, bool))

    def look(self, hashes: Hashes) -> None:
        likely = hashes[self.sieve[_cell(hashes)]]
        place = np.minimum(np.searchsorted(self.hashes, likely), len(self.hashes) - 1)
        self.met[place[self.hashes[place] == likely]] = True


def _cell(hashes: Hashes) -> Hashes:
    return hashes & np.uint64(SIEVE - 1)


def repeats(
    train: Sequence[NDArray[Any]],
    val: Sequence[NDArray[Any]],
    length: int,
    vocab: int,
    *,
    progress: Callable[[int], None] | None = None,
    kept: int = KEPT,
    eot: int | None = None,
) -> Repeats:
    """Count tokens, repeated windows, and val's windows in train, in one pass over ``train``.

    ``vocab``: one more than the largest token. ``progress`` is told the tokens of each piece. ``kept``: windows that
    are remembered; from more of them the shares are estimated. ``eot`` ends documents: windows that go on into the next
    are left out, as a copied document stands between others; without it they make copies of short documents look fewer.

    >>> a = np.arange(100)
    >>> found = repeats([np.concatenate((a, a))], [a[50:60]], 5, 100)
    >>> round(found.copies.value, 2), found.overlap.value
    (0.49, 1.0)
    """
    hasher = Hasher.of(length)
    asked = _ask(val, hasher, eot)
    windows = sum(max(0, len(part) - length + 1) for part in train)
    bits = zero_bits(windows, kept)
    fewer = min(bits, asked.bits) if asked else bits
    counts, held = np.zeros(vocab, np.int64), []
    for piece in chunks_of(train, length):
        counts += np.bincount(piece[:CHUNK], minlength=vocab)
        if len(piece) >= length:
            hashes = chosen(_within(piece, hasher(piece), length, eot), fewer)
            held.append(chosen(hashes, bits).copy())
            if asked:
                asked.look(chosen(hashes, asked.bits))
        if progress:
            progress(min(len(piece), CHUNK))
    if windows and eot is not None and not any(map(len, held)):  # all documents are shorter than a window
        return repeats(train, val, length, vocab, kept=kept)
    overlap = _met(asked) if asked else None
    return Repeats(length, counts, _copies(held, bits), overlap, 1 << bits)


def _within(piece: NDArray[Any], hashes: Hashes, length: int, eot: int | None) -> Hashes:
    """The hashes of windows that hold no end of text before their last token."""
    if eot is None:
        return hashes
    ends = np.concatenate(([0], np.cumsum(piece == eot)))
    return np.asarray(hashes[ends[length - 1 : -1] == ends[:-length]])


def _ask(val: Sequence[NDArray[Any]], hasher: Hasher, eot: int | None) -> _Asked | None:
    windows = sum(max(0, len(part) - hasher.length + 1) for part in val)
    if not windows:
        return None
    bits = zero_bits(windows, ASKED)
    pieces = (p for p in chunks_of(val, hasher.length) if len(p) >= hasher.length)
    found = np.concatenate([chosen(_within(p, hasher(p), hasher.length, eot), bits) for p in pieces])
    if not len(found):
        return None
    hashes, times = np.unique(found, return_counts=True)
    asked = _Asked(bits, hashes, times, np.zeros(len(hashes), bool))
    asked.sieve[_cell(hashes)] = True
    return asked


def _copies(held: list[Hashes], bits: int) -> Estimate:
    hashes = np.concatenate(held) if held else np.zeros(0, np.uint64)
    del held[:]  # twice the memory otherwise
    hashes.sort()
    n = len(hashes)
    first = np.flatnonzero(np.concatenate(([True], hashes[1:] != hashes[:-1]))) if n else np.zeros(0, int)
    times = np.diff(np.append(first, n))
    alone = len(first) / n if n else 1.0
    return _estimate(1 - alone, 1 - alone * times, n, bits)


def _met(asked: _Asked) -> Estimate:
    n = int(asked.times.sum())
    share = float(asked.times[asked.met].sum() / n)
    return _estimate(share, asked.times * (asked.met - share), n, asked.bits)


def _estimate(share: float, residuals: NDArray[Any], n: int, bits: int) -> Estimate:
    """A share with the interval that choosing one window in 2^bits leaves; exact where all were kept."""
    error = sqrt((1 - 2.0**-bits) * float((residuals.astype(float) ** 2).sum())) / n if n else 0.0
    low, high = max(0.0, share - Z90 * error), min(1.0, share + Z90 * error)
    return Estimate(share, low, high, "fraction")
