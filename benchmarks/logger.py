"""What a row costs the loop that logs it: microseconds of the processor, against other ways to keep the same row.

    python benchmarks/logger.py [--rows 20000]

A row is a step and four numbers. ``json`` is the least that a row on disk takes: ``json.dumps`` and one ``os.write``. TensorBoard's
and Weights & Biases' own writers (offline) hand their rows to a thread or a process, whose time counts as well where it is
ours to pay: of all threads of this process. So the numbers are the same on a busy machine. What is not installed is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import unplateau as up

HERE = Path(__file__).parent
Row = dict[str, float]
Log = Callable[[int, Row], object]


def ours(place: Path) -> tuple[Log, Callable[[], object]]:
    made = up.init(place, diagnose=False)
    return lambda step, row: made.log(step=step, **row), made.finish


def plain(place: Path) -> tuple[Log, Callable[[], object]]:
    handle = os.open(place / "rows.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    write = lambda step, row: os.write(handle, json.dumps({"step": step, **row}).encode() + b"\n")  # noqa: E731
    return write, lambda: os.close(handle)


def tensorboard(place: Path) -> tuple[Log, Callable[[], object]]:
    sys.path[:] = [
        path for path in sys.path if Path(path) != HERE
    ]  # tensorboard.py lies there, a benchmark of ours
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(place))

    def log(step: int, row: Row) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, step)

    return log, writer.close


def wandb(place: Path) -> tuple[Log, Callable[[], object]]:
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
    import wandb as package

    run = package.init(project="benchmark", dir=str(place), mode="offline")
    return lambda step, row: run.log(row, step=step), run.finish


WAYS = {"json": plain, "unplateau": ours, "tensorboard": tensorboard, "wandb": wandb}


def took(way: Callable[[Path], tuple[Log, Callable[[], object]]], rows: int) -> tuple[float, float]:
    """Microseconds of the processor for a row: of the loop's own thread, and of all threads."""
    with tempfile.TemporaryDirectory() as place:
        log, end = way(Path(place))
        values = [
            {"loss": 3 + 1 / (1 + i), "lr": 1e-3, "grad_norm": 0.5 + i / rows, "tokens": 1024.0 * i}
            for i in range(rows)
        ]
        log(0, values[0])
        mine, all_threads = time.thread_time(), time.process_time()
        for step in range(1, rows):
            log(step, values[step])
        mine = time.thread_time() - mine
        end()
        return 1e6 * mine / rows, 1e6 * (time.process_time() - all_threads) / rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000)
    rows = parser.parse_args().rows
    least = 0.0
    for name, way in WAYS.items():
        try:
            mine, together = took(way, rows)
        except ImportError as error:
            print(f"{name}: left out ({error})")
            continue
        least = least or mine
        print(
            f"{name:12} {mine:7.1f} us a row in the loop, {mine / least:5.1f} times json; {together:7.1f} us in all threads"
        )


if __name__ == "__main__":
    main()
