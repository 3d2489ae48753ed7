"""What three other tools say of the logs of both corpora, into peers.csv.

    python -m venv PEERS && PEERS/bin/pip install runmedic==0.1.1 trainspotter==0.2.6 trainproof==0.22.0
    python loop_peers.py --bin PEERS/bin

runmedic reads nanoGPT's log; the other two do not, and get its evaluations as a CSV of step, train_loss and val_loss.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from check import HERE, READINGS, corpus_cases
from loop_pack import unpacked
from make import EVALUATED

TABLE = Path(__file__).with_name("peers.csv")
LIMIT_S = 120
PINNED = {"runmedic": "0.1.1", "trainspotter": "0.2.6", "trainproof": "0.22.0"}
WORDS = {
    "runmedic": ("diagnose", "--json"),
    "trainspotter": ("analyze", "--format", "csv", "--output", "json"),
    "trainproof": ("doctor", "--json"),
}


def tabled(log: str) -> str:
    """The evaluations of nanoGPT's log as a CSV; the later of two rows of one step holds."""
    rows = {int(step): (train, val) for step, train, val in EVALUATED.findall(log)}
    lines = (f"{step},{train},{val}" for step, (train, val) in sorted(rows.items()))
    return "\n".join(("step,train_loss,val_loss", *lines, ""))


def findings(tool: str, told: Any) -> Iterator[str]:
    """The names of what a tool finds; of what it only informs, ``(info)`` behind the name."""
    if tool == "runmedic":
        yield from (_named(one["check"], one) for run in told for one in run["findings"])
    elif tool == "trainspotter":
        yield from (_named(one["detector"], one) for one in told["findings"])
    else:
        found = [one for report in told["reports"] for one in report["findings"]]
        yield from (str(one["id"]) for one in found if one["level"] in ("WARN", "FAIL"))


def _named(name: str, found: dict[str, Any]) -> str:
    return f"{name} (info)" if found["severity"] == "info" else name


def asked(tool: str, place: Path, log: Path) -> str:
    """What one tool finds, in its own words; ``unreadable`` where it can't read the log."""
    if tool != "runmedic":
        text = tabled(log.read_text())
        log = log.with_name("log.csv")
        log.write_text(text)
    done = subprocess.run(
        [str(place / tool), *WORDS[tool], str(log)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    try:
        return ";".join(dict.fromkeys(findings(tool, json.loads(done.stdout))))
    except json.JSONDecodeError:
        return "unreadable"


def logs(scratch: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Set, name, role and cause of each run, and its log."""
    for place in ("loop", "corpus"):
        (scratch / place).mkdir()
    for one in unpacked(scratch / "loop"):
        if one.role != "relief":
            yield ("loop", one.name, one.role, str(one.truth["cause"])), one.log
    for name, truth, folder in corpus_cases(HERE / "corpus.jsonl.zst", scratch / "corpus"):
        role = "healthy" if truth["cause"] in READINGS else "planted"
        yield ("corpus", name, role, truth["cause"]), folder / "train.log"


def main() -> None:
    """Ask each of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bin", type=Path, required=True, help="where the tools are installed")
    place = parser.parse_args().bin.resolve()
    with TemporaryDirectory() as scratch:
        found = [(*row, *(asked(tool, place, log) for tool in PINNED)) for row, log in logs(Path(scratch))]
    head = ("set", "name", "role", "cause", *(f"{tool} {version}" for tool, version in PINNED.items()))
    with TABLE.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows((head, *found))


if __name__ == "__main__":
    main()
