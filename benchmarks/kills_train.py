"""Kills a small training run at random instants, lets it go on, and compares it with one that was not killed.

    python benchmarks/kills_train.py [--kills 60] [--seed 0] [--folder DIR]

Of each kill (SIGKILL): every row that could be read before is there after, the last checkpoint is whole, and no more
steps are lost than since the last save. At the end: weights, moments, generators and log, but for times, to the bit.
A checkpoint is saved every 5 steps, so that many kills fall into one. Ends with 1 where one of this does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unplateau.train.checkpoints import damage, found_at, read, steps

WORDS = (
    *("--n_layer=2", "--n_head=2", "--n_embd=64", "--block_size=32", "--batch_size=8", "--device=cpu"),
    *("--max_steps=200000", "--eval_interval=200", "--log_interval=1", "--vocab_size=256", "--dropout=0.1"),
    *(
        "--log_style=none",
        "--compile=off",
        "--attention=sdpa",
        "--matmul=highest",
        "--warmup_steps=5",
        "--architecture=gpt2",
        "--optimizer=muon",
    ),
    *("--checkpoint_interval=5", "--keep_every=100", "--ema=0.9", "--eval_tokens=640"),
)
TIMES = {"step_ms", "tokens_per_second", "memory"}
EACH = 5  # steps between saves
SHOWN = 5  # of what is wrong
PATIENCE = 120.0  # seconds for a run to begin


def main() -> int:
    """0 where all holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder, rng = Path(name), random.Random(args.seed)
        make_data(folder)
        wrong = [w for number in range(args.kills) if (w := killed(folder, rng, number))]
        last = max(step for step, _ in rows(folder / "out")) + 20
        for out in ("out", "whole"):
            finish(folder, out, last)
        wrong += differences(folder)
        said = "; ".join(wrong[:SHOWN]) + (f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else "")
        print(f"{args.kills} kills, {left_over} amid a save, {last:,} steps; wrong: {said or 'nothing'}")
    return 1 if wrong else 0


def make_data(folder: Path) -> None:
    """Random tokens."""
    for split, tokens in (("train", 50_000), ("val", 5_000)):
        np.random.default_rng(0).integers(0, 256, tokens).astype(np.uint16).tofile(folder / f"{split}.bin")


def begun(folder: Path, out: str, *more: str) -> subprocess.Popen[bytes]:
    """A run in a process of its own; it goes on where it is in a folder that holds one."""
    goes_on = ("--init_from=resume",) if (folder / out / "config.json").exists() else ()
    words = (*WORDS, f"--dataset={folder}", f"--out_dir={folder / out}", *goes_on, *more)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    args = [sys.executable, "-m", "unplateau", "train", *words]
    return subprocess.Popen(args, env=env, stdout=subprocess.DEVNULL)


left_over = 0


def killed(folder: Path, rng: random.Random, number: int) -> str:
    """What a kill took that it must not; empty where nothing."""
    global left_over  # noqa: PLW0603 - a count for the last line
    out = folder / "out"
    before, deadline = rows(out), time.monotonic() + PATIENCE
    process = begun(folder, "out")
    while len(rows(out)) <= len(before) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.3))
    acknowledged = rows(out)
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        return f"kill {number}: the run ended by itself with {process.returncode}"
    after, there = rows(out), steps(out / "checkpoints")
    left_over += any(p.name.startswith(".") for p in (out / "checkpoints").iterdir())
    if not acknowledged.items() <= after.items():
        return f"kill {number}: rows are lost"
    if there and (said := damage(found_at(out))):
        return f"kill {number}: {said}"
    lost = max(step for step, _ in after) + 1 - (there[-1] if there else 0)
    return f"kill {number}: {lost} steps are lost" if lost > 2 * EACH + 1 else ""


def finish(folder: Path, out: str, last: int) -> None:
    """Train to step ``last`` with the schedule that all had."""
    process = begun(folder, out)
    while max((step for step, _ in rows(folder / out)), default=0) < last and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.wait()


def rows(out: Path) -> dict[tuple[int, bool], dict[str, Any]]:
    """Of each step what was measured and what was evaluated, without times."""
    path, found = out / "log.jsonl", {}
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    for line in lines:
        row = {name: value for name, value in json.loads(line).items() if name not in TIMES}
        found[row["step"], "val_loss" in row] = row
    return found


def differences(folder: Path) -> list[str]:
    """Where the run that was killed is not the one that was not."""
    one, other = rows(folder / "out"), rows(folder / "whole")
    common = one.keys() & other.keys()
    found = [f"row {key}" for key in sorted(common) if one[key] != other[key]]
    both = set(steps(folder / "out/checkpoints")) & set(steps(folder / "whole/checkpoints"))
    if not both:
        return [*found, "no checkpoint of a common step"]
    states = [read(found_at(folder / out / "checkpoints" / str(max(both)))) for out in ("out", "whole")]
    for part, named in states[0].tensors.items():
        found += [f"{part} {n}" for n, t in named.items() if not torch.equal(t, states[1].tensors[part][n])]
    found += [key for key in ("random", "stepper", "best") if states[0].plain[key] != states[1].plain[key]]
    return found


if __name__ == "__main__":
    sys.exit(main())
