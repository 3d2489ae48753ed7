"""Faults planted in sound runs: those of ``unplateau simulate`` at full strength, and two that only memory can hold."""

from __future__ import annotations

import numpy as np

from synthetic import healthy_run, losses, with_values
from unplateau.run import Fact, Run
from unplateau.simulate import PLANTERS, simulate
from unplateau.simulate.facts import run_of

#: causes that a log and a config show only when another run or a manifest is beside them
HINTED = ("batch-too-small", "batch-too-large", "converged")


def rng_of(seed: int):
    return np.random.default_rng(seed + 10_000)


def everywhere(run: Run, f) -> Run:
    """All losses changed alike."""
    return with_values(run, **dict.fromkeys(losses(run), f))


def simulated(cause: str):
    """The way to plant that ``unplateau simulate`` knows."""

    def way(seed: int) -> Run:
        return run_of(simulate(cause, 1.0, seed).plan)

    way.__name__ = "simulated"
    return way


def skipping(seed: int) -> Run:
    """A scaler that skips steps all along."""
    run = healthy_run(seed, dtype="float16")
    skipped = int(rng_of(seed).uniform(0.15, 0.9) * run.get("steps_done"))
    return run.with_facts(skipped_steps=Fact(skipped, "steps", "counted"))


def replayed(seed: int) -> Run:
    """nanoGPT resumed without a jump: the batches come again all the same."""
    run = healthy_run(seed)
    at = int(rng_of(seed).uniform(0.2, 0.7) * run.get("steps_done"))
    return run.with_facts(resumed_after=Fact([at], "steps", "counted"))


def noisy_batch(seed: int) -> Run:
    """A few sentences a step, of a text that is learnt all the same."""
    rng = rng_of(seed)
    return healthy_run(
        seed, block_size=int(rng.integers(32, 257)), batch_size=1, gradient_accumulation_steps=1
    )


#: cause -> ways to plant it
PLANTED = {cause: (simulated(cause),) for cause in PLANTERS if cause not in HINTED}
PLANTED["precision"] += (skipping,)
PLANTED["batch-too-small"] = (noisy_batch,)
