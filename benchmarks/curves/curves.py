"""The loss curves of this folder, as rows of text; see README.md for what they are."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import zstandard

HERE = Path(__file__).parent


def rows(name: str) -> list[dict[str, str]]:
    """The rows of ``NAME.csv.zst``, column -> text."""
    with zstandard.open(HERE / f"{name}.csv.zst", "rb") as packed:
        return list(csv.DictReader(io.TextIOWrapper(packed, encoding="utf-8")))
