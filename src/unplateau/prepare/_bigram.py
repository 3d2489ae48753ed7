"""How well one token of context predicts the next: the floor that a model which learns nothing more sits on.

Counted on a sample, the entropy of pairs is too low: most pairs stand there once, and look certain. So a model of
pairs is counted on one part of the text and its loss taken on another (``heldout``), which lies above the entropy:
for random tokens it is their unigram entropy, as it should be. The counted entropy is told beside it as the bound
from below (``plugin``).

The model: absolute discounting, interpolated with the frequencies of single tokens. Sources: Ney, Essen and Kneser
1994 (absolute discounting); Miller 1955 (the bias of a counted entropy, -(cells - 1) / 2n).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..estimate import Z90, Estimate
from ..student import t_ratio
from ..units import count
from ._entropy import plug_in
from ._random import METHOD as RARE
from ._random import Rare, rare_of

BLOCK = 2048  # tokens of a block; losses are averaged by block, as neighbours are alike
TRAINED = 4096  # blocks that pairs are counted on: 8.4M tokens, 70 MB
HELD = 256  # blocks that the loss is taken on
BATCHES = 8  # means of neighbours that an error is told from at least
SHARE = 16  # of a short text, one block in so many is held out
COPIED = 0.05  # share of train that stood before; above it no text of train is held out
DISCOUNT = 0.75  # counts; close to the optimum n1 / (n1 + 2 n2) on English

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bigram:
    """A model of pairs; called with tokens (n,), its loss on each after the first (n - 1,), nats."""

    vocab: int
    pairs: NDArray[
        Any
    ]  # previous x vocab + next, ascending; half as wide where it can be, which sorts twice as fast
    times: NDArray[np.int64]
    before: NDArray[np.int64]  # how often each token stands before another
    kinds: NDArray[np.int64]  # how many different ones follow it
    single: Floats  # probabilities without context

    @classmethod
    def of(cls, blocks: Iterable[NDArray[np.int64]], vocab: int) -> Bigram:
        """Count the pairs within each of ``blocks``, at least one of them of two tokens."""
        coded = np.concatenate([_coded(block, vocab) for block in blocks])
        coded.sort()
        start = np.flatnonzero(np.append(True, coded[1:] != coded[:-1]))
        pairs, times = coded[start], np.diff(np.append(start, len(coded)))
        first, second = np.divmod(pairs, pairs.dtype.type(vocab))
        before = np.bincount(first, weights=times, minlength=vocab).astype(np.int64)
        after = np.bincount(second, weights=times, minlength=vocab) + 0.5
        return cls(vocab, pairs, times, before, np.bincount(first, minlength=vocab), after / after.sum())

    def __call__(self, tokens: NDArray[np.int64]) -> Floats:
        a, b = tokens[:-1], tokens[1:]
        coded = _coded(tokens, self.vocab)
        place = np.minimum(np.searchsorted(self.pairs, coded), len(self.pairs) - 1)
        seen = np.where(self.pairs[place] == coded, self.times[place] - DISCOUNT, 0.0)
        n = self.before[a]
        own = np.where(n > 0, DISCOUNT * self.kinds[a], 1.0)
        return -np.log((seen + own * self.single[b]) / np.maximum(n, 1))

    @property
    def entropy(self) -> float:
        """The counted entropy of the next token given one, with Miller's correction; too low on a sample."""
        n = int(self.times.sum())
        joint = plug_in(self.times) + (len(self.times) - 1) / 2 / n
        kinds = np.count_nonzero(self.before)
        return max(0.0, joint - plug_in(self.before) - (kinds - 1) / 2 / n)


def _coded(tokens: NDArray[np.int64], vocab: int) -> NDArray[Any]:
    """Each pair of neighbours as one number, (n - 1,)."""
    coded = tokens[:-1] * vocab + tokens[1:]
    return coded.astype(np.uint32 if vocab <= 1 << 16 else np.int64)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Losses of a bigram model by block, nats: ``train`` on held-out text of train, ``val`` on val."""

    plugin: float
    train: Floats
    val: Floats
    counted: int  # tokens that the pairs were counted on
    rare: Rare | None = None  # how often the rarest of pairs stand on held-out text

    @property
    def gap(self) -> tuple[float, float] | None:
        """Val's loss less train's, with its standard error; None without val."""
        if len(self.val) < 2 or len(self.train) < 2:
            return None
        freedom = min(len(self.val), len(self.train)) - 1  # few blocks know their own spread badly
        error = sqrt(standard_error(self.val) ** 2 + standard_error(self.train) ** 2) * t_ratio(2.0, freedom)
        return float(self.val.mean() - self.train.mean()), error

    def as_dict(self) -> dict[str, Any]:
        """For JSON; ``pairs_from`` is the way back."""
        return asdict(self) | {"train": self.train.tolist(), "val": self.val.tolist()}


def pairs_from(kept: Mapping[str, Any]) -> Pairs:
    """What ``Pairs.as_dict`` was made of."""
    losses = {name: np.array(kept[name], np.float64) for name in ("train", "val")}
    rare = Rare(**kept["rare"]) if kept.get("rare") else None
    return Pairs(kept["plugin"], counted=kept["counted"], rare=rare, **losses)


def standard_error(losses: Floats) -> float:
    """Of the mean of losses in the order of the text; neighbours may be alike, so batches of them are tried too.

    The largest of the errors that batches of 1, 2, 4, ... blocks give, while there are ``BATCHES`` of them (the method
    of batch means: Conway 1963).

    >>> x = np.repeat([1.0, 2.0, 1.0, 3.0, 2.0, 1.0, 2.0, 3.0], 16)
    >>> round(standard_error(x), 3), round(float(x.std(ddof=1)) / 128**.5, 3)
    (0.295, 0.069)
    """
    found, size = 0.0, 1
    while len(losses) // size >= min(BATCHES, len(losses)) and len(losses) > 1:
        batches = losses[: len(losses) // size * size].reshape(-1, size).mean(1)
        found = max(found, float(batches.std(ddof=1)) / sqrt(len(batches)))
        size *= 2
    return found


class Text(Protocol):
    """Tokens that can be taken from anywhere, as ``_fair.Text`` and ``_kept.Kept``."""

    def __len__(self) -> int: ...
    def take(self, start: int, count: int) -> NDArray[np.int64]: ...


@dataclass(frozen=True, slots=True)
class Counted:
    """A model of pairs counted on random blocks of train; ``held``: others of its blocks, and the model's ``losses`` on them."""

    model: Bigram
    tokens: int
    held: tuple[NDArray[np.int64], ...]
    losses: Floats


