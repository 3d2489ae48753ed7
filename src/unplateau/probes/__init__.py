"""Probes, one file each: short experiments on a checkpoint that tell causes apart where a log can't.

A probe is a value like a cause: what it tells, how it is laid out for a run and a budget (``design``), and what its
arms showed (``read``). It never runs anything: ``unplateau.probe`` runs the arms, as ordinary runs of the trainer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..estimate import Estimate
from ..run import Run


@dataclass(frozen=True, slots=True)
class Normal:
    """A normal distribution of a contrast, in the contrast's unit."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a cause says the contrast will be, and what it will be without the cause. ``words``: for people.

    ``if_so`` and ``if_not`` hold how runs differ from each other; the error of the measurement comes on top.
    """

    cause: str
    if_so: Normal
    if_not: Normal
    words: str


@dataclass(frozen=True, slots=True)
class Arm:
    """One run of the trainer: a branch from the checkpoint (``start`` its step), or a fresh run (``start`` 0).

    ``patch``: what differs from the probed run, in the trainer's settings, key -> (old, new). ``words``: further words of its
    command line that are no difference of the experiment (how it is evaluated, how much it says).
    """

    name: str
    steps: int  # optimiser steps that it takes; 0 evaluates alone
    patch: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    start: int = 0
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """A probe laid out for one run. ``noise``: the standard error of its contrasts that is expected, in their unit.

    The first arm is the one that the others are compared with; all read the same batches.
    """

    probe: str
    question: str
    arms: tuple[Arm, ...]
    predictions: tuple[Prediction, ...]
    tokens: (
        int  # trained on and evaluated, all arms together; one evaluated counts as a third of one trained on
    )
    noise: float
    unit: str = "nats/token"


@dataclass(frozen=True, slots=True)
class Site:
    """Where a probe may work: the run's newest usable checkpoint (None: there is none, fresh arms alone), and its data."""

    step: int = 0
    checkpoint: Path | None = None
    data: Path | None = None
    tokens: int = 0  # budget of one trial


@dataclass(frozen=True, slots=True)
class Reading:
    """What the arms showed of one cause. ``contrast``: the measured number that the prediction is of, with its error.

    ``effect``: nats that the cause costs the probed run, where the probe measures it and not just a sign of it.
    """

    cause: str
    contrast: Estimate
    fact: str  # a sentence with its numbers
    effect: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe, as a value.

    ``design``: how it is laid out; None where it can't be, or its budget is too small for it to tell anything.
    ``read``: from the folders of the arms, by name; of arms that were stopped early, up to the last step all have reached.
    """

    name: str
    tells: tuple[str, ...]
    question: str
    design: Callable[[Run, Site], Trial | None]
    read: Callable[[Trial, Mapping[str, Path]], tuple[Reading, ...]]
