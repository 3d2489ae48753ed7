"""Gradients and weights, tensor by tensor: is there one that nothing ever reached?

A tensor stands still where what it is now is what the run's own seed drew for it, shrunk at most by weight decay, which
shrinks all of it alike; or where the optimiser kept moments and those of this one are zero. Of a run with another order of
random numbers than the trainer's, the first can't be seen; it is then no evidence of anything, and the second is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UnreadableError
from ..estimate import Z90, Estimate
from ..run import Run
from ..units import count
from . import Normal, Prediction, Probe, Reading, Site, Trial
from ._looked import ARM, LEAST, arm, block_of, cost, looked, number

NAME, CAUSE = "gradients", "frozen-parameters"
UNIT = "share of parameters"
ROUNDED = 1e-5  # of a tensor's norm: what rounding at every step adds up to; a step of Adam moves more (benchmarks/looking.py)
FEW_STEPS = 10  # before them a warm-up may have moved nothing
MICROS, USUAL = 4, 16  # micro-batches that the gradient is of, and sequences in one where that is not known
ERROR = 0.005  # of the share: a count has none, but a tensor of few weights matters little
SELDOM = 0.01  # of the share, of runs that learn: 0 in all 38; what little there might be in others
NAMED = 4


def design(run: Run, site: Site) -> Trial | None:
    block = block_of(run)
    tokens = LEAST * block
    paid = cost(tokens, 0.0) + MICROS * int(run.get("batch_size") or USUAL) * block
    if site.checkpoint is None or not block or site.step < FEW_STEPS or paid > site.tokens:
        return None
    question = "is there a weight that no gradient reaches, or that never moved"
    return Trial(NAME, question, (arm(site, "tensors", tokens),), PREDICTIONS, paid, ERROR, UNIT)


#: measured by benchmarks/looking.py: exactly 0 in the 38 runs without a frozen part; with one .45 and 1 there, .07 to .9 in the
#: loop on planted runs: wide, as any part of a model can be frozen. What is less than some hundredths of the parameters (gains and biases) speaks against a cause that matters
PREDICTIONS = (
    Prediction(
        CAUSE,
        Normal(0.6, 0.3),
        Normal(0.0, SELDOM),
        "with it some weights get no gradient, or stand where they began; without it all have moved",
    ),
)


def read(trial: Trial, folders: Mapping[str, Path]) -> tuple[Reading, ...]:
    del trial
    rows = looked(folders[ARM], "tensors")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UnreadableError("inspect.json is damaged (tensors): remove the arm's folder")
    still = [row for row in rows if stands(row)]
    total = sum(number(row, "parameters") for row in rows)
    stuck = sum(number(row, "parameters") for row in still)
    share = stuck / total if total > 0 else 0.0
    names = ", ".join(str(row.get("name")) for row in still[:NAMED]) + (
        f" and {len(still) - NAMED} more" if len(still) > NAMED else ""
    )
    fact = (
        f"{len(still)} of {len(rows)} tensors stand where they began or get no gradient, "
        f"{count(stuck)} of {count(total)} parameters{': ' + names if still else ''}"
    )
    low, high = max(0.0, share - Z90 * ERROR), min(1.0, share + Z90 * ERROR)
    return (Reading(CAUSE, Estimate(share, low, high, UNIT), fact),)


def stands(row: Mapping[str, Any]) -> bool:
    """True for a tensor that never moved, or that nothing teaches."""
    moved, gradient = number(row, "moved"), number(row, "gradient")
    return moved < ROUNDED or gradient == 0.0 or row.get("taught") is False


PROBE = Probe(
    name=NAME,
    tells=(CAUSE,),
    question="does every weight learn?",
    design=design,
    read=read,
)
