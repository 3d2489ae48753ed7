"""What byte-pair encodings share: engines that are loaded where they are first used, and which defines them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableError, UsageError, printable
from ._engines import Encode, installed, named
from ._plain import Encoded, ended, mended

EXTRA = "pip install 'unplateau[prepare]'"


@dataclass(frozen=True)
class Bpe:
    """What byte-pair encodings share: an engine that is loaded where it is first used, and its slower reference.

    A subclass tells its engines, the fastest first, the one that defines the tokeniser last.
    """

    library: str
    name: str
    vocab_size: int
    eot: int
    fingerprint: str
    ENGINES: ClassVar[tuple[str, ...]] = ()

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what was loaded is loaded again where it is needed."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def usable(cls, library: str | None) -> str:
        """``library``, or the fastest installed; raises ``UsageError`` and ``UnreadableError``."""
        if library and library not in cls.ENGINES:
            raise UsageError(f"unknown engine {printable(library)}: expected {' or '.join(cls.ENGINES)}")
        wanted = (library,) if library else cls.ENGINES
        if found := next((e for e in wanted if installed(e)), None):
            return found
        raise UnreadableError(f"encoding needs {' or '.join(wanted)}, which is not installed: {EXTRA}")

    @property
    def engine(self) -> str:
        return named(self.library)

    def reference(self) -> Self | None:
        """The same tokeniser by the library that defines it; None when this is it, or it is not installed."""
        last = self.ENGINES[-1]
        return None if self.library == last or not installed(last) else replace(self, library=last)

    def defining(self) -> Callable[[], Encode] | None:
        """What loads the engine of ``reference``, once it is needed."""
        return partial(loaded, other) if (other := self.reference()) else None

    def load(self) -> Encode:
        """The engine, made anew."""
        raise NotImplementedError

    def encode(self, texts: Sequence[str]) -> Encoded:
        one = loaded(self)
        return ended([_whole(one, text) for text in texts], self.eot)


@lru_cache(maxsize=4)
def loaded(tokenizer: Bpe) -> Encode:
    """The tokeniser's engine, loaded once in a process, though each part of the work brings its own copy."""
    return tokenizer.load()


def _whole(one: Encode, text: str) -> NDArray[np.uint32]:
    try:
        return one(text)
    except (TypeError, UnicodeError):  # how libraries refuse surrogates
        return one(mended(text))
