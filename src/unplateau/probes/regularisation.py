"""Without dropout and label smoothing, at the usual weight decay: two branches, one as the run is, both cooled down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..run import Run
from . import Arm, Normal, Prediction, Probe, Reading, Site, Trial
from ._arms import cooled, cost, measured, noise, per_step, steps_for, working_rate
from ._ends import end_difference, lower

NAME, CAUSE = "regularisation", "over-regularised"
SAME, WITHOUT = "as-it-is", "without"
USUAL, MUCH = (
    0.1,
    0.3,
)  # weight decay: of known recipes, and the most in them (hypotheses/over_regularised.py)
SHORTEST = 25  # steps of an arm; the shortest in benchmarks/probes.csv took 27, and one of 11 spoke against a dropout that cost .30 nats


def changes(run: Run) -> dict[str, tuple[Any, Any]]:
    """Settings without regularisation, key -> (old, new); empty where there is none to take away."""
    found: dict[str, tuple[Any, Any]] = {
        n: (run.get(n), 0.0) for n in ("dropout", "label_smoothing") if run.get(n)
    }
    if float(run.get("weight_decay") or 0.0) > MUCH:
        found["weight_decay"] = (run.get("weight_decay"), USUAL)
    return found


def design(run: Run, site: Site) -> Trial | None:
    rate, block, patch = working_rate(run, site.step), int(run.get("block_size") or 0), changes(run)
    steps = steps_for(run, site, 2, 2)
    if site.checkpoint is None or not rate or steps < SHORTEST or not patch:
        return None
    words = (*measured(site, 2, block), *cooled(rate, site.step, steps))
    arms = (Arm(SAME, steps, {}, site.step, words), Arm(WITHOUT, steps, patch, site.step, words))
    said = ", ".join(f"{name} {new:g} instead of {old:g}" for name, (old, new) in patch.items())
    tokens = cost(2 * steps * per_step(run), site, 2, block)
    return Trial(
        NAME, f"does the run learn more with {said}", arms, PREDICTIONS, tokens, noise(site, 2, block)
    )


#: with: benchmarks/probes.py. Without: assumed. A weight decay of .5, which costs .015 and .024 nats in all, wins .001 in
#: arms of 7 % of the steps; and what is worth its price, against memorising, may cost at first as well
PREDICTIONS = (
    Prediction(
        CAUSE,
        Normal(0.021, 0.025),
        Normal(0.0, 0.006),
        "with it val loss falls at once without the regularisation",
    ),
)


def read(trial: Trial, folders: Mapping[str, Path]) -> tuple[Reading, ...]:
    won = end_difference(folders[SAME], folders[WITHOUT])
    patch = trial.arms[1].patch
    said = ", ".join(f"{name} {new:g}" for name, (_, new) in patch.items())
    fact = f"{trial.arms[1].steps:,} steps with {said} ended {lower(won.value)}"
    return (Reading(CAUSE, won, fact),)


PROBE = Probe(NAME, (CAUSE,), "does regularisation cost more than it saves?", design, read)
