"""The libraries that turn one text into the ids of a byte-pair encoding, under one name each.

An engine is a function of a text. Two engines of one tokenizer must give the same ids; that they do on the
user's own text is what ``tokenizers.check`` is for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Encode = Callable[[str], NDArray[np.uint32]]

# gigatoken 0.10.0 remembers every word that it met: 204 MB of words that never return took 1.6 GB, 200 MB of
# real text 30 MB. A fresh one costs 0.1 CPU seconds and gives the memory back.
LOOK = 8 << 20  # characters between two looks at the memory
GROWN = 96 << 20  # bytes that the process may grow by since the engine was made
BLIND = 64 << 20  # characters after which it is made anew where the memory can't be looked at
STATM = Path("/proc/self/statm")
PAGE = 4096  # bytes


def installed(package: str) -> bool:
    """Whether ``package`` can be imported; it is not imported.

    >>> installed("json"), installed("no_such_package")
    (True, False)
    """
    return find_spec(package) is not None


def named(package: str) -> str:
    """The package and its version, for a manifest."""
    return f"{package} {version(package)}"


def resident() -> int | None:
    """Bytes of memory that this process holds now; None where the system does not say so in /proc."""
    try:
        return int(STATM.read_bytes().split()[1]) * PAGE
    except (OSError, ValueError, IndexError):
        return None


class Gigatoken:
    """gigatoken from the text of a ``tokenizer.json``, made anew when what it remembers has grown too large.

    It would find special tokens within a text, so ``definition`` is to have none (``without_specials``). It works
    in the calling thread alone. Raises ``RuntimeError`` for a kind of tokenizer that gigatoken does not know.
    """

    def __init__(self, definition: str | bytes) -> None:
        self._definition = definition
        self._renew()

    def _renew(self) -> None:
        from gigatoken import Tokenizer

        self._backend: Any = None  # the old one goes first: never two at once
        self._backend = Tokenizer.from_json(self._definition).backend
        self._since, self._looked, self._born = 0, 0, resident()

    def __call__(self, text: str) -> NDArray[np.uint32]:
        # a copy: it gives an array of some hundred bytes in a buffer of some thousand
        ids: NDArray[np.uint32] = self._backend.encode(text).copy()
        self._since += len(text)
        if self._since - self._looked >= LOOK:
            self._looked = self._since
            if self._full():
                self._renew()
        return ids

    def _full(self) -> bool:
        now = resident()
        if now is None or self._born is None:
            return self._since >= BLIND
        return now - self._born > GROWN


def without_specials(definition: str) -> str:
    """The text of a ``tokenizer.json`` whose special tokens are text like any other."""
    import json

    told = json.loads(definition)
    told["added_tokens"] = [t for t in told.get("added_tokens") or () if not t.get("special")]
    return json.dumps(told, ensure_ascii=False)


def tiktoken_of(name: str, pattern: str, ranks: dict[bytes, int]) -> Encode:
    """tiktoken with the given split pattern and merges (token to rank); nothing is downloaded."""
    from tiktoken import Encoding

    encoding = Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})

    def encode(text: str) -> NDArray[np.uint32]:
        return np.asarray(encoding.encode_to_numpy(text, disallowed_special=()), dtype=np.uint32)

    return encode


def tokenizers_of(definition: str) -> tuple[Any, Encode]:
    """Hugging Face's ``tokenizers`` from the text of a ``tokenizer.json``: its object, and its engine.

    Special tokens within a text are text; none are added. Raises ``Exception`` as the library does.
    """
    from tokenizers import Tokenizer

    tokenizer: Any = Tokenizer.from_str(definition)
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def encode(text: str) -> NDArray[np.uint32]:
        return np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.uint32)

    return tokenizer, encode
