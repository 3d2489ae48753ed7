"""The tokens that a run reads: our prepared folder, nanoGPT's data folder, or llm.c's shards, as one text for each split.

Nothing in such a folder is executed: ``meta.pkl`` is read as plain data (``unplateau._pickle``). No torch here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._pickle import inert
from ..errors import UnreadableError, UsageError, why
from ..tokens import TYPES, Shard, open_shard, own_head, split_of
from .datasets import folders
from .settings import Settings

SPLITS = ("train", "val", "seen", "fresh")
NANOGPT_VOCAB = (
    50304  # rows; what train.py takes where there is no meta.pkl: 50257 rounded up to a multiple of 64
)
GPT2_EOT = 50256
LLAMA3_VOCAB, LLAMA3_EOT = 128_256, 128_000  # of llm.c's shards of 4-byte tokens (dev/data/fineweb.py)
LIMIT = 64 << 20  # bytes of a manifest or a meta.pkl
PEEKED = 4096  # tokens; of each of the places that a fingerprint is made of
PLACES = 16  # of a shard that a fingerprint looks at

I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """The shards of a split as one text; ``offsets`` (shards + 1,): where each begins, in tokens.

    ``vocab_size``: rows of the embedding; ``eot_first``: documents begin with ``eot``, as llm.c has it, and do not
    end with it.
    """

    split: str
    shards: tuple[Shard, ...]
    offsets: I64
    vocab_size: int
    eot: int | None = None
    eot_first: bool = False
    maps: tuple[NDArray[Any], ...] = field(init=False, repr=False)  # plain: memmap's own slices are slow
    _documents: I64 = field(init=False, repr=False)  # (shards + 1,) documents before each shard

    def __post_init__(self) -> None:
        counts = [0 if s.ends is None else len(s.ends) for s in self.shards]
        object.__setattr__(self, "maps", tuple(np.asarray(s.tokens) for s in self.shards))
        object.__setattr__(self, "_documents", np.cumsum([0, *counts]))

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @property
    def numbered(self) -> bool:
        """True where each document has its number in the split; else windows count their own from 0."""
        return all(s.ends is not None for s in self.shards)

    def window(self, start: int, length: int) -> I64:
        """``length`` tokens from ``start`` on, over the borders of shards.

        Raises ``UnreadableError`` where one is no row of the embedding, with its file and place.
        """
        tokens: I64 = self.windows(np.array([start]), length)[0]
        return tokens

    def windows(self, start_B: I64, length: int) -> I64:
        """The windows that begin at ``start`` (B,): tokens (B, length)."""
        out = np.empty((len(start_B), length), np.int64)
        first_B = np.searchsorted(self.offsets, start_B, "right") - 1
        for row, start, shard in zip(out, start_B.tolist(), first_B.tolist(), strict=True):
            self._fill(row, start, shard)
        if out.size and int(out.max()) >= self.vocab_size:
            self._refuse(out, start_B)
        return out

    def _fill(self, row: I64, start: int, shard: int) -> None:
        end = start + len(row)
        if not 0 <= start <= end <= len(self):
            raise ValueError(f"tokens {start} to {end} of {len(self)} in {self.split}")
        done = 0
        while done < len(row):
            base = int(self.offsets[shard])
            part = self.maps[shard][start + done - base : end - base]
            row[done : done + len(part)] = part
            done, shard = done + len(part), shard + 1

    def _refuse(self, out: I64, start_B: I64) -> None:
        b, t = np.argwhere(out >= self.vocab_size)[0]
        place = int(start_B[b] + t)
        shard = int(np.searchsorted(self.offsets, place, "right")) - 1
        raise UnreadableError(
            f"token {place - int(self.offsets[shard]):,} of {self.shards[shard].path.name} is {int(out[b, t]):,}, "
            f"but the vocabulary has {self.vocab_size:,}: give the vocab_size of its tokenizer, or mend the file"
        )

    def documents(self, start: int, length: int) -> I64:
        """The document of each of ``length`` tokens from ``start`` on (length,): its number in the split, or in the window.

        Raises ``UsageError`` where neither ends of documents nor an end-of-text token are known.
        """
        if self.numbered:
            return self.document_of(np.arange(start, start + length))
        if self.eot is None:
            raise UsageError(
                f"{self.split} does not tell where documents end: set document_mask=False, or prepare the data with "
                "unplateau prepare"
            )
        is_end = self.window(start, length) == self.eot
        after = np.cumsum(is_end)
        return after if self.eot_first else after - is_end

    def document_of(self, place_N: I64) -> I64:
        """The number in the split of the document that each token stands in; only where ``numbered``."""
        shard_N = np.searchsorted(self.offsets, place_N, "right") - 1
        out = np.empty(len(place_N), np.int64)
        for shard in np.unique(shard_N):
            ends, mine = self.shards[shard].ends, shard_N == shard
            assert ends is not None
            inside = (place_N[mine] - self.offsets[shard]).astype(np.uint64)
            out[mine] = self._documents[shard] + np.searchsorted(ends, inside, "right")
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """What lies in one folder. ``vocab_size``: rows of the embedding, and ``vocab_origin`` who says so.

    ``tokenizer``: its name, empty where unknown; ``words``: what each token stands for, where ``meta.pkl`` says it;
    ``fingerprint``: of the tokens, by their number and a sample of them, so that a resume sees other data.
    """

    path: Path
    splits: Mapping[str, Stream]
    vocab_size: int
    vocab_origin: str
    eot: int | None
    tokenizer: str
    manifest: Mapping[str, Any] | None
    words: tuple[str, ...]
    fingerprint: str

    @property
    def train(self) -> Stream:
        return self.splits["train"]


def open_corpus(path: Path, vocab_size: int = 0, *, weights: bool = False) -> Corpus:
    """The tokens at ``path``: a folder, or a file in it. ``vocab_size``: rows of the embedding; 0 is what the data say.

    Raises ``UnreadableError`` where there is no train split or a file is damaged, and ``UsageError`` for a
    vocabulary smaller than the data's, also where nothing but a sample of the tokens tells that and it is that of
    ``weights`` that the run begins with.
    """
    folder = path if path.is_dir() else path.parent
    manifest = _json(folder / "manifest.json")
    meta = _meta(folder / "meta.pkl")
    found = {split: _shards(folder, split, manifest, meta) for split in SPLITS}
    if not found["train"]:
        raise UnreadableError(
            f"{path.name or path} holds no tokens to train on; expected a folder of unplateau prepare, nanoGPT's "
            "train.bin and val.bin, or llm.c's *_train_000000.bin"
        )
    known, origin = _vocabulary(found["train"][0], manifest, meta)
    if vocab_size and origin and vocab_size < known:
        raise _too_small(vocab_size, f"{origin} says that the data have {known:,}", weights=weights)
    rows, eot = vocab_size or known, _eot(found["train"][0], manifest, meta)
    first = found["train"][0].format == "llmc"
    splits = {name: _stream(name, shards, rows, eot, first) for name, shards in found.items() if shards}
    if weights and (beyond := _beyond(splits, rows)):
        raise _too_small(rows, beyond, weights=weights)
    return Corpus(
        folder,
        MappingProxyType(splits),
        rows,
        "settings" if vocab_size else origin or "assumed: nanoGPT's, where there is no meta.pkl",
        eot,
        str(_told("tokenizer", manifest, own_head(found["train"][0].path)) or ""),
        manifest,
        _words(meta),
        fingerprint(splits),
    )


def _too_small(vocab_size: int, found: str, *, weights: bool) -> UsageError:
    if not weights:
        return UsageError(f"vocab_size is {vocab_size:,}, but {found}: leave it out")
    return UsageError(
        f"the checkpoint's model knows {vocab_size:,} tokens, but {found}: give the --dataset of its own tokens, or "
        "train a new model in another --out_dir"
    )


def _beyond(splits: Mapping[str, Stream], rows: int) -> str:
    """Which of a sample of the tokens are no row of the embedding; empty where all are."""
    for stream in splits.values():
        for shard, tokens in zip(stream.shards, stream.maps, strict=True):
            most = max((int(part.max()) for part in _sampled(tokens) if part.size), default=0)
            if most >= rows:
                return f"{shard.path.name} holds token {most:,}"
    return ""


def _stream(name: str, shards: Sequence[Shard], rows: int, eot: int | None, first: bool) -> Stream:
    offsets = np.cumsum([0, *(len(s.tokens) for s in shards)], dtype=np.int64)
    return Stream(name, tuple(shards), offsets, rows, eot, first)


def _shards(
    folder: Path, split: str, manifest: Mapping[str, Any] | None, meta: Mapping[Any, Any]
) -> list[Shard]:
    """The shards that the manifest names, whole; without one, those that lie there."""
    dtype = str(
        _told("dtype", manifest) or ("uint32" if _count(meta.get("vocab_size")) > 1 << 16 else "uint16")
    )
    if dtype not in TYPES:
        raise UnreadableError(f"manifest.json says that tokens are {dtype}; expected {' or '.join(TYPES)}")
    named = _files(split, manifest)
    if not named:
        return split_of(folder, split, dtype)
    for name, size in named:
        there = (folder / name).stat().st_size if (folder / name).is_file() else None
        if there != size:
            raise UnreadableError(
                f"{name} has {'no' if there is None else f'{there:,}'} bytes, manifest.json says {size:,}: "
                "it is missing, cut, or another; run unplateau prepare again"
            )
    return [open_shard(folder / name, dtype) for name, _ in named]


def _files(split: str, manifest: Mapping[str, Any] | None) -> list[tuple[str, int]]:
    splits = (manifest or {}).get("splits")
    part = splits.get(split) if isinstance(splits, dict) else None
    files = part.get("files") if isinstance(part, dict) else None
    try:
        named = [(str(f["path"]), int(f["size"])) for f in files or ()]
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableError(f"manifest.json names the files of {split} without {why(error)}") from None
    if outside := [name for name, _ in named if Path(name).name != name]:
        raise UnreadableError(f"manifest.json names {outside[0]!r}, which is not in its folder")
    return named


def _json(path: Path) -> Mapping[str, Any] | None:
    if not path.is_file():
        return None
    try:
        told = json.loads(_limited(path))
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableError(f"{path.name} can't be read: {why(error)}") from None
    if not isinstance(told, dict):
        raise UnreadableError(f"{path.name} is no manifest: expected an object")
    return told


def _meta(path: Path) -> Mapping[Any, Any]:
    """nanoGPT's meta.pkl as plain data; empty where there is none."""
    if not path.is_file():
        return {}
    try:
        told = inert(_limited(path))
    except OSError as error:
        raise UnreadableError(f"{path.name} can't be read: {why(error)}") from None
    if not isinstance(told, dict) or not _count(told.get("vocab_size")):
        raise UnreadableError(f"{path.name} is not nanoGPT's: expected a dict with vocab_size")
    return told


