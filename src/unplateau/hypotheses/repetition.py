"""The training data has been seen too many times: the model memorises it.

Claim: passes over the same tokens bring less and less, and then harm.
Mechanism: what is repeated is learnt by heart; train loss falls on, val loss stands, then rises.
Supported by: a gap val - train that grows, evaluation after evaluation, by at least half of what train
falls; many passes over the unique tokens beside it.
Refuted by: a gap that does not grow (its sign does not matter); fewer than 1.5 passes.
Needs: train and val loss evaluated alike; the number of unique tokens makes it certain.
What it costs: the forecast of this run less that of one pass over as many fresh tokens.
What to do: more unique data first; else fewer steps, or the checkpoint at the lowest val loss; then
dropout and weight decay.
Sources: Muennighoff et al. 2023 (arXiv 2305.16264): up to 4 passes cost next to nothing; Morris et al.
2025 (arXiv 2505.24832): a GPT stores about 3.6 bits per parameter.
"""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np

from ..derive import changed
from ..run import Run
from ..units import count
from . import Evidence, Finding, Hypothesis, Plan, Remedy
from ._say import LIKELY, SURE, Trend, against, cost_said, finding, gap_trend, pro, step_word, worse_than_even
from .val_mismatch import EARLY, early_gap, gap_growth

NAME = "repetition"
ERRORS = 3.0  # standard errors of the gap's growth; 1 in 700 by chance
GROWS = 0.02  # nats over the window; less is the ordinary gap of a model that learns its own data
OPEN = 0.1  # nats of val over train; a smaller gap costs less than what it would take to be sure of it
HALF, ALL = 0.45, 0.9  # of train's fall that the gap grows by: val gains half as much, or nothing
SUPPOSED = 10.0  # passes; an example for which a gain is told, where their number is not known
FEW, MANY = 1.5, 4.0  # passes; up to 4 are as good as new (Muennighoff 2023)
COPIES = (
    0.01  # of the unique tokens; above it a pass over the file and one over what is unique are told apart
)
TAKEN = 0.9  # of the sources; above it there is no more in them
BITS = 3.6  # per parameter that a GPT can store (Morris et al. 2025)
ASKS = (
    "the number of unique training tokens: --unique-tokens N, or a manifest (unplateau prepare --manifest-only DATA)",
)
SEEN = ("the loss of windows that were trained on beside windows that were not, both evaluated alike",)


def test(run: Run) -> Finding:
    gap, passes = gap_trend(run, batches=True), run.get("passes")
    if gap is None and passes is None:
        return Finding(NAME, "untestable", missing=("four evaluations of both train and val loss", *ASKS))
    asks = ASKS if passes is None else SEEN
    evidence = [*_passes(run, passes)]
    if gap is None:
        chance = 0.03 if passes < FEW else 0.2 if passes < MANY else 0.5
        return finding(NAME, chance, evidence, stake=0.05, missing=("train and val loss evaluated alike",))
    growth = gap_growth(run)
    grows = gap.change > max(gap.surely(ERRORS) * gap.change_error, GROWS) and gap.end > GROWS
    said = f"val - train changes by {gap.change:+.3f} +- {gap.change_error:.3f} nats from step {gap.first:,} to {gap.last:,}"
    evidence.append((pro if grows else against)(said, "val_loss, train_loss"))
    if grows and growth is not None:
        said = f"that is {growth:.0%} of what train fell meanwhile"
        evidence.append((pro if growth >= HALF else against)(said, "val_loss, train_loss"))
    if not grows or passes is None:
        evidence += _memory(run)
    new = False
    if grows and surely_open(gap):
        early, share = early_gap(run)
        new = early < EARLY * gap.end
        said = f"at the first evaluation, {share:.0%} into the run, it was {early:+.3f} nats"
        evidence.append((pro if new else against)(said, "val_loss, train_loss"))
    if worse := worse_than_even(run):
        against_it = against(worse.fact, worse.source)
        return finding(NAME, 0.3, [*evidence, against_it], stake=max(gap.end, 0.0), missing=asks)
    chance = _probability(passes, growth, wide=surely_open(gap), grows=grows, new=new)
    found = finding(NAME, chance, evidence, stake=max(gap.end, 0.0), missing=asks, remedy=_remedy(run))
    # nothing is memorised; that no text was repeated is another thing
    return replace(found, remedy=_if_many(run)) if found.verdict == "refuted" else found


def surely_open(gap: Trend) -> bool:
    """True when the gap at the end is wider than ``OPEN`` by ``ERRORS`` of its errors."""
    return gap.end - ERRORS * gap.mean_error > OPEN


