"""Cool down: the learning rate to zero over a few steps, beside the same steps at the rate that the run has now.

What the cooldown wins is the noise of the rate, less what the slower steps learn less. The cause speaks of one over 15 %
of the steps (Hägele et al. 2024). A shorter one won now more, now less than that; ``OFF`` says by how much it may be off.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import hypot, log
from pathlib import Path

from ..estimate import Z90, Estimate
from ..run import Run
from . import Arm, Normal, Prediction, Probe, Reading, Site, Trial
from ._arms import cooled, cost, measured, noise, per_step, rate_at, rounded, share_of, steady, steps_for
from ._ends import end_difference, lower

NAME, CAUSE = "cooldown", "lr-not-annealed"
HOLD, DOWN = "hold", "cooldown"
FULL = 0.15  # of the steps so far; a longer cooldown tells no more
#: a whole cooldown over a shorter one that both won: sd of the logarithm for each e-fold of length, benchmarks/probes.py,
#: whose mean is .0
OFF = 0.4


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
    question = f"how much of the loss goes when the learning rate goes from {rate:.2e} to 0"
    tokens = cost(2 * steps * per_step(run), site, 2, block)
    return Trial(NAME, question, arms, PREDICTIONS, tokens, noise(site, 2, block))


#: benchmarks/probes.py
PREDICTIONS = (
    Prediction(
        CAUSE,
        Normal(0.03, 0.018),
        Normal(-0.001, 0.006),
        "with it a cooldown lowers the loss; without it the steps at the rate of now are as good",
    ),
)


def read(trial: Trial, folders: Mapping[str, Path]) -> tuple[Reading, ...]:
    won, arm = end_difference(folders[HOLD], folders[DOWN]), trial.arms[1]
    fact = (
        f"the learning rate to 0 over {arm.steps:,} steps ended {lower(won.value)} than the same steps at the rate "
        f"of step {arm.start:,}"
    )
    return (Reading(CAUSE, won, fact, whole(won, share_of(arm))),)


def whole(won: Estimate, share: float) -> Estimate:
    """What a cooldown over ``FULL`` of the steps wins where one over ``share`` of them ``won`` so much.

    >>> print(whole(Estimate(0.04, 0.037, 0.043, "nats/token"), 0.05))
    0.040 nats/token (0.011 to 0.069)
    """
    half = Z90 * hypot(won.sd, OFF * abs(won.value) * max(0.0, log(FULL / share)))
    return Estimate(won.value, won.value - half, won.value + half, won.unit)


PROBE = Probe(NAME, (CAUSE,), "is part of the loss noise of the learning rate?", design, read)
