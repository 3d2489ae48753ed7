"""MinHash of word 5-grams in plain numpy: what ``dedup`` finds candidates with.

A text's words are hashed by sums of random numbers that its bytes choose, weighted by the byte's place, so that a
whole block of texts is done by one running sum. Each 5-gram then falls into one of 112 bins and each bin keeps its
least hash; bins that stay empty are filled by further rounds, at last by one permutation for each bin. That is fast
similarity sketching (Dahlgaard, Knudsen and Thorup, FOCS 2017): any two texts agree in a bin with a probability
of exactly their Jaccard similarity, as with 112 permutations, at the price of about one. Faster than rensa
and gaoya (docs/LOG.md, 2026-11-22), and nothing to install.

All arithmetic is on 64-bit unsigned integers that wrap around; constants come from a fixed linear recurrence, so
that hashes are the same on every machine, in every process, in any batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

GRAM = 5  # words; FineWeb's (Penedo et al. 2024, arXiv 2406.17557, section 3.4)
BANDS = 14  # FineWeb's: two texts of Jaccard J share a band with 1 - (1 - J^8)^14, 92 % at J = .8
ROWS = 8  # hashes in a band
BINS = BANDS * ROWS
ROUNDS = 4  # bins still empty after these (in texts of up to some 300 words) get a permutation each
BLOCK = 1 << 17  # bytes of folded text hashed at once: its numbers stay in the second-level cache
WRAP = 1 << 64
GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, odd (Knuth, volume 3, section 6.4)
MIXER = np.uint64(0xD6E8FEB86659FD93)  # of degski64, a finaliser like murmur3's with one constant
HALF = np.uint64(32)
EMPTY = np.uint64(WRAP - 1)


def mix(x: U64) -> U64:
    """A fixed bijection of 64-bit numbers whose bits all depend on all.

    >>> [hex(v) for v in mix(np.array([0, 1], np.uint64))]
    ['0x0', '0x4179b061e0c0e0d0']
    """
    x = x ^ (x >> HALF)
    x *= MIXER
    x ^= x >> HALF
    x *= MIXER
    x ^= x >> HALF
    return x


def _constants(seed: int, count: int) -> U64:
    """Odd numbers that look random, the same everywhere."""
    numbers = [(seed * count + i + 1) * GOLDEN % WRAP for i in range(count)]
    return np.asarray(mix(np.array(numbers, np.uint64)) | np.uint64(1))


def _powers(base: int, count: int) -> U64:
    powers = np.full(count, base, np.uint64)
    powers[0] = 1
    return np.asarray(np.multiply.accumulate(powers))


OF_BYTE = _constants(1, 256)
OF_PLACE = _constants(2, GRAM)
OF_ROW = _constants(3, BINS).reshape(BANDS, ROWS)
OF_ROUND = _constants(4, ROUNDS)
OF_BIN = _constants(5, BINS)
UP = _powers(GOLDEN, BLOCK)
DOWN = _powers(pow(GOLDEN, -1, WRAP), BLOCK)


def word_hashes(data: bytes) -> U64:
    """One hash for each word of folded text (words with one space between), whatever stands around it.

    >>> a, b = word_hashes(b"to be or"), word_hashes(b"or not to be")
    >>> bool(a[2] == b[0]), bool((a[:2] == b[2:]).all())
    (True, True)
    """
    if len(data) > BLOCK:
        return np.concatenate([word_hashes(piece) for piece in _cut(data)])
    text = np.frombuffer(data, np.uint8)
    space = np.flatnonzero(text == 0x20)
    start, end = np.append(0, space + 1), np.append(space, len(text))
    total = np.zeros(len(text) + 1, np.uint64)
    np.cumsum(OF_BYTE.take(text) * UP[: len(text)], out=total[1:])
    return mix((total[end] - total[start]) * DOWN[start])


def _cut(data: bytes) -> Iterator[bytes]:
    """Pieces of at most ``BLOCK`` bytes, cut at spaces where there are any, always counted from the text's start."""
    start = 0
    while len(data) - start > BLOCK:
        space = data.rfind(b" ", start, start + BLOCK)
        end = space if space > start else start + BLOCK
        yield data[start:end]
        start = end + (space > start)
    yield data[start:]


