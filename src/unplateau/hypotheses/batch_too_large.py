"""The batch is larger than the gradient noise asks for: tokens are spent on steps that could be shorter.

Claim: at this number of tokens, a smaller batch and more steps would reach a lower loss.
Mechanism: above the critical batch a larger one makes the gradient hardly better, so that the same tokens
buy fewer steps; a plan of a few hundred steps has too few for any model.
Supported by: measured gradient noise far below the batch, which no common log has; a plan of fewer than 500 steps
with more than 1.5 times the batch of both published rules makes it more likely than not, and stays "undecided".
Refuted by: a batch no larger than published rules give for as many tokens, or below the critical one at the run's loss.
Needs: tokens per step, a loss; the planned steps and the size of the model; norms of micro-batch and accumulated gradients.
What to do: log both gradient norms for a hundred steps (nearly free where gradients are accumulated);
then take half the batch and twice the steps, with the rate down by the root of two.
Sources: McCandlish et al. 2018 (arXiv 1812.06162: tokens needed = E_min (1 + B/B_crit)); Kaplan et al. 2020
(arXiv 2001.08361: B_crit = 2e8 / L^4.76 tokens, a rough guide); DeepSeek LLM 2024 (arXiv 2401.02954, eq. 1) and Li et al. 2025
(arXiv 2503.04715) for the best batch; Shallue et al. 2019 (arXiv 1811.03600).
"""

from __future__ import annotations

from math import log2
from typing import Any

from ..run import Run
from ..units import count
from . import Finding, Hypothesis, Remedy
from ._batch import ASKS, Best, asks, best, guide, holds_for, measured, tokens_per_step
from ._say import against, anew, finding, pro

NAME = "batch-too-large"
FAR = 4.0  # times the critical batch: five times the tokens of a small batch
NEAR = 2.0  # times
FEW, MUCH = 1000, 4_000_000  # planned steps, tokens per step: too few updates for any schedule
#: planned steps; batches that cost .5 to 1.6 nats left 80 to 200, sound runs of benchmarks/planted have 600 and more
UPDATES = 500
#: times the upper of the published rules: the geometric middle of sound runs, .83 at most, and those batches, 2.6 to 6
#: (benchmarks/planted/constants.py); in other runs twice the rule in 150 steps cost .26 and .36 nats (docs/LOG.md)
OVER = 1.5
LIKELIER = 0.65  # likelier than not, but of one kind of evidence, and nobody's wish to be done soon is known
OPEN = 0.15  # above the rules, which are flat around their best
STAKE = 0.3  # nats; the lesser ones of .5 to 1.6 in benchmarks/planted, and their rate is too low as well
#: a tenth or a fifth of the tokens tell nothing: there half the batch wins where the batch is right as well (docs/LOG.md)
PROBE = "the same tokens once more in half the batch and twice the steps: all of them, a short run wants smaller batches anyway"
UNKNOWN = "the planned steps and the size of the model, from the config"


def test(run: Run) -> Finding:
    size = tokens_per_step(run)
    if size is None:
        return Finding(NAME, "untestable", missing=("tokens_per_step", *ASKS))
    source = run.source("tokens_per_step") or "tokens_per_step"
    planned = run.get("planned_end")
    said, rule = f"{size:,.0f} tokens per step", best(run, planned or run.get("steps_done") or 0)
    if found := _few(run, size, rule):
        return found
    if planned and planned < FEW and size > MUCH:
        evidence = [pro(f"{said} leave {planned:,} planned steps", source)]
        return finding(NAME, 0.4, evidence, stake=0.05, missing=ASKS, remedy=_remedy(run))
    if rule is not None and size <= rule.high:
        return finding(NAME, 0.03, [against(said, source), against(str(rule), "tokens_per_step, params")])
    return _critical(run, size, rule)


