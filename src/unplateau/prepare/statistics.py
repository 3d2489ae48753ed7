"""What the data is, in numbers that add up: each piece is counted by itself, and the sum is that of the whole.

``count`` makes the ``Statistics`` of some documents; ``a + b`` are those of both. Addition is exact, and the same in any
order and for any partition into pieces. Entropies are in nats per token: what a model that has learnt the frequencies of
tokens (unigram), or of pairs (bigram), and nothing else sits on.

How entropies are told from counts: ``_entropy``. Source of the error of a ratio: Cochran 1977, "Sampling
techniques", section 2.11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableError
from ._entropy import entropy, plug_in

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Floats = NDArray[np.float64]

OCTAVE = 4  # bins of document lengths for each doubling
BINS = 44 * OCTAVE  # up to 2^44 tokens
PAIRS = 1 << 23  # tokens whose pairs are counted; those of English take some 30 MB and .3 CPU-seconds
RUN = 1 << 21  # pairs sorted at once


@dataclass(frozen=True, slots=True)
class Pairs:
    """How often each pair of tokens stands side by side.

    ``keys`` (kinds,) uint64 are ``before * vocab + token``, ascending; ``counts`` (kinds,) int64.
    """

    keys: U64
    counts: I64

    def __add__(self, other: Pairs) -> Pairs:
        if not len(self.keys) or not len(other.keys):
            return self if len(self.keys) else other
        keys = np.concatenate([self.keys, other.keys])
        order = np.argsort(keys, kind="stable")
        return _summed(keys[order], np.concatenate([self.counts, other.counts])[order])

    @property
    def tokens(self) -> int:
        """How many tokens were counted."""
        return int(self.counts.sum())


def _summed(keys: NDArray[Any], counts: I64 | None = None) -> Pairs:
    """Each of the ascending ``keys`` once, with the sum of its counts (1 each, where none are given)."""
    if not len(keys):
        return Pairs(np.empty(0, np.uint64), np.empty(0, np.int64))
    start = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    sums = np.diff(np.append(start, len(keys))) if counts is None else np.add.reduceat(counts, start)
    return Pairs(keys[start].astype(np.uint64), sums)


def pairs_of(tokens: NDArray[Any], lengths: I64, vocab: int) -> Pairs:
    """The pairs of documents' tokens, ``lengths`` each; before a document's first token stands its last, its end of text.

    So each document gives as many pairs as tokens, whatever stands around it.

    >>> found = pairs_of(np.array([5, 6, 9, 5, 9]), np.array([3, 2]), 10)
    >>> found.keys.tolist(), found.counts.tolist()
    ([56, 59, 69, 95], [1, 1, 1, 2])
    """
    end = np.cumsum(lengths)
    start, end = (end - lengths)[lengths > 0], end[lengths > 0]
    narrow = np.dtype(np.uint32 if vocab <= 1 << 16 else np.uint64)  # half as wide is sorted twice as fast
    keys = np.empty(len(tokens), narrow)
    keys[1:] = tokens[:-1]
    keys[start] = tokens[end - 1]
    keys *= narrow.type(vocab)
    keys += tokens.astype(narrow)
    runs = [_summed(np.sort(keys[i : i + RUN])) for i in range(0, len(keys), RUN)]
    while len(runs) > 1:  # two by two, so that each pair is moved a few times only
        runs = [a + b for a, b in zip(runs[::2], [*runs[1::2], _summed(keys[:0])], strict=False)]
    return runs[0] if runs else _summed(keys)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts of some documents.

    ``shortest`` and ``longest`` in tokens; ``lengths`` (176,) documents by length, ``OCTAVE`` bins a doubling;
    ``unigrams`` (vocab,) how often each token stands; ``pairs`` of all documents or of a sample of them.
    """

    documents: int
    bytes: int
    tokens: int
    shortest: int
    longest: int
    lengths: I64
    unigrams: I64
    pairs: Pairs

    def __add__(self, other: Statistics) -> Statistics:
        if len(self.unigrams) != len(other.unigrams):
            raise ValueError(
                f"vocabularies of {len(self.unigrams):,} and {len(other.unigrams):,} don't add up"
            )
        return Statistics(
            self.documents + other.documents,
            self.bytes + other.bytes,
            self.tokens + other.tokens,
            min(s.shortest for s in (self, other) if s.documents) if self.documents + other.documents else 0,
            max(self.longest, other.longest),
            self.lengths + other.lengths,
            self.unigrams + other.unigrams,
            self.pairs + other.pairs,
        )

    @property
    def bytes_per_token(self) -> float | None:
        """UTF-8 bytes of text per token, ends of text counted as tokens of no bytes."""
        return self.bytes / self.tokens if self.tokens else None

    @property
    def unigram_entropy(self) -> float:
        """Nats per token of the frequencies of tokens, Grassberger's estimate."""
        return min(entropy(self.unigrams), log(max(1, len(self.unigrams))))

    @property
    def bigram_entropy(self) -> float:
        """Nats per token given the one before, Grassberger's estimate: still low, as pairs are many."""
        estimate = entropy(self.pairs.counts) - entropy(self._sample())
        return min(self.unigram_entropy, max(self.plug_in, estimate))

    @property
    def plug_in(self) -> float:
        """Nats per token given the one before by the table of pairs alone: exact for this text, low for any other."""
        return plug_in(self.pairs.counts) - plug_in(self._sample())

    def _sample(self) -> I64:
        """How often each token stands in what the pairs were counted in, once per pair that it ends."""
        vocab = np.uint64(max(1, len(self.unigrams)))
        return np.bincount(
            (self.pairs.keys % vocab).astype(np.int64), self.pairs.counts, len(self.unigrams)
        ).astype(np.int64)

    def quantile(self, share: float) -> int:
        """The length in tokens that ``share`` of the documents stay under, to a quarter of a doubling."""
        if not self.documents:
            return 0
        place = int(np.searchsorted(np.cumsum(self.lengths), share * self.documents))
        return int(min(self.longest, max(self.shortest, edge(place))))

    def as_dict(self) -> dict[str, Any]:
        """Numbers for a manifest; losses in nats per token."""
        sizes = {str(edge(k)): int(self.lengths[k]) for k in np.flatnonzero(self.lengths).tolist()}
        shares = {f"{share:.0%}": self.quantile(share) for share in (0.05, 0.25, 0.5, 0.75, 0.95)}
        mean = self.tokens / self.documents if self.documents else 0.0
        told = {
            "mean": mean,
            "shortest": self.shortest,
            "longest": self.longest,
            "quantiles": shares,
            "up_to": sizes,
        }
        counts = {"documents": self.documents, "bytes": self.bytes, "tokens": self.tokens}
        return {**counts, "bytes_per_token": self.bytes_per_token, "lengths": told, **self._entropies()}

    def _entropies(self) -> dict[str, Any]:
        if not self.tokens:
            return {}
        found: dict[str, Any] = {"unigram_entropy": self.unigram_entropy}
        if self.pairs.tokens:
            exact = self.pairs.tokens == self.tokens
            text = "all documents" if exact else f"a sample of {self.pairs.tokens:,} tokens"
            found["bigram_entropy"] = self.bigram_entropy
            found["bigram_entropy_plug_in"] = self.plug_in
            found["bigram_method"] = (
                f"Grassberger 2003 from {text}, biased low; the plug-in is what the pairs themselves say, lower still"
            )
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a piece's file keeps; ``statistics_of`` is the way back."""
        numbers = [self.documents, self.bytes, self.tokens, self.shortest, self.longest]
        pairs = {"pair_keys": self.pairs.keys, "pair_counts": self.pairs.counts}
        return {
            "numbers": np.array(numbers, np.int64),
            "lengths": self.lengths,
            "unigrams": self.unigrams,
            **pairs,
        }


