"""How much lower one arm ended than another, where they end at different steps: paired by window where they read the same ones."""

from __future__ import annotations

from math import hypot
from pathlib import Path

from ..estimate import Estimate
from ._paired import LEAST, UNIT, Losses, loss_at, losses_of, mean_of


def end_difference(a: Path, b: Path, split: str = "val") -> Estimate:
    """How much lower ``b``'s last loss on ``split`` is than ``a``'s last, nats per token.

    Raises ``UnreadableError`` where either was not evaluated.
    """
    one, other = losses_of(a), losses_of(b)
    first, second = loss_at(one, split), loss_at(other, split)
    mine, others = (found.windows(_last(found, split), split) for found in (one, other))
    paired = one.plan is not None and one.plan == other.plan
    if paired and mine is not None and others is not None and len(mine) == len(others) >= LEAST:
        return mean_of(mine - others)
    value, half = first.value - second.value, hypot(first.high - first.value, second.high - second.value)
    return Estimate(value, value - half, value + half, UNIT)


def _last(losses: Losses, split: str) -> int:
    return max(step for step, found in losses.evaluated.items() if split in found)


def lower(nats: float) -> str:
    """A difference in words.

    >>> lower(0.0123), lower(-0.5)
    ('0.012 nats lower', '0.500 nats higher')
    """
    return f"{abs(nats):.3f} nats {'lower' if nats >= 0 else 'higher'}"
