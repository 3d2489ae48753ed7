"""What starting costs: CPU seconds of ``--help`` and of ``diagnose`` on the reference run, beside importing numpy.

    python benchmarks/startup.py [--rounds 5] [--peer PATH/TO/runmedic]

Each is a process of its own and they take turns, so that a busy machine slows all alike; the median is
printed, and its ratio to a bare ``import numpy``, which no reading of logs does without. The peer is
``runmedic`` (0.1.1), where it is installed: its own ``--help``, and ``series`` on the same log.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from importlib.resources import files

REFERENCE = files("unplateau") / "examples" / "reference-run"
LOG, CONFIG = str(REFERENCE / "train.log"), str(REFERENCE / "config.py")
#: CPU seconds that each may take, by the rules of the project
BARS = {"unplateau --help": 0.3, "unplateau diagnose": 0.6}
YARDSTICK = "import numpy"


def commands(peer: str | None) -> dict[str, list[str]]:
    """What is measured, by name."""
    ours = [sys.executable, "-m", "unplateau"]
    found = {
        YARDSTICK: [sys.executable, "-c", "import numpy"],
        "unplateau --help": [*ours, "--help"],
        "unplateau diagnose": [*ours, "diagnose", LOG, "--config", CONFIG],
    }
    if peer:
        found |= {"runmedic --help": [peer, "--help"], "runmedic series": [peer, "series", LOG]}
    return found


def cpu(command: list[str]) -> float:
    """CPU seconds of a process; raises when it fails."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", default=shutil.which("runmedic"))
    given = parser.parse_args()
    measured = commands(given.peer)
    for command in measured.values():
        cpu(command)  # the first writes byte code and fills the disk's cache
    rounds = [{name: cpu(command) for name, command in measured.items()} for _ in range(given.rounds)]
    medians = {name: statistics.median(costs[name] for costs in rounds) for name in measured}
    for name, seconds in medians.items():
        bar = f"  (bar {BARS[name]} s)" if name in BARS else ""
        print(f"{name:20} {seconds:5.2f} CPU s  {seconds / medians[YARDSTICK]:4.1f} x import numpy{bar}")
    if not given.peer:
        print("runmedic is not installed: no peer (pip install runmedic==0.1.1, or --peer)")
    missed = [name for name, bar in BARS.items() if medians[name] > bar]
    print(f"over its bar: {', '.join(missed)}" if missed else "all within their bars")


if __name__ == "__main__":
    main()
