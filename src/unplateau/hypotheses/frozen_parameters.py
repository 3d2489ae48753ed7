"""The weights do not move, all of them or a part: the optimiser's updates never reach them.

Claim: the optimiser's updates never reach the weights that the model uses, or a part of them.
Mechanism: the optimiser was built before the model was wrapped or moved, parameters were frozen, the
gradient is cut off or zero, weights were never loaded, every fp16 step is skipped, or the rate is 0.
Supported by: a gradient norm of 0; a loss that repeats its first digits; a loss within noise of
ln(vocabulary) after many steps; a checkpoint of a run from scratch in which some tensors have moved far and others
never: Adam holds no gradient of them, gains are exactly 1 or biases 0, or a matrix is still what was drawn for it.
Undecided, and first, where a long run at a sane rate never came down to the unigram entropy of its data: not even
the frequencies of the tokens were learnt, as where the embedding or the output does not move.
Left open, as unlikely, where the loss has fallen: then something learns, but a part may stand still, and the rest
learns around it. A checkpoint tells, or the probe gradients.
Refuted by: a checkpoint all of whose tensors have moved.
Needs: a loss over at least 50 steps; a checkpoint, the vocabulary, gradient norms and a logged rate help.
What to do: print the norm of one weight before and after a step; build the optimiser after wrapping
(FSDP, DDP) and after moving the model; check requires_grad and that the weights were loaded.
Sources: ByteDance-Seed/VeOmni issue 118 (loss 11.93 = ln(151,936), gradient norm 0: weights not loaded);
intelligent-machine-learning/dlrover issue 584 (optimiser built before FSDP); SCIENCE.md section 7; of weights that
are what was drawn for them: Marchenko and Pastur 1967, Johnstone 2001, Martin and Mahoney 2021 (JMLR 22, 165).
"""

from __future__ import annotations

from math import log, sqrt
from typing import Any

import numpy as np

from ..curve import Curve
from ..run import Run
from ..units import count
from . import Evidence, Finding, Hypothesis, Remedy
from ._rates import ADAMS, rates_of
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
UNSEEN = 0.2  # strength, where the loss fell and no checkpoint was seen: how often an untested cause holds (benchmarks/untested.py)
#: how far Adam's steps carry each weight even where their signs are chance, as a multiple of GPT-2's initial .02: the root of
#: the sum of the squared rates. Below, a matrix that learns may still look as it was drawn
FAR = 0.02
LITTLE = 0.01  # share of the parameters; gains alone are less, and their standing still may be meant
MEANT = 0.4  # strength, where a part may stand still on purpose: few parameters, or a model that did not start from scratch
OPEN_SHARE = 0.01  # of the parameters of which the checkpoint may tell nothing, where it is to refute
NAMED = 3  # tensors by name
ZERO = 0.9  # share of gradient norms that are 0
CHECKPOINT = "a checkpoint in the run's folder: its weights tell whether a part of them stands still"
WHY = {
    "gradient": "Adam has seen no gradient",
    "gains": "gains all alike, as at the start",
    "bias": "all 0",
    "zero": "all 0",
    "drawn": "still as drawn at random",
}
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
    if (found := _weights(run)) is not None:
        return found
    start, end, error = _ends(curve)
    fall, steps = start - end, int(curve.step[-1] - curve.step[0])
    fact = f"{name} goes from {start:.4g} to {end:.4g} over {steps:,} steps"
    if fall > max(FALLEN, 5 * error):
        fallen = against(fact + f", a fall of {fall:.2f} nats", name)
        return _part(run, name, curve, fallen) or finding(NAME, UNSEEN, [fallen], missing=(CHECKPOINT,))
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


# --- the weights of a checkpoint


def _weights(run: Run) -> Finding | None:
    """The finding where a checkpoint tells it; None where it tells nothing, or is of too early a step."""
    rows, moved, step = run.get("weights_still"), run.get("weights_moved"), run.get("weights_step")
    total, unclear = run.get("weights_counted"), run.get("weights_unclear", 0)
    last = run.get("steps_done")
    if not isinstance(rows, list) or not moved or not total or (step or last or 0) < LONG:
        return None
    if step is not None and last is not None and step > last + (run.get("eval_interval") or 0):
        return None  # of a later part than the log
    still, doubtful = _still_rows(run, rows, step or last)
    source = run.source("weights_still")
    if still:
        return _stands(run, still, int(moved), total, source)
    if doubtful + unclear > OPEN_SHARE * total:
        return None
    fact = f"in {source} all {int(moved)} tensors that can be judged have moved, {count(total)} parameters"
    return finding(NAME, 0.02, [against(fact, source)])


def _still_rows(run: Run, rows: list[Any], step: int) -> tuple[list[tuple[str, int, str]], int]:
    """Those that stand still, name, parameters and why; and the parameters of those that only look so."""
    told = [(str(row[0]), int(row[1]), str(row[2])) for row in rows]
    sure = [row for row in told if row[2] != "drawn" or _carried(run, step)]
    return sure, sum(row[1] for row in told if row not in sure)


def _carried(run: Run, step: int) -> bool:
    """True where Adam's steps must have carried every weight that gets a gradient far from where it began."""
    if run.schedule is None or str(run.get("optimizer", "")).lower() not in ADAMS:
        return False
    at = np.unique(np.linspace(0, step, min(step, 1000) + 1).astype(int))
    rates = np.array([run.schedule(int(one)) for one in at])
    return bool(sqrt(step * np.mean(rates**2)) >= FAR)


def _stands(run: Run, still: list[tuple[str, int, str]], moved: int, total: int, source: str) -> Finding:
    """The finding where tensors never moved; where that may be meant it accuses nobody."""
    share = sum(row[1] for row in still) / total
    named = "; ".join(f"{name} ({WHY.get(why, why)})" for name, _, why in still[:NAMED])
    more = f" and {len(still) - NAMED} more" if len(still) > NAMED else ""
    fact = f"in {source} {len(still)} of {len(still) + moved} tensors never moved, {share:.1%} of the parameters: {named}{more}"
    meant = scratch(run) is False or share < LITTLE
    sure = SURE if any(row[2] == "gradient" for row in still) else LIKELY
    return finding(
        NAME,
        MEANT if meant else sure,
        [pro(fact, source)],
        stake=0.0 if meant else 1.0,
        remedy=FIX,
        missing=("whether a part was frozen on purpose",),
    )


# --- the loss alone


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
    claim="The updates never reach the weights, or a part of them.",
    needs=("batch_loss|train_loss|val_loss",),
    test=test,
    asks=("a loss over at least 50 steps, with gradient norms", "vocab_size"),
)
