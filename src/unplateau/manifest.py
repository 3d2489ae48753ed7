"""What the data was: unplateau's manifest.json, or the sizes of nanoGPT's train.bin and val.bin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .config._dialect import as_kind
from .errors import UnreadableError, why
from .facts import VOCABULARY
from .run import Fact
from .source import Source

LIMIT = 8 << 20  # bytes of a manifest
TOKEN_BYTES = 2  # nanoGPT's prepare.py writes uint16
DATA = (
    *("train_tokens", "unique_tokens", "val_tokens", "bytes_per_token", "unigram_entropy", "bigram_entropy"),
    *("duplicate_share", "val_overlap", "tokenizer", "vocab_size", "char_level", "dataset"),
)
SHARES = ("duplicate_share", "val_overlap")
#: splits.SPLIT.KEY of a manifest -> fact
SPLITS = {
    ("train", "tokens"): "train_tokens",
    ("train", "unique_tokens"): "unique_tokens",
    ("train", "duplicate_share"): "duplicate_share",
    ("val", "tokens"): "val_tokens",
    ("val", "overlap"): "val_overlap",
}


def read_manifest(path: Path) -> dict[str, Fact]:
    """The facts of a manifest, or of a folder that holds one, or that holds train.bin and val.bin.

    Raises ``UnreadableError`` where ``path`` is none of these.
    """
    if path.is_dir():
        if (path / "manifest.json").is_file():
            return read_manifest(path / "manifest.json")
        if facts := count_bins(path):
            return facts
        raise UnreadableError(
            f"{path.name} holds neither manifest.json nor train.bin; give a manifest or nanoGPT's data folder"
        )
    if path.suffix == ".bin":
        return count_bins(path.parent)
    return facts_of(_load(path), path.name)


def _load(path: Path) -> Mapping[str, Any]:
    import msgspec

    try:
        data = msgspec.json.decode(Source(path).text(LIMIT))
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableError(f"{path.name} is no manifest: {why(error)}") from None
    if not isinstance(data, dict):
        raise UnreadableError(
            f"{path.name} is no manifest: expected an object with unique_tokens, train_tokens"
        )
    return data


def facts_of(manifest: Mapping[str, Any], name: str) -> dict[str, Fact]:
    """The facts of a manifest's content; keys that are not known are ignored.

    >>> facts_of({"splits": {"train": {"tokens": 900}}, "unique_tokens": 800, "colour": "red"}, "manifest.json")
    {'unique_tokens': Fact(value=800, unit='tokens', source='manifest.json'), 'train_tokens': Fact(value=900, unit='tokens', source='manifest.json')}
    """
    values = {key: manifest.get(key) for key in DATA}
    splits = manifest.get("splits")
    for (split, key), fact in SPLITS.items():
        part = splits.get(split) if isinstance(splits, dict) else None
        if isinstance(part, dict) and values.get(fact) is None:
            values[fact] = part.get(key)
    known = {n: _share(v) if n in SHARES else as_kind(n, v) for n, v in values.items()}
    order = (*manifest, *(n for n in known if n not in manifest))
    return {n: Fact(known[n], VOCABULARY[n][0], name) for n in order if n in known and known[n] is not None}


def _share(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    return float(value) if good else None


def count_bins(folder: Path) -> dict[str, Fact]:
    """Tokens of nanoGPT's two files, by their sizes alone."""
    facts = {}
    for split in ("train", "val"):
        try:
            size = (folder / f"{split}.bin").stat().st_size
        except OSError:
            continue
        if size >= TOKEN_BYTES:
            source = f"counted: {split}.bin"
            facts[f"{split}_tokens"] = Fact(size // TOKEN_BYTES, "tokens", source)
    return facts
