"""Twins: a copy of the run at a fraction of its size and of its tokens, and one of twice that copy's width.

A copy with as many tokens for each parameter is as short of size as the run is, by any law in which size and data trade
evenly (Hoffmann et al. 2022), and costs a fraction of it: half the width and half the depth for an eighth of the tokens,
with a twin of twice the width, is a twelfth of the run. What the copy's wider twin wins tells what twice the width is worth;
the size law is anchored on it (laws/size.py).

Both are whole runs from scratch, with the run's peak rate and batch, a long warm-up, and an end at zero. Twins of some
hundred steps say nothing: there it is chance at which step attention begins to be of use (docs/LOG.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import hypot, log
from pathlib import Path
from typing import Any

from ..cost import shape_of
from ..errors import UnreadableError
from ..estimate import Z90, Estimate
from ..hypotheses._wider import changed_shape, head_of, resized
from ..run import Run
from ..shape import Shape
from . import Arm, Normal, Prediction, Probe, Reading, Site, Trial
from ._arms import cost, fresh, measured, noise, peak_of, per_step, rounded
from ._ends import end_difference, lower
from ._paired import loss_at, losses_of

NAME, CAUSE = "twins", "capacity"
NARROW, WIDE = "copy", "copy-wide"
ARMS, DOUBLE = 2, 2
SHARES = (0.5, 0.4, 1 / 3, 0.25)  # of the run's width and depth, the largest that is paid for
LEAST_STEPS = 1000  # of an arm; with a warm-up of a sixth two seeds of 1,200 steps ended .003 to .03 nats apart, docs/LOG.md
WARMUP = 1 / 6  # of an arm's steps
SCATTER = 0.025  # nats: sd between two seeds of such runs, from the same table
UNIT = "share of the loss for each e-fold of parameters"


@dataclass(frozen=True, slots=True)
class Pair:
    """The settings and shapes of a copy and of its wider twin, the steps of each, and what both cost in steps of the run."""

    narrow: Mapping[str, Any]
    wide: Mapping[str, Any]
    steps: int
    price: float
    folds: float  # e-folds of parameters between the two, embeddings left out


def design(run: Run, site: Site) -> Trial | None:
    peak, size, block = peak_of(run), per_step(run), int(run.get("block_size") or 0)
    if not peak or not size or not block or not run.has("peak_lr") or run.loss is None:
        return None
    for pair in pairs(run):
        tokens = cost(round(pair.price * size), site, ARMS, block)
        if pair.steps >= LEAST_STEPS and tokens <= site.tokens:
            return _trial(run, site, pair, tokens)
    return None


def _trial(run: Run, site: Site, pair: Pair, tokens: int) -> Trial:
    block, rate = int(run.get("block_size")), rounded(peak_of(run))
    words = (*measured(site, ARMS, block), *fresh(rate, pair.steps, round(WARMUP * pair.steps)))
    arms = tuple(
        Arm(name, pair.steps, {key: (run.get(key), new) for key, new in told.items()}, 0, words)
        for name, told in ((NARROW, pair.narrow), (WIDE, pair.wide))
    )
    question = (
        f"what is twice the width worth to a copy of {pair.narrow['n_embd']} by {pair.narrow['n_layer']} "
        f"with as many tokens for each parameter"
    )
    error = hypot(noise(site, ARMS, block), SCATTER * 2**0.5) / (float(run.loss.last) * pair.folds)  # type: ignore[union-attr]
    return Trial(NAME, question, arms, PREDICTIONS, tokens, error, UNIT)


def pairs(run: Run) -> Iterator[Pair]:
    """Copies of the run, the largest first; none where its shape is not known."""
    own, width, layers = shape_of(run), run.get("n_embd"), run.get("n_layer")
    done = run.get("steps_done")
    if own is None or not done:
        return
    for share in SHARES:
        head = head_of(run)
        heads = round(share * width / head)
        depth = round(share * layers)
        if not heads or not depth:
            continue
        told = {"n_layer": depth, **resized(run, heads * head, depth)}
        both = [told, {**told, **resized(run, DOUBLE * heads * head, depth)}]
        shapes = [shape_of(changed_shape(run, one)) for one in both]
        if None not in shapes:
            yield _paired(own, both, shapes, int(done))  # type: ignore[arg-type]


def _paired(own: Shape, told: list[dict[str, Any]], shapes: list[Shape], done: int) -> Pair:
    narrow, wide = (shape.params_non_embedding for shape in shapes)
    steps = round(done * narrow / own.params_non_embedding)
    price = steps * sum(shape.flops_per_token for shape in shapes) / own.flops_per_token
    return Pair(told[0], told[1], steps, price, log(wide / narrow))


#: what the size law says of models of 10M to 1B parameters with 200 to 400 tokens each, and of those with 5 to 20; the spread is
#: that between families of runs: benchmarks/laws/size.py prints both
PREDICTIONS = (
    Prediction(
        CAUSE,
        Normal(0.059, 0.02),
        Normal(0.031, 0.019),
        "with it the wider copy wins some 6 % of the loss for each e-fold of parameters; without it, half of that",
    ),
)


def read(trial: Trial, folders: Mapping[str, Path]) -> tuple[Reading, ...]:
    won = end_difference(folders[NARROW], folders[WIDE])
    loss, folds = loss_at(losses_of(folders[NARROW]), "val").value, folds_of(trial)
    if loss <= 0 or folds <= 0:
        raise UnreadableError(f"the copy ended at a loss of {loss:g}; expected one above 0")
    share, half = won.value / (loss * folds), Z90 * hypot(won.sd, SCATTER * 2**0.5) / (loss * folds)
    fact = (
        f"a copy of the run at {trial.arms[0].steps:,} steps ended {lower(won.value)} at twice its width: {share:.1%} of its loss "
        "for each e-fold of parameters"
    )
    return (Reading(CAUSE, Estimate(share, share - half, share + half, UNIT), fact),)


def folds_of(trial: Trial) -> float:
    """E-folds of parameters between the two arms: the blocks grow as the square of the width."""
    narrow, wide = (arm.patch["n_embd"][1] for arm in trial.arms)
    return 2 * log(wide / narrow)


PROBE = Probe(NAME, (CAUSE,), "is the model too small for its tokens?", design, read)