def _limited(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LIMIT)


def _words(meta: Mapping[Any, Any]) -> tuple[str, ...]:
    itos = meta.get("itos")
    if not isinstance(itos, dict) or set(itos) != set(range(len(itos))):
        return ()
    return tuple(str(itos[i]) for i in range(len(itos)))


def _told(key: str, *places: Mapping[str, Any] | None) -> Any:
    return next((place[key] for place in places if place and place.get(key) is not None), None)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _vocabulary(shard: Shard, manifest: Mapping[str, Any] | None, meta: Mapping[Any, Any]) -> tuple[int, str]:
    """How many tokens there are, and who says so; nobody where it is assumed."""
    if told := _count(_told("vocab_size", manifest)):
        return told, "manifest.json"
    if shard.vocab_size:
        return shard.vocab_size, f"the header of {shard.path.name}"
    if told := _count(meta.get("vocab_size")):
        return told, "meta.pkl"
    return (LLAMA3_VOCAB if shard.format == "llmc" and _wide(shard) else NANOGPT_VOCAB), ""


def _eot(shard: Shard, manifest: Mapping[str, Any] | None, meta: Mapping[Any, Any]) -> int | None:
    if manifest and "eot" in manifest:
        eot = manifest["eot"]
        return eot if isinstance(eot, int) and not isinstance(eot, bool) and eot >= 0 else None
    if shard.format == "own" or meta:
        return shard.eot
    return LLAMA3_EOT if shard.format == "llmc" and _wide(shard) else GPT2_EOT


