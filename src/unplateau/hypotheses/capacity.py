"""The model is too small for what it is asked to learn.

Claim: the model has no room for more; a wider or deeper one would reach a lower loss on the same tokens.
Mechanism: loss falls like a power of the parameters as of the tokens; past some hundred tokens per
parameter nearly all of what is left to win lies in size.
Supported by: several hundred tokens per parameter, or a hundred and a curve that has slowed or is flat; val no higher
than train, the learning rate annealed and sane.
Refuted by: fewer than 20 tokens per parameter; a gap that shows memorising.
Needs: the size of the model, tokens seen, train and val loss. Log and config place it only: the price in
nats needs a second size, or a law.
What it costs: the forecast of this run less that of a compute-optimal model on the same tokens.
What to do: up to twice the width (four times the parameters of the blocks), at the largest micro-batch that
fits; or a twin at half the width for a tenth of the tokens, to measure what size is worth.
Sources: Hoffmann et al. 2022 (arXiv 2203.15556); Besiroglu et al. 2024 (arXiv 2404.10102).
"""

from __future__ import annotations

from ..derive import changed
from ..run import Fact, Run
from ..units import count, tokens_each
from . import Evidence, Finding, Hypothesis, Plan, Remedy
from ._rates import rates_of
from ._say import against, cost_said, fall_of, finding, gap_trend, pro, state_of
from ._schedule import LATE, spent_at
from ._wider import DOUBLE, sized, wider

NAME = "capacity"
#: tokens per parameter, and the probability of a curve that has slowed or is flat there, with all else in order; 3 such runs of
#: benchmarks/planted gained .41 to .96 nats by a sound size, the two sound runs with as many tokens still fell
MANY, SLOWED = 100.0, 0.75
OPTIMAL = 20.0  # tokens per parameter (Hoffmann 2022)
#: tokens per parameter -> the probability that size is what holds the loss up most, where all else is in order;
#: by the law of Besiroglu 2024 size costs as much as data near 20, and 2, 4, 8 times as much at these
PLACES = ((400.0, 0.85), (200.0, 0.55), (100.0, 0.45), (50.0, 0.3), (OPTIMAL, 0.15), (0.0, 0.05))
MEMORISES = 0.1  # nats of val over train
ANNEALED = 0.25  # share of the peak; above it the curve's end is held up by the learning rate too
RISK = "its best peak rate is lower"  # Kaplan et al. 2020, eq. D.1: the rate falls with ln N
TOO_HIGH, TOO_LOW = 3.0, 6.0  # times over and under the published rules, as in their own causes
STAKE = 0.3  # nats; what twice the width is worth at 40M parameters (Besiroglu 2024)


def test(run: Run) -> Finding:
    per_param = float(run.get("tokens_per_param"))
    said = f"{tokens_each(per_param)} tokens per parameter ({count(run.get('params'))} parameters); {OPTIMAL:.0f} are compute-optimal"
    evidence = [(pro if per_param > 5 * OPTIMAL else against)(said, run.source("tokens_per_param"))]
    probability = next((p for least, p in PLACES if per_param >= least), PLACES[-1][1])
    if per_param >= MANY and (slowed := _slowed(run)):
        probability = max(probability, SLOWED)
        evidence.append(slowed)
    for other, limit in _others(run):
        evidence.append(other)
        probability = min(probability, limit)
    missing = ("a second size: a twin at half the width for a tenth of the tokens",)
    return finding(NAME, probability, evidence, stake=STAKE, remedy=_remedy(run), missing=missing)


def _slowed(run: Run) -> Evidence | None:
    """Evidence that the curve has slowed though its rate was not spent early, which would explain it alone; a high rate is told of in ``_others``."""
    state, share, spent = state_of(run), run.get("lr_share"), spent_at(run)
    early = spent is not None and spent < LATE * int(run.get("steps_done") or 0)
    if state.verdict not in ("slowing", "flat") or share is None or early:
        return None
    return pro(fall_of(run), state.series)


def _others(run: Run) -> list[tuple[Evidence, float]]:
    """What else could hold the loss up, and how likely that leaves capacity."""
    found: list[tuple[Evidence, float]] = []
    gap = gap_trend(run)
    if gap is not None:
        said = f"val - train is {gap.end:+.3f} nats: " + (
            "it memorises" if gap.end > MEMORISES else "no memorising"
        )
        found.append(
            (against(said, "val_loss, train_loss"), 0.1)
            if gap.end > MEMORISES
            else (pro(said, "val_loss, train_loss"), 1.0)
        )
    share = run.get("lr_share")
    if share is not None and share > ANNEALED:
        found.append(
            (against(f"the learning rate is still {share:.0%} of its peak", run.source("lr_share")), 0.45)
        )
    rates = rates_of(run)
    if rates is not None and (rates.above > TOO_HIGH or rates.below > TOO_LOW):
        found.append((against(str(rates), "peak_lr, params"), 0.3))
    dropout = run.get("dropout") or 0.0
    if dropout > 0.2:
        found.append((against(f"dropout is {dropout:g}", run.source("dropout")), 0.4))
    state = state_of(run)
    if state.verdict in ("rising", "diverged"):
        found.append(
            (against(f"{state.series} is {state.verdict} since step {state.since_step:,}", state.series), 0.1)
        )
    return found


def _remedy(run: Run) -> Remedy:
    settings, end = wider(run), run.get("steps_done")
    if not settings or not end:
        return Remedy({}, "a fresh run", "memory: measure one step first", "a wider or deeper model")
    patch = {key: (run.get(key), new) for key, new in settings.items() if run.get(key) != new}
    plan = Plan(changed(run, settings), int(end))
    times = settings["n_embd"] / run.get("n_embd")
    advice = f"train a model {times:.3g} times as wide" + (
        ", the most that the card holds" if times < DOUBLE else ""
    )
    return Remedy(patch, cost_said(run, plan), RISK, advice, plan=plan)


def without(run: Run) -> Run | None:
    """The same run with a model that is compute-optimal for its tokens, as deep for its width as this one."""
    seen = run.get("tokens_seen")
    if not seen:
        return None
    if (settings := sized(run, seen / OPTIMAL + 1)) is not None:
        return changed(run, settings)
    return run.with_facts(params=Fact(seen / OPTIMAL), tokens_per_param=Fact(OPTIMAL - 1e-9))


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The model is too small for these tokens.",
    needs=("tokens_per_param", "params", "val_loss|train_loss|batch_loss"),
    test=test,
    without=without,
    asks=("the shape of the model and tokens per step (config), and a loss",),
)
