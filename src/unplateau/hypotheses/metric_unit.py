"""The loss is in another unit than nats per token, so it is compared with the wrong numbers.

Claim: the logged number is bits, perplexity, base-10 or per byte, and is read as nats per token.
Mechanism: fairseq logs bits (base 2), some tools perplexity, nanochat bits per byte; 1 bit is .693 nats.
Supported by: a first loss of 1.443 times ln(vocabulary) (bits), .434 times (base 10), or near the
vocabulary's size itself (perplexity).
Refuted by: a first loss within a few percent of ln(vocabulary).
Needs: the vocabulary's size, and the loss before the first update.
What to do: say --unit bits (or perplexity); compare runs of different tokenizers in bits per byte only.
Sources: facebookresearch/fairseq issue 515 (loss 14.351, ppl 20,899 = 2^14.351); karpathy/nanochat
(loss / ln 2 x tokens / bytes); SCIENCE.md section 5.
"""

from __future__ import annotations

from math import log

from ..run import Run
from ..units import NATS_PER
from . import Finding, Hypothesis, Remedy
from ._say import SURE, against, finding, pro
from ._start import Start, losses, start_of, tamed

NAME = "metric-unit"
BITS, DITS = 1 / log(2), 1 / log(10)  # of one nat
NEAR = 0.02  # relative; initialisations move the first loss by about 1 %
INIT = (0.95, 1.1)  # first loss / ln V that initialisations give
PPL = (0.5, 2.0)  # first perplexity / V: exp(+-.7 nats)
TOO_LARGE = 100.0  # nats; an even guess of e^100 tokens
ASKS = ("vocab_size", "the loss at step 0", "the unit that the trainer logs in")


def test(run: Run) -> Finding:
    name, unit = _unit(run)
    start = start_of(run)
    if unit not in ("nats", ""):
        fact = f"{name} is logged in {unit}: 1 value of it is not nats per token, and no ln(vocabulary) bounds it"
        return finding(NAME, 0.3, [pro(fact, name)], missing=("bytes per token, to compare it with nats",))
    if start is None:
        return _without_start(run, name)
    source = f"{start.series}, {run.source('vocab_size') or 'vocab_size'}"
    fact = f"{start}, a ratio of {start.ratio:.3f}"
    if INIT[0] <= start.ratio <= INIT[1]:
        return finding(NAME, 0.02, [against(fact + ": nats per token", source)])
    for factor, unit, means in ((BITS, "bits", "1/ln 2"), (DITS, "dits", "1/ln 10")):
        if abs(start.ratio / factor - 1) <= NEAR:
            evidence = [pro(f"{fact}; {means} is {factor:.3f}", source)]
            return finding(NAME, SURE, evidence, stake=0.01, remedy=_remedy(unit))
    if PPL[0] <= start.loss / start.vocab_size <= PPL[1] and start.loss > TOO_LARGE:
        evidence = [
            pro(f"the first value is {start.loss:,.0f} for a vocabulary of {start.vocab_size:,}", source)
        ]
        return finding(NAME, SURE, evidence, stake=0.01, remedy=_remedy("perplexity"))
    return finding(NAME, _other(start), [against(fact + ": no unit that is known", source)], missing=ASKS[2:])


def _other(start: Start) -> float:
    return 0.5 if start.loss > TOO_LARGE else 0.15


def _unit(run: Run) -> tuple[str, str]:
    name, curve = losses(run)[0]
    return name, curve.unit


def _without_start(run: Run, name: str) -> Finding:
    """Without a vocabulary or a first loss only impossible sizes can be told."""
    curve = tamed(run, name)
    if curve is None or curve.first <= TOO_LARGE:
        return Finding(NAME, "untestable", missing=ASKS)
    fact = f"{name} begins at {curve.first:,.0f}, in nats the even guess of e^{curve.first:,.0f} tokens"
    return finding(NAME, 0.5, [pro(fact, name)], missing=ASKS)


def _remedy(unit: str) -> Remedy:
    factor = f"1 {unit[:-1]} = {NATS_PER[unit]:.4f} nats" if unit in NATS_PER else "nats = ln(perplexity)"
    return Remedy({}, "none: reading only", "none", f"read it again with --unit {unit}: {factor}")


def without(run: Run) -> Run | None:
    """The same run with its losses in nats."""
    from dataclasses import replace

    import numpy as np

    from ..curve import Curve

    start = start_of(run)
    if start is None or INIT[0] <= start.ratio <= INIT[1]:
        return None
    ppl = start.loss > TOO_LARGE
    series = dict(run.series)
    for name, curve in losses(run):
        if ppl:
            value = np.log(np.where(curve.value > 0, curve.value, np.nan))
            series[name] = Curve(curve.step, value, "nats")
        else:
            series[name] = curve.scaled(NATS_PER["bits" if start.ratio > 1 else "dits"], "nats")
    return replace(run, series=series)


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The loss is in bits, perplexity or per byte and is read as nats per token.",
    needs=("val_loss|train_loss|batch_loss",),
    test=test,
    without=without,
    asks=("a loss", "vocab_size, or the unit"),
)