def _few(run: Run, size: float, rule: Best | None) -> Finding | None:
    """Few updates planned from scratch, of a batch far above what both rules give; the plan, for a run that is not done yet."""
    planned = run.get("planned_end")
    if rule is None or not planned or planned >= UPDATES or size < OVER * rule.high or not holds_for(run):
        return None
    evidence = [
        pro(
            f"{size:,.0f} tokens per step leave {planned:,} updates of the weights",
            run.source("tokens_per_step"),
        ),
        pro(f"{rule}: {size / rule.high:.1f} times the upper one", "tokens_per_step, params, planned_end"),
    ]
    scale = measured(run)
    if scale is not None:
        seen = f"the gradient noise scale as logged is {count(scale)} tokens"
        evidence.append((pro if size > NEAR * scale else against)(seen, "gradient_noise_scale"))
        if size <= scale:
            return finding(NAME, OPEN, evidence, stake=STAKE, missing=(PROBE,), remedy=_remedy(run))
    return finding(
        NAME, LIKELIER, evidence, stake=STAKE, missing=(*asks(run), PROBE), remedy=_remedy(run, rule)
    )


def _critical(run: Run, size: float, rule: Best | None) -> Finding:
    """Against the critical batch, where it is logged or Kaplan's guide holds."""
    source, (limit, whose) = run.source("tokens_per_step") or "tokens_per_step", guide(run)
    fact = f"{size:,.0f} tokens per step"
    rules = [pro(str(rule), "tokens_per_step, params")] if rule is not None else []
    if limit is None:
        wanted = (*ASKS, *((UNKNOWN,) if rule is None else (PROBE,)))
        evidence = [against(fact + ": no guide for this kind of token", source), *rules]
        return finding(NAME, OPEN, evidence, missing=wanted)
    ratio = size / limit
    fact += f", {ratio:.1f} times the {count(limit)} of {whose}"
    if ratio > NEAR:
        chance = 0.35 if ratio > FAR else 0.2
        return finding(
            NAME, chance, [pro(fact, source), *rules], stake=0.02, missing=asks(run), remedy=_remedy(run)
        )
    return finding(NAME, 0.05, [against(fact, source), *rules])


def _remedy(run: Run, rule: Best | None = None) -> Remedy | None:
    """Half the batch and twice the steps, for the same tokens, or as far as the rule; the rate down by the root of it."""
    peak = run.get("peak_lr")
    if not peak or not run.get("max_steps"):
        return None
    wanted = 1 if rule is None else max(1, round(log2(run.get("tokens_per_step") / rule.high)))
    cut = _divided(run, 2**wanted)
    if cut is None:
        return None
    times, parts = cut
    patch: dict[str, tuple[Any, Any]] = {**parts, "peak_lr": (peak, float(f"{peak / times**0.5:.3g}"))}
    for name in ("max_steps", "decay_start", "decay_end", "warmup_steps"):
        if run.get(name):
            patch[name] = (run.get(name), times * int(run.get(name)))
    word = (
        "half the batch and twice the steps"
        if times == 2
        else f"1/{times} of the batch and {times} times the steps"
    )
    cost = f"as many tokens, {times} times the updates: {anew(run)}"
    return Remedy(patch, cost, "a noisier gradient", f"take {word}, for the same tokens")


def _divided(run: Run, times: int) -> tuple[int, dict[str, tuple[Any, Any]]] | None:
    """The largest power of two up to ``times`` that divides the accumulation, else the micro-batch, and the settings of it."""
    while times > 1:
        for name in ("gradient_accumulation_steps", "batch_size"):
            now = run.get(name)
            if isinstance(now, int) and now >= times and now % times == 0:
                return times, {name: (now, now // times)}
        times //= 2
    return None


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The batch is larger than its gradient noise asks for, so tokens buy too few steps.",
    needs=("tokens_per_step", "val_loss|train_loss|batch_loss"),
    test=test,
    asks=("tokens per step (batch_size, accumulation, block_size, devices)", *ASKS),
)
