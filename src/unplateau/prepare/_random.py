"""How many of the tokens may be random ones: what follows a token in no natural text, follows it where noise was mixed in.

A token that was replaced by one drawn from the whole vocabulary is any of them alike. So after each frequent token, the
followers that are rarest in one part of the text are looked for in another: text, code and tables have followers that never
come, and their share there is close to none; with a share s of random tokens each comes s / vocabulary of the time. Taken
on text that did not choose them, their share is right on average, whatever luck chose them.

It is the share of tokens that can be draws from the whole vocabulary, from above: letters of which each may follow each give
as much (digits, DNA, nothing but base64). The choice on one part and the count on another: cross-validation, Stone 1974.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..estimate import Z90, Estimate

CONTEXTS = 64  # of the most frequent tokens, whose followers are looked at
RAREST = 0.1  # of the vocabulary, after each
DEPTH = 8  # times the vocabulary that a token stands before others, at least: else all its rare followers are unknown alike
LEAST = 30  # tokens of a vocabulary: alphabets have more; of fewer (digits, DNA) each may follow each
DUE = 100.0  # of the rarest followers that a wholly random text would have; fewer tell no share of a few hundredths
METHOD = f"how often the rarest {RAREST:.0%} of the followers of {CONTEXTS} tokens come on other text, of how often random ones would"


@dataclass(frozen=True, slots=True)
class Rare:
    """``hits`` of the rarest followers on held-out text; a wholly random text would have ``due``."""

    hits: int
    due: float

    @property
    def share(self) -> Estimate | None:
        """The share of tokens that may be random, with its 90 % interval; None where too few were due."""
        if self.due < DUE:
            return None
        value, half = self.hits / self.due, Z90 * sqrt(self.hits + 1) / self.due
        return Estimate(min(1.0, value), max(0.0, min(1.0, value) - half), min(1.0, value + half), "fraction")


def rare_of(
    pairs: NDArray[Any],
    times: NDArray[np.int64],
    before: NDArray[np.int64],
    held: Sequence[NDArray[np.int64]],
) -> Rare | None:
    """From counted ``pairs`` (previous x vocabulary + next, ascending) with their ``times``, and blocks held out of them.

    ``before`` (vocabulary,): how often each token stands before another. None for a small vocabulary.
    """
    vocab = len(before)
    if vocab < LEAST:
        return None
    few, frequent = max(1, int(RAREST * vocab)), np.argsort(-before, kind="stable")[:CONTEXTS]
    alone = np.argsort(np.argsort(before, kind="stable"), kind="stable")  # rank of each token, the rarest 0
    a = np.concatenate([block[:-1] for block in held])
    b = np.concatenate([block[1:] for block in held])
    hits, due = 0, 0.0
    for token in frequent[before[frequent] >= DEPTH * vocab].tolist():
        after = b[a == token]
        if len(after):
            rarest = _rarest(pairs, times, token, alone, few)
            hits += int(rarest[after].sum())
            due += len(after) * few / vocab
    return Rare(hits, due)


def _rarest(
    pairs: NDArray[Any], times: NDArray[np.int64], token: int, alone: NDArray[np.int64], few: int
) -> NDArray[np.bool_]:
    """The ``few`` tokens (vocabulary,) that follow ``token`` least often; of those that never do, the rarest."""
    vocab = len(alone)
    first, last = np.searchsorted(pairs, [token * vocab, (token + 1) * vocab])
    follows = alone.copy()
    follows[pairs[first:last].astype(np.int64) - token * vocab] += vocab * times[first:last]
    found = np.zeros(vocab, bool)
    found[np.argpartition(follows, few - 1)[:few]] = True
    return found
