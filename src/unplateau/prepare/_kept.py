"""The text of one split as it will stand in its shards, read from pieces before there are any."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _bigram, _pieces
from .split import TRAIN, VAL

I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Splits:
    """Where pieces lie, and of all their documents the split: ``part`` (documents,), a piece's from ``starts`` on."""

    folder: Path
    plan: str
    part: NDArray[np.uint8]
    starts: NDArray[np.int64]

    def of(self, number: int) -> NDArray[np.uint8]:
        """The split of each document of a piece."""
        return self.part[self.starts[number] : self.starts[number + 1]]


class Kept:
    """The tokens of the split ``code`` in the documents' order, as one stretch; one piece at a time is held mapped.

    Raises ``FileNotFoundError`` where a piece is gone.
    """

    def __init__(self, splits: Splits, code: int) -> None:
        self._splits, self._code = splits, code
        self._held = lru_cache(1)(self._open)
        sizes = [int(self._held(number)[2][-1]) for number in range(len(splits.starts) - 1)]
        self._starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _open(self, number: int) -> tuple[NDArray[Any], I64, I64]:
        """A piece's tokens, the begin of each document that is kept, and its begin among those (one more: their end)."""
        piece = _pieces.opened(self._splits.folder, number, self._splits.plan)
        if piece is None:
            raise FileNotFoundError(number)
        lengths = piece.column("lengths").astype(np.int64)
        mine = np.flatnonzero(self._splits.of(number) == self._code)
        begins = np.cumsum(lengths) - lengths
        return piece.tokens, begins[mine], np.concatenate(([0], np.cumsum(lengths[mine])))

    def take(self, start: int, count: int) -> I64:
        """``count`` tokens from ``start``, fewer at the end."""
        found: list[NDArray[Any]] = []
        end = min(start + count, len(self))
        number = int(np.searchsorted(self._starts, start, "right")) - 1
        while start < end:
            stop = min(end, int(self._starts[number + 1]))
            found += self._within(number, start - int(self._starts[number]), stop - int(self._starts[number]))
            start, number = stop, number + 1
        return np.concatenate(found).astype(np.int64) if found else np.empty(0, np.int64)

    def _within(self, number: int, start: int, stop: int) -> list[NDArray[Any]]:
        tokens, begins, ends = self._held(number)
        found = []
        first = int(np.searchsorted(ends, start, "right")) - 1
        while start < stop:
            here = int(begins[first]) + start - int(ends[first])
            size = min(stop, int(ends[first + 1])) - start
            found.append(tokens[here : here + size])
            start, first = start + size, first + 1
        return found


def pairs(vocab: int, seed: int, splits: Splits) -> dict[str, Any] | None:
    """What a model of pairs, counted on a part of train, loses on the rest of it and on val; for JSON."""
    found = _bigram.pairs_of(Kept(splits, TRAIN), Kept(splits, VAL), vocab, seed)
    return None if found is None else found.as_dict()