def _probability(passes: float | None, growth: float | None, *, wide: bool, grows: bool, new: bool) -> float:
    if passes is not None and passes < FEW:
        return 0.05
    if not grows:
        return 0.05 if passes is None or passes < MANY else 0.3
    if passes is not None and passes >= MANY:
        return 0.95
    if growth is None or not wide:  # train stands, or the gap is too small to blame
        return 0.3
    if growth >= HALF and new:
        return SURE if growth >= ALL else LIKELY + 0.1
    return 0.4 if growth >= HALF else 0.3


def _passes(run: Run, passes: float | None) -> list[Evidence]:
    unique = run.get("unique_tokens") or run.get("train_tokens")
    if passes is None or not unique or not run.has("tokens_seen"):
        return []
    said = _seen(run, float(unique), passes)
    return [
        (pro if passes >= MANY else against)(said, run.source("unique_tokens") or run.source("train_tokens"))
    ]


def _when(run: Run, unique: float, passes: float) -> str:
    """The steps at which the first pass ended, and the fourth: up to there repeating cost next to nothing."""
    per_step = run.get("tokens_per_step")
    ended = [n for n in (1, int(MANY)) if n < passes] if per_step else []
    steps = [
        f"{'the first' if n == 1 else 'pass ' + str(n)} ended at step {unique * n / per_step:,.0f}"
        for n in ended
    ]
    return f" ({', '.join(steps)})" if steps else ""


def _seen(run: Run, unique: float, passes: float) -> str:
    """How often the text was seen; where copies make the trainer's pass over its file longer, both are told."""
    train, seen = run.get("train_tokens"), run.get("tokens_seen")
    if not run.has("unique_tokens") or not train or train <= (1 + COPIES) * unique:
        return f"{count(seen)} tokens seen of {count(unique)}: {passes:.1f} passes" + _when(
            run, unique, passes
        )
    often = f"{count(seen)} tokens seen of {count(unique)} unique ones: each {passes:.1f} times on average, copies counted"
    over = f"; {seen / train:.1f} passes over all {count(train)} tokens of train"
    return often + over + _when(run, float(train), seen / train)


def _memory(run: Run) -> list[Evidence]:
    """What the model could have learnt by heart at most, if it did nothing else."""
    params, seen, train = run.get("params"), run.get("tokens_seen"), run.series.get("train_loss")
    if not params or not seen or train is None or not len(train.finite):
        return []
    stored, text = BITS * params, seen * float(np.median(train.finite.value[-4:])) / log(2)
    said = (
        f"{count(params)} parameters store at most {count(stored)} bits; the {count(seen)} tokens seen hold {count(text)} bits, "
        f"{text / stored:,.0f} times that, unless they repeat"
    )
    return [against(said, "params, train_loss")] if text > 4 * stored else []


def _remedy(run: Run) -> Remedy:
    val = run.series.get("val_loss")
    best = (
        f"; the best checkpoint so far is near {step_word(run)} {int(val.finite.step[np.argmin(val.finite.value)]):,}"
        if val is not None
        else ""
    )
    fresh, end = without(run), run.get("steps_done")
    plan = Plan(fresh, int(end)) if fresh is not None and end else None
    cost = "more documents; " + (cost_said(run, plan) if plan else "the same steps")
    advice = "train on more unique tokens, or stop earlier" + best + _left(run)
    return Remedy({}, cost, "none", advice, plan=plan)


def _left(run: Run) -> str:
    """How much more the sources hold than was taken of them, where that is known."""
    full, used = run.get("source_tokens"), run.get("unique_tokens") or run.get("train_tokens")
    if not full or not used or used > TAKEN * full:
        return ""
    source = run.source("source_tokens").removeprefix("assumed: ")
    return f"; the sources hold about {count(full)} ({source}), of which {count(used)} were taken"


def _if_many(run: Run) -> Remedy | None:
    """Fresh text, where nobody knows how often the text was seen."""
    seen, fresh, end = run.get("tokens_seen"), without(run), run.get("steps_done")
    if not seen or fresh is None or not end or run.has("passes"):
        return None
    given = changed(run, {"unique_tokens": max(1, int(seen / SUPPOSED))})
    plan = Plan(fresh, int(end), given=given)
    condition = f"if the {count(seen)} tokens were, say, {SUPPOSED:.0f} passes over one text (--unique-tokens N tells)"
    cost = f"more documents; {cost_said(run, plan)}"
    return Remedy({}, cost, "none", "train on fresh text", plan=plan, condition=condition)


def without(run: Run) -> Run | None:
    """The same run in one pass over fresh tokens; its gap is not known, so it is left out."""
    seen = run.get("tokens_seen")
    if not seen:
        return None
    series = {name: curve for name, curve in run.series.items() if name not in ("train_loss", "epoch")}
    return changed(replace(run, series=series), {"unique_tokens": int(seen), "passes": None})


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The model memorises its training text: val no longer follows train.",
    needs=("val_loss|passes",),
    test=test,
    without=without,
    asks=("train and val loss, or the number of unique training tokens (--unique-tokens N)",),
)
