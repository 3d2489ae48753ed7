"""What stands beside the shards, so that others can turn their tokens into text again."""

from __future__ import annotations

from pathlib import Path

from ..durable import write_durably
from ._huggingface import HuggingFace
from ._plain import END
from .shards import Written, write_meta
from .tokenizers import Tokenizer

DEFINITION = "tokenizer.json"
BEFORE = "a"  # a letter that a token is decoded behind: some decoders drop a space that begins the text


def beside(tokenizer: Tokenizer, form: str, folder: Path) -> list[Written]:
    """Write a tokeniser that is no part of the package beside its shards, and for nanoGPT its ``meta.pkl``.

    GPT-2 has none: nanoGPT then takes tiktoken's.
    """
    found = []
    if isinstance(tokenizer, HuggingFace):
        data = tokenizer.definition.encode()
        found.append(Written(DEFINITION, len(data), write_durably(folder / DEFINITION, data), 0, 0))
    if form == "nanogpt" and tokenizer.name != "gpt2":
        found.append(write_meta(folder, words(tokenizer)))
    return found


def words(tokenizer: Tokenizer) -> list[str]:
    r"""What each token adds to a text; bytes that are no UTF-8 by themselves are shown as U+FFFD.

    >>> from ._plain import Characters
    >>> words(Characters("\nabc"))
    ['\n', 'a', 'b', 'c', '<|endoftext|>']
    """
    first = [int(i) for i in tokenizer.encode([BEFORE])[0] if i != tokenizer.eot]
    skip = len(tokenizer.decode(first))
    told = [tokenizer.decode([*first, i])[skip:] for i in range(tokenizer.vocab_size)]
    told[tokenizer.eot] = END
    return told
