"""Twins that a probe trained: a copy of the run at a fraction of its size and tokens, and one of twice that width.

What the wider one won is held against what each draw of the size law says of the two (probes/twins.py). The draws are then
taken again, each as often as the measurement is likely under it: sampling importance resampling (Rubin 1988).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..cost import shape_of
from ..derive import changed
from ..estimate import Estimate
from ..evidence import Told, newest
from ..run import Run

if TYPE_CHECKING:
    from .size import Prior, Size

PROBE, CAUSE = "twins", "capacity"
ARMS = 2
SHAPE = ("n_layer", "n_head", "n_embd", "n_kv_head", "mlp_hidden")  # what an arm may change
#: of a gain: sd within a family of runs around any smooth law, benchmarks/laws/size.py
PAIR = 0.15

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Twins:
    """Two models on the same tokens. ``share``: of the narrow one's loss, what the wide one won, for each e-fold of parameters."""

    narrow: Size
    wide: Size
    tokens: float
    share: Estimate

    @property
    def folds(self) -> float:
        return log(self.wide.blocks / self.narrow.blocks)


def told_of(run: Run) -> dict[Told, Twins]:
    """The twins of ``run`` that the law can be held against."""
    told = (one for one in newest(run.probed) if (one.probe, one.cause) == (PROBE, CAUSE))
    return {one: found for one in told if (found := twins_of(run, one)) is not None}


def twins_of(run: Run, one: Told) -> Twins | None:
    """None where the evidence does not tell the shapes and tokens of both."""
    each = run.get("tokens_per_step")
    sizes = [_size(run, arm) for arm in one.arms]
    if one.contrast is None or not one.steps or not each or len(sizes) != ARMS:
        return None
    narrow, wide = sizes
    if narrow is None or wide is None or wide.blocks <= narrow.blocks:
        return None
    return Twins(narrow, wide, float(one.steps * each), one.contrast)


def _size(run: Run, arm: Mapping[str, Any]) -> Size | None:
    from .size import Size

    settings = {key: value for key, value in arm.items() if key in SHAPE}
    if "n_embd" not in settings or not all(type(v) is int and v > 0 for v in settings.values()):
        return None
    shape = shape_of(changed(run, settings))
    return None if shape is None else Size(shape.params_non_embedding, shape.params)


def shares(prior: Prior, size: Size, tokens: float, twins: Twins) -> Floats:
    """What each draw says that the wide twin of a run of ``size`` and ``tokens`` wins, as ``Twins.share`` has it."""
    own = prior.balance(size.counted(prior.embedding), tokens)
    narrow, wide = (
        prior.balance(s.counted(prior.embedding), twins.tokens) for s in (twins.narrow, twins.wide)
    )
    # by the law: (L - E) of the narrow twin over that of the run
    above = (tokens / twins.tokens) ** (prior.b * prior.p) * ((1 + narrow) / (1 + own)) ** prior.p
    reducible = (1 - prior.floor) * above
    won = -np.expm1(prior.p * (np.log1p(wide) - np.log1p(narrow)))
    return np.asarray(reducible / (reducible + prior.floor) * won / twins.folds)


def held_against(
    prior: Prior, size: Size, tokens: float, found: Mapping[Any, Twins], *, n: int, seed: int
) -> Prior:
    """``n`` draws of ``prior``, each as often as what was measured is likely under it."""
    logs = np.zeros(len(prior.g))
    for twins in found.values():
        said = shares(prior, size, tokens, twins)
        variance = twins.share.sd**2 + (PAIR * said) ** 2 + 1e-12
        logs += -0.5 * (twins.share.value - said) ** 2 / variance - 0.5 * np.log(variance)
    return _resampled(prior, np.exp(logs - logs.max()), n, seed)


def _resampled(prior: Prior, weight: Floats, n: int, seed: int) -> Prior:
    """Systematic resampling: one random number for all (Kitagawa 1996)."""
    rng = np.random.default_rng([*PROBE.encode(), seed])
    ends = np.cumsum(weight)
    at = np.searchsorted(ends, (np.arange(n) + rng.random()) / n * ends[-1])
    return prior.taken(rng.permutation(np.minimum(at, len(weight) - 1)))
