"""The recipes that are timed, one a process: ``python recipes.py NAME CORPUS OUT``; the last line counts, as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np

EOT = 50256
SHARDS = 1024  # in which nanoGPT's recipe writes its file
BATCH = 1000  # documents that datasets writes at once
PERMUTATIONS, BANDS, ROWS = 112, 14, 8  # FineWeb's MinHash
GRAM = 5  # words
THRESHOLD = 0.7  # Jaccard


def texts(corpus: Path) -> Iterator[list[str]]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(corpus).iter_batches(BATCH, columns=["text"]):
        yield batch.column(0).to_pylist()


def nanogpt(corpus: Path, out: Path) -> dict[str, int]:
    """What nanoGPT's data/openwebtext/prepare.py does with each document, without the package datasets.

    A loop of ``encode_ordinary`` into an Arrow file of int64 lists, as ``map`` caches them, then one file of uint16
    in 1,024 pieces.
    """
    import pyarrow as pa

    from unplateau.prepare import _gpt2
    from unplateau.prepare.tokenizers import tokenizer_of

    assert tokenizer_of("gpt2", engine="tiktoken").eot == EOT
    import tiktoken

    ranks = {token: rank for rank, token in enumerate(_gpt2.gpt2_tokens())}
    enc = tiktoken.Encoding("gpt2", pat_str=_gpt2.PATTERN, mergeable_ranks=ranks, special_tokens={})
    schema = pa.schema({"ids": pa.list_(pa.int64()), "len": pa.int64()})
    cache, total = out / "cache.arrow", 0
    with pa.ipc.new_stream(cache, schema) as file:
        for batch in texts(corpus):
            rows = [[*enc.encode_ordinary(text), EOT] for text in batch]
            total += sum(map(len, rows))
            file.write_table(pa.table({"ids": rows, "len": [len(r) for r in rows]}, schema=schema))
    tokens = np.memmap(out / "train.bin", dtype=np.uint16, mode="w+", shape=(total,))
    table, at = pa.ipc.open_stream(pa.memory_map(str(cache))).read_all(), 0
    for shard in range(SHARDS):
        low, high = (table.num_rows * i // SHARDS for i in (shard, shard + 1))
        ids = table.column("ids").slice(low, high - low).combine_chunks().flatten().to_numpy()
        tokens[at : at + len(ids)] = ids
        at += len(ids)
    tokens.flush()
    return {"tokens": total}


def tokenise(corpus: Path, out: Path) -> dict[str, int]:
    """Our reading, tokenising and writing alone: no hashes, no statistics, no splits."""
    from unplateau.prepare.sources import documents, survey
    from unplateau.prepare.tokenizers import tokenizer_of

    tokenizer, total = tokenizer_of("gpt2"), 0
    found = survey([str(corpus)])
    with (out / "train.bin").open("wb") as file:
        for part in found.parts:
            for batch in documents(part, found.reading):
                tokens, _ = tokenizer.encode([document.text for document in batch])
                file.write(tokens.astype(np.uint16))
                total += len(tokens)
    return {"tokens": total}


def prepare(corpus: Path, out: Path) -> dict[str, int]:
    """The whole of ``unplateau prepare`` with its duplicates, statistics, splits and manifest."""
    return _prepared(corpus, out)


def prepare_plain(corpus: Path, out: Path) -> dict[str, int]:
    """``unplateau prepare --dedup off``: as much as nanoGPT's recipe does, and splits, statistics and a manifest."""
    return _prepared(corpus, out, "--dedup", "off")


def two_workers(corpus: Path, out: Path) -> dict[str, int]:
    """The whole of it, by two processes: for its wall time."""
    return _prepared(corpus, out, "--workers", "2")


def _prepared(corpus: Path, out: Path, *options: str) -> dict[str, int]:
    """In one process: the kernel tells its parent nothing of what the grandchildren of a fork server took."""
    from unplateau.cli import main

    given = ["--format", "nanogpt", "--workers", "1", "--json", *options]
    command = ["prepare", str(corpus), "--out", str(out / "data"), *given]
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        assert main(command) == 0
    splits = json.loads((out / "data" / "manifest.json").read_bytes())["splits"]
    return {"tokens": sum(s["tokens"] for name, s in splits.items() if name != "seen")}


def ours_near(corpus: Path, _out: Path) -> dict[str, int]:
    """Near-duplicates as ``prepare`` finds them, each candidate verified by its Jaccard similarity."""
    from unplateau.prepare import dedup

    every = [text for batch in texts(corpus) for text in batch]
    pieces = [dedup.signatures(every[i : i + BATCH]) for i in range(0, len(every), BATCH)]
    found = dedup.clusters(pieces, dedup.comparer(every.__getitem__), THRESHOLD)
    return {"documents": len(every), "clustered": len(every) - len(np.unique(found.cluster))}


def datasketch(corpus: Path, _out: Path) -> dict[str, int]:
    """Near-duplicates by datasketch at the same parameters and folding; its candidates are not verified."""
    from datasketch import MinHash, MinHashLSH

    from unplateau.prepare.dedup import words

    index, count, hit = MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, ROWS)), 0, 0
    for batch in texts(corpus):
        for text in batch:
            told = words(text)
            grams = {" ".join(told[i : i + GRAM]) for i in range(max(1, len(told) - GRAM + 1))}
            sketch = MinHash(num_perm=PERMUTATIONS)
            sketch.update_batch([gram.encode() for gram in grams])
            hit += bool(index.query(sketch))
            index.insert(count, sketch)
            count += 1
    return {"documents": count, "clustered": hit}


RECIPES: dict[str, Callable[[Path, Path], dict[str, int]]] = {
    f.__name__: f for f in (nanogpt, tokenise, prepare, prepare_plain, two_workers, ours_near, datasketch)
}


if __name__ == "__main__":
    name, corpus_, out_ = sys.argv[1:]
    print(json.dumps(RECIPES[name](Path(corpus_), Path(out_))))
