"""The run is at the floor of its own plan: annealed, flat, and trained well past its size.

Claim: nothing is wrong; this model, on this data, with this schedule, is done.
Mechanism: the learning rate has gone to zero, so the weights stand still; what is left is the entropy of
the text and what the model is too small, or the data too little, to learn.
Supported by: a learning rate near zero at the planned end, tokens per parameter well past
compute-optimal, a flat end of the curve, and val close to train.
Refuted by: a high learning rate, a falling or rising loss, a schedule that ran out long before the run.
Needs: the schedule, the size of the model, a loss.
What to do: stop. For a lower loss change the plan: a larger model, more data, a longer schedule.
Sources: Hoffmann et al. 2022 (arXiv 2203.15556): 20 tokens per parameter are compute-optimal.
"""

from __future__ import annotations

from ..run import Run
from . import Finding, Hypothesis, Remedy
from ._say import against, fall_of, finding, gap_trend, pro, state_of
from ._schedule import LATE, PAST, SPENT, spent_at

NAME = "converged"
GAP = 0.1  # nats of val over train; more is memorising or another text
STAKE = 0.014  # nats; behind still-learning, before nothing


def test(run: Run) -> Finding:
    state = state_of(run)
    if state.slope is None:
        return Finding(NAME, "untestable", missing=("a longer log: at least four evaluations",))
    spent, end = spent_at(run), int(run.get("steps_done") or 0)
    per_param = run.get("tokens_per_param")
    if spent is None:
        share = run.get("lr_share")
        shown = f"{share:.0%} of its peak" if share is not None else f"above {SPENT:.0%} of its peak"
        return finding(
            NAME, 0.05, [against(f"at step {end:,} the learning rate is {shown}: not annealed", "schedule")]
        )
    if spent < LATE * end:
        return finding(
            NAME, 0.1, [against(f"the learning rate ran out at step {spent:,} of {end:,}", "schedule")]
        )
    evidence = [pro(f"the learning rate is below {SPENT:.0%} of its peak since step {spent:,}", "schedule")]
    evidence.append((against if state.verdict == "falling" else pro)(fall_of(state), state.series))
    probability = (
        0.55 if state.verdict == "falling" else 0.75 if state.verdict in ("flat", "slowing") else 0.1
    )
    if per_param is not None:
        said = f"{per_param:,.0f} tokens per parameter; 20 are compute-optimal"
        evidence.append((pro if per_param >= PAST else against)(said, run.source("tokens_per_param")))
        probability += 0.15 if per_param >= PAST else -0.2
    gap = gap_trend(run)
    if gap is not None and abs(gap.end) > GAP:
        evidence.append(against(f"val - train is {gap.end:+.2f} nats", "val_loss, train_loss"))
        probability = 0.1
    remedy = Remedy({}, "none", "none", "stop; for a lower loss change the plan: more tokens, a larger model")
    return finding(
        NAME, min(probability, 0.9), evidence, stake=STAKE, remedy=remedy, missing=("the size of the model",)
    )


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The run is annealed and flat: done, as planned.",
    needs=("val_loss|train_loss|batch_loss", "schedule|lr"),
    test=test,
    asks=("a loss", "the schedule, from the config, or a logged learning rate"),
)
