"""Duplicates: documents that say the same, word for word or nearly so.

Texts are folded first (case, white space; signs of scripts that put no spaces between words count as words).
Exact copies share a 128-bit hash of the folded text. Near copies share one of 14 bands of MinHash of word 5-grams
(FineWeb's parameters; ``_minhash``), are then verified by their exact Jaccard similarity, and joined to clusters.

Each step is a pure function, so that it may run anywhere: ``signatures`` of some texts, ``exact_copies`` of all
signatures, ``candidates`` of one band, ``verified`` of some pairs, and ``join``. ``clusters`` is all of them in a
row. Links are what counts, not their order, so the result is the same however the work is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ._fold import folded, words
from ._minhash import BANDS, GRAM, bands, shingles, word_hashes

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

THRESHOLD = 0.7  # Jaccard similarity; FineWeb's bands find 92 % of pairs at .8 and 56 % at .7
NEIGHBOURS = 15  # in a band: how many members before it a document is compared with, besides the first
AT_ONCE = 1 << 16  # pairs
TEXTS = 64  # texts whose 5-grams are kept for the next comparison


@dataclass(frozen=True, slots=True)
class Signatures:
    """What is kept of each document to find its copies: ``exact`` (n, 2) and ``bands`` (n, 14), both uint64.

    128 bytes a document. ``bands`` is stored by column, as it is read: a band at a time.
    """

    exact: U64
    bands: U64

    def __post_init__(self) -> None:
        n = len(self.exact)
        if self.exact.shape != (n, 2) or self.bands.shape != (n, BANDS):
            raise ValueError(f"signatures of shape {self.exact.shape} and {self.bands.shape}")

    def __len__(self) -> int:
        return len(self.exact)

    def band(self, number: int) -> U64:
        """One band of all documents, (n,); 0 stands for none."""
        return np.asarray(self.bands[:, number])


class Hashed(Protocol):
    """``Signatures``, or what keeps them elsewhere."""

    @property
    def exact(self) -> U64: ...
    def band(self, number: int) -> U64: ...


def signatures(texts: Sequence[str]) -> Signatures:
    r"""Hashes of each text that don't depend on the others, nor on the process or machine.

    >>> one = signatures(["To be or not to be,", "to  BE or\nnot to be,", "that is the question"])
    >>> (one.exact[0] == one.exact).all(axis=1).tolist()
    [True, True, False]
    """
    lines = list(folded(texts))
    counts = [line.count(b" ") + 1 if line else 0 for line in lines]
    digests = b"".join(blake2b(line, digest_size=16).digest() for line in lines)
    exact = np.frombuffer(digests, "<u8").astype(np.uint64).reshape(-1, 2)
    return Signatures(exact, np.asfortranarray(bands(lines, counts)))


def grams(text: str) -> set[tuple[str, ...]]:
    """The set of word 5-grams of the folded text; a shorter text is one gram, an empty one has none."""
    split = words(text)
    if len(split) < GRAM:
        return {tuple(split)} if split else set()
    return set(zip(*(split[k:] for k in range(GRAM)), strict=False))


def jaccard(a: str, b: str) -> float:
    """Exact Jaccard similarity of the two texts' sets of folded word 5-grams; 1 for two empty texts.

    >>> jaccard("a b c d e f", "A B C D E g")
    0.3333333333333333
    """
    one, other = grams(a), grams(b)
    return _share(len(one & other), len(one), len(other))


def _share(both: int, one: int, other: int) -> float:
    return both / (one + other - both) if one or other else 1.0


def gram_hashes(text: str) -> U64:
    """The 64-bit hashes of ``grams(text)``, ascending, each once, (grams,)."""
    (line,) = folded([text])
    if not line:
        return np.empty(0, np.uint64)
    hashed = word_hashes(line)
    found = np.sort(shingles(hashed, np.array([len(hashed)]))[0])
    return np.asarray(found[np.append(True, found[1:] != found[:-1])])


def comparer(text_of: Callable[[int], str], texts: int = TEXTS) -> Callable[[int, int], float]:
    """Jaccard similarity of two documents by number; the last ``texts`` documents' 5-grams are kept.

    Counted on 64-bit hashes of the 5-grams, which take a third of the time and a tenth of the memory of the words
    themselves: it is ``jaccard`` unless two grams share a hash (one comparison of long texts in 10^12).

    >>> compare = comparer(["a b c d e", "A  b c d e", "f"].__getitem__)
    >>> compare(0, 1), compare(0, 2)
    (1.0, 0.0)
    """
    kept = lru_cache(texts)(lambda number: gram_hashes(text_of(number)))
    return lambda a, b: _similarity(kept(a), kept(b))


def _similarity(a: U64, b: U64) -> float:
    """Jaccard similarity of two ascending sets."""
    if len(a) > len(b):
        a, b = b, a
    place = np.searchsorted(b, a)
    both = int((b.take(place, mode="clip") == a).sum()) if len(a) else 0
    return _share(both, len(a), len(b))


@dataclass(frozen=True, slots=True)
class Clusters:
    """Which documents say the same.

    ``cluster`` (n,) int64 is the lowest number of a document in the same cluster. ``exact`` and ``near`` (n,) bool
    are copies of an earlier document, word for word or verified as near; what is neither is its cluster's first,
    the one to keep. ``histogram`` maps a cluster's size to the number of such clusters; ``compared`` and
    ``confirmed`` count the pairs that were verified and those that held.
    """

    cluster: I64
    exact: Flags
    near: Flags
    histogram: Mapping[int, int]
    compared: int = 0
    confirmed: int = 0

    @property
    def first(self) -> Flags:
        """The documents to keep: one of each cluster."""
        return ~(self.exact | self.near)

    def as_dict(self) -> dict[str, Any]:
        """Counts and rates for a manifest; not the pairs compared, which depend on how the work was shared."""
        n = max(1, len(self.cluster))
        counts = {"exact": int(self.exact.sum()), "near": int(self.near.sum())}
        rates = {f"{kind}_rate": count / n for kind, count in counts.items()}
        sizes = {str(size): number for size, number in sorted(self.histogram.items())}
        return {"documents": len(self.cluster), **counts, **rates, "cluster_sizes": sizes}


def exact_copies(pieces: Sequence[Hashed]) -> I64:
    """For each document the lowest number of one with the same folded text, shape (n,).

    >>> exact_copies([signatures(["a b", "c"]), signatures(["A B"])]).tolist()
    [0, 1, 0]
    """
    high, low = (_column([p.exact[:, k] for p in pieces]) for k in range(2))
    order = np.lexsort((low, high))  # stable: equal hashes stay in the documents' order
    high, low = high[order], low[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    del high, low
    root = np.empty(len(order), np.int64)
    root[order] = order[fresh][np.cumsum(fresh) - 1]
    return root


def candidates(pieces: Sequence[Hashed], band: int, root: I64) -> I64:
    """Pairs of documents that share ``band``, shape (pairs, 2), the lower number first.

    Only documents that are their own ``root`` (no exact copies) take part. A document is paired with the first of
    those that share its hash and with the ``NEIGHBOURS`` before it: all of them up to sixteen, a bounded number above.
    """
    number = np.flatnonzero(root == np.arange(len(root)))
    key = _column([p.band(band) for p in pieces])[number]
    number, key = _shared(number[key != 0], key[key != 0])
    if not len(key):
        return np.empty((0, 2), np.int64)
    start = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    first = np.repeat(start, np.diff(np.append(start, len(key))))
    here = np.arange(len(key))
    befores = [np.maximum(here - back, first) for back in range(1, NEIGHBOURS + 1)]
    pairs = [np.stack([number[other], number], axis=1)[other < here] for other in (first, *befores)]
    return _unique(np.concatenate(pairs), len(root))


def _shared(number: I64, key: U64) -> tuple[I64, U64]:
    """The documents whose key another one has too, ordered by key, then by number."""
    order = np.argsort(key, kind="stable")
    key = key[order]
    as_before = np.zeros(len(key), bool)
    as_before[1:] = key[1:] == key[:-1]
    shared = as_before.copy()
    shared[:-1] |= as_before[1:]
    return number[order[shared]], key[shared]


def _unique(pairs: I64, count: int) -> I64:
    """Each pair once, in order; numbers are below ``count`` (3e9 at most, so that a pair fits 64 bits)."""
    code = np.unique(pairs[:, 0] * count + pairs[:, 1])
    return np.stack([code // count, code % count], axis=1)


def _column(parts: Sequence[U64]) -> U64:
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def verified(
    pairs: I64, compare: Callable[[int, int], float], threshold: float = THRESHOLD
) -> tuple[I64, int]:
    """The pairs with ``compare(a, b) >= threshold``, and how many were compared.

    A pair that the pairs before it have already joined is not compared: it could not change a cluster.
    """
    forest = _Forest()
    holds, compared = np.zeros(len(pairs), bool), 0
    for number, (a, b) in enumerate(_each(pairs)):
        if forest.root(a) == forest.root(b):
            continue
        compared += 1
        if compare(a, b) >= threshold:
            forest.join(a, b)
            holds[number] = True
    return pairs[holds], compared


def _each(pairs: I64) -> Iterator[tuple[int, int]]:
    """The pairs as Python's numbers, some at a time: a list of all would take five times the memory."""
    for start in range(0, len(pairs), AT_ONCE):
        yield from pairs[start : start + AT_ONCE].tolist()


