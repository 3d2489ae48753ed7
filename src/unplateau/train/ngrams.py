"""A cheap model of text whose loss is known on far more of it than a network can read: it tells hard windows from easy ones.

Every token is predicted from up to ``LONGEST`` before it, by counts of the same text without that token itself
(leave one out), each order smoothed towards the one below it (MacKay and Peto 1995, "A hierarchical Dirichlet language
model"). Counts are kept by hash, so memory is set by the number of tokens alone.

What a network loses on a window and what this model loses on it go together (a correlation of .91 with a network of
.8M parameters at the end of its training on the characters of Moby Dick), so the mean over a sample of windows can be
corrected for how hard the sample happens to be: ``survey.Sample``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .order import GOLDEN, I64, U64, mixed

LONGEST = 4  # tokens before the one that is predicted
FIRST, LATER = 5.0, 100.0  # counts that the order below is worth: for order 0, and for longer ones
BUCKETS = 4  # of the table, for each token: few collisions

F64 = NDArray[np.float64]


def losses(tokens_N: I64, vocab_size: int, read: int | None = None) -> F64:
    """The loss of each order at each token, nats (LONGEST + 1, n); linear in n: 20 ms an order for a million.

    With ``read``, only that many tokens from the start are counted: losses of those after them are of a text not seen.

    >>> uneven = losses(np.array([1, 2] * 500), 3)
    >>> uneven[1:, 10:].mean().round(1) < uneven[0].mean().round(1)
    np.True_
    """
    size = 1 << (BUCKETS * max(1, len(tokens_N)) - 1).bit_length()
    text = tokens_N.astype(np.uint64)
    context = np.zeros(len(text), np.uint64)
    guess = np.full(len(text), 1 / vocab_size)
    out = np.empty((LONGEST + 1, len(text)))
    for order in range(LONGEST + 1):
        if order:
            before = np.concatenate([np.zeros(min(order, len(text)), np.uint64), text[:-order]])
            context = mixed(context * np.uint64(GOLDEN) + before + np.uint64(order))
        followed = _others(context * np.uint64(GOLDEN) + text, size, read)
        seen = _others(context, size, read)
        weight = LATER if order else FIRST
        # a collision can make a word more frequent than what it follows
        guess = (np.minimum(followed, seen) + weight * guess) / (seen + weight)
        out[order] = -np.log(guess)
    return out


def _others(key_N: U64, size: int, read: int | None) -> F64:
    """How often each key stands in the text besides here; or in its first ``read`` tokens, besides here."""
    bucket = (mixed(key_N) & np.uint64(size - 1)).astype(np.int64)
    counts: F64 = np.bincount(bucket[:read], minlength=size)[bucket].astype(np.float64)
    counts[:read] -= 1
    return counts
