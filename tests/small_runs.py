"""Small runs of the trainer, for the tests of all that is around one: their settings, their text, their log."""

import json

import numpy as np

#: of every small run; each test file adds its own, and where its text lies
SMALL = (
    *("--n_layer=1", "--n_head=2", "--n_embd=16", "--block_size=16", "--batch_size=4", "--device=cpu"),
    *("--vocab_size=32", "--log_style=none", "--compile=off"),
)
TIMES = {"step_ms", "tokens_per_second", "memory"}  # of a row: what no two runs share


def write_text(folder, train=5_000, val=2_000):
    """Text that is easy to learn: each token is the one before it plus one, but now and then another."""
    rng = np.random.default_rng(0)
    for split, tokens in (("train", train), ("val", val)):
        steps = np.where(rng.random(tokens) < 0.1, rng.integers(0, 32, tokens), 1)
        (np.cumsum(steps) % 32).astype(np.uint16).tofile(folder / f"{split}.bin")
    return folder


def rows(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def last_rows(folder, after=0):
    """Of each step from ``after``, what was measured and what was evaluated, without times; the later record holds."""
    told = [row for row in rows(folder) if row["step"] >= after]
    return {
        (row["step"], "val_loss" in row): {n: v for n, v in row.items() if n not in TIMES} for row in told
    }
