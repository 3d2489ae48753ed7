"""In float32: two branches on the same batches, one in the run's half precision, one in float32, both at its rate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..run import Run
from . import Arm, Normal, Prediction, Probe, Reading, Site, Trial
from ._arms import cost, measured, noise, per_step, steady, steps_for, working_rate
from ._ends import end_difference, lower

NAME, CAUSE = "precision", "precision"
SAME, FULL = "as-it-is", "float32"
HALF = ("float16", "bfloat16")
STEPS = 400  # of an arm at most: a format that hurts shows at once


def design(run: Run, site: Site) -> Trial | None:
    rate, block, dtype = working_rate(run, site.step), int(run.get("block_size") or 0), run.get("dtype")
    steps = min(STEPS, steps_for(run, site, 2, 2))
    if site.checkpoint is None or not rate or not steps or dtype not in HALF:
        return None
    words = (*measured(site, 2, block), *steady(rate, site.step, steps))
    arms = (
        Arm(SAME, steps, {}, site.step, (*words, f"--dtype={dtype}")),
        Arm(FULL, steps, {"dtype": (dtype, FULL)}, site.step, words),
    )
    tokens = cost(2 * steps * per_step(run), site, 2, block)
    return Trial(
        NAME,
        f"is the loss lower in float32 than in {dtype}",
        arms,
        PREDICTIONS,
        tokens,
        noise(site, 2, block),
    )


#: without: benchmarks/probes.py has +.0001 and +.0002 in bfloat16, after at most 45 steps; longer arms go further apart.
#: With: assumed, from what counts (.012) to a tenth of a nat, since no fault can be planted in sound kernels
PREDICTIONS = (
    Prediction(
        CAUSE,
        Normal(0.05, 0.03),
        Normal(0.0, 0.002),
        "with it the loss falls in float32; without it both are alike",
    ),
)


def read(trial: Trial, folders: Mapping[str, Path]) -> tuple[Reading, ...]:
    won = end_difference(folders[SAME], folders[FULL])
    fact = f"{trial.arms[1].steps:,} steps in float32 ended {lower(won.value)} than in the run's own format"
    return (Reading(CAUSE, won, fact),)


PROBE = Probe(NAME, (CAUSE,), "does the number format cost loss?", design, read)
