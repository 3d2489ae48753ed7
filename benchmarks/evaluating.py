"""Time and error of an evaluation beside nanoGPT's estimate_loss, and of a batch beside its get_batch: one model, turn by turn.

    python benchmarks/evaluating.py --data DIR [--run FOLDER] [--block-size 64] [--rounds 5] [--threads 1] [--batches]

nanoGPT's are its own few lines, at its default of 200 batches a split. Ours are as many as a standard error of .002
wants (the default, for a run whose evaluations are far apart), and as many as ``eval_iters`` says. Times are seconds of
the process on all its threads, so that a busy machine does not count. ``--run``: a run of ours whose last weights are
evaluated; without one the model has learned nothing, so errors are smaller than in a run. ``--wanted``: no model at
all, but the windows that an error of .002 wants of an endless text like this one, and the error of nanoGPT's tokens.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from unplateau.train.batches import Permutation
from unplateau.train.chosen import SHARES
from unplateau.train.data import Corpus, open_corpus
from unplateau.train.evaluate import evaluator_of
from unplateau.train.models import model_of
from unplateau.train.settings import Settings
from unplateau.train.survey import ERROR, LEFT, Survey

README = {
    "n_layer": 4,
    "n_head": 4,
    "n_embd": 128,
    "batch_size": 12,
    "block_size": 64,
    "architecture": "gpt2",
}
SHAPE = ("architecture", "n_layer", "n_head", "n_embd")
BATCHES = 500  # of one timing
FAR = 100_000  # steps; evaluations so far apart are as large as they ever are


def get_batch(corpus: Corpus, split: str, settings: Settings) -> tuple[torch.Tensor, torch.Tensor]:
    """train.py's, with the mapping that it makes anew each time."""
    shard, length = corpus.splits[split].shards[0], settings.block_size
    data = np.memmap(shard.path, dtype=np.uint16, mode="r")
    ix = torch.randint(len(data) - length, (settings.batch_size,))
    x = torch.stack([torch.from_numpy((data[i : i + length]).astype(np.int64)) for i in ix])
    y = torch.stack([torch.from_numpy((data[i + 1 : i + 1 + length]).astype(np.int64)) for i in ix])
    return x, y


@torch.no_grad()
def estimate_loss(model: torch.nn.Module, corpus: Corpus, settings: Settings, iters: int) -> dict[str, tuple]:
    """train.py's; the mean of each split, and its standard error."""
    out = {}
    model.eval()
    for split in ("train", "val"):
        losses = torch.zeros(iters)
        for k in range(iters):
            x, y = get_batch(corpus, split, settings)
            logits = model(x)
            losses[k] = F.cross_entropy(logits.view(-1, logits.size(-1)), y.view(-1)).item()
        out[split] = losses.mean().item(), losses.std().item() / iters**0.5
    model.train()
    return out


def seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def model_and_settings(told: argparse.Namespace, corpus: Corpus) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The last weights of a run, and its shape; or a model of the README's shape that has learned nothing."""
    size = {**README, "block_size": told.block_size, "vocab_size": corpus.vocab_size}
    torch.manual_seed(0)
    if told.run is None:
        return model_of(Settings(**size)), size
    config = json.loads((told.run / "config.json").read_bytes())
    size |= {n: config[n] for n in (*SHAPE, "block_size", "batch_size", "vocab_size")}
    model = model_of(Settings(**size))
    last = max((told.run / "checkpoints").iterdir())
    model.load_state_dict(load_file(last / "model.safetensors"))
    return model, size


def compare(
    told: argparse.Namespace, model: torch.nn.Module, corpus: Corpus, size: dict[str, Any], iters: int
) -> None:
    """One evaluation of ours, of ``iters`` batches a split or (0) of what the error wants, beside nanoGPT's."""
    settings = Settings(**size, eval_iters=iters, eval_interval=FAR, max_steps=FAR)
    evaluator = evaluator_of(settings, [(corpus, 1.0)])
    print(f"\n{f'{iters} batches of each split' if iters else 'by default'}:")
    print(*(f"  {line}" for line in evaluator.described()), sep="\n")
    ratios = []
    for _ in range(told.rounds):
        ours = seconds(lambda: evaluator(model))
        ratios.append(ours / seconds(lambda: estimate_loss(model, corpus, settings, told.iters)))
    print(f"  time: {median(ratios):.2f} x nanoGPT's ({min(ratios):.2f} to {max(ratios):.2f})")
    for name, one in evaluator(model).splits.items():
        of_text = "" if one.text_error is None else f"; of other text {one.text_error:.4f}"
        print(f"  {name}: {one.loss:.4f}, standard error {one.error:.4f}{of_text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="nanoGPT's data folder, or one of prepare")
    parser.add_argument("--run", type=Path, help="a run of gpt2, whose last weights are taken")
    parser.add_argument("--block-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--iters", type=int, default=200, help="batches of each split in nanoGPT's estimate")
    parser.add_argument("--wanted", action="store_true", help="what the error wants, by context")
    parser.add_argument("--batches", action="store_true", help="time batches too")
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    corpus = open_corpus(told.data)
    if told.wanted:
        wanted(corpus, told.iters * README["batch_size"])
    else:
        measured(told, corpus)


def measured(told: argparse.Namespace, corpus: Corpus) -> None:
    """Times and errors of one model's evaluations."""
    model, size = model_and_settings(told, corpus)
    plan = seconds(lambda: evaluator_of(Settings(**size), [(corpus, 1.0)]))
    print(f"the plan took {plan:.2f} s, once a run")
    for iters in (0, told.iters):
        compare(told, model, corpus, size, iters)
    print("\nnanoGPT's own:")
    for name, (loss, error) in estimate_loss(model, corpus, Settings(**size), told.iters).items():
        print(f"  {name}: {loss:.4f}, standard error {error:.4f}")
    if told.batches:
        time_batches(told, corpus, Settings(**size))


def wanted(corpus: Corpus, drawn: int) -> None:
    """By the spread of the cheap model of pairs over windows of the train split; ``drawn``: windows of nanoGPT's estimate of a split."""
    val, train = (
        2 * drawn * SHARES[split] // (SHARES["val"] + SHARES["train"]) for split in ("val", "train")
    )
    for length in (64, 256, 1024):
        spread = LEFT * float(Survey(corpus.train, length).control[:, 1].std())
        windows = (spread / ERROR) ** 2
        print(
            f"windows of {length}: {windows:,.0f} for {ERROR}, {windows / drawn / 2:.2f} x what nanoGPT reads; "
            f"for as much as it reads val has {spread / val**0.5:.4f}, train {spread / train**0.5:.4f}"
        )


def time_batches(told: argparse.Namespace, corpus: Corpus, settings: Settings) -> None:
    batches, ratios = Permutation(corpus.train, settings), []
    for first in range(0, told.rounds * BATCHES, BATCHES):
        ours = seconds(lambda first=first: [batches.at(first + k) for k in range(BATCHES)])
        theirs = seconds(lambda: [get_batch(corpus, "train", settings) for _ in range(BATCHES)])
        ratios.append(ours / theirs)
    print(
        f"\ntime of a batch: {median(ratios):.2f} x nanoGPT's ({min(ratios):.2f} to {max(ratios):.2f}), "
        f"{ours / BATCHES * 1e6:.0f} us"
    )


if __name__ == "__main__":
    main()
