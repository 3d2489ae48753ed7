"""Errors of the laws: the rows that each script of benchmarks/laws hands over (README there)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from math import isfinite
from typing import Any

from .judge import ROOT, each
from .page import number, percent, table

FOLDER = ROOT / "benchmarks" / "laws"
POOLED = "all of these"  # what a row is called that pools those before it
COVERS = (0.80, 0.97)  # the bar: share of curves that lie in their 90 % intervals


@dataclass(frozen=True, slots=True)
class Row:
    """One protocol on one set."""

    law: str
    what: str
    ours: float
    bar: float | None
    peers: dict[str, float]
    n: int
    coverage: float | None
    left_out: str

    @property
    def met(self) -> bool | None:
        """None where no bar was set."""
        return None if self.bar is None else isfinite(self.ours) and self.ours <= self.bar

    @property
    def covers(self) -> bool | None:
        return None if self.coverage is None else COVERS[0] <= self.coverage <= COVERS[1]


def scripts() -> list[str]:
    """The scripts that have a table."""
    return sorted(
        p.stem for p in FOLDER.glob("*.py") if p.stem[0] != "_" and "def table(" in p.read_text("utf-8")
    )


def rows(names: Sequence[str] | None = None, workers: int = 2) -> list[Row]:
    """All rows of all scripts."""
    return [row for found in each(_rows, scripts() if names is None else names, workers) for row in found]


def _rows(name: str) -> list[Row]:
    for folder in (FOLDER, ROOT / "benchmarks" / "curves", ROOT / "benchmarks"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    make: Callable[[], list[dict[str, Any]]] = import_module(name).table
    return [row(name, given) for given in make()]


def row(law: str, given: dict[str, Any]) -> Row:
    """A dict of the agreed shape as a row; a key that is missing raises ``KeyError``."""
    return Row(
        law=law,
        what=given["what"],
        ours=float(given["ours"]),
        bar=given["bar"],
        peers=dict(given.get("peers") or {}),
        n=int(given["n"]),
        coverage=given.get("coverage"),
        left_out=given.get("left_out", ""),
    )


def covered(found: Sequence[Row]) -> tuple[float, str] | None:
    """Share of one law's predictions in their intervals, and that in words; None where none was scored.

    By the pooled row, where there is one; the words tell the lowest and highest row, since families differ.
    """
    scored = [r for r in found if r.coverage is not None and r.n]
    apart = [r for r in scored if r.what != POOLED]
    pool = [r for r in scored if r.what == POOLED] or apart
    if not pool:
        return None
    n = sum(r.n for r in pool)
    share = sum(r.n * (r.coverage or 0.0) for r in pool) / n
    rows = [r.coverage or 0.0 for r in apart] or [share]
    low, high = 100 * min(rows), 100 * max(rows)
    return share, f"{percent(round(share * n), n)}; by row {low:.0f} to {high:.0f} %"


def shown(found: Sequence[Row]) -> str:
    """Errors in nats, beside the bar and the peers."""
    return table(
        ["law", "what", "left out", "n", "ours", "bar", "met", "others, same runs", "in the 90 % interval"],
        [
            [
                r.law, r.what, r.left_out, r.n, r.ours, r.bar, {True: "yes", False: "**no**", None: ""}[r.met],
                ", ".join(f"{name} {number(v)}" for name, v in r.peers.items()),
                "" if r.coverage is None else percent(round(r.coverage * r.n), r.n),
            ]
            for r in found
        ],
    )  # fmt: skip
