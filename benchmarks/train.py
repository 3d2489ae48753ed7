"""Training speed beside unmodified nanoGPT: tokens a second, by turns on one machine, and losses step by step.

    python benchmarks/train.py --nanogpt DIR [--device cpu] [--rows readme,readme-bf16,reference,reference-bf16]

Both are processes of their own with the same words on their command lines: nanoGPT's ``train.py`` as it is, and
``unplateau train`` on the same config with ``--sampling=nanogpt``. Each is started alone and timed to its first step
(the cold start: imports, reading, compiling with no cache; then the warm one). From there they take turns: one
is stopped (SIGSTOP) while the other runs, a few seconds each, so that whatever else the machine does slows both. A
round is one turn of each; the ratio of a round is that of their median step times, and the median round is told.

nanoGPT ignores ``dtype`` on a CPU, so that bfloat16 there is ours alone. Its console gives losses to four decimals:
``|loss|`` is the largest difference that those decimals show.
"""

from __future__ import annotations

import argparse
import os
import pickle
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ITER = re.compile(r"^iter (\d+): loss ([\d.]+), time ([\d.]+)ms")
TOKENS = 2_000_000  # of the text both read: its words are drawn at random, which no speed depends on
LAUNCH = 900  # seconds to the first step, at most
STEPS = {"max_iters": 2000, "lr_decay_iters": 2000, "learning_rate": 1e-3, "gradient_accumulation_steps": 1}
README = STEPS | {
    "block_size": 64,
    "batch_size": 12,
    "n_layer": 4,
    "n_head": 4,
    "n_embd": 128,
    "dropout": 0.0,
}
REFERENCE = README | {"block_size": 1024, "batch_size": 1, "n_layer": 12, "n_head": 12, "n_embd": 384}
GPT2 = REFERENCE | {"batch_size": 16, "n_embd": 768}


@dataclass(frozen=True)
class Row:
    """One line of the table. ``seconds``: of a turn. ``bar``: how many times nanoGPT's tokens a second it is to do."""

    words: Mapping[str, float]
    vocab: int
    dtype: str
    bar: float
    seconds: float
    every: int  # steps between the lines that both print


ROWS = {
    "readme": Row(README, 65, "float32", 1.5, 4.0, 5),
    "readme-bf16": Row(README, 65, "bfloat16", 2.2, 4.0, 5),
    "reference": Row(REFERENCE, 50304, "float32", 1.4, 20.0, 1),
    "reference-bf16": Row(REFERENCE, 50304, "bfloat16", 2.2, 20.0, 1),
    "gpt2-bf16": Row(GPT2, 50304, "bfloat16", 1.3, 10.0, 5),
}


