"""Reference classes: what a cause that no law prices cost in runs into which it was planted.

    ln(loss / loss without the cause)  =  b . x  +-  t s

x is how much of the cause the run has, by what it says of itself (``exposure``); b, s and t are least squares over planted
runs, s as they miss texts and trainers that were left out (``reference.json``, which benchmarks/planted/reference.py
writes). Noise of the data is told by how far the loss stands above that of sound runs. A class holds for models and
token counts near those of its runs, and speaks of no others.

It is an outside view: what happened to runs like this one, no measurement on it. So it makes no cause more or less
likely, and is in no row and no sum of the budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from math import exp, log, sqrt
from pathlib import Path

import msgspec
import numpy as np

from .derive import changed
from .estimate import Estimate
from .exposure import EXPOSURES, Exposure, bytes_of, number, sound
from .heard import combined
from .hypotheses import Finding, Remedy
from .run import Run
from .state import State
from .units import count

FILE = Path(__file__).with_name("reference.json")
NATS = "nats"
SOUND = "sound"  # the class of runs without a cause
ABOVE_SOUND = ("noisy-data",)  # causes that are told by how far the loss stands above that class
FEWEST, TEXTS = 5, 2  # runs, and texts among them, that tell a spread
NEAR = 2.0  # times more, or fewer, parameters or tokens than any run of the class had; assumed
MOST = 1.05  # times as much of the cause as any of them had: shares are counted, not set
OPEN = ("supported", "undecided")  # verdicts that leave a cause something to cost
JUDGED = ("falling", "slowing", "flat", "rising")  # verdicts on curves that end on a loss
#: causes whose remedy is a run of as many steps; of the others no class tells what mending them as advised wins
MENDED = ("lr-too-high", "lr-too-low", "over-regularised", "batch-too-small")
#: causes that leave tokens and text as they are, so that sound runs tell what would be without them: a second view of the cost
SAME_TOKENS = ("lr-too-high", "lr-too-low", "over-regularised", "duplicates")
UNITS = {"params": "parameters", "tokens_seen": "tokens"}


class Class(msgspec.Struct, frozen=True):
    """A fitted reference class; without a ``slope`` where its runs tell no price.

    ``slope``: for each number of the exposure; ``gram``: the inverse of x'x; ``spread``: sd of the logarithm of a loss
    ratio; ``t``: spreads to either end of a 90 % interval; ``most``: of each number; ``params``, ``tokens`` and ``costs``
    (nats): the least and the most of its runs.
    """

    runs: int
    texts: int
    slope: tuple[float, ...] = ()
    gram: tuple[tuple[float, ...], ...] = ()
    spread: float = 0.0
    t: float = 0.0
    most: tuple[float, ...] = ()
    params: tuple[float, float] = (0.0, 0.0)
    tokens: tuple[float, float] = (0.0, 0.0)
    costs: tuple[float, float] | None = None

    def ratio(self, x: Exposure, since: float = 0.0) -> tuple[float, float, float]:
        """Low end, value and high end of ``since`` + b . x."""
        at = np.array(x)
        value = since + float(np.dot(self.slope, at))
        half = self.t * self.spread * sqrt(1 + float(at @ np.array(self.gram) @ at))
        return value - half, value, value + half


@cache
def classes() -> Mapping[str, Class]:
    """The fitted classes, by cause; ``SOUND`` is that of runs without one."""
    return msgspec.json.decode(FILE.read_bytes(), type=dict[str, Class])


def by_class(finding: Finding, run: Run, state: State) -> Finding:
    """``finding`` with its effect and the gain of its remedy by its reference class, where no law and no probe gave any.

    Probability and verdict stay: the class is of runs that have the cause, and tells nothing of whether this one has.
    """
    cause = finding.cause
    if (
        finding.effect is not None
        or finding.verdict not in OPEN
        or not _known(cause)
        or not _judged(run, state)
    ):
        return finding
    one = classes()[SOUND if cause in ABOVE_SOUND else cause]
    x = sound(run) if cause in ABOVE_SOUND else EXPOSURES[cause](run)
    if x is None or not any(x):
        return finding
    if why := outside(run, one, x):
        # of what is only not excluded nobody asks for the price
        said = (finding.unpriced, why if finding.verdict == "supported" else "")
        return replace(finding, unpriced="; ".join(filter(None, said)))
    assert state.level is not None  # _judged
    loss = state.level.value
    effect = _above_sound(run, one, x, loss) if cause in ABOVE_SOUND else _nats(one.ratio(x), loss)
    basis = source(cause, one)
    # what holds a run above sound ones is put down to a cause only where that is found in it
    second = _second_view(run, cause, loss) if finding.verdict == "supported" else None
    if second is not None:
        effect, basis = combined([effect, second]) or effect, source(cause, one, classes()[SOUND])
    remedy = finding.remedy
    if remedy is not None and remedy.gain is None and cause in MENDED:
        share = _share(one, x, _won(run, remedy, cause, x), loss)
        remedy = _mended(remedy, effect, share, basis)
    return replace(finding, effect=effect, basis=basis, unpriced="", remedy=remedy)


def _second_view(run: Run, cause: str, loss: float) -> Estimate | None:
    """How far the run stands above sound ones, where those are like it and tell of the cause."""
    x, one = sound(run), classes()[SOUND]
    if cause not in SAME_TOKENS or x is None or outside(run, one, x):
        return None
    return _above_sound(run, one, x, loss)


def source(cause: str, one: Class, beside: Class | None = None) -> str:
    """Where the price of a cause comes from, as reports say it. ``beside``: the class of sound runs, where that tells too.

    >>> source("batch-too-small", Class(8, 2)), source("noisy-data", Class(60, 3))
    ('from 8 planted runs, left out by text', 'from 60 sound runs, left out by text')
    >>> source("lr-too-high", Class(12, 3), Class(60, 3))
    'from 12 planted runs and 60 sound ones, left out by text'
    """
    kind = "sound" if cause in ABOVE_SOUND else "planted"
    more = f" and {beside.runs} sound ones" if beside is not None else ""
    return f"from {one.runs} {kind} runs{more}, left out by text"


def outside(run: Run, one: Class, x: Exposure) -> str:
    """Why the class tells no price of ``run``; empty where it does."""
    if not one.slope:
        return _no_price(one)
    for name, span in (("params", one.params), ("tokens_seen", one.tokens)):
        size, unit = number(run, name), UNITS[name]
        if size is None:
            return f"what planted runs tell needs the number of {unit}"
        if size > span[1] * NEAR:
            return f"measured on runs of up to {count(span[1])} {unit}"
        if size < span[0] / NEAR:
            return f"measured on runs of {count(span[0])} {unit} and more"
    if any(mine > MOST * most for mine, most in zip(x, one.most, strict=True) if most > 0):
        return f"no planted run had as much of it ({one.runs} runs)"
    return ""


def _no_price(one: Class) -> str:
    if one.runs < FEWEST or one.texts < TEXTS or one.costs is None:
        return f"{one.runs} planted runs are too few to tell what it costs"
    low, high = one.costs
    return f"in {one.runs} planted runs it cost {low:.1f} to {high:,.0f} nats: nothing to go by"


def _known(cause: str) -> bool:
    return cause in ABOVE_SOUND or (cause in EXPOSURES and cause in classes())


def _judged(run: Run, state: State) -> bool:
    known = state.level is not None and state.level.value > 0 and state.verdict in JUDGED
    return known and run.series[state.series].unit == NATS


def _nats(ratio: tuple[float, float, float], loss: float) -> Estimate:
    """What a logarithm of a loss ratio is in nats of ``loss``.

    >>> print(_nats((0.1, 0.2, 0.3), 3.0))
    0.54 nats (0.29 to 0.78)
    """
    low, value, high = (loss * (1 - exp(-end)) for end in ratio)
    return Estimate(value, low, high, NATS)


def _above_sound(run: Run, one: Class, x: Exposure, loss: float) -> Estimate:
    """Nats from what sound runs of this size come to on natural text up to ``loss``."""
    low, value, high = one.ratio(x, -log(loss / (bytes_of(run) or 1.0)))
    return _nats((-high, -value, -low), loss)


def _won(run: Run, remedy: Remedy, cause: str, x: Exposure) -> Exposure | None:
    """How much less of the cause the run has that the remedy makes."""
    left = EXPOSURES[cause](changed(run, {name: new for name, (_, new) in remedy.patch.items()}))
    return None if left is None else tuple(a - b for a, b in zip(x, left, strict=True))


def _share(one: Class, x: Exposure, won: Exposure | None, loss: float) -> float:
    """The share of the cost that goes with what the remedy takes away."""
    if won is None or not any(part > 0 for part in won):
        return 0.0
    whole = _nats(one.ratio(x), loss).value
    return _nats(one.ratio(won), loss).value / whole if whole > 0 else 0.0


def _mended(remedy: Remedy, effect: Estimate, share: float, basis: str) -> Remedy:
    """``remedy`` with its share of the cost as its gain; of a part of it no less is open than of the whole."""
    if share <= 0:
        return remedy
    value = share * effect.value
    low, high = effect.value - effect.low, effect.high - effect.value
    return replace(remedy, gain=Estimate(value, value - low, value + high, NATS), basis=basis)
