"""The batch is so small that its noise, not the data, sets the loss.

Claim: more sequences per step, at this learning rate, would reach a lower loss.
Mechanism: below the critical batch the gradient is mostly noise; at a fixed rate the weights bounce in a
ball whose size grows with rate over batch, and the loss stops at its rim.
Supported by: a few hundred tokens per step and a batch loss that scatters by .3 nats or more; measured
gradient noise, where norms of micro-batches are logged.
Refuted by: a quarter of a million tokens per step, or half of the critical batch at this loss.
Needs: tokens per step, and a batch loss; norms of micro-batch gradients would settle it.
What to do: gradient_accumulation_steps times 4; or, at the same cost, a learning rate of half.
Sources: McCandlish et al. 2018 (arXiv 1812.06162); Kaplan et al. 2020 (arXiv 2001.08361: B_crit = 2e8 /
L^4.76 tokens, a rough guide for BPE text); karpathy/nanoGPT pull 145 (accumulation not scaled: an eight
times smaller batch at the same rate plateaus and blows up).
"""

from __future__ import annotations

from ..derive import changed
from ..run import Run
from ..units import count
from . import Evidence, Finding, Hypothesis, Remedy
from ._batch import ASKS, asks, guide, tokens_per_step
from ._say import against, anew, finding, pro
from ._spikes import FEWEST, noise_of
from ._start import tamed

NAME = "batch-too-small"
TINY = 512  # tokens per step
HANDFUL = 100  # tokens per step; 32 and 64 lose .45 to 1.35 nats in benchmarks/planted, 256 nothing
NOISY = 0.3  # nats; sd of the loss of one batch: as much as one window of 1,024 tokens has
ENOUGH = (
    250_000  # tokens per step; GPT-2 sized runs use 0.5M, and Kaplan's guide asks for less above 3.9 nats
)
BIG = 1_000_000_000  # parameters; ENOUGH holds below
NEAR = 0.5  # of the critical batch: at most three times the steps of an endless batch
TIMES = 4  # accumulation


def test(run: Run) -> Finding:
    size = tokens_per_step(run)
    if size is None:
        return Finding(NAME, "untestable", missing=("tokens_per_step", *ASKS))
    source = run.source("tokens_per_step") or "tokens_per_step"
    fact, (limit, whose), asked = f"{size:,.0f} tokens per step", guide(run), asks(run)
    guided = _guide(limit, size, whose)
    if (size >= ENOUGH and (run.get("params") or 0) < BIG) or (limit and size >= NEAR * limit):
        return finding(NAME, 0.05, [against(fact, source), *guided])
    noise = _noise(run)
    if size <= HANDFUL:
        evidence = [
            pro(f"{fact}: fewer than {HANDFUL}, each update follows a sentence or two", source),
            *guided,
        ]
        return finding(NAME, 0.8, evidence, stake=0.5, remedy=_remedy(run), missing=asked)
    if size > TINY or noise is None:
        some = pro(fact, source) if size <= TINY else against(f"{fact}, more than a few hundred", source)
        chance = 0.25 if size <= TINY else 0.15
        return finding(NAME, chance, [some, *guided], remedy=_remedy(run), missing=asked)
    said = f"the loss of one batch scatters by {noise:.2f} nats"
    evidence = [pro(fact, source), (pro if noise >= NOISY else against)(said, "batch_loss"), *guided]
    if noise < NOISY:
        return finding(NAME, 0.25, evidence, remedy=_remedy(run), missing=asked)
    return finding(NAME, 0.75, evidence, stake=0.1, remedy=_remedy(run), missing=asked)


def _guide(limit: float | None, size: float, whose: str) -> list[Evidence]:
    if limit is None:
        return []
    fact = f"{whose} is {count(limit)} tokens, {limit / size:.1f} times the batch"
    source = "Kaplan et al. 2020" if "Kaplan" in whose else "gradient_noise_scale"
    return [(pro if limit > 4 * size else against)(fact, source)]


def _noise(run: Run) -> float | None:
    """Sd of one batch loss over the second half of the log."""
    batch = tamed(run, "batch_loss")
    if batch is None or len(batch := batch.between(float(batch.step[-1]) / 2, float("inf"))) < FEWEST:
        return None
    return noise_of(batch)


def _remedy(run: Run) -> Remedy:
    now = run.get("gradient_accumulation_steps")
    patch = {"gradient_accumulation_steps": (now, int((now or 1) * TIMES))}
    if not now and run.get("tokens_per_step"):  # a trainer that is told tokens, not micro-batches
        patch = {"tokens_per_step": (run.get("tokens_per_step"), int(run.get("tokens_per_step") * TIMES))}
    larger = changed(run, {key: new for key, (_, new) in patch.items()})
    return Remedy(
        patch, f"{TIMES} times the time per step: {anew(run, larger)}", "fewer steps for the same tokens"
    )


def without(run: Run) -> Run | None:
    """The same run with its accumulation multiplied by four until no noise is left to speak of."""
    size = tokens_per_step(run)
    if size is None or size >= ENOUGH:
        return None
    times = TIMES
    while size * times < ENOUGH:
        times *= TIMES
    now = int(run.get("gradient_accumulation_steps") or 1)
    cured = changed(run, {"gradient_accumulation_steps": now * times})
    return cured if tokens_per_step(cured) not in (None, size) else None


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The batch is so small that gradient noise holds the loss up.",
    needs=("tokens_per_step", "val_loss|train_loss|batch_loss"),
    test=test,
    without=without,
    asks=("tokens per step (batch_size, accumulation, block_size, devices)", *ASKS),
)
