"""Cool down: the learning rate to zero over a few steps, beside the same steps at the rate that the run has now.

What the cooldown wins is the noise of the rate, less what the slower steps learn less. It grows with the length of the
cooldown; ``GROWS`` takes it to the length that the cause speaks of, 15 % of the steps (Hägele et al. 2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..estimate import Estimate
from ..run import Run
from . import Arm, Normal, Prediction, Probe, Reading, Site, Trial
from ._arms import cooled, cost, measured, noise, per_step, rate_at, rounded, share_of, steady, steps_for
from ._ends import end_difference, lower
from ._paired import Z, sd_of

NAME, CAUSE = "cooldown", "lr-not-annealed"
HOLD, DOWN = "hold", "cooldown"
FULL = 0.15  # of the steps so far; a longer cooldown tells no more
GROWS = 0.6  # exponent of what a cooldown wins in its length
OFF = 0.5  # sd of what is taken so far, as a share of it, for each e-fold of length


def design(run: Run, site: Site) -> Trial | None:
    rate, block = rounded(rate_at(run, site.step)), int(run.get("block_size") or 0)
    steps = min(steps_for(run, site, 2, 2), round(FULL * site.step))
    if site.checkpoint is None or not rate or not steps:
        return None
    words, at = measured(site, 2, block), (site.step, steps)
    old = (run.get("schedule"), run.get("floor_lr"))
    down = {"schedule": (old[0], "wsd"), "floor_lr": (old[1], 0.0)}
    arms = (
        Arm(HOLD, steps, {"schedule": (old[0], "constant")}, site.step, (*words, *steady(rate, *at))),
        Arm(DOWN, steps, down, site.step, (*words, *cooled(rate, *at))),
    )
    scale = _to_full(share_of(arms[1]))
    question = f"how much of the loss goes when the learning rate goes from {rate:.2e} to 0"
    tokens = cost(2 * steps * per_step(run), site, 2, block)
    return Trial(NAME, question, arms, PREDICTIONS, tokens, scale * noise(site, 2, block))


PREDICTIONS = (
    Prediction(
        CAUSE,
        Normal(0.06, 0.04),
        Normal(0.0, 0.01),
        "with it a cooldown lowers the loss; without it the steps at the rate of now are as good",
    ),
)


def _to_full(share: float) -> float:
    """What a cooldown over ``share`` of the steps is multiplied with, to be one over ``FULL``."""
    return float((FULL / share) ** GROWS)


def read(trial: Trial, folders: Mapping[str, Path]) -> tuple[Reading, ...]:
    won = end_difference(folders[HOLD], folders[DOWN])
    arm = trial.arms[1]
    scale, share = _to_full(share_of(arm)), share_of(arm)
    contrast = Estimate(won.value * scale, won.low * scale, won.high * scale, won.unit)
    fact = (
        f"the learning rate to 0 over {arm.steps:,} steps ended {lower(won.value)} than the same steps at the rate "
        f"of step {arm.start:,}; over {FULL:.0%} of the steps that is {contrast.value:.3f}"
    )
    return (Reading(CAUSE, contrast, fact, _effect(contrast, share)),)


def _effect(contrast: Estimate, share: float) -> Estimate:
    """The contrast, with the error of having been taken to another length."""
    from math import hypot, log

    half = Z * hypot(sd_of(contrast), OFF * abs(contrast.value) * abs(log(FULL / share)))
    return Estimate(contrast.value, contrast.value - half, contrast.value + half, contrast.unit)


PROBE = Probe(NAME, (CAUSE,), "is part of the loss noise of the learning rate?", design, read)