def shingles(words: U64, counts: I64) -> tuple[U64, I64]:
    """Hashes of each text's 5-grams, one text after the other, and how many each has.

    ``words`` are the hashes of all texts' words, ``counts`` how many each text has (at least one). A text of
    fewer than five words is one shingle.
    """
    first = np.cumsum(counts) - counts
    number = np.maximum(1, counts - GRAM + 1)
    total = words * OF_PLACE[0]
    for k in range(1, GRAM):
        total[:-k] += words[k:] * OF_PLACE[k]
    for text in np.flatnonzero(counts < GRAM):
        own = words[first[text] : first[text] + counts[text]]
        total[first[text]] = (own * OF_PLACE[: len(own)]).sum(dtype=np.uint64)
    place = np.arange(len(words)) - np.repeat(first, counts)
    return total[place < np.repeat(number, counts)], number


def sketch(grams: U64, number: I64) -> U64:
    """The 112 least hashes of each text, shape (texts, 112); ``number`` counts each text's shingles."""
    least = np.full(len(number) * BINS, EMPTY)
    empty = np.ones(len(least), bool)
    base = np.repeat(np.arange(len(number)) * BINS, number)
    for turn in range(ROUNDS):
        hashed = mix(grams + OF_ROUND[turn])
        place = base + (((hashed >> HALF) * np.uint64(BINS)) >> HALF).astype(np.int64)
        if turn:  # a bin that an earlier round has filled is settled
            free = empty[place]
            hashed, place = hashed[free], place[free]
        np.minimum.at(least, place, hashed)
        empty = least == EMPTY
        if not empty.any():
            break
    _permute(least, np.flatnonzero(empty), grams, number)
    return least.reshape(-1, BINS)


def _permute(least: U64, holes: I64, grams: U64, number: I64) -> None:
    """Fill the bins ``holes`` by a permutation of all the text's shingles, one for each bin."""
    first = np.cumsum(number) - number
    for some in _batches(holes, number[holes // BINS]):
        text, size = some // BINS, number[some // BINS]
        start = np.cumsum(size) - size
        which = np.arange(size.sum()) + np.repeat(first[text] - start, size)
        least[some] = np.minimum.reduceat(mix(grams[which] ^ np.repeat(OF_BIN[some % BINS], size)), start)


def _batches(holes: I64, work: I64) -> Iterator[I64]:
    """``holes`` in pieces of about ``BLOCK`` hashes of ``work`` (one hole's may be more)."""
    if len(holes):
        turn = np.cumsum(work) // BLOCK
        yield from np.split(holes, np.flatnonzero(np.diff(turn)) + 1)


def bands(folded: Sequence[bytes], counts: Sequence[int]) -> U64:
    """Band hashes, shape (texts, 14), of texts folded to words with one space between; a text of no words has zeros.

    ``counts`` are the texts' numbers of words.
    """
    found = np.zeros((len(folded), BANDS), np.uint64)
    for block in _blocks(folded, counts):
        words = word_hashes(b" ".join([folded[i] for i in block]))
        sizes = np.array([counts[i] for i in block], np.int64)
        if len(block) == 1:  # a word longer than a block is hashed in pieces
            sizes[0] = len(words)
        rows = sketch(*shingles(words, sizes)).reshape(-1, BANDS, ROWS)
        found[block] = mix((rows * OF_ROW).sum(axis=2, dtype=np.uint64))
    return found


def _blocks(folded: Sequence[bytes], counts: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of texts that have words and are hashed together: up to ``BLOCK`` bytes, or one longer text."""
    block: list[int] = []
    size = 0
    for i, text in enumerate(folded):
        if block and size + len(text) > BLOCK:
            yield block
            block, size = [], 0
        if counts[i]:
            block.append(i)
            size += len(text) + 1
    if block:
        yield block
