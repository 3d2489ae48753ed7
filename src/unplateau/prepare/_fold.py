"""Texts folded to their words: what two documents that say the same have in common.

Case and white space make no difference, and signs of scripts that put no spaces between words count as words.
``words`` says what that is; ``folded`` finds the same for many texts at once, in a quarter of the time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np

#: Thai to Tibetan, Myanmar, Khmer, kana, Chinese: no spaces between words, so each sign is a word
UNSPACED = re.compile(
    "([\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
)
UTF8 = ("utf-8", "surrogatepass")  # JSON may hold halves of signs
ASCII = 128
#: bytes of ASCII folded, all others as they are
FOLD = bytes(
    (b" " if bytes([b]).decode("latin-1").isspace() else bytes([b]).lower())[0] for b in range(ASCII)
)
FOLD += bytes(range(ASCII, 256))
ALL_ASCII = bytes(range(ASCII))
SPACE = 0x20
BETWEEN = b"\xff"  # no byte of UTF-8
BLOCK = 1 << 17  # bytes folded at once: they stay in the second-level cache
TURNED = 16  # different signs of a text, beyond ASCII, that are replaced one after the other; more of them: all at once


def words(text: str) -> list[str]:
    r"""The folded words of ``text``.

    >>> words("To  be,\n\tOR not 到底")
    ['to', 'be,', 'or', 'not', '到', '底']
    """
    if not text.isascii():
        text = _spaced(text)
    return text.casefold().split()


def _spaced(text: str) -> str:
    return " ".join(UNSPACED.split(text))


def folded(texts: Iterable[str]) -> Iterator[bytes]:
    r"""The words of each text with one space between, in UTF-8 (lone surrogates too).

    >>> [line.decode() for line in folded(["To  be,\n\tOR not 到底", " "])]
    ['to be, or not 到 底', '']
    """
    held: list[bytes] = []
    size = 0
    for text in texts:
        held.append(_raw(text))
        size += len(held[-1])
        if size >= BLOCK:
            yield from _squeezed(held)
            held, size = [], 0
    if held:
        yield from _squeezed(held)


def _raw(text: str) -> bytes:
    """UTF-8 that is folded but for its ASCII."""
    raw = text.encode(*UTF8)
    if text.isascii():
        return raw
    signs = set(raw.translate(None, ALL_ASCII).decode(*UTF8))
    turned = [(sign, new) for sign, new in map(_turned, signs) if sign != new]
    if len(turned) > TURNED:
        return " ".join(words(text)).encode(*UTF8)
    for sign, new in turned:
        raw = raw.replace(sign, new)
    return raw


@lru_cache(1 << 12)
def _turned(sign: str) -> tuple[bytes, bytes]:
    """A sign and what it is folded to, which no other sign of the text changes."""
    new = " " if sign.isspace() else _spaced(sign).casefold()
    return sign.encode(*UTF8), new.encode(*UTF8)


def _squeezed(texts: Sequence[bytes]) -> list[bytes]:
    """ASCII folded, and of white space no more than one space between words."""
    raw = np.frombuffer(BETWEEN.join(texts).translate(FOLD), np.uint8)
    kept = raw != SPACE
    kept[1:] |= kept[:-1]  # a space after a word stays
    return [line.strip() for line in raw[kept].tobytes().split(BETWEEN)]
