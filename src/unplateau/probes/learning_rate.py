"""Other learning rates: a third of the peak from scratch, and three times the peak from the checkpoint; all end at zero.

Both ways have a bias, each a safe one for its cause. A short run from scratch wants a higher rate than a long one, so a
third of the peak that wins there would win by more in the whole run. A branch that is cooled down in few steps wants a
lower rate, so three times the peak that wins there is not too much. The other two arms, three times from scratch and a
third from the checkpoint, were measured and told less (docs/LOG.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..run import Run
from . import Arm, Normal, Prediction, Probe, Reading, Site, Trial
from ._arms import cooled, cost, fresh, measured, noise, peak_of, per_step, rounded, steps_for
from ._ends import end_difference, lower

NAME, HIGH, LOW = "learning_rate", "lr-too-high", "lr-too-low"
SCRATCH, THIRD, BRANCH, TRIPLE = "scratch", "scratch-third", "branch", "branch-triple"
ARMS = 4
WARMUP, MOST_WARMUP = 0.1, 0.3  # of an arm's steps: the least, and the most of the run's own share


def design(run: Run, site: Site) -> Trial | None:
    peak, block = peak_of(run), int(run.get("block_size") or 0)
    steps = steps_for(run, site, ARMS, ARMS)
    if site.checkpoint is None or not peak or not steps or not run.has("peak_lr"):
        return None
    question = f"is more learnt at {rounded(peak / 3):g} or {rounded(3 * peak):g} than at {peak:g}"
    tokens = cost(ARMS * steps * per_step(run), site, ARMS, block)
    arms = _arms(run, site.step, steps, measured(site, ARMS, block))
    return Trial(NAME, question, arms, PREDICTIONS, tokens, noise(site, ARMS, block))


def _arms(run: Run, start: int, steps: int, words: tuple[str, ...]) -> tuple[Arm, ...]:
    """A rate that is too high may lose its way: such steps are skipped, and the loss tells."""
    old, words = run.get("peak_lr"), (*words, "--on_nan=skip")
    same, third, triple = (rounded(times * peak_of(run)) for times in (1, 1 / 3, 3))
    warmup = max(1, round(steps * _warmup(run)))
    return (
        Arm(SCRATCH, steps, {}, 0, (*words, *fresh(same, steps, warmup))),
        Arm(THIRD, steps, {"peak_lr": (old, third)}, 0, (*words, *fresh(third, steps, warmup))),
        Arm(BRANCH, steps, {}, start, (*words, *cooled(same, start, steps))),
        Arm(TRIPLE, steps, {"peak_lr": (old, triple)}, start, (*words, *cooled(triple, start, steps))),
    )


def _warmup(run: Run) -> float:
    """The share of an arm's steps that warms up: the run's own, within reason."""
    planned = run.get("planned_end") or run.get("steps_done") or 0
    own = float(run.get("warmup_steps") or 0) / planned if planned else 0.0
    return min(MOST_WARMUP, max(WARMUP, own))


#: benchmarks/probes.py. Without HIGH it has Normal(-0.35, 0.24), of 45 steps of 600; but that came from -.33 to -.17 at the
#: best rate of one text as the arms grew from 30 steps to 45, so arms of hundreds of steps are taken to lie nearer to 0
PREDICTIONS = (
    Prediction(
        HIGH,
        Normal(0.07, 0.14),
        Normal(-0.1, 0.08),
        "with it a third of the rate learns more from scratch; without it, less",
    ),
    Prediction(
        LOW,
        Normal(0.057, 0.022),
        Normal(-0.083, 0.088),
        "with it three times the rate learns more from here on; without it, less",
    ),
)


def read(trial: Trial, folders: Mapping[str, Path]) -> tuple[Reading, ...]:
    steps = trial.arms[0].steps
    won = end_difference(folders[SCRATCH], folders[THIRD])
    fact = f"{steps:,} steps from scratch at a third of the peak ended {lower(won.value)} than at the peak"
    gained = end_difference(folders[BRANCH], folders[TRIPLE])
    also = (
        f"{steps:,} steps from three times the peak down to 0 ended {lower(gained.value)} than from the peak"
    )
    return Reading(HIGH, won, fact), Reading(LOW, gained, also)


PROBE = Probe(NAME, (HIGH, LOW), "is the peak learning rate too high or too low?", design, read)
