"""Tokens in files, read by memory map: our own shards, nanoGPT's, llm.c's, and raw ones; ``prepare.shards`` says what they hold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import UnreadableError, why

SCHEMA = "unplateau.shard/1"  # of the JSON beside one of our own
HEAD_WORDS = 256  # int32 of an llm.c header
HEAD_BYTES = 4 * HEAD_WORDS
LLMC = {20240520: (1, "<u2"), 20240801: (7, "<u4")}  # magic -> version, type of the tokens
NUMPY = b"\x93NUMPY"
LIMIT = 1 << 20  # bytes of a shard's header
TYPES: dict[str, np.dtype[Any]] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of tokens, mapped: ``tokens`` (n,) in its own type; ``ends`` (documents,) in tokens, where it has them."""

    path: Path
    format: str
    tokens: NDArray[Any]
    ends: NDArray[np.uint64] | None = None
    vocab_size: int | None = None
    eot: int | None = None


def open_shard(path: Path, dtype: str = "uint16") -> Shard:
    """Map a file of any of the formats; ``dtype`` is that of raw tokens, which say nothing of themselves.

    Raises ``UnreadableError`` where it is missing, empty, or cut.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(HEAD_BYTES)
    except OSError as error:
        raise UnreadableError(f"can't open {path.name}: {error.strerror or error}") from None
    if not size:
        raise UnreadableError(f"{path.name} is empty; expected tokens")
    if len(start) == HEAD_BYTES and int(np.frombuffer(start, "<i4")[0]) in LLMC:
        return _open_llmc(path, np.frombuffer(start, "<i4"), size)
    if start.startswith(NUMPY):
        return _open_npy(path)
    head = own_head(path)
    if head is not None:
        return _open_own(path, head, size)
    if size % TYPES[dtype].itemsize:
        raise UnreadableError(f"{path.name} has {size:,} bytes, no whole number of {dtype}: it is cut")
    return Shard(path, "raw", np.memmap(path, TYPES[dtype], "r"))


def _open_llmc(path: Path, head: NDArray[Any], size: int) -> Shard:
    version, kind = LLMC[int(head[0])]
    tokens, dtype = int(head[2]), np.dtype(kind)
    if int(head[1]) != version:
        raise UnreadableError(f"{path.name} is llm.c's version {int(head[1])}; expected {version}")
    if tokens < 1 or size != HEAD_BYTES + tokens * dtype.itemsize:
        raise UnreadableError(
            f"{path.name} says that it holds {tokens:,} tokens, but has {size:,} bytes: it is cut or damaged"
        )
    return Shard(path, "llmc", np.memmap(path, dtype, "r", offset=HEAD_BYTES, shape=(tokens,)))


def _open_npy(path: Path) -> Shard:
    """A numpy file of whole numbers, as build-nanogpt's fineweb.py leaves them; no pickled object is ever read."""
    try:
        tokens = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UnreadableError(f"{path.name} is no numpy file of tokens: {why(error)}") from None
    if tokens.ndim != 1 or tokens.dtype not in TYPES.values():
        raise UnreadableError(
            f"{path.name} holds {tokens.dtype} of shape {tokens.shape}; expected uint16 tokens (n,)"
        )
    return Shard(path, "raw", tokens)


def own_head(path: Path) -> dict[str, Any] | None:
    """The JSON beside a shard of our own; None for a file of another format."""
    beside = path.with_suffix(".json")
    try:
        told = beside.read_bytes()[:LIMIT] if beside.is_file() else b""
        head = json.loads(told) if told else None
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableError(f"{beside.name} can't be read: {why(error)}") from None
    return head if isinstance(head, dict) and head.get("schema") == SCHEMA else None


def _open_own(path: Path, head: dict[str, Any], size: int) -> Shard:
    ends = path.with_suffix(".ends")
    try:
        dtype = TYPES[str(head["dtype"])]
        tokens, documents, vocab = (int(head[k]) for k in ("tokens", "documents", "vocab_size"))
        there = ends.stat().st_size
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableError(f"the header of {path.name} lacks a sound {why(error)}") from None
    except OSError as error:
        raise UnreadableError(f"can't open {ends.name}: {error.strerror or error}") from None
    if size != tokens * dtype.itemsize or there != documents * 8:
        raise UnreadableError(
            f"{path.name} or {ends.name} is not as long as its header says ({tokens:,} tokens): it is cut or damaged"
        )
    eot = head.get("eot")
    kept = eot if isinstance(eot, int) and 0 <= eot < vocab else None
    return Shard(path, "own", np.memmap(path, dtype, "r"), np.memmap(ends, "<u8", "r"), vocab, kept)


def split_of(folder: Path, split: str, dtype: str = "uint16") -> list[Shard]:
    """The shards of a split in ``folder``, in order: our own, nanoGPT's, llm.c's, build-nanogpt's; empty where there are none."""
    patterns = (f"{split}-?????.bin", f"{split}.bin", f"*_{split}_??????.bin", f"*_{split}_??????.npy")
    for pattern in patterns:
        if found := sorted(folder.glob(pattern)):
            return [open_shard(path, dtype) for path in found]
    return []
