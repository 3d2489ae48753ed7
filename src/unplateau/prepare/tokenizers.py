"""Text to tokens and back: GPT-2's encoding without a network, bytes, characters, any tokenizer.json, or one's own.

All give each document's ids, ended by an end-of-text. What a library can do faster than the one that defines a
tokeniser is used first, and ``check`` holds the two beside each other on the user's own text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError, printable, why
from ._bpe import Bpe
from ._gpt2 import Gpt2
from ._huggingface import HuggingFace, train
from ._plain import Bytes, Characters, alphabet_of

__all__ = [
    "Bpe",
    "Bytes",
    "Characters",
    "Check",
    "Gpt2",
    "HuggingFace",
    "Tokenizer",
    "alphabet_of",
    "check",
    "tokenizer_of",
    "train_bpe",
]

HEAD = 1 << 20  # bytes of the user's text that two engines are held beside each other on
SHIPPED = ("gpt2", "bytes", "chars")


class Tokenizer(Protocol):
    """What every tokeniser does. It can be pickled, and is then loaded anew where it is first used."""

    @property
    def name(self) -> str:
        """``gpt2``, ``bytes``, ``chars``, or the name of its file."""

    @property
    def vocab_size(self) -> int:
        """Ids are below this; the end-of-text is one of them."""

    @property
    def eot(self) -> int:
        """The id that ends each document."""

    @property
    def fingerprint(self) -> str:
        """sha256 of what defines it, in hexadecimals; the same whichever library encodes."""

    @property
    def engine(self) -> str:
        """The library that encodes, with its version."""

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """All tokens, one after the other, each document ended by ``eot``; and each document's number, eot counted.

        Lone surrogates, which no UTF-8 holds, count as U+FFFD.
        """

    def decode(self, tokens: NDArray[np.integer] | Sequence[int]) -> str:
        """The text of tokens; the ends of documents are left out. Raises ``UnreadableError`` for an unknown id."""


def tokenizer_of(
    spec: str, *, alphabet: str | None = None, engine: str | None = None, eot: str | None = None
) -> Tokenizer:
    """The tokeniser that ``spec`` names: ``gpt2``, ``bytes``, ``chars``, or a path to a ``tokenizer.json``.

    ``chars`` needs its ``alphabet`` (see ``alphabet_of``). ``engine`` is the library to encode with, ``gigatoken``,
    ``tiktoken`` or ``tokenizers``; the fastest that is installed where it is not given. ``eot`` is the token of a
    ``tokenizer.json`` that ends documents, where its name does not tell. Raises ``UsageError`` for what it does
    not know, ``UnreadableError`` for a file that can't be read or a library that is missing.

    >>> bytes_of = tokenizer_of("bytes")
    >>> tokens, counts = bytes_of.encode(["ab", ""])
    >>> tokens.tolist(), counts.tolist(), bytes_of.decode(tokens)
    ([97, 98, 256, 256], [3, 1], 'ab')
    """
    if spec == "gpt2":
        return Gpt2.of(engine)
    if spec == "bytes":
        return Bytes()
    if spec == "chars":
        if alphabet is None:
            raise UsageError("the tokenizer chars needs its alphabet, counted from the text")
        return Characters(alphabet)
    if not (path := _definition(spec)):
        raise UsageError(
            f"unknown tokenizer {printable(spec)}: expected {', '.join(SHIPPED)}, or a tokenizer.json that exists"
        )
    return HuggingFace.of(path, engine, eot)


def _definition(spec: str) -> Path | None:
    path = Path(spec)
    inside = path / "tokenizer.json"
    return next((p for p in (inside, path) if p.is_file()), None)


def train_bpe(texts: Iterable[str], size: int, out: Path) -> Tokenizer:
    """A byte-level BPE of at most ``size`` tokens learned from ``texts``, written to ``out`` and loaded from there.

    The same texts give the same bytes of ``out``. Bytes are 256 of the tokens and the end-of-text is one, so
    ``size`` is at least 257 (else ``UsageError``); a small corpus has fewer merges to give. It is trained by
    Hugging Face's ``tokenizers``, which keeps each distinct word in memory, not the text.
    """
    train(texts, size, out)
    return tokenizer_of(str(out))


@dataclass(frozen=True, slots=True)
class Check:
    """What holding two engines of one tokeniser beside each other gave."""

    tokenizer: Tokenizer  # the one to use
    agreed: bool | None  # None where there is nothing to compare with
    bytes: int  # of text that both encoded
    told: str  # a sentence for the user and the manifest


def check(tokenizer: Tokenizer, texts: Iterable[str]) -> Check:
    """Encode the first MiB of ``texts`` with the fast engine and with the one that defines the tokeniser.

    Where they differ, the slower is the one to use from then on.

    >>> check(tokenizer_of("bytes"), ["text"]).told
    'bytes: encoded by numpy alone, nothing to check against'
    """
    other = tokenizer.reference() if isinstance(tokenizer, Bpe) else None
    if other is None:
        told = f"{tokenizer.name}: encoded by {tokenizer.engine.split()[0]} alone, nothing to check against"
        return Check(tokenizer, None, 0, told)
    head = list(_head(texts))
    size = sum(len(text.encode("utf-8", "replace")) for text in head)
    slow, _ = other.encode(head)
    on = f"on the first {size:,} bytes ({len(head):,} documents)"
    try:
        fast, _ = tokenizer.encode(head)
    except RuntimeError as error:
        told = f"{tokenizer.name}: {tokenizer.engine} fails {on}: {why(error)}; {other.engine} is used"
        return Check(other, agreed=False, bytes=size, told=told)
    if np.array_equal(fast, slow):
        told = (
            f"{tokenizer.name}: {tokenizer.engine} and {other.engine} give the same {len(slow):,} tokens {on}"
        )
        return Check(tokenizer, agreed=True, bytes=size, told=told)
    place = _first_difference(fast, slow)
    told = f"{tokenizer.name}: {tokenizer.engine} differs from {other.engine} at token {place:,} {on}; {other.engine} is used"
    return Check(other, agreed=False, bytes=size, told=told)


def _head(texts: Iterable[str]) -> Iterator[str]:
    left = HEAD
    for text in texts:
        yield text[:left]
        left -= len(text.encode("utf-8", "replace"))
        if left <= 0:
            return


def _first_difference(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> int:
    both = min(len(a), len(b))
    differ = np.flatnonzero(a[:both] != b[:both])
    return int(differ[0]) if len(differ) else both
