"""The run is at the floor of its own plan: annealed, flat, and trained well past its size.

Claim: nothing is wrong; this model, on this data, with this schedule, is done.
Mechanism: the learning rate has gone to zero, so the weights stand still; what is left is the entropy of
the text and what the model is too small, or the data too little, to learn.
Supported by: a learning rate that has come down by the planned end, tokens per parameter well past
compute-optimal, a curve that is flat or has slowed, and val close to train.
Refuted by: a high learning rate, a falling or rising loss, a schedule that ran out long before the run.
Needs: the schedule, the size of the model, a loss.
What to do: stop. For a lower loss change the plan: a larger model, more data, a longer schedule.
Sources: Hoffmann et al. 2022 (arXiv 2203.15556): 20 tokens per parameter are compute-optimal.
"""

from __future__ import annotations

from ..run import Run
from ..units import tokens_each
from . import Evidence, Finding, Hypothesis, Remedy
from ._say import against, fall_of, finding, gap_trend, pro, state_of
from ._schedule import ANNEALED, LATE, OPTIMAL, PAST, SPENT, spent_at

NAME = "converged"
END = 0.95  # of the planned steps
ASKS = (
    "the size of the model and tokens per step, from the config",
    "evaluations over more steps, or larger ones: they show whether the loss still falls",
)
GAP = 0.1  # nats of val over train; more is memorising or another text
STAKE = 0.014  # nats; behind still-learning, before nothing


def test(run: Run) -> Finding:
    state = state_of(run)
    if state.slope is None:
        return Finding(NAME, "untestable", missing=("a longer log: at least four evaluations",))
    evidence, annealed = _annealed(run)
    if not annealed:
        return finding(NAME, 0.05, evidence)
    still = state.verdict in ("flat", "slowing")
    evidence.append((pro if still else against)(fall_of(run), state.series))
    if not still:
        return finding(NAME, 0.2 if state.verdict == "falling" else 0.05, evidence, missing=ASKS)
    probability, per_param = 0.55, run.get("tokens_per_param")
    if per_param is not None:
        said = f"{tokens_each(per_param)} tokens per parameter; {OPTIMAL:.0f} are compute-optimal"
        evidence.append((pro if per_param >= PAST else against)(said, run.source("tokens_per_param")))
        probability = 0.9 if per_param >= PAST else 0.4
    gap = gap_trend(run)
    if gap is not None and abs(gap.end) > GAP:
        evidence.append(against(f"val - train is {gap.end:+.2f} nats", "val_loss, train_loss"))
        probability = 0.1
    remedy = Remedy({}, "none", "none", "stop; for a lower loss change the plan: more tokens, a larger model")
    return finding(NAME, probability, evidence, stake=STAKE, remedy=remedy, missing=ASKS)


def _annealed(run: Run) -> tuple[list[Evidence], bool]:
    """Whether the rate has come down as planned by the end of the run, and what says so."""
    spent, end, share = spent_at(run), int(run.get("steps_done") or 0), run.get("lr_share")
    if spent is not None and spent < LATE * end:
        return [against(f"the learning rate ran out at step {spent:,} of {end:,}", "schedule")], False
    if spent is not None:
        return [
            pro(f"the learning rate is below {SPENT:.0%} of its peak since step {spent:,}", "schedule")
        ], True
    planned = run.get("planned_end")
    if share is None or share > ANNEALED:
        shown = f"{share:.0%} of its peak" if share is not None else "not known to have come down"
        return [against(f"at step {end:,} the learning rate is {shown}", "schedule")], False
    if planned and end < END * planned:
        return [against(f"step {end:,} of {planned:,.0f} planned", run.source("planned_end"))], False
    return [
        pro(f"at step {end:,} the learning rate has come down to {share:.1%} of its peak", "schedule")
    ], True


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The run is annealed and flat: done, as planned.",
    needs=("val_loss|train_loss|batch_loss", "schedule|lr"),
    test=test,
    asks=("a loss", "the schedule, from the config, or a logged learning rate"),
)
