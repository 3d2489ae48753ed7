"""Whether a file of tokens still is as it was written."""

from __future__ import annotations

from pathlib import Path

from ..durable import sha256_of
from ..errors import UnreadableError
from ..tokens import own_head
from .shards import Written


def is_whole(folder: Path, written: Written) -> bool:
    """True when the file is there with the bytes that were written; own shards with their ends and header too."""
    path = folder / written.path
    try:
        if path.stat().st_size != written.size or sha256_of(path) != written.sha256:
            return False
        head = own_head(path)
        return head is None or all(sha256_of(folder / n) == h for n, h in head["sha256"].items())
    except (OSError, UnreadableError):
        return False
