"""Tokens that need no library: one for each byte, or one for each character of an alphabet."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableError

END = "<|endoftext|>"  # what an end of text is called where it must be shown
BYTES = 256  # the first id that is no byte
UNKNOWN = np.uint32(2**32 - 1)  # in the table of characters
Encoded = tuple[NDArray[np.uint32], NDArray[np.int64]]


def mended(text: str) -> str:
    r"""The text with lone surrogates, which no UTF-8 holds, as U+FFFD, and pairs of them as one character.

    tiktoken does the same.

    >>> mended("a\ud800b") == "a\ufffdb", mended("\ud83d\ude42") == "\U0001f642"
    (True, True)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def ended(parts: Sequence[NDArray[np.uint32]], eot: int) -> Encoded:
    """The tokens of documents, one document after the other with ``eot`` after each; and their numbers with it.

    >>> ended([np.array([5, 6], np.uint32), np.array([], np.uint32)], 9)
    (array([5, 6, 9, 9], dtype=uint32), array([3, 1]))
    """
    counts = np.array([len(part) + 1 for part in parts], dtype=np.int64)
    spread = [np.array([eot], dtype=np.uint32)] * (2 * len(parts))
    spread[::2] = parts
    return np.concatenate(spread) if spread else np.empty(0, dtype=np.uint32), counts


def within(tokens: NDArray[np.integer] | Sequence[int], size: int, name: str) -> NDArray[np.int64]:
    """``tokens`` as an array; raises ``UnreadableError`` for an id that the vocabulary lacks."""
    ids = np.asarray(tokens, dtype=np.int64)
    if len(ids) and (ids.min() < 0 or ids.max() >= size):
        bad = int(ids[(ids < 0) | (ids >= size)][0])
        raise UnreadableError(f"token {bad:,} is none of the {size:,} of {name}: another tokenizer wrote it")
    return ids


@dataclass(frozen=True)
class Bytes:
    r"""One token for each byte of UTF-8, 0 to 255; 256 ends a document.

    >>> Bytes().encode(["é"])[0].tolist()
    [195, 169, 256]
    """

    name: ClassVar[str] = "bytes"
    vocab_size: ClassVar[int] = BYTES + 1
    eot: ClassVar[int] = BYTES
    engine: ClassVar[str] = f"numpy {np.__version__}"
    fingerprint: ClassVar[str] = sha256(b"bytes 0 to 255, 256 ends").hexdigest()

    def encode(self, texts: Sequence[str]) -> Encoded:
        raw = (mended(text).encode() for text in texts)
        return ended([np.frombuffer(r, dtype=np.uint8).astype(np.uint32) for r in raw], self.eot)

    def decode(self, tokens: NDArray[np.integer] | Sequence[int]) -> str:
        ids = within(tokens, self.vocab_size, self.name)
        return str(ids[ids != self.eot].astype(np.uint8).tobytes(), "utf-8", "replace")


def alphabet_of(texts: Iterable[str]) -> str:
    """The characters of ``texts``, each once, in their order in Unicode; alphabets of parts add up by joining them.

    >>> alphabet_of(["banana", "cab"]), alphabet_of(["nc", alphabet_of(["ab"])])
    ('abcn', 'abcn')
    """
    found: set[str] = set()
    for text in texts:
        found.update(mended(text))
    return "".join(sorted(found))


@dataclass(frozen=True)
class Characters:
    """One token for each character of ``alphabet``, numbered in its order; the next number ends a document.

    The alphabet is sorted, as nanoGPT's ``shakespeare_char`` does it. A character that it lacks raises
    ``UnreadableError``.

    >>> tokens, counts = Characters("abcn").encode(["ban", "cab"])
    >>> tokens.tolist(), Characters("abcn").decode(tokens)
    ([1, 0, 3, 4, 2, 0, 1, 4], 'bancab')
    """

    alphabet: str
    name: ClassVar[str] = "chars"
    engine: ClassVar[str] = f"numpy {np.__version__}"

    @property
    def vocab_size(self) -> int:
        return len(self.alphabet) + 1

    @property
    def eot(self) -> int:
        return len(self.alphabet)

    @property
    def fingerprint(self) -> str:
        return sha256(self.alphabet.encode()).hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        return {"alphabet": self.alphabet}  # not the table: it is made again in a millisecond

    @cached_property
    def _table(self) -> NDArray[np.uint32]:
        """Code point to id."""
        table = np.full(sys.maxunicode + 1, UNKNOWN, dtype=np.uint32)
        table[_points(self.alphabet)] = np.arange(len(self.alphabet), dtype=np.uint32)
        return table

    def encode(self, texts: Sequence[str]) -> Encoded:
        return ended([self._ids(_points(mended(text))) for text in texts], self.eot)

    def _ids(self, points: NDArray[np.uint32]) -> NDArray[np.uint32]:
        ids: NDArray[np.uint32] = self._table[points]
        if len(unknown := points[ids == UNKNOWN]):
            raise UnreadableError(
                f"the character U+{unknown[0]:04X} is not in the alphabet of {len(self.alphabet):,} characters: "
                "count the alphabet from all the text, or use --tokenizer bytes"
            )
        return ids

    def decode(self, tokens: NDArray[np.integer] | Sequence[int]) -> str:
        ids = within(tokens, self.vocab_size, self.name)
        points = _points(self.alphabet)[ids[ids != self.eot]]
        return str(points.astype("<u4").tobytes(), "utf-32-le")


def _points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.uint32, copy=False)