def counted(train: Text, vocab: int, rng: np.random.Generator) -> Counted | None:
    """Count pairs on random blocks of train, and take the losses on others; None for a text of one block."""
    all_blocks = len(train) // BLOCK
    if all_blocks < 2:
        return None
    held = max(1, min(HELD, all_blocks // SHARE))
    order = _some(all_blocks, TRAINED + held, rng)
    model = Bigram.of((train.take(int(k) * BLOCK, BLOCK) for k in np.sort(order[held:])), vocab)
    apart = tuple(train.take(int(k) * BLOCK, BLOCK) for k in np.sort(order[:held]))
    losses = np.array([float(model(block).mean()) for block in apart])
    return Counted(model, BLOCK * (len(order) - held), apart, losses)


def pairs_of(train: Text, val: Text, vocab: int, seed: int = 0) -> Pairs | None:
    """Count pairs on random blocks of train, and take the losses on others and on val; None for a text of one block."""
    rng = np.random.default_rng(seed)
    found = counted(train, vocab, rng)
    return None if found is None else pairs_on(found, val, rng)


def pairs_on(found: Counted, val: Text, rng: np.random.Generator) -> Pairs:
    """The losses on val of a model that was counted on train."""
    model = found.model
    blocks = np.sort(_some(len(val) // BLOCK, HELD, rng))
    theirs = [
        float(model(np.minimum(val.take(int(k) * BLOCK, BLOCK), model.vocab - 1)).mean()) for k in blocks
    ]
    rare = rare_of(model.pairs, model.times, model.before, found.held)
    return Pairs(model.entropy, found.losses, np.array(theirs), found.tokens, rare)


def _some(blocks: int, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """At most ``most`` different blocks, in random order; of very many, without listing them all."""
    if blocks <= 4 * most:
        return rng.permutation(blocks)[:most]
    found = np.unique(rng.integers(0, blocks, 2 * most))
    return rng.permutation(found)[:most]


def pair_facts(pairs: Pairs | None, copied: float, unigram: float) -> tuple[dict[str, float], dict[str, Any]]:
    """What a manifest says of pairs: flat facts, and the same under ``estimates`` with 90 % intervals and method.

    ``copied``: the share of train that stands there twice; above ``COPIED`` nothing of train is held out of it, so
    val has nothing to be held against. ``unigram``: the entropy of single tokens, nats; that given one before is no more.
    """
    if pairs is None:
        return {}, {}
    loss, error = float(pairs.train.mean()), standard_error(pairs.train)
    bound = min(loss, unigram)
    low, high = min(pairs.plugin, bound, loss - Z90 * error), min(loss + Z90 * error, unigram)
    method = f"from the entropy of pairs counted on {count(pairs.counted)} tokens to their loss on held-out text, at most the unigram entropy"
    facts, estimates = (
        {"bigram_entropy": bound},
        {"bigram_entropy": told(Estimate(bound, low, high, "nats"), method)},
    )
    if pairs.rare is not None and (share := pairs.rare.share) is not None:
        facts["random_share"] = share.value
        estimates["random_share"] = told(share, RARE)
    gap = pairs.gap if copied < COPIED else None
    if gap is not None:
        facts |= {"val_gap": gap[0], "val_gap_error": gap[1]}
        between = Estimate(gap[0], gap[0] - Z90 * gap[1], gap[0] + Z90 * gap[1], "nats")
        estimates["val_gap"] = told(between, "a bigram model's loss on val, less on held-out train")
    return facts, estimates


def told(estimate: Estimate, method: str) -> dict[str, Any]:
    """An estimate as a manifest holds it."""
    e = estimate
    return {"value": e.value, "low": e.low, "high": e.high, "unit": e.unit, "method": method}
