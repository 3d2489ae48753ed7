"""What three other tools find in the same logs, from benchmarks/planted/peers.csv."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence

from .judge import ROOT
from .page import percent, table

PEERS = ROOT / "benchmarks/planted/peers.csv"
PEERS_SAY = """What other tools find in the logs of these runs and of our own corpus (benchmarks/planted/loop_peers.py). They speak of symptoms (divergence, overfitting, a
plateau) rather than of causes to mend, so only how often they speak can be counted; runmedic reads nanoGPT's log, the others its evaluations as a CSV."""


def peers() -> list[str]:
    """What other tools found in the same logs; nothing where they were not asked."""
    if not PEERS.is_file():
        return []
    with PEERS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return []
    tools = [name for name in rows[0] if name not in ("set", "name", "role", "cause")]
    head = ("tool", "finds something, planted", "healthy", "what")
    return [PEERS_SAY, table(head, (_peer(tool, rows) for tool in tools))]


def _peer(tool: str, rows: Sequence[dict[str, str]]) -> list[str]:
    shares, counts = [], Counter[str]()
    for role in ("planted", "healthy"):
        mine = [row[tool] for row in rows if row["role"] == role]
        shares.append(percent(sum(bool(said) for said in mine), len(mine)))
        counts.update(word for said in mine for word in said.split(";") if word)
    return [tool, *shares, ", ".join(f"{word} {n}" for word, n in counts.most_common())]
