"""Duplicate clusters of all pieces: candidates are verified beside each other, those that may join the same cluster together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableError
from . import _pieces, dedup
from ._executor import Executor
from .dedup import Clusters
from .tokenizers import Tokenizer

TOGETHER = 2048  # pairs that a task compares, some seconds' work; more only where they hang together
OPEN = 64  # pieces that stay mapped

I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Texts:
    """Where the texts of all documents are: in pieces, whose first documents are ``starts`` (and the number of all)."""

    folder: Path
    plan: str
    starts: tuple[int, ...]
    tokenizer: Tokenizer

    def opener(self) -> Callable[[int], str]:
        """A function from a document's number to its text, decoded from its tokens."""
        opened = lru_cache(OPEN)(lambda number: _pieces.opened(self.folder, number, self.plan))
        return partial(self._text, opened, np.array(self.starts))

    def _text(self, opened: Callable[[int], Any], starts: I64, number: int) -> str:
        which = int(np.searchsorted(starts, number, "right")) - 1
        if (piece := opened(which)) is None:
            raise UnreadableError("a piece is gone from the working folder: run the same command again")
        return _pieces.text_of(piece, number - self.starts[which], self.tokenizer)


@dataclass(frozen=True, slots=True)
class Begin:
    """The hashes of a piece's first documents: those before a limit."""

    piece: _pieces.Piece
    documents: int

    @property
    def exact(self) -> NDArray[np.uint64]:
        return np.asarray(self.piece.exact[: self.documents])

    def band(self, number: int) -> NDArray[np.uint64]:
        return np.asarray(self.piece.band(number)[: self.documents])


def find(
    pieces: Sequence[dedup.Hashed],
    texts: Texts,
    executor: Executor,
    told: Callable[[int, int], None],
) -> Clusters:
    """Clusters of all documents, whoever compares them; ``told(done, of)`` as tasks end."""
    root = dedup.exact_copies(pieces)
    tasks = list(apart(dedup.all_candidates(pieces, root)))
    held, compared = [], 0
    for number, (pairs, count) in enumerate(executor.map(partial(compare, texts), tasks), 1):
        held.append(pairs)
        compared += count
        told(number, len(tasks))
    return replace(dedup.join(root, held), compared=compared)


def compare(texts: Texts, pairs: I64) -> tuple[I64, int]:
    """The pairs that hold, (pairs, 2), and how many were compared; a pure function of what lies in the pieces."""
    return dedup.verified(pairs, dedup.comparer(texts.opener()))


def apart(pairs: I64, most: int = TOGETHER) -> Iterator[I64]:
    """The pairs in parts of about ``most``, so that pairs in different parts can't join the same cluster.

    So what is not compared, as others have joined it, is the same however many parts there are.

    >>> [part.tolist() for part in apart(np.array([[0, 1], [2, 3], [1, 5]]), 1)]
    [[[0, 1], [1, 5]], [[2, 3]]]
    """
    if not len(pairs):
        return
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, ends = np.unique(pairs, return_inverse=True)
    a, b = ends.reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs), bool), (a, b)), (len(names), len(names)))
    group = connected_components(graph, directed=False)[1][a]
    order = np.argsort(group, kind="stable")
    begins = np.flatnonzero(np.append(True, np.diff(group[order]) > 0))
    begin = 0
    for end in [*begins[1:].tolist(), len(pairs)]:
        if end - begin >= most or end == len(pairs):
            yield pairs[order[begin:end]]
            begin = end