def _wide(shard: Shard) -> bool:
    return bool(shard.tokens.dtype.itemsize == TYPES["uint32"].itemsize)


def fingerprint(splits: Mapping[str, Stream]) -> str:
    """A sha256 of how many tokens each shard has, and of some of them; a few milliseconds a shard."""
    found = sha256()
    for name, stream in splits.items():
        for shard, tokens in zip(stream.shards, stream.maps, strict=True):
            found.update(f"{name} {len(shard.tokens)} {tokens.dtype.name}\n".encode())
            for part in _sampled(tokens):
                found.update(np.ascontiguousarray(part).data)
    return found.hexdigest()


def _sampled(tokens: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Tokens of some places of a shard."""
    for place in np.linspace(0, max(0, len(tokens) - PEEKED), PLACES).astype(int):
        yield tokens[place : place + PEEKED]


def open_data(settings: Settings, *, weights: bool = False) -> list[tuple[Corpus, float]]:
    """Every data set that ``settings`` name, with its weight. ``weights``: the vocabulary is that of a checkpoint.

    Raises ``UsageError`` where their tokens can't be mixed, or are not all in the vocabulary, or where a train split is
    no longer than the context.
    """
    named = folders(settings.dataset)
    corpora = [(open_corpus(path, settings.vocab_size, weights=weights), weight) for path, weight in named]
    first, *others = [corpus for corpus, _ in corpora]
    for short in (corpus for corpus, _ in corpora if len(corpus.train) <= settings.block_size):
        raise UsageError(
            f"block_size {settings.block_size:,} wants more than the {len(short.train):,} tokens of {short.path.name}: "
            "give a smaller one"
        )
    for other in others:
        if (other.vocab_size, other.tokenizer) != (first.vocab_size, first.tokenizer):
            raise UsageError(
                f"{first.path.name} and {other.path.name} have other tokens ({first.tokenizer or 'unnamed'} of "
                f"{first.vocab_size:,}, {other.tokenizer or 'unnamed'} of {other.vocab_size:,}): prepare both with one tokenizer"
            )
    return corpora
