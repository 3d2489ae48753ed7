"""How much of a cause a run has, by what it says of itself: what a reference class goes with (``reference``).

An exposure is a tuple of numbers, each zero where the run has nothing of the cause; None where the run does not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite, log

import numpy as np

from .hypotheses._rates import rates_of
from .hypotheses.duplicates import counted
from .run import Run

Exposure = tuple[float, ...]
#: tokens of a step and of a window in nearly all of the sound runs that planted ones stand beside (benchmarks/planted)
BATCH, CONTEXT = 640, 32
RATES = 64  # steps at which a schedule is summed
USUAL = 0.1  # weight decay of sound runs, and of what is mended


def number(run: Run, name: str) -> float | None:
    """A fact that is a finite number above zero; else None."""
    value = run.get(name)
    known = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value > 0
    return float(value) if known else None


def _folds(times: float) -> Exposure | None:
    """E-folds above 1, none below it; None where that is no number of times.

    >>> _folds(1.0), _folds(0.5), _folds(-1.0)
    ((0.0,), (0.0,), None)
    """
    return (max(0.0, log(times)),) if isfinite(times) and times > 0 else None


def too_high(run: Run) -> Exposure | None:
    """E-folds of the peak above the upper of the published rules."""
    rates = rates_of(run)
    return None if rates is None else _folds(rates.above)


def too_low(run: Run) -> Exposure | None:
    """E-folds of the peak below the lower of the published rules."""
    rates = rates_of(run)
    return None if rates is None else _folds(rates.below)


def regularised(run: Run) -> Exposure | None:
    """Dropout; and e-folds by which weight decay above the usual one shrinks a weight."""
    decay = number(run, "weight_decay") or 0.0
    shrunk = shrinkage(run) if decay > USUAL else 0.0
    if shrunk is None or number(run, "label_smoothing"):
        return None
    return number(run, "dropout") or 0.0, shrunk * (1 - USUAL / decay) if decay else 0.0


def shrinkage(run: Run) -> float | None:
    """Weight decay times the sum of the rates: e-folds by which it shrinks a weight over the run; None where no rate is known."""
    steps, decay = number(run, "steps_done"), number(run, "weight_decay")
    if not steps or run.schedule is None:
        return None
    at = np.linspace(0, steps, RATES).astype(int).tolist()
    return (decay or 0.0) * float(np.mean([run.schedule(step) for step in at])) * steps


def small_batch(run: Run) -> Exposure | None:
    """E-folds of the tokens of a step below ``BATCH``."""
    size = number(run, "tokens_per_step")
    return _folds(BATCH / size) if size else None


def large_batch(run: Run) -> Exposure | None:
    """E-folds of the tokens of a step above ``BATCH``."""
    size = number(run, "tokens_per_step")
    return _folds(size / BATCH) if size else None


def copies(run: Run) -> Exposure | None:
    """ln of the times that the text is as long as what is left of it without copies."""
    told = counted(run)
    return None if told is None or told[0] >= 1 else (-log(1 - told[0]),)


def context(run: Run) -> Exposure | None:
    """E-folds of the window below ``CONTEXT``."""
    block = number(run, "block_size")
    return _folds(CONTEXT / block) if block else None


def there(run: Run) -> Exposure | None:  # noqa: ARG001 - an exposure is a function of a run
    """That it happened is all that is known."""
    return (1.0,)


def sound(run: Run) -> Exposure | None:
    """What the loss per byte of a sound run on natural text goes with: bytes of a token, parameters, tokens seen."""
    size = bytes_of(run)
    params, seen = number(run, "params"), number(run, "tokens_seen")
    return (1.0, log(size), log(params / 1e5), log(seen / 1e6)) if size and params and seen else None


def bytes_of(run: Run) -> float | None:
    """Bytes of a token."""
    return 1.0 if run.get("char_level") else number(run, "bytes_per_token")


#: what the numbers of an exposure are, for people; ``sound`` is what the loss per byte of a sound run goes with
MEANINGS: Mapping[str, tuple[str, ...]] = {
    "lr-too-high": ("ln(peak / upper published rule)",),
    "lr-too-low": ("ln(lower published rule / peak)",),
    "over-regularised": ("dropout", "(weight decay - .1) x sum of the rates"),
    "batch-too-small": (f"ln({BATCH} / tokens per step)",),
    "batch-too-large": (f"ln(tokens per step / {BATCH})",),
    "duplicates": ("ln(1 / (1 - share of copies))",),
    "short-context": (f"ln({CONTEXT} / block size)",),
    "no-warmup": ("1",),
    "resume-state": ("1",),
    "instability": ("1",),
    "frozen-parameters": ("1",),
    "data-order": ("1",),
    "sound": ("1", "ln(bytes per token)", "ln(parameters / 1e5)", "ln(tokens / 1e6)"),
}
#: cause -> how much of it a run has
EXPOSURES: Mapping[str, Callable[[Run], Exposure | None]] = {
    "lr-too-high": too_high,
    "lr-too-low": too_low,
    "over-regularised": regularised,
    "batch-too-small": small_batch,
    "batch-too-large": large_batch,
    "duplicates": copies,
    "short-context": context,
    "no-warmup": there,
    "resume-state": there,
    "instability": there,
    "frozen-parameters": there,
    "data-order": there,
}
