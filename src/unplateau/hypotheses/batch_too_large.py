"""The batch is larger than the gradient noise asks for: tokens are spent on steps that could be shorter.

Claim: at this number of tokens, a smaller batch and more steps would reach a lower loss.
Mechanism: above the critical batch a larger one makes the gradient hardly better, so that the same tokens
buy fewer steps.
Supported by: measured gradient noise far below the batch; no common log has it, so "undecided" is all
that a log can give.
Refuted by: a batch below the critical one at the run's loss, or below 65,536 tokens.
Needs: tokens per step, a loss; norms of micro-batch and accumulated gradients.
What to do: log both gradient norms for a hundred steps (nearly free where gradients are accumulated);
then halve the accumulation, with the rate down by the root of two.
Sources: McCandlish et al. 2018 (arXiv 1812.06162: tokens needed = E_min (1 + B/B_crit)); Kaplan et al. 2020
(arXiv 2001.08361: B_crit = 2e8 / L^4.76 tokens, a rough guide).
"""

from __future__ import annotations

from typing import Any

from ..run import Run
from ..units import count
from . import Finding, Hypothesis, Remedy
from ._batch import ASKS, asks, guide, tokens_per_step
from ._say import against, anew, finding, pro

NAME = "batch-too-large"
SMALL = 65_536  # tokens per step; below Kaplan's guide at any loss under 5.4 nats
FAR = 4.0  # times the critical batch: five times the tokens of a small batch
NEAR = 2.0  # times
FEW, MUCH = 1000, 4_000_000  # planned steps, tokens per step: too few updates for any schedule


def test(run: Run) -> Finding:
    size = tokens_per_step(run)
    if size is None:
        return Finding(NAME, "untestable", missing=("tokens_per_step", *ASKS))
    source, fact = run.source("tokens_per_step") or "tokens_per_step", f"{size:,.0f} tokens per step"
    planned = run.get("planned_end")
    if planned and planned < FEW and size > MUCH:
        evidence = [pro(f"{fact} leave {planned:,} planned steps", source)]
        return finding(NAME, 0.4, evidence, stake=0.05, missing=ASKS, remedy=_remedy(run))
    if size <= SMALL:
        return finding(NAME, 0.03, [against(fact, source)])
    limit, whose = guide(run)
    if limit is None:
        return finding(NAME, 0.2, [against(fact + ": no guide for this kind of token", source)], missing=ASKS)
    ratio = size / limit
    fact += f", {ratio:.1f} times the {count(limit)} of {whose}"
    if ratio > NEAR:
        chance = 0.35 if ratio > FAR else 0.2
        return finding(NAME, chance, [pro(fact, source)], stake=0.02, missing=asks(run), remedy=_remedy(run))
    return finding(NAME, 0.05, [against(fact, source)])


def _remedy(run: Run) -> Remedy | None:
    """Half the accumulation and twice the steps, for the same tokens; the rate down by the root of two."""
    now, peak = run.get("gradient_accumulation_steps"), run.get("peak_lr")
    if not now or now % 2 or not peak or not run.get("max_steps"):
        return None
    patch: dict[str, tuple[Any, Any]] = {
        "gradient_accumulation_steps": (now, now // 2),
        "peak_lr": (peak, float(f"{peak / 2**0.5:.3g}")),
    }
    for name in ("max_steps", "decay_start", "decay_end", "warmup_steps"):
        if run.get(name):
            patch[name] = (run.get(name), 2 * int(run.get(name)))
    advice = "take half the batch and twice the steps, for the same tokens"
    return Remedy(patch, f"as many tokens, twice the updates: {anew(run)}", "a noisier gradient", advice)


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The batch is larger than its gradient noise asks for, so tokens buy too few steps.",
    needs=("tokens_per_step", "val_loss|train_loss|batch_loss"),
    test=test,
    asks=("tokens per step (batch_size, accumulation, block_size, devices)", *ASKS),
)
