"""The weights do not move: the loss stays where it started although the learning rate is above zero.

Claim: the optimiser's updates never reach the weights that the model uses.
Mechanism: the optimiser was built before the model was wrapped or moved, parameters were frozen, the
gradient is cut off or zero, weights were never loaded, every fp16 step is skipped, or the rate is 0.
Supported by: a gradient norm of 0; a loss that repeats its first digits; a loss within noise of
ln(vocabulary) after many steps.
Undecided, and first, where a long run at a sane rate never came down to the unigram entropy of its data: not even
the frequencies of the tokens were learnt, as where the embedding or the output does not move.
Refuted by: a loss that has fallen by far more than its noise.
Needs: a loss over at least 50 steps; the vocabulary, gradient norms and a logged rate help.
What to do: print the norm of one weight before and after a step; build the optimiser after wrapping
(FSDP, DDP) and after moving the model; check requires_grad and that the weights were loaded.
Sources: ByteDance-Seed/VeOmni issue 118 (loss 11.93 = ln(151,936), gradient norm 0: weights not loaded);
intelligent-machine-learning/dlrover issue 584 (optimiser built before FSDP); SCIENCE.md section 7.
"""

from __future__ import annotations

from math import log

import numpy as np

from ..curve import Curve
from ..run import Run
from . import Evidence, Finding, Hypothesis, Remedy
from ._rates import rates_of
from ._say import LIKELY, SURE, against, finding, pro
from ._spikes import noise_of
from ._start import INIT, scratch, tamed, trained, vocabulary

NAME = "frozen-parameters"
LONG = 50  # steps; a warm-up may hide all learning for less
FEW = 10  # points
FALLEN = 0.5  # nats below its start; a frozen model can't
STILL = 0.05  # nats; a trend below this or three errors is no learning
SMALLEST = 3.2  # nats: ln(25), fewer tokens than the alphabet has letters
OFTEN = 1000  # times that each token was seen, on average; sound runs of benchmarks/planted know the frequencies after 300
FOLLOWS = 0.1  # nats above the unigram entropy
SANE = 4.0  # times the published rules
PART = 0.6  # chance; labels, mask or the output may be wrong as well
ZERO = 0.9  # share of gradient norms that are 0
ASKS = ("the gradient norm of each step", "the norm of one weight before and after a step")
FIX = Remedy(
    {},
    "a look at the code, and a run of 100 steps",
    "none",
    "build the optimiser from the parameters that the model uses, after wrapping it; check requires_grad",
)


def test(run: Run) -> Finding:
    seen = trained(run)
    if seen is None or len(seen[1]) < 2:
        return Finding(NAME, "untestable", missing=("losses at two steps or more",))
    name, curve = seen
    start, end, error = _ends(curve)
    fall, steps = start - end, int(curve.step[-1] - curve.step[0])
    fact = f"{name} goes from {start:.4g} to {end:.4g} over {steps:,} steps"
    if fall > max(FALLEN, 5 * error):
        fallen = against(fact + f", a fall of {fall:.2f} nats", name)
        return _part(run, name, curve, fallen) or finding(NAME, 0.02, [fallen])
    if steps < LONG or len(curve) < FEW:
        return finding(NAME, 0.15, [against(fact + ": too short to tell", name)], missing=ASKS)
    return _still(run, name, curve, fact)


def _part(run: Run, name: str, curve: Curve, fallen: Evidence) -> Finding | None:
    """The finding where something was learnt, and less than how often each token comes."""
    unigram, seen, vocab, rates = (
        run.get("unigram_entropy"),
        run.get("tokens_seen"),
        vocabulary(run),
        rates_of(run),
    )
    if not unigram or not seen or vocab is None or rates is None or len(curve) < FEW:
        return None
    best, sane = float(np.median(np.sort(curve.value)[:FEW])), max(rates.above, rates.below) < SANE
    if not sane or seen < OFTEN * vocab or best < unigram + FOLLOWS:
        return None
    said = (
        f"{name} never came down to {unigram:.2f} nats, what the frequencies of the tokens alone give, though each was seen "
        f"{seen / vocab:,.0f} times: {best:.2f} at best"
    )
    evidence = [pro(said, run.source("unigram_entropy") or name), fallen]
    return finding(NAME, PART, evidence, stake=best - float(unigram), missing=ASKS)


