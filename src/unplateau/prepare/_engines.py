"""The libraries that turn one text into the ids of a byte-pair encoding, under one name each.

An engine is a function of a text. Two engines of one tokenizer must give the same ids; that they do on the
user's own text is what ``tokenizers.check`` is for.
"""

from __future__ import annotations

import re
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

#: the 4,657 letters and digits of Unicode 17 that gigatoken 0.10.0 knows; tiktoken 0.14.0 and tokenizers 0.23.3
#: have Unicode 16 and split around them. Found by asking all three for the class of every code point.
NEWER = re.compile(
    "["
    "\u088f\u0c5c\u0cdc\ua7ce-\ua7cf\ua7d2\ua7d4\ua7f1\U00010940-\U00010959"
    "\U00010ec5-\U00010ec7\U00011db0-\U00011ddb\U00011de0-\U00011de9\U00016ea0-\U00016eb8"
    "\U00016ebb-\U00016ed3\U00016ff2-\U00016ff6\U000187f8-\U000187ff\U00018d09-\U00018d1e"
    "\U00018d80-\U00018df2\U0001e6c0-\U0001e6de\U0001e6e0-\U0001e6e2\U0001e6e4-\U0001e6e5"
    "\U0001e6e7-\U0001e6ed\U0001e6f0-\U0001e6f4\U0001e6fe-\U0001e6ff\U0002b73a-\U0002b73f"
    "\U0002cea2-\U0002cead\U000323b0-\U00033479"
    "]"
)
#: a text that has one of them has one of these bytes; found a hundred times faster
HINTS = (b"\xf0", b"\xe0\xa2\x8f", b"\xe0\xb1\x9c", b"\xe0\xb3\x9c", b"\xea\x9f")


def is_newer(text: str, raw: bytes) -> bool:
    r"""Whether engines may differ on ``text``, whose UTF-8 is ``raw``: it has letters newer than Unicode 16.

    >>> [is_newer(text, text.encode()) for text in ("\U00032a36\u69b4", "\U0001f642", "\u69b4")]
    [True, False, False]
    """
    return any(hint in raw for hint in HINTS) and NEWER.search(text) is not None


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
    in the calling thread alone. ``reference`` loads the engine that defines the tokenizer; it encodes the texts
    that ``is_newer``. Raises ``RuntimeError`` for a kind of tokenizer that gigatoken does not know.
    """

    def __init__(self, definition: str | bytes, reference: Callable[[], Encode] | None = None) -> None:
        self._definition, self._reference = definition, reference
        self._renew()

    def _renew(self) -> None:
        from gigatoken import Tokenizer

        self._backend: Any = None  # the old one goes first: never two at once
        self._backend = Tokenizer.from_json(self._definition).backend
        self._since, self._looked, self._born = 0, 0, resident()

    def __call__(self, text: str) -> NDArray[np.uint32]:
        raw = text.encode()
        if self._reference and not text.isascii() and is_newer(text, raw):
            return self._reference()(text)
        # a copy: it gives an array of some hundred bytes in a buffer of some thousand
        ids: NDArray[np.uint32] = self._backend.encode(raw).copy()
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
