"""What preparing costs: documents to token shards beside nanoGPT's recipe, near-duplicates beside datasketch.

    python benchmarks/preparing.py [--rounds 3] [--corpus FILE.parquet] [--cache DIR]

On the same 82 MB of English (30.4M tokens of GPT-2 in 27,601 documents; Debian packages that ``apt-get download``
fetches into the cache folder once), each recipe in a process of its own; they take turns, so that a busy machine
slows all alike, and medians are printed. nanoGPT's recipe is that of its data/openwebtext/prepare.py with a loop in
the place of the package ``datasets``, which takes more than the loop. Tokens must be equal in number. datasketch (2.0.0) is timed where it is installed; its candidates are not verified, ours are.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from preparing_parts.corpus import corpus

RECIPES = Path(__file__).parent / "preparing_parts" / "recipes.py"
CACHE = Path(tempfile.gettempdir()) / "unplateau-preparing"
TOKEN_BYTES = 2
BLOCK = 512  # bytes, of st_blocks
LOOK = 0.05  # seconds between two looks at the disk
#: the bars: Mtok and documents per CPU-second, MB of memory, bytes on disk as a multiple of the tokens'
MTOK, DOCUMENTS, RSS, DISK = 20, 7500, 400, 1.05
CORES = 1.8  # the wall time of one worker, as a multiple of that of two
#: reading and tokenising alone, the whole job without looking for near-duplicates, and the whole job
OURS = ("tokenise", "prepare_plain", "prepare")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took, and what it says that it did."""

    cpu: float  # seconds, its children's with it
    rss: float  # MB at most, of the largest process
    disk: int  # bytes at most, on its way or left
    did: dict[str, int]
    wall: float = 0.0  # seconds

    def rate(self, what: str) -> float:
        """Of ``tokens`` or ``documents``, per CPU-second."""
        return self.did[what] / self.cpu


def cost(command: list[str], folder: Path) -> Cost:
    """Run ``command``, which writes to ``folder``; raises ``SystemExit`` when it fails."""
    with tempfile.TemporaryFile() as told:
        begun = time.monotonic()
        process, disk, done = subprocess.Popen(command, stdout=told), 0, 0
        while not done:
            done, status, used = os.wait4(process.pid, os.WNOHANG)
            disk = max(disk, size_of(folder))
            time.sleep(LOOK)
        wall = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
        told.seek(0)
        did = json.loads(told.read().splitlines()[-1])
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, disk, did, wall)


def size_of(folder: Path) -> int:
    """Bytes on disk of all files in ``folder``, while others write there."""
    total = 0
    for where, _, names in os.walk(folder):  # which passes over a folder that has just gone
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(where, name)).st_blocks * BLOCK  # noqa: PTH116, PTH118
    return total


def made(cache: Path) -> Path:
    """The corpus, made in a process of its own: Linux counts a parent's memory at the fork as its child's peak."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(corpus, [cache])


def recipe(name: str, source: Path) -> Cost:
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        return cost([sys.executable, str(RECIPES), name, str(source), folder], Path(folder))


def taking_turns(names: list[str], source: Path, rounds: int) -> dict[str, Cost]:
    """Each recipe's median by CPU seconds."""
    costs = [{name: recipe(name, source) for name in names} for _ in range(rounds)]
    of = {name: sorted((c[name] for c in costs), key=lambda c: c.cpu) for name in names}
    return {name: several[len(several) // 2] for name, several in of.items()}


def tokens(source: Path, rounds: int) -> list[str]:
    """Print the rates of tokenising; the bars that were missed."""
    found = taking_turns(["nanogpt", *OURS], source, rounds)
    counts = {c.did["tokens"] for c in found.values()}
    if len(counts) > 1:
        raise SystemExit(f"the recipes disagree on the number of tokens: {sorted(counts)}")
    print(f"{counts.pop():,} tokens")
    theirs = found["nanogpt"].rate("tokens")
    for name, c in found.items():
        rate, disk = c.rate("tokens"), c.disk / (TOKEN_BYTES * c.did["tokens"])
        print(
            f"  {name:13} {rate / 1e6:5.1f} Mtok per CPU-second ({rate / theirs:4.1f} x nanoGPT's recipe), "
            f"{c.rss:4.0f} MB of memory, {disk:.2f} x the tokens on disk"
        )
    return [line for name in OURS for line in over(name, found[name])]


def cores(source: Path, rounds: int) -> list[str]:
    """Print how much sooner two workers end than one, by their best walls; the bar, where it was missed."""
    names = ("prepare", "two_workers")
    walls = [{name: recipe(name, source).wall for name in names} for _ in range(rounds)]
    one, two = (min(wall[name] for wall in walls) for name in names)
    print(
        f"  two workers take {two:.1f} s where one takes {one:.1f} s: {one / two:.2f} x (wants two idle cores)"
    )
    return ["two workers"] if one < CORES * two else []


def over(name: str, c: Cost) -> list[str]:
    """The bars that a recipe of ours missed."""
    missed = {
        f"rate of {name}": c.rate("tokens") < MTOK * 1e6,
        f"memory of {name}": c.rss > RSS,
        f"disk of {name}": c.disk > DISK * TOKEN_BYTES * c.did["tokens"],
    }
    return [bar for bar, is_missed in missed.items() if is_missed]


def near(source: Path, rounds: int) -> list[str]:
    """Print the rates of finding near-duplicates; the bars that were missed."""
    peer = ["datasketch"] if importlib.util.find_spec("datasketch") else []
    found = taking_turns(["ours_near", *peer], source, rounds)
    for name, c in found.items():
        print(
            f"  {name:12} {c.rate('documents'):6,.0f} documents per CPU-second, {c.rss:4.0f} MB of memory, "
            f"{c.did['clustered']:,} of {c.did['documents']:,} in a cluster begun before"
        )
    if peer:
        print(
            f"  {found['ours_near'].rate('documents') / found['datasketch'].rate('documents'):.1f} x datasketch's rate"
        )
    else:
        print("datasketch is not installed: no peer (pip install datasketch==2.0.0)")
    return ["rate of near-duplicates"] if found["ours_near"].rate("documents") < DOCUMENTS else []


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--corpus", type=Path, help="a parquet file with a column text")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where packages and the corpus are kept")
    given = parser.parse_args()
    source = given.corpus or made(given.cache)
    missed = [*tokens(source, given.rounds), *cores(source, given.rounds), *near(source, given.rounds)]
    print(f"over its bar: {', '.join(missed)}" if missed else "all within their bars")


if __name__ == "__main__":
    main()