def _ends(curve: Curve) -> tuple[float, float, float]:
    """Medians of the first and of the last fifth, and the error of their difference."""
    part = max(1, len(curve) // 5)
    start, end = float(np.median(curve.value[:part])), float(np.median(curve.value[-part:]))
    noise = noise_of(curve) if len(curve) > 2 else STILL
    return max(start, curve.first), end, noise * (2.5 / part) ** 0.5


def _still(run: Run, name: str, curve: Curve, fact: str) -> Finding:
    """The finding where the loss has not fallen by half a nat."""
    part = max(1, len(curve) // 5)
    trend = float(np.median(curve.value[:part]) - np.median(curve.value[-part:]))
    error = noise_of(curve) * (2.5 / part) ** 0.5
    moved = abs(trend) > max(STILL, 3 * error)
    evidence = [(against if moved else pro)(fact + f"; the error of its change is {error:.3f}", name)]
    dead = _dead(run) + _constant(name, curve)
    if dead:
        return finding(NAME, SURE, [*evidence, *dead], stake=1.0, remedy=FIX)
    if moved:
        return finding(NAME, 0.1, evidence, missing=ASKS)
    vocab, level = vocabulary(run), float(np.median(curve.value))
    if vocab is None and level < SMALLEST:
        said = f"{level:.3f} nats is an even guess of {np.exp(level):.1f} tokens: no vocabulary is that small"
        return finding(NAME, 0.08, [*evidence, against(said, name)], missing=ASKS)
    if vocab is None:
        return finding(NAME, 0.3, evidence, missing=("vocab_size", *ASKS))
    even = abs(level - log(vocab)) < INIT
    said = f"{level:.3f} is the loss of an even guess, ln({vocab:,}) = {log(vocab):.3f}, within {INIT}"
    if not even:
        away = f"{level:.3f} is {level - log(vocab):+.2f} nats from an even guess, ln({vocab:,})"
        return finding(NAME, 0.15, [*evidence, against(away, "vocab_size")], missing=ASKS)
    sure = SURE if scratch(run) is not False else LIKELY
    return finding(
        NAME, sure, [*evidence, pro(said, run.source("vocab_size") or name)], stake=1.0, remedy=FIX
    )


def _dead(run: Run) -> list[Evidence]:
    """Gradient norms or learning rates that are zero all along."""
    said = []
    for name, what in (("grad_norm", "gradient norms"), ("lr", "learning rates")):
        series = tamed(run, name)
        if series is None or len(series) < FEW:
            continue
        zeros = int((series.value == 0).sum())
        if zeros > ZERO * len(series) and not (name == "grad_norm" and _unmeasured(run)):
            said.append(pro(f"{zeros:,} of {len(series):,} logged {what} are 0", name))
    return said


def _unmeasured(run: Run) -> bool:
    """Megatron with DeepSpeed prints a gradient norm of 0.000 where it measures none."""
    return "megatron" in run.format


def _constant(name: str, curve: Curve) -> list[Evidence]:
    """A loss that never changes: not even other batches give another number."""
    values = len(np.unique(curve.value))
    if values > 1:
        return []
    return [pro(f"all {len(curve):,} logged losses are {curve.first:.6g}", name)]


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The updates never reach the weights: the loss stays at its start.",
    needs=("batch_loss|train_loss|val_loss",),
    test=test,
    asks=("a loss over at least 50 steps, with gradient norms", "vocab_size"),
)
