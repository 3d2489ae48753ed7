"""Which documents train, which are held out: by a keyed hash of what a document says, never by its position.

All copies of a text go to the same split, so none of val stands in train. A cluster's key is the least hash among its
members' texts; with the seed it gives the cluster's place in a draw. The clusters that come first in the draw are
``val``, the next are ``fresh`` (never trained on: what new data would give), all others ``train``; ``seen`` is as much
of train, by a draw of its own (what has been trained on, to measure memorising against). So the splits don't depend on
the order or number of files, and a val of another size holds or is held by this one.

How large val is: 1M tokens or 1 %, whichever is smaller, but at least what gives a mean loss with a standard error of
.005 nats, and never more than a twentieth of a small corpus. That error is of one model's loss over windows like these;
how far a *new draw of documents* would stray is larger where documents are long, and is measured
(``statistics.standard_error``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..state import WINDOW_SD
from ._minhash import mix

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

TRAIN, VAL, FRESH, DROPPED = range(4)
SPLITS: Final = ("train", "val", "fresh")  # by code; what is dropped is in none
TOKENS = 1_000_000  # of val, where a hundredth of the corpus is more
SHARE = 0.01  # of the corpus's tokens
ERROR = 0.005  # nats; standard error of the mean loss over val
WINDOW = 64  # tokens; the longer of the windows that WINDOW_SD was measured on (benchmarks/planted)
LEAST = round((WINDOW_SD / ERROR) ** 2) * WINDOW  # tokens: 409,600
MOST = (
    0.05  # of the corpus's tokens: a small one has to train on something; also the largest cluster held out
)


@dataclass(frozen=True, slots=True)
class Split:
    """What each document is for.

    ``part`` (n,) uint8 is ``TRAIN``, ``VAL``, ``FRESH`` or ``DROPPED``; ``seen`` (n,) bool is the sample of train.
    ``target`` is the tokens asked for in val, and in fresh; ``tokens`` and ``documents`` are what each split got.
    """

    part: NDArray[np.uint8]
    seen: Flags
    seed: int
    target: int
    tokens: Mapping[str, int]
    documents: Mapping[str, int]
    notes: tuple[str, ...] = field(default=())

    @property
    def rule(self) -> str:
        """How the splits were drawn, in words."""
        return (
            f"clusters of copies in the order of a hash of their text keyed by seed {self.seed}: val until it has "
            f"{self.target:,} tokens, then fresh likewise, then train; seen is as much of train by another hash"
        )

    def as_dict(self) -> dict[str, Any]:
        """For a manifest."""
        names = (*SPLITS, "seen")
        sizes = {n: {"documents": self.documents[n], "tokens": self.tokens[n]} for n in names}
        return {
            "seed": self.seed,
            "rule": self.rule,
            "target_tokens": self.target,
            "splits": sizes,
            "notes": list(self.notes),
        }


def val_size(total: int) -> int:
    """Tokens that val should have, of ``total``.

    >>> [val_size(n) for n in (100_000, 20_000_000, 70_000_000, 1_000_000_000)]
    [5000, 409600, 700000, 1000000]
    """
    return int(min(max(min(TOKENS, total * SHARE), LEAST), total * MOST))


def cluster_keys(cluster: I64, exact: U64) -> U64:
    """For each document the least hash among the texts of its cluster, (n,): the same in any order of documents.

    ``cluster`` (n,) are ``dedup.Clusters.cluster``, ``exact`` (n, 2) the ``Signatures.exact`` of all documents.

    >>> cluster_keys(np.array([0, 0, 2]), np.array([[7, 0], [5, 0], [6, 0]], np.uint64)).tolist()
    [5, 5, 6]
    """
    least = exact[:, 0].copy()
    np.minimum.at(least, cluster, exact[:, 0])
    return np.asarray(least[cluster])


def draw(keys: U64, seed: int, purpose: str) -> U64:
    """A number for each key, uniform below 2^64, independent for each seed and each purpose.

    >>> one = np.array([1, 2, 3], np.uint64)
    >>> bool((draw(one, 0, "split") == draw(one, 0, "seen")).any())
    False
    """
    digest = blake2b(f"unplateau {seed} {purpose}".encode(), digest_size=16).digest()
    first, second = np.frombuffer(digest, "<u8").astype(np.uint64)
    return mix(mix(keys ^ first) + second)


def assign(
    cluster: I64,
    exact: U64,
    tokens: I64,
    *,
    seed: int = 0,
    keep: Flags | None = None,
    val_tokens: int | None = None,
) -> Split:
    """Split documents with ``tokens`` (n,) each; see the module's text for the rule.

    ``cluster`` and ``exact`` as for ``cluster_keys``; documents that ``keep`` (n,) leaves out are dropped;
    ``val_tokens`` asks for another size of val and fresh, 0 for none. Raises ``UsageError`` for one that would leave
    no train.

    >>> own = np.arange(1000)
    >>> hashes = draw(np.arange(2000, dtype=np.uint64), 0, "a text").reshape(-1, 2)
    >>> split = assign(own, hashes, np.full(1000, 500))
    >>> split.target, dict(split.tokens)
    (25000, {'train': 450000, 'val': 25000, 'fresh': 25000, 'seen': 25000})
    """
    kept = np.ones(len(tokens), bool) if keep is None else keep
    total = int(tokens[kept].sum())
    target = val_size(total) if val_tokens is None else possible(val_tokens, total)
    names, inverse = np.unique(cluster[kept], return_inverse=True)
    size = np.zeros(len(names), np.int64)
    np.add.at(size, inverse, tokens[kept])
    keys = cluster_keys(cluster, exact)[names]
    largest = max(target, int(total * MOST))
    held = _held(keys, size, target, largest, seed)
    part = np.full(len(tokens), DROPPED, np.uint8)
    part[kept] = held[inverse]
    seen = np.zeros(len(tokens), bool)
    seen[kept] = _seen(keys, size, held, seed)[inverse]
    chosen = {**{name: part == code for code, name in enumerate(SPLITS)}, "seen": seen}
    counts = {name: int(tokens[flags].sum()) for name, flags in chosen.items()}
    numbers = {name: int(flags.sum()) for name, flags in chosen.items()}
    long = size > largest
    copied = np.bincount(inverse, minlength=len(names)) > 1
    notes = _too_large(int((long & ~copied).sum()), int((long & copied).sum()))
    notes += _notes(counts, target)
    return Split(part, seen, seed, target, counts, numbers, notes)


def possible(tokens: int, total: int) -> int:
    """``tokens`` of val, where ``total`` has as many; else ``UsageError``."""
    if not 0 <= tokens <= total // 4:
        raise UsageError(
            f"val of {tokens:,} tokens from {total:,}: expected 0 to {total // 4:,} (val and fresh hold out twice as many)"
        )
    return tokens


def _held(keys: U64, size: I64, target: int, largest: int, seed: int) -> NDArray[np.uint8]:
    """The split of each cluster: the first in the draw, passing over those above ``largest`` tokens."""
    part = np.full(len(keys), TRAIN, np.uint8)
    order = _order(draw(keys, seed, "split"), (size <= largest) & (size > 0))
    for code in (VAL, FRESH):
        count = _until(size[order], target)
        part[order[:count]] = code
        order = order[count:]
    return part


def _seen(keys: U64, size: I64, held: NDArray[np.uint8], seed: int) -> Flags:
    """As many tokens of train as val has, of clusters that val might have held too."""
    val = size[held == VAL]
    fits = (held == TRAIN) & (size > 0) & (size <= max(int(size.sum() * MOST), int(val.sum())))
    order = _order(draw(keys, seed, "seen"), fits)
    chosen = np.zeros(len(keys), bool)
    chosen[order[: _until(size[order], int(val.sum()))]] = True
    return chosen


def _order(place: U64, allowed: Flags) -> I64:
    number = np.flatnonzero(allowed)
    return np.asarray(number[np.argsort(place[number], kind="stable")])


def _until(size: I64, target: int) -> int:
    """How many of ``size``, from the first on, it takes to reach ``target``; all where they don't."""
    if not target:
        return 0
    return min(len(size), int(np.searchsorted(np.cumsum(size), target)) + 1)


def _too_large(alone: int, copied: int) -> tuple[str, ...]:
    """What is said of documents that are too large to be held out, ``alone`` or with copies.

    >>> _too_large(1, 0)
    ('1 document is longer than 5% of the tokens: it stays in train',)
    """
    notes = []
    if alone:
        what = ("document is", "it stays") if alone == 1 else ("documents are each", "they stay")
        notes.append(f"{alone:,} {what[0]} longer than {MOST:.0%} of the tokens: {what[1]} in train")
    if copied:
        what = (
            ("text with its copies holds", "it stays")
            if copied == 1
            else ("texts with their copies each hold", "they stay")
        )
        notes.append(f"{copied:,} {what[0]} more than {MOST:.0%} of the tokens: {what[1]} in train")
    return tuple(notes)


def _notes(tokens: Mapping[str, int], target: int) -> tuple[str, ...]:
    notes = []
    if target and tokens["val"] < target:
        notes.append(
            f"val has {tokens['val']:,} tokens of {target:,} wanted: the corpus has too few documents that are small "
            "enough to hold out; cut long texts into documents"
        )
    return tuple(notes)
