"""Which of several sources each draw is from: exact weights in every block of draws, computed and never stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np

from .order import I64, keys, shuffled

LARGEST = 4096  # draws; of a block whose shares are exact; weights that want more are rounded to 1/4096


@dataclass(frozen=True, slots=True)
class Blend:
    """``shares`` (sources,): draws of each source in every block of ``sum(shares)``, in an order that ``key`` names.

    >>> source, draw = Blend((3, 1), key=5).draws(0, 8)
    >>> sorted(source[:4].tolist()), sorted(source[4:].tolist())
    ([0, 0, 0, 1], [0, 0, 0, 1])
    >>> draw[source == 0].tolist(), draw[source == 1].tolist()
    ([0, 1, 2, 3, 4, 5], [0, 1])
    """

    shares: tuple[int, ...]
    key: int

    @property
    def block(self) -> int:
        return sum(self.shares)

    def draws(self, first: int, count: int) -> tuple[I64, I64]:
        """Of draws ``first``, ``first + 1``, ...: the source of each (count,), and its number among that source's."""
        block = first // self.block
        source = self._sources(block, (first + count - 1) // self.block + 1)
        number = np.empty(len(source), np.int64)
        for index, share in enumerate(self.shares):
            mine = source == index
            number[mine] = block * share + np.arange(mine.sum())
        part = slice(first - block * self.block, first - block * self.block + count)
        return source[part], number[part]

    def counts(self, draws: int) -> tuple[int, ...]:
        """How many of the first ``draws`` are each source's."""
        blocks, rest = divmod(draws, self.block)
        part = self._sources(blocks, blocks + 1)[:rest]
        return tuple(blocks * share + int((part == i).sum()) for i, share in enumerate(self.shares))

    def _sources(self, block: int, stop: int) -> I64:
        """The sources of whole blocks, in the order of draws."""
        number, place = np.divmod(np.arange(block * self.block, stop * self.block), self.block)
        slot = shuffled(place, self.block, keys(self.key, number))
        return np.searchsorted(np.cumsum(self.shares), slot, "right")


def shares_of(weights: Sequence[float]) -> tuple[int, ...]:
    """Whole draws of each source in the shortest block that has these weights exactly, or nearly in one of ``LARGEST``.

    >>> shares_of([0.75, 0.25]), shares_of([7, 2, 1])
    ((3, 1), (7, 2, 1))
    >>> shares_of([9999, 1])
    (4095, 1)
    """
    total = sum(weights)
    exact = [Fraction(weight / total).limit_denominator(LARGEST) for weight in weights]
    block = lcm(*(share.denominator for share in exact))
    if sum(exact) == 1 and min(exact) > 0 and block <= LARGEST:
        return tuple(int(share * block) for share in exact)
    whole = [max(1, int(weight / total * LARGEST)) for weight in weights]
    lacking = [weight / total * LARGEST - share for weight, share in zip(weights, whole, strict=True)]
    for index in np.argsort(lacking)[::-1][: max(0, LARGEST - sum(whole))]:
        whole[index] += 1
    return tuple(whole)
