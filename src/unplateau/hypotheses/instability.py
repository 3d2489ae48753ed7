"""The loss jumps up in spikes, or climbs away from its best and does not come back.

Claim: updates were so large that they undid what had been learned, again and again or for good.
Mechanism: the curvature grows until a step overshoots: attention logits or the output layer's weights
grow, gradients explode, Adam's second moment lags behind a sudden gradient, or one batch is broken.
Supported by: a training loss that ends far above its best without coming back, or that ends above an even
guess after it was well below one; spikes, and a train loss, evaluated, that ends half a nat above its best; three
spikes or more that last, each above .3 nats and eight times the noise of a logged point; momenta of Adam for which
it is not proved to converge (beta1^2 not below the root of beta2). A loss that is high for a point or two and then
at its old level speaks of an odd batch, not of the weights.
Refuted by: no such spike among all logged batch losses after the first twentieth of the run.
Needs: a batch loss (or train loss), logged often; gradient norms help.
What to do: go back to the checkpoint before the spike and skip its batches; clip gradients at 1; lower
the peak learning rate or warm up longer; beta1 of .9, beta2 of .95; normalise queries and keys, z-loss of 1e-4.
A single spike that came back costs nothing: change nothing.
Sources: Kingma and Ba 2015 (arXiv 1412.6980, theorem 4.1: beta1^2 < sqrt(beta2)); Chowdhery et al. 2022 (PaLM, arXiv 2204.02311, section 5.1: rewind and skip batches); Wortsman
et al. 2023 (arXiv 2309.14322); the chronicle of BigScience's tr1-13B, whose authors never knew the cause.
"""

from __future__ import annotations

from math import inf, log, sqrt

import numpy as np

from ..curve import Curve
from ..run import Run
from ..state import diverged
from . import Evidence, Finding, Hypothesis, Remedy
from ._rates import ADAMS
from ._say import EVEN, SURE, against, finding, pro
from ._spikes import Spike, Spikes, spikes
from ._start import losses, tamed, vocabulary

NAME = "instability"
START = 0.05  # of the run; the first fall is too fast to have a typical noise
MANY = 3  # spikes; one that came back is bad luck, and was never explained (BigScience tr1)
LASTS = 3  # logged points; weights that were thrown off do not come back within a step or two
MOST = 0.5  # of the spikes; where few last, batches are of two kinds and the others follow by chance
BACK = 0.1  # of a climb; a loss that has come down by that much at the end of the log is on its way back
CLIMB = 0.5  # nats above the best so far; a rise before a nan that is no noise
STEEP = 5.0  # times the median gradient norm
ENDS = 3  # evaluations whose median is where a loss ends; one alone may be a burst
FEW = 30  # points; below, the absence of spikes says little
ADAM = {"beta1": 0.9, "beta2": 0.95}  # of GPT-3 (Brown et al. 2020), and nanoGPT's
#: chance and nats where Adam's momenta are outside; of six planted runs each lost 1.3 nats or more (benchmarks/planted)
OUTSIDE, LOST = 0.75, 1.0
ASKS = ("batch losses of every step around the rise, with gradient norms",)


def test(run: Run) -> Finding:
    found, momenta = _by_losses(run), _momenta(run)
    if momenta is None:
        return found
    chance, stake = max(found.probability or 0.0, OUTSIDE), max(found.stake, LOST)
    return finding(NAME, chance, [momenta, *found.evidence], stake=stake, remedy=_remedy(run))


def _momenta(run: Run) -> Evidence | None:
    """What says that Adam's first moment remembers too long for its second; None where nothing does."""
    first, second = run.get("beta1"), run.get("beta2")
    if first is None or not second or str(run.get("optimizer", "")).lower() not in ADAMS:
        return None
    ratio = first**2 / sqrt(second)
    if not 1 <= ratio < inf:
        return None
    fact = (
        f"beta1 {first:g} squared is {ratio:.2f} times the root of beta2 {second:g}: Adam is proved to converge below 1 only, "
        "for its steps grow where gradients turn"
    )
    return pro(fact, run.source("beta1"))


def _by_losses(run: Run) -> Finding:
    """The finding before what the config says."""
    name, curve = _curve(run)
    if curve is None:
        return Finding(NAME, "untestable", missing=("a training loss with at least four points",))
    if gone := _undone(run, name, curve) or _gone(run, name, curve):
        return gone
    if _ends_lost(run, name):
        fact = f"{name} is not finite from step {run.series[name].non_finite_steps[0]:,} on, {climb(curve):.2f} nats above its best before"
        return finding(NAME, 0.3, [against(fact, name), *_norms(run)], stake=0.1, missing=ASKS)
    seen = spikes(curve, START * float(curve.step[-1]))
    if seen is None:
        said = against(f"the {len(curve)} points of {name} do not end above their best for good", name)
        return finding(NAME, 0.1 if len(curve) >= 4 else 0.2, [said, *_norms(run)], missing=ASKS)
    return _spiky(run, name, seen) if seen.found else _calm(run, name, curve, seen)


