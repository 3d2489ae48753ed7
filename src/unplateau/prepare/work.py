"""One part of the sources to one piece: a pure function, for any process on any machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import _pieces
from ._files import binary
from ._minhash import BANDS
from ._pieces import Maker, Piece
from .dedup import Signatures, signatures
from .fair import label_of
from .filters import Filters, sift
from .shards import dtype_of
from .sources import Document, Part, Reading, Skipped, documents
from .tokenizers import Tokenizer, alphabet_of

Dedup = Literal["keep", "drop", "off"]
BLOCK = 1 << 20  # bytes hashed at once


@dataclass(frozen=True, slots=True)
class Work:
    """What every part is done with: how it is read, filtered and tokenised, where pieces lie, and which plan it is."""

    folder: Path
    reading: Reading
    tokenizer: Tokenizer
    plan: str
    filters: Filters = field(default_factory=Filters)
    dedup: Dedup = "keep"
    needed: tuple[str, ...] = _pieces.FILES  # of a piece that is there: those that must be whole


def make(work: Work, part: Part) -> Mapping[str, Any]:
    """The piece of ``part``, made or found whole; its head.

    Raises ``UnreadableError`` for what can't be read, ``UnplateauError`` for a disk that is full.
    """
    found = _pieces.opened(work.folder, part.number, work.plan)
    if found is not None and _pieces.is_whole(found, work.needed):
        return found.head
    if found is not None:
        _pieces.forgotten(found)
    return made(work, part).head


def made(work: Work, part: Part) -> Piece:
    """The piece of ``part``, made anew."""
    dtype = dtype_of(work.tokenizer.vocab_size)
    maker = Maker(work.folder, part.number, dtype, near=work.dedup != "off")
    skipped, counts, read = Skipped(work.reading.skip), dict[str, int](), 0
    try:
        for batch in documents(part, work.reading, skipped):
            read += len(batch)
            if kept := sift(batch, work.filters, counts):
                _add(maker, kept, work)
        head = {
            "plan": work.plan,
            "part": part.number,
            "read": read + skipped.unmet,
            "unmet": skipped.unmet,
            "filtered": dict(sorted(counts.items())),
        }
        return maker.commit({**head, "skipped": skipped.count, "skipped_named": skipped.named})
    except BaseException:
        maker.abandon()
        raise


def _add(maker: Maker, batch: Sequence[Document], work: Work) -> None:
    texts = [document.text for document in batch]
    tokens, lengths = work.tokenizer.encode(texts)
    sizes = [len(text) if text.isascii() else len(text.encode("utf-8", "replace")) for text in texts]
    columns = np.array([lengths, sizes, [document.place for document in batch]], np.uint32)
    maker.add(tokens, columns, _labels(batch, work.reading.meta), _signed(texts, work.dedup))


def _labels(batch: Sequence[Document], names: Sequence[str]) -> NDArray[np.uint8]:
    """The kind of each value of metadata, (names, documents)."""
    kinds = [[_kind(label_of(document.meta.get(name))) for document in batch] for name in names]
    return np.array(kinds, np.uint8).reshape(len(names), len(batch))


@lru_cache(4096)
def _kind(label: str) -> int:
    return hashlib.blake2b(label.encode("utf-8", "surrogatepass"), digest_size=1).digest()[0]


def _signed(texts: Sequence[str], dedup: Dedup) -> Signatures:
    """Hashes of the texts; where near copies are not looked for, of the texts as they are and without bands."""
    if dedup != "off":
        return signatures(texts)
    digests = b"".join(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts
    )
    exact = np.frombuffer(digests, "<u8").astype(np.uint64).reshape(-1, 2)
    return Signatures(exact, np.zeros((len(texts), BANDS), np.uint64, "F"))


def texts(parts: Sequence[Part], reading: Reading, most: int | None = None) -> Iterator[str]:
    """Texts of the parts; some ``most`` characters in all, where given, from the beginning of each part."""
    for part in parts:
        left = None if most is None else most // len(parts) + 1
        for batch in documents(part, reading, Skipped(skip=True)):
            for document in batch:
                yield document.text
                if left is not None and (left := left - len(document.text)) <= 0:
                    break
            if left is not None and left <= 0:
                break


def alphabet(reading: Reading, part: Part) -> str:
    """The characters of a part, in order."""
    return alphabet_of(texts([part], reading))


def sha256(path: str) -> str | None:
    """The sha256 of a source on this machine; None for a URL, which is not fetched twice."""
    if "://" in path:
        return None
    digest = hashlib.sha256()
    with binary(path) as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def maker_of(work: Work) -> partial[Mapping[str, Any]]:
    """``make`` for an executor."""
    return partial(make, work)
