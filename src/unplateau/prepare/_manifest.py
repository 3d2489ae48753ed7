"""``manifest.json`` of a finished job: what the data is, and how each number was counted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..durable import write_durably
from ..secrets import redacted_url
from ._bigram import pair_facts, pairs_from
from .manifest_only import one_pass, versions
from .shards import Written, dtype_of
from .statistics import told_error
from .tokenizers import Characters

if TYPE_CHECKING:
    from ._stages import Job

SCHEMA = "unplateau.manifest/1"
LETTERS = ("bytes", "chars")  # tokenizers whose tokens are no words
LIBRARIES = (
    "pyarrow",
    "msgspec",
    "zstandard",
    "tokenizers",
    "tiktoken",
    "gigatoken",
)  # that bytes may depend on
LAST = ("splits", "extra_files", "notes")  # of its keys
Splits = Mapping[str, Sequence[Written]]


def manifest_of(
    job: Job,
    told: Mapping[str, Any],
    measured: Mapping[str, Any],
    files: Splits,
    *,
    extra: Sequence[Written],
    hashes: Sequence[str | None],
) -> dict[str, Any]:
    """All of it, as JSON can hold it; nothing in it depends on when, where or by how many workers it was made."""
    tokenizer = job.tokenizer.tokenizer
    found: dict[str, Any] = {"schema": SCHEMA, "schema_version": 1, "how": "prepare", "plan": job.plan}
    found["versions"] = {**versions(), **_libraries(), "engine": tokenizer.engine}
    found["sources"] = _sources(job, measured, hashes)
    found |= {
        "tokenizer": tokenizer.name,
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "tokenizer_check": job.tokenizer.told,
        "vocab_size": tokenizer.vocab_size,
        "eot": tokenizer.eot,
        "char_level": tokenizer.name in LETTERS,
        "format": job.options.format,
        "dtype": dtype_of(tokenizer.vocab_size).name,
    }
    if isinstance(tokenizer, Characters):
        found["alphabet"] = tokenizer.alphabet
    found |= _facts(told, measured) | _order(measured)
    facts, found["estimates"] = _pairs(measured, found)
    found |= facts
    found |= _steps(job, told, measured)
    found["splits"] = _splits(told, files)
    found["extra_files"] = [one.as_dict() for one in extra]
    found["notes"] = _notes(job, told, measured)
    return with_pass(found, job.options.batch_tokens)


def write(manifest: Mapping[str, Any], path: Path) -> None:
    """Write it durably: where it stands, all it names is whole."""
    write_durably(path, json.dumps(manifest, indent=1, allow_nan=False).encode() + b"\n")


def _libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _sources(job: Job, measured: Mapping[str, Any], hashes: Sequence[str | None]) -> list[dict[str, Any]]:
    """Each file with its size, sha256, and the documents and tokens that it gave (before copies were dropped)."""
    counts = {file.path: [0, 0] for file in job.survey.files}
    for number, (documents, tokens) in measured["places"].items():
        slices = job.survey.parts[int(number)].slices
        for place, (docs, toks) in enumerate(zip(documents, tokens, strict=True)):
            counts[slices[place].path][0] += docs
            counts[slices[place].path][1] += toks
    return [
        {
            "path": redacted_url(file.path),
            "size": file.size,
            "sha256": sha256,
            "documents": counts[file.path][0],
            "tokens": counts[file.path][1],
        }
        for file, sha256 in zip(job.survey.files, hashes, strict=True)
    ]


def _facts(told: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """The flat keys that the diagnosis reads."""
    train, val = measured["splits"]["train"], measured["splits"]["val"]
    splits, copies = told["split"]["splits"], told["duplicates"]
    found: dict[str, Any] = {
        "documents": sum(splits[name]["documents"] for name in ("train", "val", "fresh")),
        "val_documents": val["documents"],
        "bytes": train["bytes"] + val["bytes"],
        "tokens": sum(splits[name]["tokens"] for name in ("train", "val", "fresh")),
        "train_tokens": train["tokens"],
        "unique_tokens": told["unique_tokens"],
        "val_tokens": val["tokens"],
    }
    found |= {key: train[key] for key in ("bytes_per_token", "unigram_entropy") if key in train}
    if train["tokens"]:
        found["duplicate_share"] = 1 - told["unique_tokens"] / train["tokens"]
    found |= _copied(copies, near=told["near_looked_for"])
    if val["tokens"] and told["near_looked_for"]:
        found["val_overlap"] = 0.0  # all copies of a text stand in one split
    if "tokens" in measured["fairness"]:
        fair = measured["fairness"]["tokens"]
        found |= {
            "val_divergence": fair["nats"],
            "val_divergence_chance": fair["limit"],
            "val_contiguous": False,
        }
    return found


def _copied(copies: Mapping[str, Any], *, near: bool) -> dict[str, Any]:
    """Shares of the documents that are copies, named by how they were told; what was not looked for has none."""
    if not near:
        return {"near_looked_for": False, "identical_share": copies["exact_rate"]}
    return {"exact_duplicate_share": copies["exact_rate"], "near_duplicate_share": copies["near_rate"]}


def _pairs(measured: Mapping[str, Any], facts: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
    """What a model of pairs, counted on a part of train, loses on the rest of it and on val."""
    kept = measured["pairs"]
    copied, unigram = facts.get("duplicate_share", 0.0), facts.get("unigram_entropy", 0.0)
    return pair_facts(None if kept is None else pairs_from(kept), copied, unigram)


def _order(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the text drifts from the start of train to its end; nothing where there are too few parts to tell."""
    if (order := measured.get("order")) is None:
        return {}
    return {
        "order_divergence": order["nats"],
        "order_divergence_chance": order["limit"],
        "data_order": "shuffled" if order["fair"] else "source",
    }


