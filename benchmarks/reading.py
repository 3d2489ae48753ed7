"""What reading a large nanoGPT log costs, in CPU seconds and memory, against a peer on the same file.

    python benchmarks/reading.py [--mb 100] [--rounds 3] [--peer PATH/TO/runmedic] [--peer-mb 5]

Each reading is a process of its own; ours and the peer's take turns, so that a busy machine slows both.
The peer is ``runmedic series`` (0.1.1), where it is installed. It is slow, so it gets a shorter log by
default, and the ratio is of CPU seconds a megabyte.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = 20_000  # batch records written at once
EVAL_INTERVAL = 250  # steps
LIMIT_S, LIMIT_MB = 2.5, 150  # the bar: CPU seconds and peak memory for 100 MB


def write_log(path: Path, mb: float, eval_interval: int = EVAL_INTERVAL) -> None:
    """A log as nanoGPT prints it with log_interval 1, of ``mb`` megabytes."""
    rng, start, size = random.Random(0), 0, 0
    with path.open("w") as file:
        while size < mb * 1e6:
            lines = []
            for step in range(start, start + BLOCK):
                if step % eval_interval == 0:
                    losses = rng.uniform(2, 4), rng.uniform(2, 4)
                    lines.append("step {}: train loss {:.4f}, val loss {:.4f}".format(step, *losses))
                    lines.append("saving checkpoint to out")
                mfu = -100 if step < 5 else rng.uniform(2, 40)
                lines.append(
                    f"iter {step}: loss {rng.uniform(2, 4):.4f}, time {rng.uniform(2e3, 4e3):.2f}ms, mfu {mfu:.2f}%"
                )
            start += BLOCK
            block = "\n".join(lines) + "\n"
            size += file.write(block)


def cost(command: list[str]) -> tuple[float, float]:
    """CPU seconds and peak memory in MB of a process; raises when it fails."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


OURS = """
import sys
from pathlib import Path
from unplateau.readers import Options, choose
from unplateau.source import Source
source = Source(Path(sys.argv[1]))
(run,) = choose(source).read(source, Options())
assert len(run.series["batch_loss"]) > 100 * len(run.series["val_loss"]) > 0, run.series
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mb", type=float, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", default=shutil.which("runmedic"))
    parser.add_argument("--peer-mb", type=float, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log, short = Path(folder) / "train.log", Path(folder) / "short.log"
        write_log(log, given.mb)
        write_log(short, given.peer_mb)
        commands = {
            "reader": ([sys.executable, "-c", OURS, str(log)], log),
            "unplateau read": ([sys.executable, "-m", "unplateau", "read", str(log)], log),
        }
        if given.peer:
            commands["runmedic series"] = ([given.peer, "series", str(short)], short)
        costs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(given.rounds):
            for name, (command, _path) in commands.items():
                costs[name].append(cost(command))
        report(costs, {name: path.stat().st_size / 1e6 for name, (_, path) in commands.items()})


def report(costs: dict[str, list[tuple[float, float]]], sizes: dict[str, float]) -> None:
    """The best of the rounds: what else ran on the machine only ever adds."""
    rates = {}
    for name, rounds in costs.items():
        seconds, memory = min(s for s, _ in rounds), max(m for _, m in rounds)
        rates[name] = seconds / sizes[name]
        print(f"{name:16} {sizes[name]:6.0f} MB  {seconds:6.2f} CPU s  {memory:5.0f} MB peak")
    print(f"the bar for 100 MB: {LIMIT_S} CPU s, {LIMIT_MB} MB")
    if "runmedic series" in rates:
        print(f"runmedic takes {rates['runmedic series'] / rates['reader']:.0f} times as long a megabyte")
    else:
        print("runmedic is not installed: no ratio (pip install runmedic==0.1.1, or --peer)")


if __name__ == "__main__":
    main()