def statistics_of(arrays: Mapping[str, NDArray[Any]]) -> Statistics:
    """Read back ``Statistics.arrays``. Raises ``UnreadableError`` where an array is missing or of a wrong shape."""
    try:
        numbers, lengths, unigrams = arrays["numbers"], arrays["lengths"], arrays["unigrams"]
        pairs = Pairs(arrays["pair_keys"], arrays["pair_counts"])
    except KeyError as error:
        raise UnreadableError(f"a piece's statistics lack {error}; make the piece again") from None
    if numbers.shape != (5,) or lengths.shape != (BINS,) or len(pairs.keys) != len(pairs.counts):
        raise UnreadableError("a piece's statistics have a wrong shape; make the piece again")
    documents, size, tokens, shortest, longest = (int(n) for n in numbers)
    return Statistics(documents, size, tokens, shortest, longest, lengths, unigrams, pairs)


def nothing(vocab: int) -> Statistics:
    """The statistics of no documents: what sums start from."""
    empty = np.empty(0, np.uint64), np.empty(0, np.int64)
    return Statistics(0, 0, 0, 0, 0, np.zeros(BINS, np.int64), np.zeros(vocab, np.int64), Pairs(*empty))


def count(
    tokens: NDArray[Any],
    lengths: I64,
    sizes: I64,
    vocab: int,
    *,
    pairs_in: NDArray[np.bool_] | None = None,
) -> Statistics:
    """Count documents: their ``tokens`` one after the other, each one's number of tokens and bytes of text (n,).

    ``pairs_in`` (n,) chooses the documents whose pairs are counted (default all): for many tokens, a sample by
    ``split.sampled`` with ``share_of_pairs``, which is the same for any partition.

    >>> one = count(np.array([5, 6, 9, 5, 9]), np.array([3, 2]), np.array([8, 4]), 10)
    >>> one.documents, one.tokens, one.bytes_per_token, round(one.unigram_entropy, 2), round(one.plug_in, 2)
    (2, 5, 2.4, 1.28, 0.28)
    """
    if not len(lengths):
        return nothing(vocab)
    chosen = np.ones(len(lengths), bool) if pairs_in is None else pairs_in
    text = tokens if chosen.all() else tokens[np.repeat(chosen, lengths)]
    return Statistics(
        len(lengths),
        int(sizes.sum()),
        len(tokens),
        int(lengths.min()),
        int(lengths.max()),
        np.bincount(bins_of(lengths), minlength=BINS),
        np.bincount(tokens, minlength=vocab),
        pairs_of(text, lengths[chosen], vocab),
    )


