"""What the data was: unplateau's manifest.json, or the sizes of nanoGPT's train.bin and val.bin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .config._dialect import as_kind
from .errors import UnreadableError, printable, why
from .facts import VOCABULARY
from .run import Fact
from .source import Source

LIMIT = 8 << 20  # bytes of a manifest
TOKEN_BYTES = 2  # nanoGPT's prepare.py writes uint16
NAMED, SHOWN = 3, 40  # values that a refusal shows, and characters of each
LISTED = 100_000  # sources of a manifest that are looked at
#: place of a file -> GPT-2 tokens of a full one, and its name (SCIENCE.md section 4); the last of the 15 is not full
FULL_FILES = (
    (re.compile(r"fineweb/(?:.{0,200}/)?sample[/-]10BT/0(?:0\d|1[0-3])_\d{5}\.parquet$"), 727e6, "FineWeb's"),
    (
        re.compile(r"fineweb-edu/(?:.{0,200}/)?sample[/-]10BT/0(?:0\d|1[0-3])_\d{5}\.parquet$"),
        750e6,
        "FineWeb-Edu's",
    ),
)
DATA = (
    *("train_tokens", "unique_tokens", "val_tokens", "bytes_per_token", "unigram_entropy", "bigram_entropy"),
    *(
        "duplicate_share",
        "near_looked_for",
        "val_overlap",
        "tokenizer",
        "vocab_size",
        "char_level",
        "dataset",
    ),
    *("val_documents", "val_divergence", "val_divergence_chance", "val_contiguous"),
    *("val_gap", "val_gap_error", "val_renumbered", "val_renumbered_chance", "val_offset", "random_share"),
    *("data_order", "order_divergence", "order_divergence_chance"),
)
SHARES = ("duplicate_share", "val_overlap", "val_renumbered", "val_renumbered_chance", "random_share")
SIGNED = {
    "val_gap": "val_gap_error",
    "val_offset": "val_tokens",
}  # of either sign; read as the kind of another
#: splits.SPLIT.KEY of a manifest -> fact
SPLITS = {
    ("train", "tokens"): "train_tokens",
    ("train", "unique_tokens"): "unique_tokens",
    ("train", "duplicate_share"): "duplicate_share",
    ("val", "documents"): "val_documents",
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


def refused(path: Path) -> str:
    """The first keys of a manifest that are known, but whose values can't be; empty where there are none."""
    if path.is_dir() or path.suffix == ".bin":
        return ""
    told = _load(path)
    wrong = [f"{key} {printable(str(told[key]))[:SHOWN]!r}" for key in DATA if told.get(key) is not None]
    return ", ".join(wrong[:NAMED]) + (f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else "")


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
    known = {n: _kind(n, v) for n, v in values.items()}
    order = (*manifest, *(n for n in known if n not in manifest))
    facts = {n: Fact(known[n], VOCABULARY[n][0], name) for n in order if n in known and known[n] is not None}
    full = _of_full_files(manifest)
    counted = {"train_tokens", "unique_tokens"} & set(facts)
    return facts | full if counted or not full else {**facts, **full, "train_tokens": full["source_tokens"]}


def _of_full_files(manifest: Mapping[str, Any]) -> dict[str, Fact]:
    """About how many tokens the sources hold as a whole, where each is a file that is known."""
    sources = manifest.get("sources")
    paths = (
        [s.get("path") for s in sources[:LISTED] if isinstance(s, dict)] if isinstance(sources, list) else []
    )
    found = [full_file(str(path)) for path in paths]
    if not found or None in found:
        return {}
    tokens = sum(f[1] for f in found if f is not None)
    name = found[0][0] if found[0] is not None else ""
    source = f"assumed: {len(found)} full file{'s' * (len(found) > 1)} of {name} sample-10BT, GPT-2 tokens"
    return {"source_tokens": Fact(int(tokens), "tokens", source)}


def full_file(path: str) -> tuple[str, float] | None:
    """Whose file ``path`` is and about how many GPT-2 tokens a full one holds, where that is known.

    >>> full_file("hf://datasets/HuggingFaceFW/fineweb/sample/10BT/003_00000.parquet")
    ("FineWeb's", 727000000.0)
    >>> full_file("train.parquet")
    """
    at = path.replace("\\", "/")[-500:]
    return next(((name, tokens) for pattern, tokens, name in FULL_FILES if pattern.search(at)), None)


def _kind(name: str, value: Any) -> Any:
    if name in SIGNED:
        size = as_kind(SIGNED[name], -value if _negative(value) else value)
        return -size if size is not None and _negative(value) else size
    return _share(value) if name in SHARES else as_kind(name, value)


def _negative(value: Any) -> bool:
    return isinstance(value, int | float) and value < 0


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
