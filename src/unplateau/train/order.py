"""The order of the data, computed and never stored: a keyed permutation of the windows of a pass, another one each pass.

A draw is the number of a window in the order of training, from 0. Which window it is depends on the key and the draw
alone, so a resumed run, or one on more devices, knows its place from the number of its step.

The permutation is a generalised Feistel network on a x b >= n places with cycle walking (Black and Rogaway 2002,
"Ciphers with arbitrary finite domains", section 4 and 5); its round function is the finaliser of splitmix64 (Steele,
Lea and Flood 2014). No torch here: pre-flight counts passes with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

ROUNDS = 12  # of the network; with 8, the 120 orders of 5 windows are visibly not equally frequent, with 12 they are
GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, splitmix64's step

I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]


def key_of(*words: int | str) -> int:
    """64 bits that stand for ``words``, the same on every machine.

    >>> key_of(1337, "train") == key_of(1337, "train"), key_of(1337, "train") == key_of(1338, "train")
    (True, False)
    """
    return int.from_bytes(blake2b(repr(words).encode(), digest_size=8).digest(), "little")


def mixed(x_N: U64) -> U64:
    """splitmix64's finaliser: each bit of the input changes half of the output's."""
    x_N = (x_N ^ (x_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x_N = (x_N ^ (x_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x_N ^ (x_N >> np.uint64(31))


def keys(key: int, number_N: I64) -> U64:
    """A key for each number under ``key``."""
    return mixed(number_N.astype(np.uint64) * np.uint64(GOLDEN) + np.uint64(key))


def shuffled(place_N: I64, n: int, key_N: U64) -> I64:
    """Where ``place`` of 0..n-1 goes in the permutation that ``key`` names, element by element.

    >>> where = shuffled(np.arange(5), 5, np.full(5, 7, np.uint64))
    >>> sorted(where.tolist()), unshuffled(where, 5, np.full(5, 7, np.uint64)).tolist()
    ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    """
    return _walk(place_N, n, key_N, range(ROUNDS), forward=True)


def unshuffled(where_N: I64, n: int, key_N: U64) -> I64:
    """The place that ``shuffled`` takes to ``where``."""
    return _walk(where_N, n, key_N, range(ROUNDS - 1, -1, -1), forward=False)


def _walk(x_N: I64, n: int, key_N: U64, rounds: range, *, forward: bool) -> I64:
    """Through the network again and again, until each is below ``n``: a permutation of 0..n-1."""
    a = isqrt(n - 1) + 1
    b = -(-n // a)
    now, out = np.arange(len(x_N)), np.empty(len(x_N), np.int64)
    x = x_N.astype(np.uint64)
    while len(now):
        x = _network(x, np.uint64(a), np.uint64(b), key_N[now], rounds, forward=forward)
        inside = x < np.uint64(n)
        out[now[inside]] = x[inside]
        now, x = now[~inside], x[~inside]
    return out


def _network(x: U64, a: np.uint64, b: np.uint64, key: U64, rounds: range, *, forward: bool) -> U64:
    left, right = x // b, x % b
    for number in rounds:
        step = key + np.uint64(number)
        if number % 2:
            shift = mixed(left + mixed(step)) % b
            right = (right + (shift if forward else b - shift)) % b
        else:
            shift = mixed(right + mixed(step)) % a
            left = (left + (shift if forward else a - shift)) % a
    return left * b + right


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of ``tokens`` tokens, each of ``length`` and its target beyond, in the order that ``key`` names.

    Every pass visits ``count`` windows that lie side by side, each once. They begin at an offset that is drawn for
    each pass, so that what is cut by a border in one pass is whole in another, and no token is left out for good.
    Raises ``UsageError`` where not even one window fits.

    >>> windows = Windows(tokens=1001, length=100, key=1)
    >>> windows.count, windows.epoch(18), windows.unique(9)
    (9, 2.0, 900)
    """

    tokens: int
    length: int
    key: int

    def __post_init__(self) -> None:
        if self.tokens <= self.length:
            raise UsageError(
                f"{self.tokens:,} tokens hold no window of block_size {self.length:,} and its target: "
                "choose a smaller block_size, or more data"
            )

    @property
    def count(self) -> int:
        """Windows of a pass."""
        return max(1, self.tokens // self.length - 1)

    @property
    def _slack(self) -> int:
        """Offsets that there are."""
        return self.tokens - self.count * self.length

    def offsets(self, pass_N: I64) -> I64:
        """Where each pass's first window begins, in tokens."""
        return (mixed(keys(self.key, pass_N)) % np.uint64(self._slack)).astype(np.int64)

    def starts(self, draw_N: I64) -> I64:
        """The first token of each draw's window: a pure function of the key and the draw."""
        pass_N, place_N = np.divmod(draw_N, self.count)
        index_N = shuffled(place_N, self.count, keys(self.key, pass_N))
        return self.offsets(pass_N) + index_N * self.length

    def epoch(self, draws: int) -> float:
        """Passes that ``draws`` windows make."""
        return draws / self.count

    def unique(self, draws: int) -> int:
        """Tokens that the first ``draws`` windows showed at least once (as inputs), exactly.

        Whole passes have shown one piece of the text, or several where a pass is a single window. Another pass adds
        to that piece at its ends only, with its first windows and its last.
        """
        passes, done = divmod(draws, self.count)
        if not passes:
            return done * self.length
        reach = self.count * self.length
        offset_P = np.sort(self.offsets(np.arange(passes)))
        whole = int(np.minimum(np.diff(offset_P), reach).sum()) + reach
        return whole + self._added(passes, done, int(offset_P[0]), int(offset_P[-1]) + reach)

    def _added(self, passed: int, done: int, low: int, high: int) -> int:
        """Tokens outside ``low`` to ``high`` that the first ``done`` windows of a pass show."""
        index = np.unique(np.clip([0, 1, self.count - 2, self.count - 1], 0, None))
        number = np.full(len(index), passed)
        shown = unshuffled(index, self.count, keys(self.key, number)) < done
        start = (self.offsets(number) + index * self.length)[shown]
        below, above = (
            np.clip(low - start, 0, self.length),
            np.clip(start + self.length - high, 0, self.length),
        )
        return int((below + above).sum())