def _curve(run: Run) -> tuple[str, Curve | None]:
    """The densest loss of training; val only where it is all there is, for it also rises by memorising."""
    found = [(n, c) for n in ("batch_loss", "train_loss", "val_loss") if (c := tamed(run, n)) is not None]
    training = [item for item in found if item[0] != "val_loss" and len(item[1]) >= 4] or found
    best = max(training, key=lambda item: len(item[1]), default=("", None))
    return best if best[1] is not None and len(best[1]) >= 4 else (best[0], None)


def _gone(run: Run, name: str, curve: Curve) -> Finding | None:
    """The finding where the loss left its best for good, or climbed before it became nan."""
    lost = _ends_lost(run, name)
    climbed = climb(curve)
    if not (diverged(curve) or (lost and climbed > CLIMB)):
        return None
    best = int(np.argmin(curve.value))
    fact = (
        f"{name} rises from {curve.value[best]:.3f} at step {curve.step[best]:,} "
        f"to {curve.last:.3f} at step {curve.step[-1]:,}" + (", then is not finite" if lost else "")
    )
    evidence = [pro(fact, name), *_norms(run)]
    top = float(curve.value[best:].max())
    if not lost and top - curve.last > BACK * (top - float(curve.value[best])):
        back = f"it has come back by {top - curve.last:.2f} nats from its top of {top:.3f} when the log ends"
        evidence.append(against(back, name))
        return finding(NAME, 0.4, evidence, stake=0.1, missing=("the log after it: does it recover?",))
    if name == "val_loss":
        evidence.append(against("only val_loss is logged, 0 training losses: memorising would also", name))
        return finding(NAME, 0.4, evidence, stake=0.1, missing=("a training loss",))
    return finding(NAME, SURE, evidence, stake=min(1.0, climbed), remedy=_remedy(run), missing=ASKS)


