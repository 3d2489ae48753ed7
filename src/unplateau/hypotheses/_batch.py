"""The batch against the critical batch, and against published rules for the best one, as far as a log without gradient norms can tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..run import Run
from ._rates import ADAMS, from_scratch
from ._spikes import FEWEST
from ._start import tamed

KAPLAN, POWER = 2e8, 4.76  # tokens, nats: B_crit = 2e8 / L^4.76; Kaplan et al. 2020, eq. 1.4, tokens of BPE
DEEPSEEK = (0.2920, 0.3271)  # B(C) = a C^b tokens, C in FLOP (DeepSeek LLM 2024, arXiv 2401.02954, eq. 1)
STEP_LAW = (0.58, 0.571)  # B(D) = a D^b tokens, D in tokens (Li et al. 2025, arXiv 2503.04715)
LARGEST = 1e15  # tokens per step; a number above is damage
BPE = 5000  # a vocabulary below is one of characters or bytes, whose losses Kaplan's law does not know
MOSTLY = 0.75  # of the logged noise scales are above 0, where they can be told from nothing
NATS = (0.5, 12.0)  # losses that are nats per token of text
ASKS = ("norms of micro-batch and accumulated gradients, for the gradient noise scale",)


def tokens_per_step(run: Run) -> float | None:
    """Tokens of one optimiser step, where they are a sane number."""
    told = run.get("tokens_per_step")
    return float(told) if isinstance(told, int | float) and 1 <= told < LARGEST else None


@dataclass(frozen=True, slots=True)
class Best:
    """The batch that published rules give for as many tokens from scratch with Adam: tokens per step, the lower and the upper rule."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"published rules give {self.low:,.0f} to {self.high:,.0f} for these tokens and this compute (DeepSeek 2024, Step Law 2025)"


def best(run: Run, steps: float) -> Best | None:
    """The rules for ``steps`` of ``run``; None where its size or its batch is unknown.

    Both were fitted from some 10M parameters up; models of 60k parameters agree (benchmarks/planted/constants.py).
    """
    size, params = tokens_per_step(run), run.get("params_non_embedding") or run.get("params")
    if size is None or not params or not 0 < steps < LARGEST:
        return None
    tokens = size * float(steps)
    rules = (
        DEEPSEEK[0] * (6 * float(params) * tokens) ** DEEPSEEK[1],
        STEP_LAW[0] * tokens ** STEP_LAW[1],
    )
    return Best(min(rules), max(rules))


def holds_for(run: Run) -> bool:
    """True for a run that the rules speak of in full: from scratch, with Adam."""
    return from_scratch(run) and str(run.get("optimizer", "")).lower() in ADAMS


def level(run: Run) -> float | None:
    """The last evaluated loss, else the median of the last batch losses."""
    for name in ("val_loss", "train_loss", "batch_loss"):
        curve = tamed(run, name)
        if curve is not None:
            last = sorted(curve.value[-5:].tolist())
            return float(last[len(last) // 2])
    return None


def measured(run: Run) -> float | None:
    """The gradient noise scale that the log tells, tokens: the median of its second half (McCandlish et al. 2018)."""
    told = run.series.get("gradient_noise_scale")
    if told is None or not len(told := told.finite):
        return None
    late = told.between(float(told.step[-1]) / 2, float("inf")).value
    return float(np.median(late)) if len(late) >= FEWEST and (late > 0).mean() > MOSTLY else None


def guide(run: Run) -> tuple[float | None, str]:
    """The critical batch, tokens: as measured, else Kaplan's at this loss; and whose it is."""
    if (scale := measured(run)) is not None:
        return scale, "the gradient noise scale as logged"
    return critical(run), "Kaplan's rough guide for this loss"


def asks(run: Run) -> tuple[str, ...]:
    """What would tell the critical batch, where it is not logged."""
    return ASKS if measured(run) is None else ()


def critical(run: Run) -> float | None:
    """Kaplan's critical batch at the run's loss, tokens; a rough guide, None where it does not hold.

    >>> from unplateau.curve import Curve
    >>> from unplateau.run import Fact
    >>> run = Run("demo", series={"val_loss": Curve([0], [3.57], "nats")}, facts={"vocab_size": Fact(50304)})
    >>> round(critical(run), -4)
    470000.0
    """
    loss, vocab = level(run), run.get("vocab_size")
    if loss is None or not NATS[0] < loss < NATS[1] or not isinstance(vocab, int | float) or vocab < BPE:
        return None
    return float(KAPLAN / loss**POWER)
