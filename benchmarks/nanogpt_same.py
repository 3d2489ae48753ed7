"""That ``gpt2`` is nanoGPT's GPT to the bit: weights of a seed, losses and gradients, also with dropout.

    python benchmarks/nanogpt_same.py --nanogpt DIR

It prints the sums that ``tests/test_train_nanogpt_ckpt.py`` holds.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
from contextlib import redirect_stdout
from pathlib import Path

import torch
import torch.nn.functional as F

from unplateau.train.gpt2_names import theirs
from unplateau.train.models import model_of
from unplateau.train.settings import Settings

TINY = {"n_layer": 2, "n_head": 2, "n_embd": 16, "vocab_size": 31, "block_size": 8}


def pair(nanogpt, sizes, **changes):
    """Their model and ours, each after the same seed."""
    torch.manual_seed(1337)
    with redirect_stdout(io.StringIO()):
        other = nanogpt.GPT(nanogpt.GPTConfig(**sizes, **changes))
    torch.manual_seed(1337)
    return other, model_of(Settings(architecture="gpt2", **sizes, **changes))


def same(other, mine, sizes):
    """Whether weights, the loss of a batch and its gradients are equal, bit for bit."""
    x, y = torch.randint(sizes["vocab_size"], (2, 4, sizes["block_size"])).unbind()
    torch.manual_seed(3)
    loss = other(x, y)[1]
    torch.manual_seed(3)
    ours = F.cross_entropy(mine(x).flatten(0, 1), y.flatten())
    equal = [torch.equal(loss, ours)]
    loss.backward()
    ours.backward()
    for p, q in zip(other.parameters(), mine.parameters(), strict=True):
        equal += [torch.equal(p, q), torch.equal(p.grad, q.grad)]
    return all(equal)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nanogpt", type=Path, required=True, help="nanoGPT's folder, unmodified")
    spec = importlib.util.spec_from_file_location("nanogpt_model", parser.parse_args().nanogpt / "model.py")
    nanogpt = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nanogpt)
    for bias in (False, True):
        for dropout in (0.0, 0.2):
            equal = same(*pair(nanogpt, TINY, bias=bias, dropout=dropout), TINY)
            print(f"bias {bias!s:5} dropout {dropout}: {'the same bits' if equal else 'NOT THE SAME'}")
    other, mine = pair(nanogpt, TINY, bias=True)
    sums = {n: p.abs().sum(dtype=torch.float64).item() for n, p in other.named_parameters()}
    assert set(sums) == {theirs(n) for n, _ in mine.named_parameters()}
    for name in ("wte.weight", "wpe.weight", "h.0.attn.c_attn.weight", "h.1.mlp.c_proj.weight"):
        print(f'    "transformer.{name}": {sums[f"transformer.{name}"]:.9f},')


if __name__ == "__main__":
    main()
