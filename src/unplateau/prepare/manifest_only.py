"""A manifest of tokens that others prepared: nanoGPT's folder, llm.c's or build-nanogpt's shards, raw uint16.

Nothing but the tokens is there, so everything is told from them: how many, their entropies, windows that stand twice,
val windows that stand in train, and whether val is a fair sample. One pass over the files by memory map; what is
sampled has its interval under ``estimates``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..durable import sha256_of, write_durably
from ..tokens import Shard
from ._bigram import COPIED, counted, pair_facts, pairs_on
from ._bigram import told as told_of
from ._entropy import of_kinds
from ._fair import PIECE, SAMPLE, Fairness, Text, fairness
from ._found import Data, largest_of, look, named, peeked
from ._numbering import numbering, numbering_facts
from ._plain import END
from ._windows import Repeats, repeats
from .statistics import standard_error, told_error

SCHEMA = "unplateau.manifest/1"
GPT2_END = 50256  # <|endoftext|>, the largest of GPT-2's tokens
WORDS_WINDOW, LETTERS_WINDOW = 32, 128  # tokens of a window: some 25 words, in words and in letters
LETTERS = 1024  # a vocabulary up to this is one of letters or bytes
UNFAIR, SURELY = (
    0.05,
    3.0,
)  # nats, and standard errors, of a gap that no fair val has (as val-mismatch has them)
BYTES = "bytes"  # the tokenizer whose tokens are bytes, and an end of text
LEAKED = 0.002  # share of val that stands in train; above it val is like the place where it stands
Progress = Callable[[int, int], None]


def make_manifest(
    data: Path,
    *,
    batch_tokens: int | None = None,
    seed: int = 0,
    hashes: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The manifest of a folder of tokens, or of one file.

    ``batch_tokens``: tokens of a step, for the length of one pass. ``hashes``: whether to take the sha256 of the
    files. ``progress(done, total)`` is told tokens. Memory stays below half a gigabyte whatever the size; a core does
    about 25 million tokens a second. Raises ``UnreadableError`` where there are no tokens.
    """
    found = look(data)
    train, val = (Text([shard.tokens for shard in split]) for split in (found.train, found.val))
    wide = found.train[0].tokens.dtype.itemsize > 2
    table = 1 + max(map(largest_of, train.parts)) if wide else 1 << 16
    most, known = peeked(train), found.train[0].eot
    length = LETTERS_WINDOW if most < LETTERS else WORDS_WINDOW
    ends = known if known is not None else GPT2_END if most == GPT2_END else None
    told_of_tokens = _summed(progress, len(train))
    twice = repeats(train.parts, val.parts, length, table, progress=told_of_tokens, eot=ends)
    largest = max(int(np.flatnonzero(twice.counts)[-1]), *map(largest_of, val.parts), 0)
    vocab = max(largest + 1, found.train[0].vocab_size or len(found.words))
    counts = np.zeros(vocab, np.int64)
    counts[: min(vocab, table)] = twice.counts[:vocab]
    twice = replace(twice, counts=counts)
    eot = found.train[0].eot if found.train[0].eot is not None else GPT2_END if largest == GPT2_END else None
    rng = np.random.default_rng(seed)
    known_pairs = counted(train, vocab, rng)
    pairs = pairs_on(known_pairs, val, rng) if known_pairs else None
    fair = fairness(train, val, counts, eot, seed=seed)
    told: dict[str, Any] = {
        "schema": SCHEMA,
        "schema_version": 1,
        "how": "manifest-only",
        "versions": versions(),
    }
    told["sources"] = [_source(shard, hashes=hashes) for shard in found.shards]
    told |= _vocabulary(found, largest, twice.counts)
    told |= _counts(train, val, twice, eot) | _val_error(val, eot, counts)
    told |= _facts(twice, fair)
    facts, estimates = pair_facts(pairs, twice.copies.value, told["unigram_entropy"])
    told |= facts
    if known_pairs is not None:
        told |= numbering_facts(numbering(train, val, counts, known_pairs, seed=seed))
    told["estimates"] = _estimates(twice) | estimates
    told["splits"] = _splits(found, train, val, twice)
    if batch_tokens:
        told["one_pass"] = one_pass(told["train_tokens"], batch_tokens)
    told["notes"] = _unsure(found, told, eot) + _notes(told, fair, val)
    return told


def write_manifest(manifest: Mapping[str, Any], path: Path) -> str:
    """Write it durably; its sha256."""
    return write_durably(path, json.dumps(manifest, indent=1, allow_nan=False).encode() + b"\n")


