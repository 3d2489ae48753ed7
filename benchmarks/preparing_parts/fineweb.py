"""Files with FineWeb's and FineWeb-Edu's columns, row groups and places, and text from elsewhere.

    python benchmarks/preparing_parts/fineweb.py DIR [--files 1] [--edu]

writes DIR/fineweb/sample/10BT/000_00000.parquet and so on, from the corpus of ``benchmarks/preparing.py``, so that
what docs/prepare.md says can be tried where there is no FineWeb. The columns are those of the data sets' cards;
what stands in them is drawn from a fixed seed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 1000  # documents
SHARED = {
    "text": pa.string(),
    "id": pa.string(),
    "dump": pa.string(),
    "url": pa.string(),
    "date": pa.string(),
    "file_path": pa.string(),
    "language": pa.string(),
    "language_score": pa.float64(),
    "token_count": pa.int64(),
}
EDU = {**{k: v for k, v in SHARED.items() if k != "date"}, "score": pa.float64(), "int_score": pa.int64()}
DUMPS = [f"CC-MAIN-{year}-{week}" for year in range(2013, 2025) for week in (10, 26, 50)]
HOSTS = [
    f"www.{name}.{end}" for name in ("kitchen", "harbour", "almanac", "gazette") for end in ("com", "org")
]
BYTES_A_TOKEN = 4.7  # of FineWeb under GPT-2, about


def place(folder: Path, number: int = 0, *, edu: bool = False, sample: str = "10BT") -> Path:
    """Where the data set keeps this file."""
    return folder / ("fineweb-edu" if edu else "fineweb") / "sample" / sample / f"{number:03}_00000.parquet"


def write(texts: Sequence[str], path: Path, *, edu: bool = False, seed: int = 0) -> Path:
    """A file of ``texts`` at ``path``, its folders with it."""
    rng = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema(EDU if edu else SHARED)
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for start in range(0, len(texts), ROW_GROUP):
            rows = [_row(text, rng) for text in texts[start : start + ROW_GROUP]]
            file.write_table(pa.Table.from_pylist(rows, schema=schema))
    return path


def _row(text: str, rng: random.Random) -> dict[str, Any]:
    """One document; columns that the file lacks are left out as it is written."""
    dump, score = rng.choice(DUMPS), rng.triangular(2.5, 5.0, 2.8)
    return {
        "text": text,
        "id": f"<urn:uuid:{uuid.UUID(int=rng.getrandbits(128), version=4)}>",
        "dump": dump,
        "url": f"http://{rng.choice(HOSTS)}/{rng.randrange(10**6)}.html",
        "date": f"{dump[8:12]}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T{rng.randrange(24):02}:48:54Z",
        "file_path": f"s3://commoncrawl/crawl-data/{dump}/segments/1/warc/{rng.randrange(10**5):05}.warc.gz",
        "language": "en",
        "language_score": round(rng.uniform(0.65, 0.99), 6),
        "token_count": int(len(text.encode()) / BYTES_A_TOKEN),
        "score": round(score, 4),
        "int_score": round(score),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=1)
    parser.add_argument("--edu", action="store_true")
    given = parser.parse_args()
    from corpus import corpus

    texts = (
        pq.read_table(corpus(Path(tempfile.gettempdir()) / "unplateau-preparing")).column("text").to_pylist()
    )
    for number in range(given.files):
        path = place(given.folder, number, edu=given.edu)
        print(write(texts[number :: given.files], path, edu=given.edu, seed=number), file=sys.stderr)


if __name__ == "__main__":
    main()