def _steps(job: Job, told: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """How the numbers came about: reading, filters, copies, lengths, val's fairness, one pass."""
    copies = dict(told["duplicates"])
    method = (
        "same words after folding case and white space, or 14 x 8 MinHash of word 5-grams verified at Jaccard .7"
        if told["near_looked_for"]
        else "identical text, character by character; near copies were not looked for"
    )
    if not told["near_looked_for"]:
        copies = {"identical": copies["exact"]} | {
            k: copies[k] for k in copies if not k.startswith(("exact", "near"))
        }
    found: dict[str, Any] = {
        "read": {
            key: told[key]
            for key in ("read", "unmet", "kept", "skipped", "skipped_named", "parts", "of_parts")
        },
        "filters": {"active": list(job.options.filters.active), "would_remove": told["filtered"]},
        "duplicates": {
            "policy": "drop" if job.options.dedup == "drop" else "keep",
            "method": method,
            "clusters": copies.pop("cluster_sizes"),
            **copies,
        },
        "lengths": measured["splits"]["train"]["lengths"],
        "statistics": measured["splits"],
        "fairness": measured["fairness"],
        "val_error": measured["val_error"],
    }
    return found


def with_pass(manifest: Mapping[str, Any], batch_tokens: int | None) -> dict[str, Any]:
    """A manifest that tells the steps of a pass at ``batch_tokens``, or does not where that is None."""
    found = {key: value for key, value in manifest.items() if key not in ("one_pass", *LAST)}
    if batch_tokens:
        found["one_pass"] = one_pass(found["train_tokens"], batch_tokens)
    return found | {key: manifest[key] for key in LAST}


def _splits(told: Mapping[str, Any], files: Splits) -> dict[str, Any]:
    split = told["split"]
    found = {}
    for name, sizes in split["splits"].items():
        written = [file.as_dict() for file in files[name]]
        found[name] = {**sizes, "rule": split["rule"], "seed": split["seed"], "files": written}
    found["train"]["unique_tokens"] = told["unique_tokens"]
    return found


def _notes(job: Job, told: Mapping[str, Any], measured: Mapping[str, Any]) -> list[str]:
    notes = [*job.survey.notes, job.tokenizer.told, *told["split"]["notes"]]
    if told["skipped"]:
        notes.append(f"left out for damage, {told['skipped']:,} in all: {told['skipped_named'][0]}")
    if told["parts"] < told["of_parts"]:
        notes.append(f"a limit ended reading after {told['parts']:,} of {told['of_parts']:,} parts")
    notes += told_error(measured["val_error"], measured["splits"]["val"]["tokens"])
    unfair = [name for name, one in measured["fairness"].items() if not one["fair"]]
    if unfair:
        notes.append(
            f"val differs from train by {', '.join(unfair)} more than chance lets a fair sample differ"
        )
    return notes
