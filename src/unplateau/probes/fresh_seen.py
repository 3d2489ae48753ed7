"""Seen text beside text never seen, without a step of training: what the model knows by heart.

Val loss less the loss on windows of train, corrected for how hard either is by a cheap model that has read neither
(``_fair``), so that an unfair val is no memorising. ``fresh`` of a prepared folder takes val's place: it was drawn as train was.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..estimate import Estimate
from ..run import Run
from . import Normal, Prediction, Probe, Reading, Site, Trial
from ._fair import gap_of
from ._looked import ARM, about, arm, cost, looked, tokens_for
from ._paired import UNIT

NAME, CAUSE = "fresh-seen", "repetition"
PASSES = 3.0  # of a split's tokens: val, train and fresh, once each
#: what it costs, as a share of what is known by heart: .42 to .67 in those 6
COSTS, COSTS_LEAST, COSTS_MOST = 0.5, 0.3, 0.75
NOISE = 0.5  # nats x sqrt(windows): of the difference, benchmarks/looking.py


def design(run: Run, site: Site) -> Trial | None:
    tokens = tokens_for(run, site, PASSES)
    if not tokens:
        return None
    windows = tokens // int(run.get("block_size"))
    question = (
        "does the model lose less on text that it was trained on than on as hard a text that it never saw"
    )
    noise = NOISE * (2 / windows) ** 0.5
    return Trial(NAME, question, (arm(site, "windows", tokens),), PREDICTIONS, cost(tokens, PASSES), noise)


#: measured by benchmarks/looking.py: 16 healthy runs, and 6 that saw their text 15 to 100 times, which cost them .03 to .7
PREDICTIONS = (
    Prediction(
        CAUSE,
        Normal(0.35, 0.35),
        Normal(0.01, 0.012),
        "with it text of the training set is easier than as hard a text that was never seen; without it both are alike",
    ),
)


def read(trial: Trial, folders: Mapping[str, Path]) -> tuple[Reading, ...]:
    del trial
    windows = looked(folders[ARM], "windows")
    unseen = "fresh" if "fresh" in windows else "val"
    gap = gap_of(windows, unseen, "train")
    fact = (
        f"{unseen}, never seen, costs {gap.raw:+.3f} nats against seen text of train; {gap.harder:+.3f} of that "
        f"is how hard it is, {gap.rest:+.3f} +- {gap.rest_error:.3f} is what is known by heart ({gap.windows:,} windows)"
    )
    known = about(gap.rest, gap.rest_error, least=0.0)
    costs = Estimate(
        COSTS * known.value,
        min(0.0, known.low) + COSTS_LEAST * max(0.0, known.low),
        COSTS_MOST * known.high,
        UNIT,
    )
    return (Reading(CAUSE, known, fact, costs if known.value else None),)


PROBE = Probe(
    name=NAME,
    tells=(CAUSE,),
    question="is seen text known by heart?",
    design=design,
    read=read,
)
