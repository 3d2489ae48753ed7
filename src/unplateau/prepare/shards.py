"""Tokens in files: our own shards, nanoGPT's two files, llm.c's shards; written as a stream (``unplateau.tokens`` reads them).

Every format holds the tokens of whole documents one after the other, little-endian, uint16 where the vocabulary
fits and uint32 where not:

- ``own``: ``train-00000.bin`` (nothing but tokens), ``train-00000.ends`` (uint64: where each document ends, in
  tokens) and ``train-00000.json`` (counts and sha256 of both), which is written last: without it there is no shard;
- ``nanogpt``: ``train.bin`` and ``val.bin``, as nanoGPT's prepare.py leaves them; uint16 only;
- ``llmc``: ``tokens_train_000000.bin``: 256 int32 (magic, version, number of tokens), then tokens. Documents
  *begin* with the end-of-text token, as llm.c and modded-nanogpt expect. Beyond 65,536 words: llm.c's version for
  Llama 3, uint32.

Sources: nanoGPT data/openwebtext/prepare.py; llm.c dev/data/data_common.py and llmc/dataloader.h.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..durable import DurableFile, write_durably
from ..errors import UnplateauError, UsageError
from ..tokens import HEAD_BYTES, HEAD_WORDS, LLMC, SCHEMA

SHARD_TOKENS = 100_000_000  # tokens; of a shard, as in llm.c's fineweb.py: 200 MB
FITS_16 = 1 << 16  # words of a vocabulary whose tokens fit two bytes
LLMC_LARGEST = (1 << 31) - 1  # tokens; llm.c's header counts them in an int32

Tokens = NDArray[np.uint32]
Lengths = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a format names its files; ``largest``: tokens of one file; ``single``: one file for each split."""

    name: str
    pattern: str
    largest: int = 1 << 62
    single: bool = False

    def file(self, split: str, number: int) -> str:
        return self.pattern.format(split=split, number=number)


FORMATS = {
    "own": Layout("own", "{split}-{number:05d}.bin"),
    "nanogpt": Layout("nanogpt", "{split}.bin", single=True),
    "llmc": Layout("llmc", "tokens_{split}_{number:06d}.bin", largest=LLMC_LARGEST),
}


@dataclass(frozen=True, slots=True)
class Written:
    """A file of tokens that is whole: its name, bytes, sha256, and what is in it."""

    path: str
    size: int
    sha256: str
    tokens: int
    documents: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def dtype_of(vocab_size: int) -> np.dtype[Any]:
    """The type of a token on disk.

    >>> dtype_of(50257).itemsize, dtype_of(128_256).itemsize
    (2, 4)
    """
    return np.dtype("<u2" if vocab_size <= FITS_16 else "<u4")


