"""Other learning rates: short runs from scratch at a third, once and three times the peak, each with a whole schedule.

From a checkpoint a lower rate always wins at first, by annealing alone; fresh runs that all end at zero have no such bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..run import Run
from . import Arm, Normal, Prediction, Probe, Reading, Site, Trial
from ._arms import cost, fresh, measured, noise, peak_of, per_step, rounded, steps_for
from ._ends import end_difference, lower

NAME, HIGH, LOW = "learning_rate", "lr-too-high", "lr-too-low"
SAME, SLOWER, FASTER = "as-it-is", "third", "triple"
TIMES = {SAME: 1.0, SLOWER: 1 / 3, FASTER: 3.0}
WARMUP = 0.1  # of an arm's steps, or the run's own share where that is more


def design(run: Run, site: Site) -> Trial | None:
    peak, block = peak_of(run), int(run.get("block_size") or 0)
    steps, count = steps_for(run, site, len(TIMES), len(TIMES)), len(TIMES)
    if not peak or not steps or not run.has("peak_lr"):
        return None
    warmup = max(1, round(steps * max(WARMUP, _warmup_share(run))))
    words = measured(site, count, block)
    arms = tuple(
        Arm(
            name,
            steps,
            {"peak_lr": (peak, rounded(times * peak))} if times != 1 else {},
            0,
            (*words, *fresh(rounded(times * peak), steps, warmup)),
        )
        for name, times in TIMES.items()
    )
    question = f"does a peak learning rate of {rounded(peak / 3):g} or {rounded(3 * peak):g} learn more than {peak:g}"
    tokens = cost(count * steps * per_step(run), site, count, block)
    return Trial(NAME, question, arms, PREDICTIONS, tokens, noise(site, count, block))


def _warmup_share(run: Run) -> float:
    planned = run.get("planned_end") or run.get("steps_done") or 0
    return min(0.3, float(run.get("warmup_steps") or 0) / planned) if planned else 0.0


PREDICTIONS = (
    Prediction(
        HIGH,
        Normal(0.2, 0.15),
        Normal(-0.1, 0.1),
        "with it a third of the rate learns more in the same steps",
    ),
    Prediction(
        LOW, Normal(0.4, 0.2), Normal(0.0, 0.1), "with it three times the rate learns more in the same steps"
    ),
)


def read(trial: Trial, folders: Mapping[str, Path]) -> tuple[Reading, ...]:
    steps = trial.arms[0].steps
    found = []
    for cause, arm in ((HIGH, SLOWER), (LOW, FASTER)):
        won = end_difference(folders[SAME], folders[arm])
        fact = f"{steps:,} steps from scratch with {TIMES[arm]:.2g} times the rate ended {lower(won.value)}"
        found.append(Reading(cause, won, fact))
    return tuple(found)


PROBE = Probe(NAME, (HIGH, LOW), "is the peak learning rate too high or too low?", design, read)
