"""Units of loss: nats, bits, perplexity, bits per byte; and words for large numbers."""

from __future__ import annotations

from decimal import Decimal
from math import exp, isfinite, log

NATS_PER = {"nats": 1.0, "bits": log(2.0), "dits": log(10.0)}
UNITS = (*NATS_PER, "perplexity")  # per token, so that they convert
LN2 = log(2.0)


def to_nats(value: float, unit: str) -> float:
    """``value`` nats per token; raises ``ValueError`` for a unit that is not per token.

    >>> round(to_nats(14.351, "bits"), 3)
    9.947
    """
    if unit == "perplexity":
        return log(value)
    if unit not in NATS_PER:
        raise ValueError(f"no conversion from {unit!r}; known: {', '.join(NATS_PER)}, perplexity")
    return value * NATS_PER[unit]


def bits_per_byte(nats_per_token: float, bytes_per_token: float) -> float:
    """Loss / ln 2 x tokens / bytes: comparable across tokenisers (nanochat's definition).

    >>> round(bits_per_byte(3.0, 4.5), 3)
    0.962
    """
    return nats_per_token / LN2 / bytes_per_token


def perplexity(nats: float) -> float:
    """exp(nats), infinite where that overflows.

    >>> round(perplexity(3.57), 1), perplexity(1e9)
    (35.5, inf)
    """
    return exp(nats) if nats < 700 else float("inf")


def count(n: float) -> str:
    """A count in words that fit a line.

    >>> [count(x) for x in (950, 40_560_000, 7.6e9, 2e12)]
    ['950', '40.6M', '7.60B', '2.00T']
    """
    if not isfinite(n):
        return "infinitely many"
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(n) >= 10 * size or (letter != "k" and abs(n) >= size):
            return f"{n / size:.{max(0, 2 - len(str(int(abs(n) / size))) + 1)}f}{letter}"
    return f"{n:,.0f}"


def tokens_each(per_param: float) -> str:
    """Tokens per parameter, two digits below ten.

    >>> tokens_each(191.3), tokens_each(0.046), tokens_each(4e-5), tokens_each(152_300)
    ('191', '0.046', '0.00004', '152k')
    """
    if per_param >= 10:
        return count(per_param)
    return f"{Decimal(f'{per_param:.2g}'):f}"
