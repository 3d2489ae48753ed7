"""One batch again and again, from scratch: what learns at all learns it by heart.

It tests a run of ``unplateau train``: its data, shape and settings, at the optimiser's own rate. Of a run of another trainer
it would say nothing about that trainer's own code, so it is not laid out for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import UnreadableError
from ..estimate import Z90, Estimate
from ..run import Run
from . import Arm, Normal, Prediction, Probe, Reading, Site, Trial
from ._looked import block_of
from ._paired import losses_of

NAME, ARM = "one-batch", "one-batch"
STEPS, LAST = 300, 20  # of the arm, and those at its end that are judged
WORDS_OF = (
    *("--sampling=one", "--gradient_accumulation_steps=1", "--schedule=constant", "--floor_lr=0"),
    "--peak_lr=0",  # the optimiser's own for the width: whether the run's rate is a good one is another question
    *("--warmup_steps=30", f"--max_steps={STEPS}", "--decay_start=0", "--decay_end=0"),
    *("--eval_interval=0", "--eval_iters=0", "--log_interval=1", "--checkpoint_interval=0"),
    *("--dropout=0", "--label_smoothing=0"),
)
UNIT = "share of the first loss"
NOISE = 0.03
OWN = "unplateau"  # the format of a run of our own trainer
NOT = Normal(0.05, 0.08)
#: measured by benchmarks/looking.py: .01 in healthy runs, .43 and 1.01 where weights are frozen, .65 where labels change from
#: step to step; labels that are wrong in the same way each time can be learnt, so a batch that is says little against them.
#: Weights kept in bfloat16 learn a batch as well (.01): of number formats it tells nothing
PREDICTIONS = (
    Prediction(
        "broken-targets",
        Normal(0.35, 0.4),
        NOT,
        "with labels that change a batch can't be learnt by heart; without it its loss goes to nearly nothing",
    ),
    Prediction(
        "frozen-parameters",
        Normal(0.65, 0.3),
        NOT,
        "with it the loss of one batch stays near where it began; without it it goes to nearly nothing",
    ),
)
CAUSES = tuple(one.cause for one in PREDICTIONS)


def design(run: Run, site: Site) -> Trial | None:
    size = run.get("batch_size")
    tokens = STEPS * int(size or 0) * block_of(run)
    if run.format != OWN or not tokens or tokens > site.tokens or site.data is None:
        return None
    words = (*WORDS_OF, f"--eval_tokens={block_of(run)}")
    arm = Arm(ARM, STEPS, {"sampling": (None, "one")}, 0, words)
    question = "can one batch be learnt by heart"
    return Trial(NAME, question, (arm,), PREDICTIONS, tokens, NOISE, UNIT)


def read(trial: Trial, folders: Mapping[str, Path]) -> tuple[Reading, ...]:
    batches = losses_of(folders[ARM]).batches
    steps = sorted(batches)
    if len(steps) < STEPS:
        raise UnreadableError(f"the arm {ARM} has taken {len(steps)} steps; expected {STEPS}")
    first = batches[steps[0]]
    end = np.array([batches[step] for step in steps[-LAST:]])
    share, error = float(end.mean() / first), float(end.std(ddof=1) / first)
    fact = f"the loss of one batch goes from {first:.3f} to {end.mean():.3f} nats in {len(steps)} steps, {share:.0%} of it"
    contrast = Estimate(share, share - Z90 * error, share + Z90 * error, UNIT)
    return tuple(Reading(one.cause, contrast, fact) for one in trial.predictions)


PROBE = Probe(name=NAME, tells=CAUSES, question="can one batch be learnt by heart?", design=design, read=read)
