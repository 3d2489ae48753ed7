"""Other batches: branches with half and with twice the batch, all cooled down to zero.

Half the batch takes as many tokens in twice the steps, at a rate lower by the root of two (Malladi et al. 2022, for
Adam): where it learns more, the batch was too large. Twice the batch takes as many steps, at the same rate. What that
wins in a short branch says nothing of a batch that is too small (docs/LOG.md), but gradient norms at three batches tell
how much of the gradient is noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from pathlib import Path

from ..estimate import Estimate
from ..run import Run
from . import Arm, Normal, Prediction, Probe, Reading, Site, Trial
from ._arms import cooled, cost, measured, noise, per_step, rounded, steps_for, working_rate
from ._ends import end_difference, lower
from ._noise import noise_share, squared_norms

NAME, SMALL, LARGE = "batch_size", "batch-too-small", "batch-too-large"
SAME, DOUBLE, HALF = "as-it-is", "double", "half"
TIMES = {SAME: 1.0, DOUBLE: 2.0, HALF: 0.5}
ARMS, UNITS = len(TIMES), 4  # the arms train on 1, 2 and 1 times the tokens of the first


def design(run: Run, site: Site) -> Trial | None:
    rate, block = working_rate(run, site.step), int(run.get("block_size") or 0)
    steps = steps_for(run, site, UNITS, ARMS)
    batch, parts = int(run.get("batch_size") or 0), int(run.get("gradient_accumulation_steps") or 1)
    halved = _halved(batch, parts)
    if site.checkpoint is None or not rate or not steps or not batch or halved is None:
        return None
    # windows are counted by batches: without another order, another batch would read another part of the text again
    words = (*measured(site, ARMS, block), f"--seed={int(run.get('seed') or 0) + 1}")
    start, slower = site.step, rounded(rate / sqrt(2))
    doubled = {"gradient_accumulation_steps": (parts, 2 * parts)}
    arms = (
        Arm(SAME, steps, {}, start, (*words, *cooled(rate, start, steps))),
        Arm(DOUBLE, steps, doubled, start, (*words, *cooled(rate, start, steps))),
        Arm(HALF, 2 * steps, halved, start, (*words, *cooled(slower, start, 2 * steps))),
    )
    size = per_step(run)
    question = f"does a batch of {size // 2:,} tokens learn more than one of {size:,}, and how much of its gradient is noise"
    tokens = cost(UNITS * steps * size, site, ARMS, block)
    return Trial(NAME, question, arms, PREDICTIONS, tokens, noise(site, ARMS, block))


def _halved(batch: int, parts: int) -> dict[str, tuple[int, int]] | None:
    """The settings of half the batch; None where it can't be halved."""
    if parts % 2 == 0:
        return {"gradient_accumulation_steps": (parts, parts // 2)}
    return {"batch_size": (batch, batch // 2)} if batch % 2 == 0 else None


#: benchmarks/probes.py: 4 readings of batches that are too small, 2 of one that is too large
PREDICTIONS = (
    Prediction(SMALL, Normal(1.0, 0.05), Normal(0.77, 0.17), "with it nearly all of the gradient is noise"),
    Prediction(
        LARGE,
        Normal(0.028, 0.018),
        Normal(0.001, 0.005),
        "with it half the batch learns more from the same tokens",
    ),
)


def read(trial: Trial, folders: Mapping[str, Path]) -> tuple[Reading, ...]:
    won = end_difference(folders[SAME], folders[HALF])
    fact = f"half the batch, on the tokens of {trial.arms[0].steps:,} steps, ended {lower(won.value)}"
    found = [Reading(LARGE, won, fact)]
    share = noise_share({times: squared_norms(folders[arm]) for arm, times in TIMES.items()})
    if share is not None:
        also = _noisy(share)
        found.append(Reading(SMALL, share, also))
    return tuple(found)


def _noisy(share: Estimate) -> str:
    """The share in words; by its error it may come out beyond none and all.

    >>> _noisy(Estimate(0.97, 0.92, 1.03, "")), _noisy(Estimate(0.11, -1.07, 1.29, ""))
    ('97% of the squared gradient norm is noise of the batch (92% to 100%)', 'how much of the gradient is noise of the batch these steps do not tell')
    """
    low, value, high = (min(max(one, 0.0), 1.0) for one in (share.low, share.value, share.high))
    if (low, high) == (0.0, 1.0):
        return "how much of the gradient is noise of the batch these steps do not tell"
    return f"{value:.0%} of the squared gradient norm is noise of the batch ({low:.0%} to {high:.0%})"


PROBE = Probe(NAME, (SMALL, LARGE), "is the batch too small or too large?", design, read)
