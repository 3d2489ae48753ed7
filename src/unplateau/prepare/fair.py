"""Is val a fair sample? Its lengths, tokens and metadata against those of as much of train, and against chance.

Val and ``seen`` are drawn alike, by hash, so a fair val differs from seen as two draws do. How much that is can't be
told from the number of tokens: a document's tokens come together. So the copies' clusters of either sample are put
into 16 groups (by hash again), and the 32 groups are shuffled: the divergence between 16 of them and the other 16 is
what chance gives. Where none of 99 shuffles strays as far as val does, val is no fair sample: then
something other than the draw has chosen it. That is a permutation test, exact whatever the counts look like.

Sources: Lin 1991 (the divergence); Phipson and Smyth 2010 (the share of a permutation test, never zero).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._fair import divergence
from .split import draw
from .statistics import BINS, bins_of

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Floats = NDArray[np.float64]

GROUPS = 16  # of either sample: 6e8 ways to shuffle them
SHUFFLES = 99  # so that the least share is FAIR
AT_ONCE = 1 << 19  # numbers of a table of shuffles: some 30 MB at work
FAIR = 0.01  # share of fair vals that are called unfair, by each measure: 1 / (1 + SHUFFLES)
KINDS = 256  # places that the kinds of one column of metadata are hashed to, so that a column of URLs fits


@dataclass(frozen=True, slots=True)
class Divergence:
    """How far val is from train by one measure, Jensen-Shannon, nats.

    ``chance`` is the mean of fair samples, ``limit`` what 99 % of them stay under, and ``share`` the share that
    strays as far as val does.
    """

    value: float
    chance: float
    limit: float
    share: float

    @property
    def fair(self) -> bool:
        """False when chance alone hardly gives such a val."""
        return self.share > FAIR

    def as_dict(self) -> dict[str, Any]:
        """For a manifest."""
        numbers = {"nats": self.value, "chance": self.chance, "limit": self.limit, "share": self.share}
        return {**numbers, "fair": self.fair}


def compare(val: I64, seen: I64, seed: int = 0) -> Divergence:
    """Hold the counts of val against those of seen, both (``GROUPS``, kinds), by shuffling the groups.

    >>> rng = np.random.default_rng(0)
    >>> alike, other = rng.poisson(9, (2, 16, 50))
    >>> compare(alike, other).fair, compare(alike, other * np.arange(50)).fair
    (True, False)
    """
    groups = np.concatenate([val, seen]).astype(np.float64)
    groups = groups[:, groups.any(axis=0)]
    whole = groups.sum(axis=0)
    found = divergence(val.sum(axis=0), seen.sum(axis=0))
    sides = _shuffles(len(val), len(groups), seed)
    step = max(1, AT_ONCE // max(1, len(whole)))
    held = [_between(sides[i : i + step] @ groups, whole) for i in range(0, SHUFFLES, step)]
    chance = np.concatenate(held)
    share = (1 + int((chance >= found - 1e-12).sum())) / (1 + SHUFFLES)
    return Divergence(found, float(chance.mean()), float(chance.max()), share)


def _shuffles(chosen: int, groups: int, seed: int) -> Floats:
    """Random choices of ``chosen`` of the groups, (SHUFFLES, groups), 1 where chosen."""
    rng = np.random.default_rng(seed)
    order = rng.permuted(np.tile(np.arange(groups), (SHUFFLES, 1)), axis=1)
    return np.asarray((order < chosen).astype(np.float64))


def _between(side: Floats, whole: Floats) -> Floats:
    """Divergence of each row of ``side`` (shuffles, kinds) from the rest of ``whole`` (kinds,)."""
    p, q = (s / np.maximum(1, s.sum(axis=1, keepdims=True)) for s in (side, whole - side))
    middle = (p + q) / 2
    return np.maximum(0, _entropy(middle) - (_entropy(p) + _entropy(q)) / 2)


def _entropy(p: Floats) -> Floats:
    return -np.asarray((p * np.log(np.where(p > 0, p, 1))).sum(axis=1))


def groups_of(keys: U64, seed: int = 0) -> I64:
    """The group of each document, (n,), the same for all of a cluster; ``keys`` are ``split.cluster_keys``."""
    return np.asarray((draw(keys, seed, "group") % np.uint64(GROUPS)).astype(np.int64))


def token_table(tokens: NDArray[Any], lengths: I64, group: I64, vocab: int) -> I64:
    """How often each token stands in each group, (GROUPS, vocab); tables of pieces add up."""
    place = np.repeat(group * vocab, lengths) + tokens
    return np.bincount(place, minlength=GROUPS * vocab).reshape(GROUPS, vocab)


def length_table(lengths: I64, group: I64) -> I64:
    """Documents by length in each group, (GROUPS, bins); tables of pieces add up."""
    return np.bincount(group * BINS + bins_of(lengths), minlength=GROUPS * BINS).reshape(GROUPS, BINS)


def label_table(labels: Sequence[str], group: I64) -> I64:
    """Documents by a label in each group, (GROUPS, KINDS); tables of pieces add up."""
    kind = np.array([_kind(label) for label in labels], np.int64)
    return np.bincount(group * KINDS + kind, minlength=GROUPS * KINDS).reshape(GROUPS, KINDS)


def _kind(label: str) -> int:
    return blake2b(label.encode("utf-8", "surrogatepass"), digest_size=1).digest()[0]


def label_of(value: Any) -> str:
    """What a value of metadata is counted as: a number by its first digit, a URL by its host, text as it is.

    >>> [label_of(v) for v in (3.27, 0.9641, None, True, "https://en.wikipedia.org/wiki/Loss", "en")]
    ['3', '1', 'None', 'True', 'en.wikipedia.org', 'en']
    """
    if isinstance(value, float):
        return f"{value:.1g}"
    text = str(value)
    if "://" in text:
        text = text.partition("://")[2].partition("/")[0]
    return text[:80]


def fairness(tables: Mapping[str, tuple[I64, I64]], seed: int = 0) -> dict[str, Divergence]:
    """Each measure's ``(val, seen)`` tables compared; those that one side has nothing of are left out."""
    full = {name: pair for name, pair in tables.items() if pair[0].any() and pair[1].any()}
    return {name: compare(*pair, seed=seed) for name, pair in full.items()}
