"""Time and error of an evaluation beside nanoGPT's estimate_loss, and of a batch beside its get_batch: one model, turn by turn.

    python benchmarks/evaluating.py --data DIR [--weights FILE] [--rounds 5] [--threads 1]

nanoGPT's are its own few lines, at its default of 200 batches a split. ``--weights``: a state dict of ``gpt2`` of 4
layers, 128 wide, saved by torch; without one the model has learned nothing, so errors are smaller than in a run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F

from unplateau.train.batches import Permutation
from unplateau.train.data import Corpus, open_corpus
from unplateau.train.evaluate import evaluator_of
from unplateau.train.models import model_of
from unplateau.train.settings import Settings

README = {
    "n_layer": 4,
    "n_head": 4,
    "n_embd": 128,
    "batch_size": 12,
    "block_size": 64,
    "architecture": "gpt2",
}
BATCHES = 500  # of one timing


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
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="nanoGPT's data folder, or one of prepare")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--iters", type=int, default=200, help="batches of each split in nanoGPT's estimate")
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    corpus = open_corpus(told.data)
    settings = Settings(vocab_size=corpus.vocab_size, eval_iters=told.iters, **README)
    torch.manual_seed(0)
    model = model_of(settings)
    if told.weights:
        model.load_state_dict(torch.load(told.weights, weights_only=True))
    evaluator = evaluator_of(settings, [(corpus, 1.0)])
    print(*evaluator.described(), sep="\n")
    print(f"the plan took {seconds(lambda: evaluator_of(settings, [(corpus, 1.0)])):.2f} s, once a run")
    ratios = []
    for _ in range(told.rounds):
        ours = seconds(lambda: evaluator(model))
        ratios.append(ours / seconds(lambda: estimate_loss(model, corpus, settings, told.iters)))
    print(f"time of an evaluation: {median(ratios):.2f} x nanoGPT's ({min(ratios):.2f} to {max(ratios):.2f})")
    for name, one in evaluator(model).splits.items():
        print(f"  {name}: {one.loss:.4f}, standard error {one.error:.4f}; of other text {one.text_error:.4f}")
    for name, (loss, error) in estimate_loss(model, corpus, settings, told.iters).items():
        print(f"  nanoGPT's {name}: {loss:.4f}, standard error {error:.4f}")
    batches, ratios = Permutation(corpus.train, settings), []
    for first in range(0, told.rounds * BATCHES, BATCHES):
        ours = seconds(lambda first=first: [batches.at(first + k) for k in range(BATCHES)])
        theirs = seconds(lambda: [get_batch(corpus, "train", settings) for _ in range(BATCHES)])
        ratios.append(ours / theirs)
    print(
        f"time of a batch: {median(ratios):.2f} x nanoGPT's ({min(ratios):.2f} to {max(ratios):.2f}), "
        f"{ours / BATCHES * 1e6:.0f} us"
    )


if __name__ == "__main__":
    main()
