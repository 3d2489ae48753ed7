"""What reading a large nanoGPT log and a large CSV costs, in CPU seconds and memory, against peers on the same files.

    python benchmarks/reading.py [--mb 100] [--rounds 3] [--peer PATH/TO/runmedic] [--peer-mb 5] [--rows 1000000]

Each reading is a process of its own; ours and the peers' take turns, so that a busy machine slows all.
The peer for the log is ``runmedic series`` (0.1.1), where it is installed. It is slow, so it gets a shorter log
by default, and the ratio is of CPU seconds a megabyte. The peers for the CSV are what one would write oneself
(``csv.DictReader`` and ``float``), and pandas and pyarrow, where they are installed; ours also tells whose log
it is and what its columns mean.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
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


def write_csv(path: Path, rows: int) -> None:
    """A table of numbers, with a validation loss in each ``EVAL_INTERVAL``-th row and an empty cell in the others."""
    rng = random.Random(0)
    with path.open("w") as file:
        file.write("step,train_loss,val_loss,lr\n")
        for step in range(rows):
            val = f"{rng.uniform(2, 4):.4f}" if step % EVAL_INTERVAL == 0 else ""
            file.write(f"{step},{rng.uniform(2, 4):.4f},{val},{6e-4 * (1 - step / rows):.6g}\n")


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

DICT_READER = """
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
columns = {name: [float(row[name]) for row in rows if row[name]] for name in rows[0]}
"""
#: what reads the columns of a CSV into numbers -> the package that it needs, and its program
TABLES = {
    "csv.DictReader": (
        "csv",
        DICT_READER,
    ),
    "pandas.read_csv": ("pandas", "import pandas, sys\npandas.read_csv(sys.argv[1])"),
    "pyarrow.csv": ("pyarrow", "import pyarrow.csv, sys\npyarrow.csv.read_csv(sys.argv[1])"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mb", type=float, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", default=shutil.which("runmedic"))
    parser.add_argument("--peer-mb", type=float, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000)
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
        costs = measured({name: command for name, (command, _path) in commands.items()}, given.rounds)
        report(costs, {name: path.stat().st_size / 1e6 for name, (_, path) in commands.items()})
        table = Path(folder) / "table.csv"
        write_csv(table, given.rows)
        report_table(table, given.rounds)


def measured(commands: Mapping[str, list[str]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """What each of ``commands`` costs, by turns."""
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            costs[name].append(cost(command))
    return costs


def report_table(table: Path, rounds: int) -> None:
    """The CSV, by our reader and by the peers that are installed."""
    commands = {"reader": [sys.executable, "-c", OURS, str(table)]}
    for name, (package, program) in TABLES.items():
        if importlib.util.find_spec(package):
            commands[name] = [sys.executable, "-c", program, str(table)]
    costs = {name: best(found) for name, found in measured(commands, rounds).items()}
    mb = table.stat().st_size / 1e6
    for name, (seconds, memory) in costs.items():
        ratio = seconds / costs["reader"][0]
        print(f"{name:16} CSV, {mb:.0f} MB  {seconds:6.2f} CPU s ({ratio:.2g} x)  {memory:5.0f} MB peak")


def best(rounds: list[tuple[float, float]]) -> tuple[float, float]:
    """Seconds and memory of the best of the rounds: what else ran on the machine only ever adds."""
    return min(s for s, _ in rounds), max(m for _, m in rounds)


def report(costs: dict[str, list[tuple[float, float]]], sizes: dict[str, float]) -> None:
    """The log, by our reader, our verb and the peer."""
    rates = {}
    for name, rounds in costs.items():
        seconds, memory = best(rounds)
        rates[name] = seconds / sizes[name]
        print(f"{name:16} {sizes[name]:6.0f} MB  {seconds:6.2f} CPU s  {memory:5.0f} MB peak")
    print(f"the bar for 100 MB: {LIMIT_S} CPU s, {LIMIT_MB} MB")
    if "runmedic series" in rates:
        print(f"runmedic takes {rates['runmedic series'] / rates['reader']:.0f} times as long a megabyte")
    else:
        print("runmedic is not installed: no ratio (pip install runmedic==0.1.1, or --peer)")


if __name__ == "__main__":
    main()