def one_pass(tokens: int, batch: int) -> str:
    """How many steps one pass takes, in words.

    >>> one_pass(727_000_000, 524_288)
    'one pass = 1,387 steps at 524,288 tokens a step'
    """
    steps = tokens / batch
    return f"one pass = {round(steps, 1 if steps < 10 else None):,} steps at {batch:,} tokens a step"


def versions() -> dict[str, str]:
    """Of what counted: this package, Python and numpy."""
    return {"unplateau": __version__, "python": sys.version.split()[0], "numpy": np.__version__}


# --- what the manifest says


def _source(shard: Shard, *, hashes: bool) -> dict[str, Any]:
    size = shard.path.stat().st_size
    return {
        "path": shard.path.name,
        "size": size,
        "sha256": sha256_of(shard.path) if hashes else None,
        "tokens": len(shard.tokens),
    }


def _vocabulary(data: Data, largest: int, counts: NDArray[np.int64]) -> dict[str, Any]:
    first = data.train[0]
    told: dict[str, Any] = {"format": _format(data), "dtype": first.tokens.dtype.name}
    if known := first.vocab_size or len(data.words):
        told["vocab_size"] = known
    if data.words:
        told["char_level"] = all(len(word) == 1 for word in data.words if word != END)
        told["bytes_per_token"] = _mean(np.array([*map(_bytes, data.words)]), counts)
    elif name := named(data):
        told["tokenizer"] = name
        if name == BYTES:
            told["bytes_per_token"] = 1 - float(
                counts[first.eot] / counts.sum() if first.eot is not None else 0
            )
            told["char_level"] = True
    elif largest == GPT2_END:
        from ._gpt2 import gpt2_tokens

        told["tokenizer"] = "gpt2"
        told["bytes_per_token"] = _mean(np.array([*map(len, gpt2_tokens()), 0]), counts)
    return told


def _bytes(word: str) -> int:
    """Bytes of text that a word of meta.pkl stands for; U+FFFD stands for a byte that is no UTF-8 by itself."""
    return 0 if word == END else len(word.replace("\ufffd", "?").encode("utf-8", "replace"))


def _mean(sizes: NDArray[Any], counts: NDArray[np.int64]) -> float:
    n = min(len(sizes), len(counts))
    return float(sizes[:n] @ counts[:n] / max(1, counts.sum()))


def _format(data: Data) -> str:
    if data.train[0].format == "raw" and data.train[0].path.name == "train.bin":
        return "nanogpt"
    return data.train[0].format


def _counts(train: Text, val: Text, twice: Repeats, eot: int | None) -> dict[str, Any]:
    told: dict[str, Any] = {"tokens": len(train) + len(val), "train_tokens": len(train)}
    told["unique_tokens"] = max(1, round(len(train) * (1 - twice.copies.value)))
    if len(val):
        told["val_tokens"] = len(val)
    if eot is not None:
        inside = [int((part == eot).sum()) for part in val.parts]
        told |= {"eot": eot, "documents": int(twice.counts[eot]) + sum(inside)}
        if len(val):
            told["val_documents"] = sum(inside)
    return told


def _facts(twice: Repeats, fair: Fairness) -> dict[str, Any]:
    """The flat keys that the diagnosis reads."""
    told: dict[str, Any] = {
        "unigram_entropy": of_kinds(twice.counts),
        "duplicate_share": twice.copies.value,
        "order_divergence": float(fair.pieces.mean()),
        "order_divergence_chance": fair.chance,
        "data_order": "source" if fair.drifts else "shuffled",
    }
    if twice.overlap is not None:
        told["val_overlap"] = twice.overlap.value
    if fair.divergence is not None:
        told |= {"val_divergence": fair.divergence, "val_divergence_chance": fair.chance}
    leaked = twice.overlap is not None and twice.overlap.value > LEAKED
    if fair.contiguous is not None and not (leaked and not fair.cut):
        told["val_contiguous"] = fair.contiguous
    return told


def _estimates(twice: Repeats) -> dict[str, Any]:
    windows = f"windows of {twice.length} tokens, one in {twice.sampled:,} by its hash"
    found = {"duplicate_share": told_of(twice.copies, windows)}
    if twice.overlap is not None:
        found["val_overlap"] = told_of(
            twice.overlap, f"windows of {twice.length} tokens of val that stand in train"
        )
    return found


