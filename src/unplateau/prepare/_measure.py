"""What each piece holds of each split, counted beside each other and added up; and whether val is a fair sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _pieces
from .fair import GROUPS, KINDS, compare, fairness, length_table, token_table
from .split import TRAIN, VAL
from .statistics import Statistics, count, standard_error, total

Array = NDArray[Any]
LEAST_STRETCHES = 5  # on either side: 252 ways to shuffle them, so that one in a hundred can be told


@dataclass(frozen=True, slots=True)
class Asked:
    """A piece, and of each of its documents: the split, whether it is in seen, its group."""

    folder: Path
    number: int
    plan: str
    vocab: int
    columns: tuple[str, ...]
    part: Array
    seen: Array
    group: Array
    within: int  # its first documents, those before a limit


@dataclass(frozen=True, slots=True)
class Sparse:
    """A table of counts that is mostly zeros, without them: a piece's 13 MB of tokens by group in some kB."""

    shape: tuple[int, ...]
    place: NDArray[np.int32]  # in the flattened table
    count: Array

    @classmethod
    def of(cls, table: Array) -> Sparse:
        """
        >>> Sparse.of(np.array([[0, 3], [0, 0]])).place.tolist()
        [1]
        """
        place = np.flatnonzero(table)
        return cls(table.shape, place.astype(np.int32), table.ravel()[place])

    def added_to(self, table: Array) -> None:
        """Add to a table of the same shape, in place."""
        table.reshape(-1)[self.place] += self.count

    def dense(self) -> Array:
        table = np.zeros(self.shape, np.int64)
        self.added_to(table)
        return table


@dataclass(frozen=True, slots=True)
class Measured:
    """Counts of a piece, or of several: they add up. ``tables``: measure -> (val's, seen's) counts by group."""

    train: Statistics
    val: Statistics
    tables: Mapping[str, tuple[Sparse, Sparse]]
    val_tokens: Array
    val_lengths: Array
    places: Mapping[int, Array] = field(default_factory=dict)  # piece -> (documents, tokens) of each slice


def measure(asked: Asked) -> Measured:
    """Count a piece; a pure function. Raises ``OSError`` where the piece is gone."""
    piece = _pieces.opened(asked.folder, asked.number, asked.plan)
    if piece is None:
        raise FileNotFoundError(asked.number)
    lengths, sizes = (piece.column(name).astype(np.int64) for name in ("lengths", "sizes"))
    tokens = np.asarray(piece.tokens)
    stats = {}
    for code in (TRAIN, VAL):
        mine = asked.part == code
        taken = tokens if mine.all() else tokens[np.repeat(mine, lengths)]
        stats[code] = count(taken, lengths[mine], sizes[mine], asked.vocab)
    chosen = asked.part == VAL
    tables = dict(
        zip(
            _names(asked),
            zip(*(_tables(piece, asked, f) for f in (chosen, asked.seen)), strict=True),
            strict=True,
        )
    )
    places = piece.column("places").astype(np.int64)
    slices, before = int(places.max(initial=-1)) + 1, places[: asked.within]
    docs = np.bincount(before, minlength=slices)
    per = np.array([docs, np.bincount(before, lengths[: asked.within], slices).astype(np.int64)])
    held = tokens[np.repeat(chosen, lengths)].astype(np.uint32)
    return Measured(stats[TRAIN], stats[VAL], tables, held, lengths[chosen], {asked.number: per})


def _names(asked: Asked) -> list[str]:
    return ["tokens", "lengths", *asked.columns]


def _tables(piece: _pieces.Piece, asked: Asked, mine: Array) -> list[Sparse]:
    """Counts by group of the documents ``mine``: of tokens, lengths, and each column of metadata."""
    lengths = piece.column("lengths").astype(np.int64)
    group = asked.group[mine]
    taken = np.asarray(piece.tokens)[np.repeat(mine, lengths)].astype(np.int64)
    tables = [token_table(taken, lengths[mine], group, asked.vocab), length_table(lengths[mine], group)]
    for kinds in piece.labels if piece.documents else []:
        place = group * KINDS + kinds[mine]
        tables.append(np.bincount(place, minlength=GROUPS * KINDS).reshape(GROUPS, KINDS))
    return [Sparse.of(table) for table in tables]


def added(found: Iterable[Measured], vocab: int, stretches: tuple[Array, int] | None = None) -> Measured:
    """The sum of pieces' counts, in their order; ``stretches`` takes train's tokens by place.

    It is a table (stretches, vocab) and the number of pieces that are spread over it.
    """
    train, val, tokens, lengths = [], [], [], []
    sums: dict[str, tuple[Array, Array]] = {}
    places: dict[int, Array] = {}
    for one in found:
        if stretches is not None:
            (number,) = one.places
            stretches[0][number * len(stretches[0]) // stretches[1]] += one.train.unigrams
        train.append(one.train)
        if len(train) >= 2 and len(train) % 8 == 0:
            train = [total(train, vocab)]
        val.append(one.val)
        tokens.append(one.val_tokens)
        lengths.append(one.val_lengths)
        places |= one.places
        for name, pair in one.tables.items():
            if name not in sums:
                sums[name] = (np.zeros(pair[0].shape, np.int64), np.zeros(pair[1].shape, np.int64))
            for table, counts in zip(sums[name], pair, strict=True):
                counts.added_to(table)
    return Measured(
        total(train, vocab),
        total(val, vocab),
        {name: (Sparse.of(a), Sparse.of(b)) for name, (a, b) in sums.items()},
        np.concatenate(tokens) if tokens else np.empty(0, np.uint32),
        np.concatenate(lengths) if lengths else np.empty(0, np.int64),
        places,
    )


def stretches_of(pieces: int, vocab: int) -> tuple[Array, int] | None:
    """An empty table for the tokens of 10 to 32 stretches of train; None for too few pieces to tell an order."""
    sides = min(GROUPS, pieces // 2)
    return (np.zeros((2 * sides, vocab), np.int64), pieces) if sides >= LEAST_STRETCHES else None


def drift(stretches: Array, seed: int) -> dict[str, Any]:
    """Whether train's first half differs from its second more than its stretches, shuffled, differ: source order."""
    half = len(stretches) // 2
    return compare(stretches[:half], stretches[half:], seed).as_dict()


def as_dict(found: Measured, seed: int) -> dict[str, Any]:
    """What goes into the manifest: both splits' statistics, val's error, and the tests of its fairness."""
    error = standard_error(found.val_tokens, found.val_lengths, found.train.unigrams)
    tables = {name: (a.dense(), b.dense()) for name, (a, b) in found.tables.items()}
    fair = {name: one.as_dict() for name, one in fairness(tables, seed).items()}
    places = {str(number): per.tolist() for number, per in found.places.items()}
    splits = {"train": found.train.as_dict(), "val": found.val.as_dict()}
    return {
        "splits": splits,
        "val_error": error,
        "fairness": fair,
        "places": places,
    }