class Writer:
    """The shards of one split, written as documents come; memory stays at one batch.

    ``add`` takes whole documents. A shard ends with the document that fills it, so the files depend on the documents
    and on ``shard_tokens`` alone, not on how they were batched. ``close`` gives the files. Left by an exception,
    what is not whole is removed; killed, it lies there as ``.NAME.tmp`` and the next writer begins it anew.

    ``mark`` makes what was added durable and says where it stands; a writer made with the same words and ``state``,
    a mark, goes on from there (``UnreadableError`` where the files are not as they were left).

    ``eot``: the token that ends each document. Raises ``UsageError`` for a vocabulary that the format can't hold.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        format: str = "own",  # noqa: A002 - the word of the command line
        *,
        vocab_size: int,
        eot: int | None = None,
        tokenizer: str = "",
        shard_tokens: int = SHARD_TOKENS,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self._layout = layout_of(format, vocab_size)
        self._folder, self._split, self._eot = folder, split, eot
        self._vocab, self._tokenizer, self._dtype = vocab_size, tokenizer, dtype_of(vocab_size)
        self._full = shard_tokens if not self._layout.single else self._layout.largest
        self._written: list[Written] = []
        self._file: DurableFile | None = None
        self._ends: DurableFile | None = None
        self._tokens = self._documents = 0
        if state is not None:
            self._go_on(state)

    def _go_on(self, state: Mapping[str, Any]) -> None:
        self._written = [Written(**one) for one in state["written"]]
        self._tokens, self._documents = state["tokens"], state["documents"]
        if state["file"] is not None:
            head = bytes(HEAD_BYTES) if self._layout.name == "llmc" else b""
            self._file = DurableFile(self._next, tuple(state["file"]), head)
        if state["ends"] is not None:
            self._ends = DurableFile(self._next.with_suffix(".ends"), tuple(state["ends"]))

    @property
    def _next(self) -> Path:
        return self._folder / self._layout.file(self._split, len(self._written))

    def mark(self) -> dict[str, Any]:
        """Where the writer stands, as JSON can hold it; all that was added up to here is durable."""
        return {
            "written": [one.as_dict() for one in self._written],
            "tokens": self._tokens,
            "documents": self._documents,
            "file": None if self._file is None else self._file.mark(),
            "ends": None if self._ends is None else self._ends.mark(),
        }

    def leave(self) -> None:
        """Let go of the files without removing them, to go on from the last mark another time."""
        for file in (self._file, self._ends):
            if file is not None:
                file.leave()
        self._file = self._ends = None

    def add(self, tokens: Tokens, lengths: Lengths) -> None:
        """Append documents: all their tokens (n,), and how many each has (documents,), which add up to n."""
        ends = np.cumsum(lengths, dtype=np.int64)
        self._check(tokens, ends)
        laid = self._laid(tokens, ends)
        start = first = 0
        while first < len(ends):
            filled = int(np.searchsorted(ends, start + self._full - self._tokens)) + 1
            last = min(filled, len(ends))
            self._put(laid[start : ends[last - 1]], ends[first:last] - start)
            start, first = int(ends[last - 1]), last
            if self._tokens >= self._full:
                self._finish()

    def close(self) -> tuple[Written, ...]:
        """Finish the last shard; all files of the split, in order."""
        self._finish()
        return tuple(self._written)

    def _check(self, tokens: Tokens, ends: NDArray[np.int64]) -> None:
        if (int(ends[-1]) if len(ends) else 0) != len(tokens):
            raise ValueError(f"{len(tokens)} tokens, but documents of {ends[-1] if len(ends) else 0} in all")
        if len(tokens) and int(tokens.max()) >= self._vocab:
            raise UnplateauError(
                f"the tokeniser gave token {int(tokens.max()):,}, but says that it has {self._vocab:,}: "
                "check its tokenizer.json"
            )

    def _laid(self, tokens: Tokens, ends: NDArray[np.int64]) -> Tokens:
        if self._layout.name != "llmc" or self._eot is None or not len(tokens):
            return tokens
        if (tokens[ends - 1] != self._eot).any():
            raise ValueError(f"a document does not end with token {self._eot}")
        return np.concatenate((np.array([self._eot], tokens.dtype), tokens[:-1]))

    def _put(self, tokens: Tokens, ends: NDArray[np.int64]) -> None:
        if self._tokens + len(tokens) > self._layout.largest:
            raise UnplateauError(
                f"a document takes {self._split} past {self._layout.largest:,} tokens in a file, the most that "
                f"{self._layout.name} can count: choose smaller shards, or --format own"
            )
        file = self._file or self._begin()
        file.write(np.ascontiguousarray(tokens, self._dtype).view(np.uint8).data)
        if self._ends is not None:
            self._ends.write((ends + self._tokens).astype("<u8").tobytes())
        self._tokens += len(tokens)
        self._documents += len(ends)

    def _begin(self) -> DurableFile:
        self._file = file = DurableFile(self._next)
        if self._layout.name == "llmc":
            file.write(bytes(HEAD_BYTES))
        if self._layout.name == "own":
            self._ends = DurableFile(file.path.with_suffix(".ends"))
        return file

    def _finish(self) -> None:
        if self._file is None:
            return
        if self._layout.name == "llmc":
            self._file.patch(llmc_head(self._tokens, self._dtype))
        file = self._file
        done = Written(file.path.name, file.size, file.commit(), self._tokens, self._documents)
        if self._ends is not None:
            head = self._head(done, self._ends.commit())
            write_durably(file.path.with_suffix(".json"), json.dumps(head, indent=1).encode() + b"\n")
        self._written.append(done)
        self._file = self._ends = None
        self._tokens = self._documents = 0

    def _head(self, done: Written, ends: str) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "split": self._split,
            "dtype": self._dtype.name,
            "vocab_size": self._vocab,
            "tokenizer": self._tokenizer,
            "eot": self._eot,
            "tokens": done.tokens,
            "documents": done.documents,
            "sha256": {done.path: done.sha256, Path(done.path).with_suffix(".ends").name: ends},
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._file, self._ends):
            if file is not None:
                file.abandon()
        self._file = self._ends = None


def layout_of(name: str, vocab_size: int) -> Layout:
    """The format ``name``, if it can hold such a vocabulary; raises ``UsageError`` if not."""
    if name not in FORMATS:
        raise UsageError(f"there is no format {name}; known: {', '.join(FORMATS)}")
    if name == "nanogpt" and vocab_size > FITS_16:
        raise UsageError(
            f"nanoGPT reads tokens of two bytes: a vocabulary of {vocab_size:,} does not fit; choose --format own or llmc"
        )
    return FORMATS[name]


def llmc_head(tokens: int, dtype: np.dtype[Any]) -> bytes:
    """The 1,024 bytes before the tokens of an llm.c file.

    >>> np.frombuffer(llmc_head(7, np.dtype("<u2")), "<i4")[:4].tolist()
    [20240520, 1, 7, 0]
    """
    head = np.zeros(HEAD_WORDS, "<i4")
    magic = next(m for m, (_, kind) in LLMC.items() if np.dtype(kind) == dtype)
    head[:3] = magic, LLMC[magic][0], tokens
    return head.tobytes()


def write_meta(folder: Path, words: Sequence[str]) -> Written:
    """nanoGPT's meta.pkl: a dict of numbers and words, nothing that a reader would have to import or call.

    ``words``: what each token stands for, so that nanoGPT's sample.py can write and read text; of two tokens for one
    word the first is read. For GPT-2 no meta.pkl is wanted: nanoGPT then takes tiktoken's.
    """
    import pickle

    itos = {i: str(word) for i, word in enumerate(words)}
    stoi = {word: i for i, word in reversed(itos.items())}
    meta = {"vocab_size": len(itos), "itos": itos, "stoi": stoi}
    data = pickle.dumps(meta, protocol=2)
    return Written("meta.pkl", len(data), write_durably(folder / "meta.pkl", data), 0, 0)
