"""Other batches: branches with half and with twice the batch, all cooled down to zero, on the same number of tokens or steps.

Half the batch takes as many tokens in twice the steps, at a rate lower by the root of two (Malladi et al. 2022, for Adam);
twice the batch takes as many steps, at the same rate: that is what the causes claim. The twice as large batch has two
micro-batches a step at least, so that its log tells the gradient noise scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from pathlib import Path

from ..run import Run
from . import Arm, Normal, Prediction, Probe, Reading, Site, Trial
from ._arms import cooled, cost, measured, noise, per_step, rounded, steps_for, working_rate
from ._ends import end_difference, lower

NAME, SMALL, LARGE = "batch_size", "batch-too-small", "batch-too-large"
SAME, DOUBLE, HALF = "as-it-is", "double", "half"
ARMS = 3


def design(run: Run, site: Site) -> Trial | None:
    rate, block = working_rate(run, site.step), int(run.get("block_size") or 0)
    steps = steps_for(run, site, 4, ARMS)  # of the run's own batch: 1, 2 and 1 times as many tokens
    batch, parts = int(run.get("batch_size") or 0), int(run.get("gradient_accumulation_steps") or 1)
    halved = _halved(batch, parts)
    if site.checkpoint is None or not rate or not steps or not batch or halved is None:
        return None
    slower = rounded(rate / sqrt(2))
    # windows are counted by batches: without another order, another batch would read another part of the text again
    words = (*measured(site, ARMS, block), f"--seed={int(run.get('seed') or 0) + 1}")
    start = site.step
    arms = (
        Arm(SAME, steps, {}, start, (*words, *cooled(rate, start, steps))),
        Arm(
            DOUBLE,
            steps,
            {"gradient_accumulation_steps": (parts, 2 * parts)},
            start,
            (*words, *cooled(rate, start, steps)),
        ),
        Arm(HALF, 2 * steps, halved, start, (*words, *cooled(slower, start, 2 * steps))),
    )
    size = per_step(run)
    question = f"does a batch of {size // 2:,} or {2 * size:,} tokens learn more than one of {size:,}"
    tokens = cost(4 * steps * size, site, ARMS, block)
    return Trial(NAME, question, arms, PREDICTIONS, tokens, noise(site, ARMS, block))


def _halved(batch: int, parts: int) -> dict[str, tuple[int, int]] | None:
    """The settings of half the batch; None where it can't be halved."""
    if parts % 2 == 0:
        return {"gradient_accumulation_steps": (parts, parts // 2)}
    return {"batch_size": (batch, batch // 2)} if batch % 2 == 0 else None


PREDICTIONS = (
    Prediction(
        SMALL, Normal(0.05, 0.03), Normal(0.01, 0.01), "with it twice the batch, in as many steps, wins much"
    ),
    Prediction(
        LARGE, Normal(0.03, 0.02), Normal(-0.005, 0.01), "with it half the batch wins on the same tokens"
    ),
)


def read(trial: Trial, folders: Mapping[str, Path]) -> tuple[Reading, ...]:
    steps, found = trial.arms[0].steps, []
    for cause, arm, on in ((SMALL, DOUBLE, "steps"), (LARGE, HALF, "tokens")):
        won = end_difference(folders[SAME], folders[arm])
        fact = f"{'twice' if arm == DOUBLE else 'half'} the batch, on as many {on} as {steps:,} steps have, ended {lower(won.value)}"
        found.append(Reading(cause, won, fact))
    return tuple(found)


PROBE = Probe(NAME, (SMALL, LARGE), "is the batch too small or too large?", design, read)
