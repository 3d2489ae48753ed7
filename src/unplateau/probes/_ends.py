"""How much lower one arm ended than another, where they end at different steps: paired by window where they read the same ones.

An arm whose loss is no number at its end has lost its way: it counts as a uniform guess, ln(vocabulary).
"""

from __future__ import annotations

from math import hypot, log
from pathlib import Path

from ..estimate import Estimate
from ._paired import F64, LEAST, LOG, UNIT, Losses, _rows, loss_at, losses_of, mean_of


def end_difference(a: Path, b: Path, split: str = "val") -> Estimate:
    """How much lower ``b``'s last loss on ``split`` is than ``a``'s last, nats per token.

    Raises ``UnreadableError`` where either was not evaluated.
    """
    one, other = losses_of(a), losses_of(b)
    first, second = _end(one, split), _end(other, split)
    mine, others = _windows(one, split), _windows(other, split)
    paired = one.plan is not None and one.plan == other.plan
    if paired and mine is not None and others is not None and len(mine) == len(others) >= LEAST:
        return mean_of(mine - others)
    value, half = first.value - second.value, hypot(first.high - first.value, second.high - second.value)
    return Estimate(value, value - half, value + half, UNIT)


def _end(losses: Losses, split: str) -> Estimate:
    """The last loss of an arm."""
    words = losses.config.get("vocab_size")
    if isinstance(words, int) and words > 1 and _lost(losses, split):
        return Estimate(log(words), log(words), log(words), UNIT)
    return loss_at(losses, split)


def _lost(losses: Losses, split: str) -> bool:
    """True where the last evaluation found no number: it is null in the log."""
    told = [row[f"{split}_loss"] for row in _rows(losses.folder / LOG) if f"{split}_loss" in row]
    return bool(told) and told[-1] is None


def _windows(losses: Losses, split: str) -> F64 | None:
    steps = [step for step, found in losses.evaluated.items() if split in found]
    return losses.windows(max(steps), split) if steps and not _lost(losses, split) else None


def lower(nats: float) -> str:
    """A difference in words.

    >>> lower(0.0123), lower(-0.5)
    ('0.012 nats lower', '0.500 nats higher')
    """
    return f"{abs(nats):.3f} nats {'lower' if nats >= 0 else 'higher'}"
