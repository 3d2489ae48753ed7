"""GPT-2's encoding, from the merges that the package ships: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ._bpe import Bpe
from ._engines import Encode, Gigatoken, tiktoken_of
from ._plain import within
from .embedded import DATA, shipped

#: the merges as OpenAI published them; tiktoken expects the same sha256
MERGES, MERGES_SHA256 = "vocab.bpe", "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
#: GPT-2's rule of splitting, as tiktoken writes it: the same splits as the original's, found faster
PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
NO_BYTE = "\u0100"  # a character that stands for no byte in Latin-1
GPT2_END = 50256  # the id of <|endoftext|>


@dataclass(frozen=True)
class Gpt2(Bpe):
    """GPT-2's encoding of 50,257 tokens, from the merges that the package ships; nothing is downloaded."""

    ENGINES: ClassVar[tuple[str, ...]] = ("gigatoken", "tiktoken")

    @classmethod
    def of(cls, library: str | None = None) -> Gpt2:
        return cls(cls.usable(library), "gpt2", GPT2_END + 1, GPT2_END, MERGES_SHA256)

    def load(self) -> Encode:
        if self.library == "gigatoken":
            return Gigatoken(gpt2_definition(), self.defining())
        return tiktoken_of(self.name, PATTERN, {token: rank for rank, token in enumerate(gpt2_tokens())})

    @cached_property
    def _tokens(self) -> list[bytes]:
        return [*gpt2_tokens(), b""]

    def decode(self, tokens: NDArray[np.integer] | Sequence[int]) -> str:
        ids = within(tokens, self.vocab_size, self.name).tolist()
        return b"".join(map(self._tokens.__getitem__, ids)).decode("utf-8", "replace")


def merges() -> list[str]:
    """GPT-2's merges in their order, two names with a space between; sha256 checked.

    >>> merges()[:2]
    ['Ġ t', 'Ġ a']
    """
    return shipped((DATA / MERGES).read_bytes(), MERGES_SHA256, MERGES).decode().split("\n")[1:-1]


def byte_characters() -> dict[str, int]:
    """The character that GPT-2's files write each byte with, in the order of their ids.

    A printable byte stands for itself, the others for characters from U+0100 on.

    >>> characters = byte_characters()
    >>> characters["A"], characters["Ġ"], len(characters)
    (65, 32, 256)
    """
    shown = [b for b in range(256) if chr(b).isprintable() and chr(b) != " "]
    hidden = [b for b in range(256) if b not in set(shown)]
    return {chr(b): b for b in shown} | {chr(256 + i): b for i, b in enumerate(hidden)}


def gpt2_tokens() -> list[bytes]:
    """The bytes of GPT-2's tokens by their ids: 256 bytes, then one for each merge.

    >>> tokens = gpt2_tokens()
    >>> len(tokens), tokens[15496]
    (50256, b'Hello')
    """
    byte = str.maketrans({character: chr(b) for character, b in byte_characters().items()} | {"\n": NO_BYTE})
    text = "\n".join(vocabulary(merges())).translate(byte)
    return [name.encode("latin-1") for name in text.split(NO_BYTE)]


def vocabulary(merged: list[str]) -> dict[str, int]:
    """Ids by name: the bytes, then what each merge gives; for GPT-2 what OpenAI's ``encoder.json`` holds.

    Its end of text, which is no merge, is left out.
    """
    names = [*byte_characters(), *"\n".join(merged).replace(" ", "").split("\n")]
    return {name: token for token, name in enumerate(names)}


def gpt2_definition() -> bytes:
    """GPT-2 as the text of a ``tokenizer.json``, without its end of text."""
    import msgspec

    merged = merges()
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {"type": "BPE", "vocab": vocabulary(merged), "merges": merged}
    told = {"version": "1.0", "added_tokens": [], "pre_tokenizer": level, "decoder": level, "model": model}
    return msgspec.json.encode(told)
