"""What steps of a run cost on the machine of another: tokens, FLOPs, hours and memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .estimate import QUANTILES, Estimate
from .run import Run
from .shape import Shape
from .timing import step_times
from .units import count

#: time per FLOP of a model of another shape, as a share of this run's: larger matrices fill a card better, deeper
#: and longer ones may fill it worse; assumed, a 90 % interval
PER_FLOP = (0.7, 1.1)
DRIFT = (
    0.02  # share by which hours of one machine differ from those logged before: clocks and loading; assumed
)
#: of a card's memory that Shape.memory may fill: the rest is the CUDA context (about .5 GB), the allocator's
#: losses and buffers of the framework, which it does not count; assumed
FILLS = 0.9
GIB = 1 << 30
LEAST_SAID = GIB / 10  # bytes; less memory than that, any machine has
MOST = 1e30  # tokens; what a damaged config comes to is not told
SPANS = ((1 / 30, 3600, "s"), (1.5, 60, "min"), (100.0, 1, "h"))  # up to so many hours, times, unit


@dataclass(frozen=True, slots=True)
class Cost:
    """The price of ``steps`` optimiser steps; what is not known is None, and not said."""

    steps: int
    tokens: int | None = None
    flops: float | None = None
    hours: Estimate | None = None
    memory: float | None = None  # bytes to train with one micro-batch
    card: float | None = None  # bytes of one card

    def __str__(self) -> str:
        """The price in words; FLOPs are for comparing futures, no one pays in them.

        >>> print(Cost(5_200, 2_726_297_600, 8.2e17, Estimate(5.6, 5.5, 5.8, "h"), 9.8e9, 12 * GIB))
        5,200 steps, 2.73B tokens, 5.60 h (5.50 to 5.80), 9.1 of 12 GiB
        """
        said = [f"{self.steps:,} step{'s' * (self.steps != 1)}"]
        said += [f"{count(self.tokens)} tokens"] if self.tokens is not None else []
        said += [str(duration(self.hours))] if self.hours is not None else []
        if self.memory is not None and (self.card or self.memory >= LEAST_SAID):
            of = f" of {self.card / GIB:.0f}" if self.card else ""
            said.append(f"{self.memory / GIB:.1f}{of} GiB")
        return ", ".join(said)


def checkpoint_of(run: Run, step: int) -> int | None:
    """The last step up to ``step`` that a checkpoint is known of: the log says so, or nanoGPT evaluated there."""
    saved = run.get("checkpoint_step")
    if _counts(saved) and saved <= step:
        return int(saved)
    val = run.series.get("val_loss")
    if run.format != "nanogpt" or val is None:
        return None
    before = val.step[(val.step > 0) & (val.step <= step)]
    return int(before[-1]) if len(before) else None


def duration(hours: Estimate) -> Estimate:
    """Hours in the unit that one would say.

    >>> print(duration(Estimate(0.0125, 0.01, 0.015, "h")))
    45 s (36 to 54)
    """
    times, unit = next(((t, u) for most, t, u in SPANS if hours.value < most), (1 / 24, "days"))
    return Estimate(hours.value * times, hours.low * times, hours.high * times, unit)


def cost_of(run: Run, other: Run, start: int, end: int) -> Cost:
    """The price of the steps from ``start`` to ``end`` of ``other`` on the machine that logged ``run``.

    A fresh run starts at 0; a branch from a checkpoint at the checkpoint's step.
    """
    steps, per_step = max(0, end - start), other.get("tokens_per_step")
    told = _counts(per_step) and not other.has("step_unit") and steps * per_step < MOST
    tokens = int(steps * per_step) if told else None
    shape = shape_of(other)
    flops = shape.flops_per_token * tokens if shape and tokens is not None and shape.block_size else None
    batch, dtype = other.get("batch_size"), other.get("dtype")
    memory = shape.memory(batch, dtype) if shape and shape.block_size and _counts(batch) and dtype else None
    return Cost(steps, tokens, flops, hours(run, other, steps), memory, run.get("gpu_memory"))


def hours(run: Run, other: Run, steps: int) -> Estimate | None:
    """Hours of ``steps`` steps without evaluations, by the logged step times; None where none are logged.

    A step of another shape or size takes longer by its FLOPs, up to the error of ``PER_FLOP``.
    """
    times, ratio = step_times(run), _flops_ratio(run, other)
    if times is None or ratio is None:
        return None
    middle, (low, high) = float(np.median(times)), _mean_times(times)
    per_flop = PER_FLOP if ratio != 1.0 else (1.0, 1.0)
    full = float(run.get("mfu") or 0.0)  # no model does more than the card's peak
    scale = steps * ratio / 3600
    return Estimate(
        scale * middle, scale * low * max(per_flop[0], min(full, 1.0)), scale * high * per_flop[1], "h"
    )


def _mean_times(times: np.ndarray) -> tuple[float, float]:
    """Between what ends the mean of many further steps lies: the error of the logged mean, and ``DRIFT``."""
    middle = float(np.median(times))
    low, high = (float(q) for q in np.quantile(times, QUANTILES))
    root = len(times) ** 0.5
    return (middle - (middle - low) / root) * (1 - DRIFT), (middle + (high - middle) / root) * (1 + DRIFT)


def _flops_ratio(run: Run, other: Run) -> float | None:
    """FLOPs of a step of ``other`` over those of a step of ``run``."""
    size, theirs = run.get("tokens_per_step"), other.get("tokens_per_step")
    batch = theirs / size if _counts(size) and _counts(theirs) else 1.0
    mine, wider = shape_of(run), shape_of(other)
    if mine == wider:
        return float(batch)
    return float(batch * wider.flops_per_token / mine.flops_per_token) if mine and wider else None


def shape_of(run: Run) -> Shape | None:
    """The shape that the run's facts tell."""
    return Shape.of({name: fact.value for name, fact in run.facts.items()})


def fits(shape: Shape, batch_size: int, dtype: str, card: float) -> bool:
    """True where one micro-batch of ``batch_size`` trains in ``FILLS`` of the card's bytes."""
    return shape.memory(batch_size, dtype) <= FILLS * card


def _counts(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
