"""How arms are laid out: the steps that a budget pays for, the rates that they begin and end with, what they evaluate.

Branches end in a cooldown to zero where rates, batches or noise differ between them: a lower rate always wins at
first, by annealing alone, so that arms can only be compared once all are annealed.
"""

from __future__ import annotations

from math import sqrt

from ..run import Run
from . import Arm, Site

LEAST_STEPS = 10  # of an arm; with fewer even Adam's second moments are not those of the arm
EVALUATED = 0.25  # of a trial's budget, at most, goes into evaluations
FORWARD = 3  # tokens evaluated cost as much as one trained on
SPLITS = 4  # that the trainer evaluates at most: val, train, seen, fresh
MOST_TOKENS = 262_144  # of one evaluation of a split: beyond, chance is less than arms differ anyway
#: nats x sqrt(tokens): standard error of the difference of two arms on the same windows. In benchmarks/probes.csv half lie
#: below .23 and a tenth above .70; the more the arms differ, the larger
PAIRED = 0.35
WORKING = (
    1 / 3
)  # of the peak: the least rate at which a branch learns enough in a short time to tell something


def per_step(run: Run) -> int:
    """Tokens of an optimiser step; 0 where that is not known."""
    told = run.get("tokens_per_step")
    known = isinstance(told, int | float) and told >= 1 and not run.has("step_unit")
    return int(told) if known else 0


def peak_of(run: Run) -> float:
    """The highest learning rate of the run; 0 where it is not known."""
    return float(run.schedule.peak) if run.schedule is not None else 0.0


def rate_at(run: Run, step: int) -> float:
    """The learning rate at ``step``; 0 where it is not known."""
    return float(run.schedule(step)) if run.schedule is not None else 0.0


def working_rate(run: Run, step: int) -> float:
    """The rate that branches from ``step`` begin with: the run's own, or a third of its peak where it has come down."""
    return rounded(max(rate_at(run, step), WORKING * peak_of(run)))


def rounded(rate: float) -> float:
    """A rate as one would write it.

    >>> rounded(0.00066666)
    0.000667
    """
    return float(f"{rate:.3g}")


def evaluated(site: Site, arms: int, block: int) -> int:
    """Tokens that each of ``arms`` evaluates of a split, at its end: whole windows, what its share of the budget pays."""
    share = EVALUATED * site.tokens * FORWARD / (arms * SPLITS)
    return max(block, int(min(share, MOST_TOKENS)) // block * block)


def steps_for(run: Run, site: Site, units: float, arms: int) -> int:
    """Steps K, where the arms train on ``units`` x K steps of the run in all; 0 where the budget is too small."""
    size, block = per_step(run), int(run.get("block_size") or 0)
    if not size or not block:
        return 0
    left = site.tokens - cost(0, site, arms, block)
    steps = int(left / (units * size))
    return steps if steps >= LEAST_STEPS else 0


def cost(trained: int, site: Site, arms: int, block: int) -> int:
    """Tokens of a trial that trains on ``trained`` of them: one evaluated counts as a third."""
    return trained + arms * SPLITS * evaluated(site, arms, block) // FORWARD


def noise(site: Site, arms: int, block: int) -> float:
    """The standard error of the difference of two arms that evaluations leave, nats per token."""
    return PAIRED / sqrt(evaluated(site, arms, block))


def measured(site: Site, arms: int, block: int) -> tuple[str, ...]:
    """Words for an arm that evaluates at its end alone, on windows that all arms share, and reads batches that they share."""
    tokens = evaluated(site, arms, block)
    return (
        *("--sampling=permutation", "--eval_iters=0", f"--eval_tokens={tokens}", "--eval_interval=0"),
        *("--log_interval=1", "--checkpoint_interval=0", "--keep_every=0"),
    )


def cooled(rate: float, start: int, steps: int) -> tuple[str, ...]:
    """Words for a branch whose rate goes from ``rate`` at ``start`` to 0, in a straight line, over ``steps``."""
    return (
        *("--schedule=wsd", f"--peak_lr={rate!r}", "--floor_lr=0", "--warmup_steps=0", "--decay_form=linear"),
        *(f"--decay_start={start}", f"--decay_end={start + steps}", f"--max_steps={start + steps}"),
    )


def steady(rate: float, start: int, steps: int) -> tuple[str, ...]:
    """Words for a branch that goes on at ``rate``."""
    return (
        *("--schedule=constant", f"--peak_lr={rate!r}", "--floor_lr=0", "--warmup_steps=0"),
        *("--decay_start=0", "--decay_end=0", f"--max_steps={start + steps}"),
    )


def fresh(rate: float, steps: int, warmup: int) -> tuple[str, ...]:
    """Words for a run from scratch whose whole schedule is in ``steps``: warm-up, then a straight line to 0."""
    return (
        *("--schedule=linear", f"--peak_lr={rate!r}", "--floor_lr=0", f"--warmup_steps={warmup}"),
        *("--decay_start=0", f"--decay_end={steps}", f"--max_steps={steps}"),
    )


def share_of(arm: Arm) -> float:
    """An arm's steps as a share of those that the run had done where it branched off."""
    return arm.steps / max(1, arm.start)
