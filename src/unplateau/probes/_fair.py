"""The loss of one text against that of another, and how much of the difference is that one is harder text.

How hard a window is, is told by a cheap model that has read neither (``train/foreseen.py``). By how much the network's loss
follows that model's is fitted on the windows that nobody has trained on; the rest of the difference is what the network
knows of one text and not of the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot
from typing import Any

import numpy as np

from ..errors import UnreadableError
from ._looked import numbers
from ._paired import F64, LEAST, mean_of

#: of what is explained: two kinds of text differ for a network by other factors than the windows of one do
UNSURE = 0.35


@dataclass(frozen=True, slots=True)
class Gap:
    """Nats per token: ``raw`` = ``harder`` + ``rest``, each with its standard error; ``windows`` of both texts together."""

    raw: float
    harder: float
    harder_error: float
    rest: float
    rest_error: float
    windows: int


def gap_of(windows: Mapping[str, Any], unseen: str, other: str) -> Gap:
    """How much more the network loses on ``unseen`` than on ``other``.

    Raises ``UnreadableError`` where one of them was not looked at, or has fewer than four windows.
    """
    loss_u, cheap_u = _of(windows, unseen)
    loss_o, cheap_o = _of(windows, other)
    order, slope = _slope(loss_u, cheap_u)
    shift = float(cheap_u[:, order].mean() - cheap_o[:, order].mean())
    harder, raw = slope * shift, float(loss_u.mean() - loss_o.mean())
    left = [mean_of(loss - slope * cheap[:, order]) for loss, cheap in ((loss_u, cheap_u), (loss_o, cheap_o))]
    cheap = [mean_of(slope * one[:, order]) for one in (cheap_u, cheap_o)]
    unsure = UNSURE * abs(harder)
    return Gap(
        raw,
        harder,
        hypot(*(one.sd for one in cheap)),
        raw - harder,
        hypot(unsure, *(one.sd for one in left)),
        len(loss_u) + len(loss_o),
    )


def losses_of(windows: Mapping[str, Any], split: str) -> F64:
    """The losses of a split's windows (n,), n >= 4, in the order of the text; raises ``UnreadableError`` as ``gap_of``."""
    return _of(windows, split)[0]


def _of(windows: Mapping[str, Any], split: str) -> tuple[F64, F64]:
    """The losses of a split's windows (n,) and the cheap model's (n, orders); those that are no number are left out."""
    rows = windows.get(split)
    told = rows if isinstance(rows, dict) else {}
    loss, cheap = numbers(told.get("loss", [])), numbers(told.get("cheap", []))
    if loss.ndim != 1 or len(loss) < LEAST or cheap.ndim != 2 or len(cheap) != len(loss):
        raise UnreadableError(f"inspect.json holds fewer than {LEAST} windows of {split}: give longer text")
    good = np.isfinite(loss) & np.isfinite(cheap).all(1)
    if good.sum() < LEAST:
        raise UnreadableError(f"the losses of {split} are no numbers: the checkpoint is broken")
    return loss[good], cheap[good]


def _slope(loss: F64, cheap: F64) -> tuple[int, float]:
    """The order of the cheap model that windows' losses follow best, and by how much; never below 0."""
    centred, rest = cheap - cheap.mean(0), loss - loss.mean()
    spread = (centred * centred).sum(0)
    shared = centred.T @ rest
    fits = np.divide(shared, np.sqrt(spread), out=np.zeros(len(spread)), where=spread > 0)
    order = int(np.argmax(fits))
    return order, max(0.0, float(shared[order] / spread[order])) if spread[order] > 0 else 0.0