def _splits(data: Data, train: Text, val: Text, twice: Repeats) -> dict[str, Any]:
    rule = "as found; nobody told how it was drawn"
    files = {
        name: [shard.path.name for shard in split]
        for name, split in (("train", data.train), ("val", data.val))
    }
    told: dict[str, Any] = {"train": {"tokens": len(train), "duplicate_share": twice.copies.value}}
    if len(val) and twice.overlap is not None:
        told["val"] = {"tokens": len(val), "overlap": twice.overlap.value}
    elif len(val):
        told["val"] = {"tokens": len(val)}
    sizes = {shard.path.name: (shard.path.stat().st_size, len(shard.tokens)) for shard in data.shards}
    for name, split in told.items():
        split |= {"rule": rule, "seed": None}
        split["files"] = [{"path": f, "size": sizes[f][0], "tokens": sizes[f][1]} for f in files[name]]
    return told


def _notes(told: Mapping[str, Any], fair: Fairness, val: Text) -> list[str]:
    found = []
    if not len(val):
        found.append("there is no val split: nothing can be said of it")
    found += told_error(told.get("val_error"), len(val))
    if fair.cut and told.get("val_contiguous"):
        found.append(
            "train ends within a document, and val begins like its end: the split was cut by position"
        )
    elif fair.cut:
        found.append("train ends within a document: it was cut there; whether val goes on there is not known")
    elif told.get("val_contiguous"):
        found.append("val is more like the end of train than like the rest: it is one piece of the same text")
    found += _renumbered(told) or _foreign(told)
    if fair.drifts:
        found.append("the text changes from the start of train to its end: it is not shuffled")
    if told["duplicate_share"] > COPIED:
        found.append(
            f"{told['duplicate_share']:.1%} of train's windows stood before: {told['unique_tokens']:,} tokens are unique"
        )
    if told.get("val_overlap", 0) > LEAKED:
        found.append(f"{told['val_overlap']:.2%} of val's windows stand in train")
    return found


def _unsure(data: Data, told: Mapping[str, Any], eot: int | None) -> list[str]:
    """What of the vocabulary is supposed, or could not be read."""
    found = []
    if data.meta and not data.words:
        found.append(
            "meta.pkl holds no vocabulary that can be read as data (nothing in it is executed): it is left out"
        )
    if told.get("tokenizer") == "gpt2" and eot == GPT2_END and data.train[0].eot is None:
        found.append(f"the largest token is {GPT2_END:,}: taken for GPT-2's end of text")
    return found


def _renumbered(told: Mapping[str, Any]) -> list[str]:
    """Whether a part of val bears other numbers than train."""
    if (off := told.get("val_offset")) is None:
        return []
    share, chance = told["val_renumbered"], told["val_renumbered_chance"]
    off_by = f"with numbers that are {off:+,} off (by chance up to {chance:.0%})"
    return [f"{share:.0%} of val is train's text {off_by}: another tokenizer or vocabulary made it"]


def _foreign(told: Mapping[str, Any]) -> list[str]:
    """Whether val is other text than train, where both of the measures say so."""
    gap, error = told.get("val_gap", 0.0), told.get("val_gap_error", 0.0)
    strays, chance = told.get("val_divergence", 0.0), told["order_divergence_chance"]
    if abs(gap) <= max(UNFAIR, SURELY * error) or strays <= chance:
        return []
    harder = f"a model of token pairs loses {gap:+.2f} +- {error:.2f} nats on it against held-out train"
    other = f"its token frequencies stray {strays:.3f} nats (fair samples up to {chance:.3f})"
    return [f"val is no fair sample of train: {harder}, and {other}"]


def _val_error(val: Text, eot: int | None, counts: NDArray[np.int64]) -> dict[str, Any]:
    """The standard error of a mean loss over val, by its first documents; by pieces where nothing says where they end."""
    tokens = np.minimum(val.take(0, SAMPLE), len(counts) - 1)
    ends = np.flatnonzero(tokens == eot) + (tokens[:1] != eot).sum() if eot is not None else np.zeros(0, int)
    if eot is None:
        ends = np.arange(PIECE, len(tokens), PIECE)
    lengths = np.diff(np.unique(np.concatenate(([0], ends, [len(tokens)]))))
    error = standard_error(tokens, lengths, counts)
    return {} if error is None else {"val_error": error * sqrt(len(tokens) / len(val))}


def _summed(progress: Progress | None, total: int) -> Callable[[int], None] | None:
    if progress is None:
        return None
    done = 0

    def more(tokens: int) -> None:
        nonlocal done
        done += tokens
        progress(done, total)

    return more
