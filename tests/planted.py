"""Faults planted in healthy runs, of a severity that varies with the seed; each makes one cause true."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np

from synthetic import healthy_run, losses, with_values
from unplateau.derive import derive
from unplateau.run import Fact, Run


def rng_of(seed: int):
    return np.random.default_rng(seed + 10_000)


def everywhere(run: Run, f) -> Run:
    """All losses changed alike."""
    return with_values(run, **dict.fromkeys(losses(run), f))


def spiky(seed: int) -> Run:
    rng, run = rng_of(seed), healthy_run(seed, extras=True)
    end = run.get("steps_done")
    many = int(rng.integers(3, 7))
    at = (np.arange(many) + rng.uniform(0.0, 0.5, many)) / many * 0.75 * end + 0.2 * end
    sizes, width = rng.uniform(1.5, 5.0, len(at)), end / 60

    def spikes(step, value):
        decay = np.exp(-np.maximum(step[:, None] - at, 0) / width) * (step[:, None] >= at)
        return value + (decay * sizes).max(axis=1)

    return everywhere(run, spikes)


def diverging(seed: int) -> Run:
    rng = rng_of(seed)
    start, to = rng.uniform(0.3, 0.8), rng.uniform(6.0, 9.0)

    def leave(step, value):
        late = step > start * step[-1]
        climb = 1 - np.exp(-20 * np.maximum(0, step / step[-1] - start))
        return np.where(late, value + (to - value) * climb, value)

    return everywhere(healthy_run(seed), leave)


def lost(seed: int) -> Run:
    """nan from the first step, or in the middle of a float16 run; skipped steps on every third seed."""
    rng, run = rng_of(seed), healthy_run(seed, dtype="float16")
    if seed % 3 == 2:
        skipped = int(rng.uniform(0.15, 0.9) * run.get("steps_done"))
        return run.with_facts(skipped_steps=Fact(skipped, "steps", "counted"))
    first = 1 if seed % 3 == 0 else rng.uniform(0.1, 0.8) * run.get("steps_done")
    return everywhere(run, lambda step, value: np.where(step >= first, np.nan, value))


def frozen(seed: int) -> Run:
    rng = rng_of(seed)
    vocab = int(rng.choice([86, 4096, 50304, 151936]))
    run = healthy_run(seed, vocab_size=vocab, extras=True)
    noise = rng.uniform(0.001, 0.05)
    level = log(vocab) + rng.uniform(0.0, 0.12)
    run = everywhere(run, lambda step, _: level + rng.normal(0, noise, len(step)))
    norm = 0.0 if seed % 2 else rng.uniform(0.1, 3.0)
    return with_values(run, grad_norm=lambda step, _: np.full(len(step), norm))


def foreign_tokens(seed: int) -> Run:
    """A checkpoint that starts at or above an even guess."""
    worse = rng_of(seed).uniform(0.0, 4.0)
    run = healthy_run(seed, init_from="gpt2")
    return everywhere(run, lambda step, value: value + worse * np.exp(-step / 500))


def multiplied(seed: int) -> Run:
    """Losses of micro-batches summed where their mean was meant: in all losses, or in the batch loss alone."""
    k = int(rng_of(seed).integers(2, 65))
    run = healthy_run(seed, gradient_accumulation_steps=k)
    if seed % 2:
        return everywhere(run, lambda _, value: value * k)
    return with_values(run, batch_loss=lambda _, value: value / k)


def leaking(seed: int) -> Run:
    rng = rng_of(seed)
    floor, tau = rng.uniform(0.001, 0.05), rng.uniform(50, 400)
    return everywhere(
        healthy_run(seed), lambda step, value: floor + value[0] * np.exp(-step / tau) * (step < 30 * tau)
    )


def resumed(seed: int) -> Run:
    """Moments lost at a resume: the loss jumps and takes a tenth of the run to come back."""
    rng, run = rng_of(seed), healthy_run(seed, log_interval=20)
    at = int(rng.uniform(0.3, 0.8) * run.get("steps_done")) // 20 * 20
    size, tau = rng.uniform(0.5, 2.0), 0.1 * run.get("steps_done")

    def restart(step, value):
        return value + np.where(step >= at, size * np.exp(-(step - at) / tau), 0.0)

    name = "resumed_at" if seed % 2 else "resumed_after"
    return replace(
        everywhere(run, restart).with_facts(**{name: Fact([at], "steps", "log line 9")}), format="x"
    )


def replayed(seed: int) -> Run:
    """nanoGPT resumed without a jump: the batches come again all the same."""
    run = healthy_run(seed)
    at = int(rng_of(seed).uniform(0.2, 0.7) * run.get("steps_done"))
    return run.with_facts(resumed_after=Fact([at], "steps", "counted"))


def rewarmed(seed: int) -> Run:
    rng, run = rng_of(seed), healthy_run(seed, extras=True)
    end = run.get("steps_done")
    at, factor = rng.uniform(0.5, 0.85) * end, rng.uniform(2.0, 6.0)

    def again(step, value):
        low = value[np.searchsorted(step, at)]
        return np.where(step > at, np.minimum(value.max(), low * factor), value)

    return with_values(
        run, lr=again, batch_loss=lambda step, value: value + np.where(step > at, 0.05 * factor, 0.0)
    )


def cold_start(seed: int) -> Run:
    rng, run = rng_of(seed), healthy_run(seed, warmup_steps=int(seed % 4))
    size, tau = rng.uniform(1.0, 6.0), 0.01 * run.get("steps_done")
    return everywhere(
        run,
        lambda step, value: value + size * (step > 0) * np.exp(-(((step - 0.2 * tau) / tau / 3) ** 2)) * 2,
    )


def in_another_unit(seed: int) -> Run:
    run, kind = healthy_run(seed), ("bits", "dits", "perplexity")[seed % 3]
    change = {
        "bits": lambda _, value: value / log(2),
        "dits": lambda _, value: value / log(10),
        "perplexity": lambda _, value: np.exp(value),
    }
    return everywhere(run, change[kind])


def leaked(seed: int) -> Run:
    share = float(np.exp(rng_of(seed).uniform(log(0.03), 0.0)))
    return healthy_run(seed).with_facts(val_overlap=Fact(share, "fraction", "manifest.json"))


def copied(seed: int) -> Run:
    share = float(rng_of(seed).uniform(0.32, 0.95))
    if seed % 2:
        return healthy_run(seed).with_facts(duplicate_share=Fact(share, "fraction", "manifest.json"))
    tokens = {"train_tokens": 10**9, "unique_tokens": int(10**9 * (1 - share))}
    return derive(
        healthy_run(seed).with_facts(**{n: Fact(v, "tokens", "manifest.json") for n, v in tokens.items()})
    )


def short(seed: int) -> Run:
    return healthy_run(seed, block_size=int(rng_of(seed).integers(2, 17)))


def noisy_batch(seed: int) -> Run:
    rng = rng_of(seed)
    return healthy_run(
        seed, block_size=int(rng.integers(32, 257)), batch_size=1, gradient_accumulation_steps=1
    )


#: cause -> ways to plant it; those of the lead's causes stand in test_causes_a.py
PLANTED = {
    "instability": (spiky, diverging),
    "precision": (lost,),
    "frozen-parameters": (frozen,),
    "tokenizer-mismatch": (foreign_tokens,),
    "broken-targets": (multiplied, leaking),
    "resume-state": (resumed,),
    "lr-rewarmed": (rewarmed,),
    "no-warmup": (cold_start,),
    "metric-unit": (in_another_unit,),
    "val-leak": (leaked,),
    "duplicates": (copied,),
    "short-context": (short,),
    "batch-too-small": (noisy_batch,),
}
