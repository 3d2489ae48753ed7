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

from dataclasses import replace
from math import log

import numpy as np

from ..curve import Curve
from ..run import Run
from ..units import NATS_PER
from . import Finding, Hypothesis, Remedy
from ._say import SURE, against, finding, pro
from ._start import Start, losses, start_of, tamed

NAME = "metric-unit"
RATIOS = {"bits": 1 / log(2), "dits": 1 / log(10)}  # of one nat
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
    found = unit_of(start)
    if found == "perplexity":
        said = f"the first value is {start.loss:,.0f} for a vocabulary of {start.vocab_size:,}"
        return finding(NAME, SURE, [pro(said, source)], stake=0.01, remedy=_remedy(found))
    if found is not None:
        said = f"{fact}; one nat is {RATIOS[found]:.3f} {found}"
        return finding(NAME, SURE, [pro(said, source)], stake=0.01, remedy=_remedy(found))
    return finding(NAME, _other(start), [against(fact + ": no unit that is known", source)], missing=ASKS[2:])


def unit_of(start: Start) -> str | None:
    """The unit whose even guess the first loss is, other than nats; None where it is none that is known."""
    for unit, ratio in RATIOS.items():
        if abs(start.ratio / ratio - 1) <= NEAR:
            return unit
    near = PPL[0] <= start.loss / start.vocab_size <= PPL[1]
    return "perplexity" if near and start.loss > TOO_LARGE else None


def as_measured(run: Run) -> Run:
    """``run`` with its losses under the unit that their first value proves; ``run`` itself where it proves none.

    No law knows such numbers, and nothing that is said of them is in nats.
    """
    start = start_of(run)
    unit = None if start is None or run.series[start.series].unit not in ("nats", "") else unit_of(start)
    if unit is None:
        return run
    told = {name: Curve(curve.step, curve.value, unit) for name, curve in losses(run)}
    return replace(run, series={**run.series, **told})


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
    start = start_of(run)
    unit = None if start is None else unit_of(start)
    if unit is None:
        return None
    sane = [(name, tamed(run, name)) for name, _ in losses(run)]
    series = {name: _in_nats(curve, unit) for name, curve in sane if curve is not None}
    return replace(run, series={**run.series, **series})


def _in_nats(curve: Curve, unit: str) -> Curve:
    if unit != "perplexity":
        return curve.scaled(NATS_PER[unit], "nats")
    value = np.log(np.where(curve.value > 0, curve.value, np.nan))
    return Curve(curve.step, value, "nats")


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The loss is in bits, perplexity or per byte and is read as nats per token.",
    needs=("val_loss|train_loss|batch_loss",),
    test=test,
    without=without,
    asks=("a loss", "vocab_size, or the unit"),
)
