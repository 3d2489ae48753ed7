"""The tokeniser of any Hugging Face ``tokenizer.json``, and a byte-pair encoding learned from the user's text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..durable import write_durably
from ..errors import UnreadableError, UsageError, printable, why
from ..source import Source
from ._bpe import EXTRA, Bpe
from ._engines import Encode, Gigatoken, installed, tokenizers_of, without_specials
from ._gpt2 import byte_characters
from ._plain import END, mended, within

#: tokens that end documents, by the names that published tokenizers give them
ENDS = (END, "<|end_of_text|>", "</s>", "<eos>", "<|end▁of▁sentence|>", "[EOS]", "[SEP]")
LIMIT = 1 << 28  # bytes of a tokenizer.json; the largest published have some 35 MB
MOST = 1 << 20  # tokens of a BPE that is trained here; the largest published have 262,144
LEAST = 257  # tokens of a byte-level BPE without merges: the bytes and the end of text


@dataclass(frozen=True)
class HuggingFace(Bpe):
    """The tokeniser of a ``tokenizer.json``; of another kind than BPE, too, where ``tokenizers`` encodes it."""

    path: Path
    ENGINES: ClassVar[tuple[str, ...]] = ("gigatoken", "tokenizers")

    @classmethod
    def of(cls, path: Path, library: str | None = None, eot: str | None = None) -> HuggingFace:
        text, name = _read(path), path.name
        vocabulary = parsed(text, name)[0].get_vocab(with_added_tokens=True)
        end, print_of = end_of(json.loads(text), name, eot), sha256(text.encode()).hexdigest()
        found = cls(cls.usable(library), name, max(vocabulary.values()) + 1, end, print_of, path)
        return (
            found
            if found.library == cls.ENGINES[-1] or _knows(text)
            else replace(found, library=cls.ENGINES[-1])
        )

    @cached_property
    def definition(self) -> str:
        """The text of its file; raises ``UnreadableError`` where that has changed since."""
        text = _read(self.path)
        if sha256(text.encode()).hexdigest() != self.fingerprint:
            raise UnreadableError(f"{self.name} has changed since the work began; put the old one back")
        return text

    def load(self) -> Encode:
        if self.library == "gigatoken":
            return Gigatoken(without_specials(self.definition), self.defining())
        return self._defined[1]

    @cached_property
    def _defined(self) -> tuple[Any, Encode]:
        return parsed(self.definition, self.name)

    def decode(self, tokens: NDArray[np.integer] | Sequence[int]) -> str:
        ids = within(tokens, self.vocab_size, self.name)
        return str(self._defined[0].decode(ids[ids != self.eot].tolist(), skip_special_tokens=False))


def _read(path: Path) -> str:
    return Source(path).text(LIMIT)


def parsed(text: str, name: str) -> tuple[Any, Encode]:
    """The tokeniser of the library that defines such files; one line for what it can't read."""
    if not installed("tokenizers"):
        raise UnreadableError(f"{name} needs tokenizers: {EXTRA}")
    try:
        return tokenizers_of(text)
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        raise UnreadableError(f"{printable(name)} is no tokenizer.json: {why(error)}") from None


def _knows(text: str) -> bool:
    """Whether gigatoken has this kind of tokeniser; it raises RuntimeError, or panics, for others."""
    try:
        Gigatoken(without_specials(text))
    except (RuntimeError, ValueError, TypeError):
        return False
    return True


def end_of(told: dict[str, Any], name: str, eot: str | None) -> int:
    """The id of the token that ends documents: the one asked for, or the first of ``ENDS`` that it has.

    >>> end_of({"added_tokens": [{"content": "</s>", "id": 2}]}, "tokenizer.json", None)
    2
    """
    added = {t["content"]: int(t["id"]) for t in told.get("added_tokens") or ()}
    found = eot if eot is not None else next((e for e in ENDS if e in added), None)
    if found in added:
        return added[found]
    known = ", ".join(sorted(added)[:8]) or "none"
    raise UsageError(
        f"{printable(name)} has no token {printable(found or 'that ends documents')}; name one of its special tokens: {printable(known, 200)}"
    )


def train(texts: Iterable[str], size: int, out: Path) -> None:
    """Learn merges from ``texts`` and write ``out``, durably; see ``tokenizers.train_bpe``."""
    if not LEAST <= size <= MOST:
        raise UsageError(
            f"a trained BPE has at least {LEAST} tokens, the bytes and the end of text, and {MOST:,} at most; got {size:,}"
        )
    if not installed("tokenizers"):
        raise UnreadableError(f"training a BPE needs tokenizers: {EXTRA}")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=list(byte_characters()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((mended(text) for text in texts), trainer)
    write_durably(out, tokenizer.to_str(pretty=True).encode())
