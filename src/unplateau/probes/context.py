"""Losses by position in the window: does more context still help at its end?

The tokens of the last quarter of a window are predicted twice, from the whole window and from half a window less. They are
the same tokens, so the difference has a small part of the noise of losses by position.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from pathlib import Path
from typing import Any

from ..errors import UnreadableError
from ..hypotheses._sampled import sampled
from ..hypotheses._say import gap_trend
from ..hypotheses.data_order import unfair
from ..run import Run
from . import Normal, Prediction, Probe, Reading, Site, Trial
from ._looked import ARM, about, arm, block_of, cost, looked, number, tokens_for
from ._paired import losses_of

NAME, CAUSE = "context", "short-context"
PASSES = 2.0  # of val's tokens
COPIED = 0.3  # share of train that are copies, from which on duplicates is supported
GAP = 0.2  # nats of val over train: more than a fair val of few documents strays by (val-mismatch)
SHORTEST = 4  # tokens of a window that has a half and a quarter
NOISE = 0.1  # nats x sqrt(windows): of the gain, benchmarks/looking.py


def design(run: Run, site: Site) -> Trial | None:
    tokens, block = tokens_for(run, site, PASSES), block_of(run)
    if not tokens or block < SHORTEST or _memorises(run) or _learns_another(run):
        return None
    question = "do tokens at the end of the window gain by the first half of it"
    noise = NOISE * (block / tokens) ** 0.5
    return Trial(NAME, question, (arm(site, "context", tokens),), PREDICTIONS, cost(tokens, PASSES), noise)


def _memorises(run: Run) -> bool:
    """True where train holds copies, or val lies far above it: context then tells whether a passage is known by heart.

    A model that knows one gains by context on any text, val too, as context tells that this is another: .08 to .18 nats on
    windows of 32 letters of which a longer one costs nothing.
    """
    gap = gap_trend(run)
    return (run.get("duplicate_share") or 0.0) >= COPIED or (gap is not None and gap.end > GAP)


def _learns_another(run: Run) -> bool:
    """True where batches lie below the train that they are of: what the model learns is not what the look would evaluate."""
    told = sampled(run)
    return told is not None and unfair(told)


#: measured by benchmarks/looking.py: windows of 4 characters gain .06 and .09, of 8 .004, of 32 and more nothing
PREDICTIONS = (
    Prediction(
        CAUSE,
        Normal(0.08, 0.05),
        Normal(0.0, 0.005),
        "with it the last tokens of a window gain by its first half; without it they no longer do",
    ),
)


def read(trial: Trial, folders: Mapping[str, Path]) -> tuple[Reading, ...]:
    del trial
    context = looked(folders[ARM], "context")
    gain, error = number(context, "gain"), number(context, "error")
    if not abs(gain) < float("inf") or not abs(error) < float("inf"):
        raise UnreadableError("inspect.json tells no gain by context: val is shorter than two windows")
    rows = context.get("positions") or []
    if _knows_nothing(rows, losses_of(folders[ARM]).config.get("vocab_size")):
        return ()  # how much such a model gains by context says nothing of the text
    ends = ""
    if isinstance(rows, list) and rows:
        first, last = rows[0], rows[-1]
        ends = (
            f"; by position the loss goes from {number(first, 'loss'):.3f}{_off(first)} at the first token to "
            f"{number(last, 'loss'):.3f} from token {number(last, 'from'):,.0f} on"
        )
    lower = "lowers" if gain >= 0 else "raises"
    fact = (
        f"half a window of context more {lower} the loss of the last tokens of a window by {abs(gain):.3f} +- "
        f"{error:.3f} nats{ends}"
    )
    return (Reading(CAUSE, about(gain, error, least=0.0), fact),)


def _off(row: Any) -> str:
    """By how much a loss by position may be off; nothing where an older inspection does not tell."""
    error = row.get("error") if isinstance(row, dict) else None
    return f" +- {error:.3f}" if isinstance(error, float) and error < float("inf") else ""


def _knows_nothing(rows: Any, vocab: Any) -> bool:
    """True for a model that is no better than an even guess at the end of its window."""
    known = isinstance(rows, list) and rows and isinstance(vocab, int) and vocab > 1
    return bool(known) and number(rows[-1], "loss") >= log(vocab)


PROBE = Probe(
    name=NAME,
    tells=(CAUSE,),
    question="does more context still help at the end of the window?",
    design=design,
    read=read,
)
