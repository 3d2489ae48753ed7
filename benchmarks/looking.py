"""What the probes that look see on small runs, healthy and planted: their predictions are measured here.

    python benchmarks/looking.py train --out OUT [--only WORD ...]
    python benchmarks/looking.py look --out OUT
    python benchmarks/looking.py fit --out OUT

``train`` makes the runs (2 layers, 48 wide; ``looking_parts/cases.py`` lists them), ``look`` runs the arms of the probes
on them, ``fit`` prints the constants of the probes and writes ``looking.csv``. Each goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from looking_parts.cases import CASES, Case, build

HERE = Path(__file__).parent
LIMIT_S = 1800


def done(case: Case, out: Path) -> bool:
    return (out / "runs" / case.name / "done").exists()


def train(case: Case, out: Path) -> None:
    """One run, in a process of its own."""
    began, folder = time.monotonic(), out / "runs" / case.name
    if not (out / "data" / case.data.name / "full").exists():
        build(case.data, out / "data" / case.data.name)
    shutil.rmtree(folder, ignore_errors=True)
    words = [sys.executable, "-m", "looking_parts.plant", case.name, str(out)]
    subprocess.run(words, cwd=HERE, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=LIMIT_S, check=True)
    (folder / "done").touch()
    print(f"{case.name}: {time.monotonic() - began:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=("train", "look", "fit"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[""], help="words, one of which the case's name holds")
    args = parser.parse_args()
    out = args.out.resolve()
    cases = [case for case in CASES if any(word in case.name for word in args.only)]
    for case in cases if args.verb == "train" else ():
        if not done(case, out):
            train(case, out)


if __name__ == "__main__":
    main()