class _Forest:
    """Union-find over the few documents that have pairs; a root is its tree's lowest number."""

    def __init__(self) -> None:
        self.parent: dict[int, int] = {}

    def root(self, a: int) -> int:
        parent = self.parent
        while (up := parent.get(a, a)) != a:
            parent[a] = a = parent.get(up, up)
        return a

    def join(self, a: int, b: int) -> None:
        low, high = sorted((self.root(a), self.root(b)))
        if low != high:
            self.parent[high] = low


def join(root: I64, held: Iterable[I64]) -> Clusters:
    """Clusters of exact copies (``root``) and verified pairs (arrays of shape (pairs, 2))."""
    forest = _Forest()
    confirmed = 0
    for pairs in held:
        confirmed += len(pairs)
        for a, b in _each(pairs):
            forest.join(a, b)
    top = np.arange(len(root))
    for a in forest.parent:
        top[a] = forest.root(a)
    cluster, here = top[root], np.arange(len(root))
    exact = root != here
    sizes, numbers = np.unique(np.unique(cluster, return_counts=True)[1], return_counts=True)
    histogram = dict(zip(sizes.tolist(), numbers.tolist(), strict=True))
    return Clusters(cluster, exact, (cluster != here) & ~exact, histogram, confirmed, confirmed)


def clusters(
    pieces: Sequence[Hashed], compare: Callable[[int, int], float], threshold: float = THRESHOLD
) -> Clusters:
    """Clusters of the documents of all ``pieces``, numbered through in their order.

    ``compare(a, b)`` is the exact Jaccard similarity of two documents by number (``comparer``). Memory: about 50
    bytes a document besides the signatures, which may be memory maps; time: sorts, and one comparison for each link.

    >>> texts = ["to be or not to be", "To be  or not to be", "that is the question"]
    >>> found = clusters([signatures(texts)], comparer(texts.__getitem__))
    >>> found.cluster.tolist(), found.exact.tolist(), dict(found.histogram)
    ([0, 0, 2], [False, True, False], {1: 1, 2: 1})
    """
    root = exact_copies(pieces)
    held, compared = verified(all_candidates(pieces, root), compare, threshold)
    return replace(join(root, [held]), compared=compared)


def all_candidates(pieces: Sequence[Hashed], root: I64) -> I64:
    """Candidate pairs of all bands, each once, in order: what may be cut and ``verified`` in parallel."""
    found = np.empty((0, 2), np.int64)
    for band in range(BANDS):
        found = _unique(np.concatenate([found, candidates(pieces, band, root)]), max(1, len(root)))
    return found
