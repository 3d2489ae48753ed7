"""Dropout, weight decay or label smoothing hold the model back, with nothing to protect it from.

Claim: regularisation costs more than it saves.
Mechanism: dropout trains a thinned model, weight decay pulls weights to zero; both help only a model that
would otherwise memorise. In one pass over fresh data there is nothing to memorise.
Supported by: strong dropout (a quarter or more) or weight decay (1 or more), val no higher than train,
and a batch loss (dropout on) that stands above train loss (dropout off); any dropout whose handicap can be seen
so, where no text was read twice.
Refuted by: no dropout, ordinary weight decay; or a gap that shows memorising.
Needs: the config, train and val loss.
What to do: dropout 0 while val stays within noise of train; weight decay .1. No law prices dropout: a probe
of a few hundred steps without it tells.
Sources: Hoffmann et al. 2022 and Touvron et al. 2023 (arXiv 2302.13971) pretrain without dropout, weight
decay .1.
"""

from __future__ import annotations

import numpy as np

from ..derive import changed
from ..run import Run
from . import Evidence, Finding, Hypothesis, Remedy
from ._say import LIKELY, SURE, against, finding, gap_trend, pro

NAME = "over-regularised"
STRONG, MILD = 0.25, 0.0  # dropout; .1 to .2 are common in recipes that repeat their data
DECAY_STRONG, DECAY_USUAL = 1.0, 0.3  # weight decay; .1 is usual, .3 the most in known recipes
MEMORISES = 0.1  # nats of val over train
HANDICAP = 0.03  # nats of batch loss over train loss; without dropout it is 0 within noise
ERRORS = 3.0  # standard errors
STAKE = 1.0  # nats per unit of dropout: .5 at .4 in shared/planted and benchmarks/planted
PROBE = ("a probe: a few hundred steps with dropout 0 (no law prices dropout)",)


def test(run: Run) -> Finding:
    dropout, decay, smoothing = (
        float(run.get(k) or 0.0) for k in ("dropout", "weight_decay", "label_smoothing")
    )
    settings = [f"dropout is {dropout:g}", f"weight decay is {decay:g}"] + (
        [f"label smoothing is {smoothing:g}"] * (smoothing > 0)
    )
    strong = dropout >= STRONG or decay >= DECAY_STRONG
    some = dropout > MILD or decay > DECAY_USUAL or smoothing > 0
    source = run.source("dropout") or run.source("weight_decay")
    evidence = [(pro if some else against)(", ".join(settings), source)]
    if not some:
        return finding(NAME, 0.03, evidence)
    gap, once, memorises = gap_trend(run), _once(run), False
    if gap is not None:
        memorises = gap.end > MEMORISES and once is None
        evidence.append(_protects(gap.end, memorises))
    handicap = _handicap(run)
    if handicap is not None and dropout > 0:
        evidence.append(handicap)
    evidence += [once] if once is not None else []
    paid = handicap is not None and handicap.points == "for"
    probability = _probability(
        strong or (once is not None and paid), memorises, gap is not None, paid and strong
    )
    stake = STAKE * dropout + 0.1 * (decay > DECAY_USUAL)
    return finding(
        NAME, probability, evidence, stake=stake, remedy=_remedy(dropout, decay, smoothing), missing=PROBE
    )


def _protects(gap: float, memorises: bool) -> Evidence:
    """Whether there is memorising that regularisation may protect from; text that never comes twice is not memorised."""
    said = f"val - train is {gap:+.3f} nats at the end: "
    if gap <= MEMORISES:
        return pro(said + "nothing to protect from", "val_loss, train_loss")
    if memorises:
        return against(said + "memorising to protect from", "val_loss, train_loss")
    return pro(said + "val is the harder text, as nothing comes twice", "val_loss, train_loss")


def _once(run: Run) -> Evidence | None:
    """That no text was read twice; None where some was, or nobody knows."""
    passes = run.get("passes")
    if passes is None or passes > 1:
        return None
    return pro(
        f"{passes:.2f} passes over the data: nothing comes twice that could be memorised",
        run.source("passes"),
    )


def _probability(strong: bool, memorises: bool, known: bool, paid: bool) -> float:
    if memorises:
        return 0.1
    if not strong:
        return 0.3 if known else 0.2
    if not known:
        return 0.5
    return SURE if paid else LIKELY


def _handicap(run: Run) -> Evidence | None:
    """How far the loss with dropout (of the optimiser's batches) lies above the loss without."""
    batch, train = run.series.get("batch_loss"), run.series.get("train_loss")
    if batch is None or train is None or not run.get("eval_modes_equal"):
        return None
    step, value = train.finite.step, train.finite.value
    late = batch.finite.between(float(step[-1]) / 4, float(step[-1]) + 1)
    if len(late) < 8 or len(step) < 4:
        return None
    difference = late.value - np.interp(np.log(late.step), np.log(np.maximum(step, 1)), value)
    mean, error = float(difference.mean()), float(difference.std() / len(difference) ** 0.5)
    said = f"batch loss (dropout on) is {mean:+.3f} +- {error:.3f} nats over train loss (dropout off)"
    return (pro if mean > max(HANDICAP, ERRORS * error) else against)(said, "batch_loss, train_loss")


def _remedy(dropout: float, decay: float, smoothing: float) -> Remedy:
    patch: dict[str, tuple[float, float]] = {}
    if dropout > 0:
        patch["dropout"] = (dropout, 0.0)
    if decay > DECAY_USUAL:
        patch["weight_decay"] = (decay, 0.1)
    if smoothing > 0:
        patch["label_smoothing"] = (smoothing, 0.0)
    return Remedy(
        patch,
        "none per step; can branch from a checkpoint",
        "watch val - train: bring it back if the gap grows",
    )


def without(run: Run) -> Run | None:
    """The same run without dropout and smoothing, at the usual weight decay."""
    settings = {name: 0.0 for name in ("dropout", "label_smoothing") if run.get(name)}
    if float(run.get("weight_decay") or 0.0) > DECAY_USUAL:
        settings["weight_decay"] = 0.1
    return changed(run, settings) if settings else None


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="Regularisation costs more than it saves.",
    needs=("dropout|weight_decay|label_smoothing", "val_loss|train_loss|batch_loss"),
    test=test,
    without=without,
    asks=("the config: dropout, weight decay, label smoothing", "a loss"),
)