def _undone(run: Run, name: str, curve: Curve) -> Finding | None:
    """The finding where the model had learnt something, and ends worse than an even guess, on its way back or not."""
    vocab, seen = vocabulary(run), smooth(curve)
    if vocab is None or name == "val_loss":
        return None
    even, end = log(vocab), float(np.median(curve.value[-max(3, len(curve) // 10) :]))
    best = int(np.argmin(seen))
    if seen[best] > even - CLIMB or end < even + EVEN:
        return None
    fact = (
        f"{name} was {even - seen[best]:.2f} nats under an even guess over {vocab:,} tokens, and ends at {end:.2f}, "
        f"{end - even:.2f} nats over it"
    )
    stake = min(1.0, end - float(seen[best]))
    return finding(
        NAME, SURE, [pro(fact, name), *_norms(run)], stake=stake, remedy=_remedy(run), missing=ASKS
    )


def _ends_lost(run: Run, name: str) -> bool:
    return not bool(np.isfinite(run.series[name].value[-2:]).any())


def climb(curve: Curve) -> float:
    """How far the end of ``curve`` lies above its best, nats, both as medians of up to three points."""
    y = smooth(curve)
    return float(y[-1] - y.min())


def smooth(curve: Curve) -> np.ndarray:
    """Medians of three points each; the points themselves where there are fewer."""
    y = curve.value
    return np.median(np.stack([y[:-2], y[1:-1], y[2:]]), axis=0) if len(y) > 2 else y


def _spiky(run: Run, name: str, seen: Spikes) -> Finding:
    largest = sorted(seen.found, key=lambda s: -s.height)[:MANY]
    evidence = [pro(_told(s, name), name) for s in sorted(largest, key=lambda s: s.first)]
    back = sum(s.recovered for s in seen.found)
    fact = f"{back} of {len(seen.found)} spikes among {seen.looked_at:,} points came back"
    evidence += [(against if back == len(seen.found) else pro)(fact, name), *_norms(run)]
    if lost := _weights_lost(run):
        stake = min(1.0, above_best(run) or 0.0)
        return finding(NAME, SURE, [lost, *evidence], stake=stake, remedy=_remedy(run), missing=ASKS)
    last = seen.found[-1]
    stays = not last.recovered and last.first < last.last
    lasting = sum(s.points >= LASTS for s in seen.found)
    if lasting < len(seen.found):
        alone = len(seen.found) - lasting
        fact = (
            f"{alone} of {len(seen.found)} last less than {LASTS} logged points: odd batches, "
            "the weights are as good as before"
        )
        evidence.append(against(fact, name))
    many = lasting >= max(MANY, MOST * len(seen.found)) and name != "val_loss"
    probability = 0.75 if many else 0.4 if stays else 0.2
    height = float(np.median([s.height for s in seen.found]))
    stake = 0.02 * min(1.0, height)  # what came back costs the steps that it took
    return finding(NAME, probability, evidence, stake=stake, remedy=_remedy(run), missing=ASKS)


def above_best(run: Run) -> float | None:
    """How far the evaluated train loss ends above its best, nats; None where there are too few evaluations."""
    train = tamed(run, "train_loss")
    if train is None or len(train) < 2 * ENDS or not run.get("eval_modes_equal"):
        return None
    return float(np.median(train.value[-ENDS:]) - train.value[:-ENDS].min())


def _weights_lost(run: Run) -> Evidence | None:
    """What an odd batch can't do: the evaluated loss of the text that was trained on stays above what it had come to.

    In benchmarks/planted it ends 1.7 to 2,700 nats above its best where instability was planted, .22 at most elsewhere (but
    for targets that are not those of the evaluation, which make no spikes).
    """
    above = above_best(run)
    if above is None or above <= CLIMB:
        return None
    train = run.series["train_loss"].finite
    fact = (
        f"train_loss, evaluated, ends {above:.2f} nats above its best of {train.value.min():.3f} (median of its last {ENDS}): "
        "the weights, not odd batches"
    )
    return pro(fact, "train_loss")


def _told(spike: Spike, name: str) -> str:
    came = f"back by step {spike.last:,}" if spike.recovered else "not back when the log ends"
    return (
        f"{name} jumps from {spike.base:.2f} by {spike.height:.2f} nats at step {spike.top:,}, "
        f"{min(spike.errors, 9999):.0f} times its noise, {came}"
    )


def _calm(run: Run, name: str, curve: Curve, seen: Spikes) -> Finding:
    fact = (
        f"0 of {seen.looked_at:,} points of {name} after step {seen.since:,} lie more than "
        f"{seen.threshold:.2f} nats above the median of those before; the noise of one is {seen.noise:.2f}"
    )
    evidence = [against(fact, name), *_norms(run)]
    if clip := run.get("grad_clip"):
        evidence.append(against(f"gradients are clipped at {clip:g} already", run.source("grad_clip")))
    steep = any(e.points == "for" for e in evidence)
    return finding(NAME, 0.2 if steep else 0.05 if len(curve) >= FEW else 0.1, evidence, missing=ASKS)


def _norms(run: Run) -> list[Evidence]:
    """What the gradient norms say after the first twentieth of the run."""
    norms = tamed(run, "grad_norm")
    if norms is None or len(norms := norms.between(START * float(norms.step[-1]), np.inf)) < FEW:
        return []
    middle, top = float(np.median(norms.value)), float(norms.value.max())
    if middle <= 0:
        return []
    step = int(norms.step[int(np.argmax(norms.value))])
    fact = f"the largest gradient norm is {top:.3g} at step {step:,}, {top / middle:.1f} times the median"
    return [(pro if top > STEEP * middle else against)(fact, "grad_norm")]


def _remedy(run: Run) -> Remedy:
    clip, peak = run.get("grad_clip"), run.get("peak_lr")
    patch = {"grad_clip": (clip, 1.0)} if clip is not None and (clip == 0 or clip > 1) else {}
    if _momenta(run):
        usual = {name: (run.get(name), value) for name, value in ADAM.items()}
        advice = "train again with " + " and ".join(f"{name} {value:g}" for name, value in ADAM.items())
        return Remedy(usual | patch, "a fresh run", "none", advice)
    if not patch and peak:
        patch = {"peak_lr": (peak, peak / 2)}
    steps = [len(c) for _, c in losses(run)]
    advice = "go back to the checkpoint before the first spike, skip its batches, and change one thing"
    cost = f"the steps since the checkpoint; {max(steps, default=0):,} logged points show where"
    return Remedy(patch, cost, "a lower rate learns slower", advice)


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="Spikes or a divergence of the loss undo what had been learned.",
    needs=("batch_loss|train_loss|val_loss",),
    test=test,
    asks=("a training loss, logged often, with gradient norms",),
)
