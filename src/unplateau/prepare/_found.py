"""Tokens that others left in a folder, or in a file: which they are, of what type, and what is known of the vocabulary."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _pickle
from ..errors import UnplateauError, UnreadableError, printable
from ..tokens import Shard, open_shard, own_head, split_of
from ._fair import Text, forget

META = 16 << 20  # bytes of a meta.pkl
PEEK = 1 << 16  # 16-bit words that tell uint16 from uint32
START = (
    4096  # bytes that tell text from tokens: no such run of printable pairs is met among a tokenizer's ids
)
MAGIC = {
    b"PAR1": "parquet",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"PK\x03\x04": "a zip archive",
    b"%PDF": "PDF",
}
LEAST = 32  # bytes of it; fewer may look like text by chance
NAME = 200  # characters of a tokenizer's name
HIGH = 4  # the upper half of a uint32 token is below this: vocabularies end at 262,144


@dataclass(frozen=True, slots=True)
class Data:
    """What lies in a folder: the files of both splits, and what is known of the vocabulary."""

    name: str
    train: list[Shard]
    val: list[Shard]
    words: Sequence[str] = ()  # what each token stands for, where meta.pkl says it

    meta: bool = False  # whether a meta.pkl is there

    @property
    def shards(self) -> list[Shard]:
        return [*self.train, *self.val]


def look(data: Path) -> Data:
    """The tokens at ``data``: a folder, or one file; raises ``UnreadableError`` where there are none."""
    if data.is_file():
        _refuse_other(data)
    if data.is_file() and data.stem not in ("train", "val"):
        return Data(data.name, [_opened(data)], [])
    folder = data if data.is_dir() else data.parent
    train = _typed(folder, "train")
    val = _typed(folder, "val") or _typed(folder, "valid") or _typed(folder, "validation")
    if not train:
        train = [_opened(path) for path in sorted(folder.glob("*.bin")) if not path.stem.startswith("val")]
    for shard in [*train, *val]:
        if shard.format == "raw":
            _refuse_other(shard.path)
    if not train:
        raise UnreadableError(
            f"{data.name or data} holds no tokens; expected nanoGPT's train.bin and val.bin, llm.c's "
            "*_train_000001.bin, or a .bin of uint16 tokens"
        )
    return Data(
        folder.resolve().name, train, val, _words(folder / "meta.pkl"), (folder / "meta.pkl").is_file()
    )


def named(data: Data) -> str:
    """The tokenizer that a header of our own names, where it is none of GPT-2's; empty where nothing names one."""
    head = own_head(data.train[0].path) or {}
    name = head.get("tokenizer")
    return printable(name)[:NAME] if isinstance(name, str) and name != "gpt2" else ""


def _refuse_other(path: Path) -> None:
    """Raise ``UnreadableError`` for a file that is something else than tokens, by its first bytes."""
    if path.name == "manifest.json":
        raise UnreadableError(f"{path.name} is no tokens: give the folder that it is in")
    with path.open("rb") as file:
        start = file.read(START)
    kind = next((name for magic, name in MAGIC.items() if start.startswith(magic)), "")
    if not kind and _is_text(start):
        kind = "JSON" if start.lstrip()[:1] in (b"{", b"[") else "text"
    if kind:
        raise UnreadableError(
            f"{path.name} is {kind}, no tokens: --manifest-only counts shards of uint16 or uint32; "
            f"unplateau prepare SOURCE makes them of text"
        )


def _is_text(start: bytes) -> bool:
    """True for UTF-8 without control characters, as far as it goes; the last character may be cut."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return len(start) >= LEAST and " " in text and all(c >= " " or c in "\t\n\r\f" for c in text)


def _typed(folder: Path, split: str) -> list[Shard]:
    shards = split_of(folder, split)
    if shards and shards[0].format == "raw" and _is_wide(shards[0].tokens):
        return split_of(folder, split, "uint32")
    return shards


def _opened(path: Path) -> Shard:
    shard = open_shard(path)
    return open_shard(path, "uint32") if shard.format == "raw" and _is_wide(shard.tokens) else shard


def _is_wide(tokens: NDArray[Any]) -> bool:
    """True where uint16 words are halves of uint32 tokens: every second one is next to nothing, the others not."""
    if tokens.dtype.itemsize != 2 or len(tokens) % 2:
        return False
    low, high = tokens[0:PEEK:2], tokens[1:PEEK:2]
    return bool(high.max(initial=0) < HIGH <= low.max(initial=0))


def largest_of(tokens: NDArray[Any]) -> int:
    """The largest token of a mapped file."""
    step = 1 << 22
    found = 0
    for start in range(0, len(tokens), step):
        found = max(found, int(tokens[start : start + step].max()))
        forget(tokens)
    return found


def peeked(text: Text) -> int:
    """The largest token of some places all over the text."""
    places = np.linspace(0, max(0, len(text) - PEEK), 16).astype(int)
    return max(int(text.take(int(place), PEEK).max()) for place in places)


def _words(path: Path) -> list[str]:
    """What nanoGPT's meta.pkl says that tokens stand for; read as data, never unpickled."""
    if not path.is_file() or path.stat().st_size > META:
        return []
    try:
        meta = _pickle.inert(path.read_bytes())
        words = meta.get("itos") if isinstance(meta, dict) else None
        return [str(words[i]) for i in range(len(words))] if isinstance(words, dict) else []
    except (OSError, UnplateauError, KeyError):
        return []