@dataclass
class Racer:
    """A process that prints ``iter`` lines. ``steps``: its losses; ``turn``: step times since it was let go."""

    name: str
    command: Sequence[str]
    place: Path
    environment: Mapping[str, str]
    losses: dict[int, str] = field(default_factory=dict)
    turn: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    start: float = 0.0

    def launch(self) -> Racer:
        """Start it, wait for its second line (a whole step after the first one), and stop it there."""
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            self.command,
            cwd=self.place,
            env={**os.environ, **self.environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._first = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()
        if not self._first.wait(LAUNCH) or self.process.poll() is not None:
            self.process.kill()
            raise SystemExit(f"{self.name} took no step:\n" + "\n".join(self.said[-20:]))
        self.start = time.perf_counter() - begun
        self.process.send_signal(signal.SIGSTOP)
        return self

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := ITER.match(line):
                self.losses[int(found[1])] = found[2]
                self.turn.append(float(found[3]))
                self._first.set()
            else:
                self.said.append(line.rstrip())
        self._first.set()

    def go(self, seconds: float) -> float:
        """Milliseconds of a step, median of a turn; the first line is left out, its step was cut by the stop."""
        self.turn = []
        self.process.send_signal(signal.SIGCONT)
        until = time.perf_counter() + seconds
        while (time.perf_counter() < until or len(self.turn) < 3) and self.process.poll() is None:
            time.sleep(0.05)
        if self.process.poll() is not None:
            raise SystemExit(f"{self.name} ended too soon:\n" + "\n".join(self.said[-20:]))
        self.process.send_signal(signal.SIGSTOP)
        return statistics.median(self.turn[1:])

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def prepared(place: Path, nanogpt: Path, vocab: int) -> Path:
    """A folder to start nanoGPT in: its own files, linked, and a text of random tokens."""
    for name in ("configurator.py", "model.py", "train.py", "config"):
        (place / name).symlink_to((nanogpt / name).resolve())
    data = place / "data" / "text"
    data.mkdir(parents=True)
    draw = np.random.default_rng(1)
    for split, size in (("train", TOKENS), ("val", TOKENS // 10)):
        rank = np.minimum(draw.zipf(1.3, size), vocab) - 1
        rank.astype(np.uint16).tofile(data / f"{split}.bin")
    meta = {"vocab_size": vocab, "stoi": {}, "itos": {}}
    (data / "meta.pkl").write_bytes(pickle.dumps(meta))  # else nanoGPT takes a vocabulary of 50304
    return place


def racers(row: Row, place: Path, device: str, caches: Path, compile_: str) -> tuple[Racer, Racer]:
    """nanoGPT's process and ours, not started."""
    words = {**row.words, "device": device, "log_interval": row.every, "eval_interval": 10_000_000}
    words |= {"dataset": "text", "eval_iters": 1, "out_dir": "theirs"}
    card = device.startswith("cuda")
    theirs = words | {"compile": card, "dtype": row.dtype if card else "float32"}
    own = {"sampling": "nanogpt", "log_style": "nanogpt", "compile": compile_, "dtype": row.dtype}
    ours = words | own | {"dataset": str(place / "data" / "text"), "out_dir": str(place / "ours")}
    ours["out_dir"] = tempfile.mkdtemp(dir=place)
    config = "config/train_shakespeare_char.py"
    kept = {"TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"), "XDG_CACHE_HOME": str(caches)}
    return (
        Racer("nanoGPT", [sys.executable, "train.py", config, *keys(theirs)], place, {}),
        Racer("unplateau", [sys.executable, "-m", "unplateau", "train", config, *keys(ours)], place, kept),
    )


def keys(words: Mapping[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in words.items()]


def race(name: str, row: Row, given: argparse.Namespace, place: Path) -> None:
    caches = place / f"caches-{name}"
    caches.mkdir(exist_ok=True)
    _, cold = racers(row, place, given.device, caches, given.compile)
    cold.launch().end()
    theirs, ours = racers(row, place, given.device, caches, given.compile)
    try:
        theirs.launch()
        ours.launch()
        rounds = [(theirs.go(row.seconds), ours.go(row.seconds)) for _ in range(given.rounds)]
    finally:
        theirs.end()
        ours.end()
    print(f"{name}: ", end="")
    report(row, rounds, theirs, ours, cold.start)


def report(row: Row, rounds: list[tuple[float, float]], theirs: Racer, ours: Racer, cold: float) -> None:
    """A row of the table, and what a whole run of its length takes, starts and all."""
    ratios = sorted(a / b for a, b in rounds)
    median = statistics.median(ratios)
    a, b = (statistics.median(times) for times in zip(*rounds, strict=True))
    same = sorted(theirs.losses.keys() & ours.losses.keys())
    apart = max((abs(float(theirs.losses[s]) - float(ours.losses[s])) for s in same), default=float("nan"))
    tokens = row.words["batch_size"] * row.words["block_size"] * 1e3
    print(
        f"{tokens / b:,.0f} tokens/s beside {tokens / a:,.0f}: x{median:.2f} of {ratios[0]:.2f} to "
        f"{ratios[-1]:.2f} in {len(rounds)} rounds (bar {row.bar}, {'met' if median >= row.bar else 'MISSED'})"
    )
    steps = row.words["max_iters"]
    for word, start in (("cold", cold), ("warm", ours.start)):
        whole = (theirs.start + steps * a / 1e3) / (start + steps * b / 1e3)
        print(
            f"  first step after {start:.1f} s {word}, nanoGPT's after {theirs.start:.1f} s; "
            f"{steps:,} steps with that: x{whole:.2f}"
        )
    print(f"  losses of {len(same)} steps up to {same[-1]:,}: at most {apart:.4f} apart")
    print("  " + next((line for line in ours.said if line.startswith("kernels:")), "kernels: not told"))


def helped(rounds: int) -> float:
    """Seconds of ``unplateau train --help``, median."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "unplateau", "train", "--help"], check=True, stdout=subprocess.DEVNULL
        )
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nanogpt", type=Path, required=True, help="its folder, unmodified")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", default="readme,readme-bf16,reference,reference-bf16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", default="on", choices=["auto", "on", "off"], help="of ours")
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    for name in given.rows.split(","):
        with tempfile.TemporaryDirectory() as folder:
            place = prepared(Path(folder), given.nanogpt, ROWS[name].vocab)
            race(name, ROWS[name], given, place)
    print(f"unplateau train --help: {helped(given.rounds):.2f} s (bar .3)")


if __name__ == "__main__":
    main()
