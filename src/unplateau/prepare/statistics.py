"""What the data is, in numbers that add up: each piece is counted by itself, and the sum is that of the whole.

``count`` makes the ``Statistics`` of some documents; ``a + b`` are those of both. Addition is exact, and the same in any
order and for any partition into pieces. Unigram entropy, in nats per token, is what a model that has learnt the
frequencies of tokens and nothing else sits on (``_entropy``); that of pairs is a loss on held-out text (``_bigram``).

Source of the error of a ratio: Cochran 1977, "Sampling techniques", section 2.11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..units import count as number
from ._entropy import of_kinds
from .split import ERROR

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Floats = NDArray[np.float64]

OCTAVE = 4  # bins of document lengths for each doubling
BINS = 44 * OCTAVE  # up to 2^44 tokens


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts of some documents.

    ``shortest`` and ``longest`` in tokens; ``lengths`` (176,) documents by length, ``OCTAVE`` bins a doubling;
    ``unigrams`` (vocab,) how often each token stands.
    """

    documents: int
    bytes: int
    tokens: int
    shortest: int
    longest: int
    lengths: I64
    unigrams: I64

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
        )

    @property
    def bytes_per_token(self) -> float | None:
        """UTF-8 bytes of text per token, ends of text counted as tokens of no bytes."""
        return self.bytes / self.tokens if self.tokens else None

    @property
    def unigram_entropy(self) -> float:
        """Nats per token of the frequencies of tokens, Grassberger's estimate."""
        return of_kinds(self.unigrams)

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
        found = {**counts, "bytes_per_token": self.bytes_per_token, "lengths": told}
        return {**found, "unigram_entropy": self.unigram_entropy} if self.tokens else found


def nothing(vocab: int) -> Statistics:
    """The statistics of no documents: what sums start from."""
    return Statistics(0, 0, 0, 0, 0, np.zeros(BINS, np.int64), np.zeros(vocab, np.int64))


def count(tokens: NDArray[Any], lengths: I64, sizes: I64, vocab: int) -> Statistics:
    """Count documents: their ``tokens`` one after the other, each one's number of tokens and bytes of text (n,).

    >>> one = count(np.array([5, 6, 9, 5, 9]), np.array([3, 2]), np.array([8, 4]), 10)
    >>> one.documents, one.tokens, one.bytes_per_token, round(one.unigram_entropy, 2)
    (2, 5, 2.4, 1.28)
    """
    if not len(lengths):
        return nothing(vocab)
    return Statistics(
        len(lengths),
        int(sizes.sum()),
        len(tokens),
        int(lengths.min()),
        int(lengths.max()),
        np.bincount(bins_of(lengths), minlength=BINS),
        np.bincount(tokens, minlength=vocab),
    )


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


def told_error(error: float | None, tokens: int) -> list[str]:
    """What a note says of val's ``standard_error``, where it is unknown or hides what most changes of a run are worth.

    >>> told_error(0.047, 25_183)
    ['val has 25,183 tokens: another draw of its documents would move a mean loss by 0.047 nats (one standard error; about 2.23M tokens would give 0.005)']
    >>> told_error(None, 10), told_error(0.004, 10**6)
    (['val has 10 tokens in one document or piece: too few to tell how well its loss is known'], [])
    """
    if error is None:
        few = (
            f"val has {tokens:,} tokens in one document or piece: too few to tell how well its loss is known"
        )
        return [few] if tokens else []
    if error <= ERROR:
        return []
    wanted = number(tokens * (error / ERROR) ** 2)
    moved = f"another draw of its documents would move a mean loss by {error:.3f} nats"
    return [
        f"val has {tokens:,} tokens: {moved} (one standard error; about {wanted} tokens would give {ERROR})"
    ]


def total(pieces: Sequence[Statistics], vocab: int) -> Statistics:
    """The sum of all ``pieces``."""
    return sum(pieces, nothing(vocab))