def share_of_pairs(tokens: int) -> float:
    """The share of documents whose pairs are counted, so that about ``PAIRS`` tokens are.

    >>> share_of_pairs(1_000_000), share_of_pairs(1 << 30)
    (1.0, 0.0078125)
    """
    return min(1.0, PAIRS / max(1, tokens))


def bins_of(lengths: I64) -> I64:
    """The bin of each length in tokens: a quarter of a doubling wide; 0 and 1 are the first.

    >>> bins_of(np.array([0, 1, 2, 3, 4, 1024])).tolist()
    [0, 0, 4, 7, 8, 40]
    """
    edges = np.array([edge(k) for k in range(BINS - 1)], np.int64)
    return np.searchsorted(edges, lengths)


def edge(place: int) -> int:
    """The longest document in a bin, tokens.

    >>> [edge(k) for k in (0, 4, 7, 8, 40)]
    [1, 2, 3, 4, 1024]
    """
    return int(2 ** (place / OCTAVE) + 1e-9)


def standard_error(tokens: NDArray[Any], lengths: I64, unigrams: I64) -> float | None:
    """How far the mean loss over these documents would stray in another draw of as many, nats (one sd).

    Measured on the loss of a model that knows ``unigrams`` (vocab,) only, document by document, as that of a ratio;
    None for fewer than two documents. It stands in for a trained model's, which is not known yet.

    >>> round(standard_error(np.array([0, 0, 1, 1]), np.array([2, 2]), np.array([3, 1])), 4)
    0.3466
    """
    lengths = np.asarray(lengths)[np.asarray(lengths) > 0]
    if len(lengths) < 2:
        return None
    loss = log(unigrams.sum() + len(unigrams)) - np.log(unigrams + 1.0)  # add one: a token may be new
    start = np.cumsum(lengths) - lengths
    total = np.add.reduceat(loss[tokens], start)
    stray = total - total.sum() / lengths.sum() * lengths
    return float(np.sqrt((stray @ stray) * len(lengths) / (len(lengths) - 1)) / lengths.sum())


def total(pieces: Sequence[Statistics], vocab: int) -> Statistics:
    """The sum of all ``pieces``, two by two: pairs are then moved a few times only."""
    some = list(pieces) or [nothing(vocab)]
    while len(some) > 1:
        some = [sum(some[i + 1 : i + 2], some[i]) for i in range(0, len(some), 2)]
    return some[0]
