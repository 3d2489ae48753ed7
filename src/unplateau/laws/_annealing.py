"""What a learning-rate schedule did to a run: how far it got, and how much of the noise of large steps it let go.

Progress is counted in full-rate steps, S(t) = sum of eta^kappa with eta = rate / peak; kappa = 1 is the clock of Tissue
et al. 2024 and of Luo et al. 2025. The noise of steps at rate eta is B eta^p. When the rate drops at progress s, what
that frees is let go as x / (1 + x), x = C (S - s) (s / s0)^-tau: the multi-power law of Luo et al. with gamma = 0 (Li et
al. 2025) and beta = 1, on a time scale that grows with age. kappa near .7 and p near .8 let cosines and cooldowns
of one model share their parameters, which kappa = p = 1 does not (benchmarks/laws/schedule.py, docs/LOG.md).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..run import Schedule

Floats = NDArray[np.float64]
Pace = tuple[Floats, Floats]

NODES = 1200  # places of a schedule that are looked at
EARLY = 150  # of them in equal log steps, for the warm-up
DROPS = 64  # groups that the drops of the rate are gathered in
AGE = 0.5  # tau: the time scale of letting go grows with its root (benchmarks/laws/schedule.py)
START = 1e4  # s0: full-rate steps at which C is meant
TINY = 1e-30
JUMP = 0.005  # share of the peak
FLAT = 1e-9  # share of the peak; a rate that moves less is constant


@dataclass(frozen=True, slots=True)
class Path:
    """A schedule up to some step, as its values at nodes: ``t`` rising steps, ``eta`` shares of the peak; shapes (n,).

    ``pace``: tokens of a step there, over those of the last logged step: a step of a batch half as large is half a step.
    """

    t: Floats
    eta: Floats
    pace: Floats | float = 1.0

    @classmethod
    def of(cls, schedule: Schedule, last: float, peak: float | None = None, pace: Pace | None = None) -> Path:
        """The path of ``schedule`` up to step ``last``, in shares of ``peak`` (its own where none is given).

        ``pace``: steps and the pace at each, where the batch changed.

        >>> from unplateau.schedules.linear import Linear
        >>> path = Path.of(Linear(peak=1e-3, floor=0.0, warmup=0, steps=1000), 1000)
        >>> round(float(path.progress(1.0)[-1]))
        500
        """
        sharp = [corner + d for corner in corners_of(schedule) for d in (-1, 0, 1)]
        places = np.concatenate([np.linspace(0, last, NODES), np.geomspace(1, max(last, 2), EARLY), sharp])
        t = np.unique(np.clip(places, 0, last).astype(np.int64)).astype(float)
        eta = np.array([schedule(int(step)) for step in t]) / (peak or schedule.peak)
        return cls(t, eta, 1.0 if pace is None else np.interp(t, *pace))

    def eta_at(self, step: ArrayLike) -> Floats:
        return np.asarray(np.interp(np.asarray(step, float), self.t, self.eta))

    def progress(self, kappa: float) -> Floats:
        """S at the nodes, full-rate steps; shape (n,)."""
        rate = self.eta**kappa * self.pace
        steps = np.concatenate([[rate[0] / 2], (rate[1:] + rate[:-1]) / 2 * np.diff(self.t)])
        return np.asarray(np.cumsum(steps) + TINY)

    def progress_at(self, step: ArrayLike, kappa: float) -> Floats:
        return np.asarray(np.interp(np.asarray(step, float), self.t, self.progress(kappa)))

    def drops(self, powers: Floats) -> tuple[Floats, Floats]:
        """Steps of the drops of the rate after its first maximum, and how far eta^p falls there; a rise is negative.

        Shapes (drops,) and (powers, drops).
        """
        fall = -np.diff(self.eta)
        top = int(np.argmax(self.eta >= 0.999 * self.eta.max()))
        fall[:top] = 0.0
        moved = np.flatnonzero(fall)
        size = np.abs(fall[moved])
        if size.sum() < FLAT:
            return np.empty(0), np.empty((len(powers), 0))
        group = np.minimum(np.cumsum(size) / size.sum() * DROPS - 1e-9, DROPS - 1).astype(int)
        _, place = np.unique(2 * group + (fall[moved] < 0), return_inverse=True)
        middle = (self.t[moved + 1] + self.t[moved]) / 2
        at = np.bincount(place, size * middle) / np.bincount(place, size)
        freed = [np.bincount(place, self.eta[moved] ** p - self.eta[moved + 1] ** p) for p in powers]
        return at, np.stack(freed)


def corners_of(schedule: Any) -> list[int]:
    """Steps at which a schedule may turn or jump: its whole numbers, both ends of jumps of a recorded one, and those of
    the schedules that it is made of."""
    corners: list[int] = []
    for field in fields(schedule):
        value = getattr(schedule, field.name)
        if isinstance(value, int):
            corners.append(value)
        elif is_dataclass(value):
            corners += corners_of(value)
    if hasattr(schedule, "decay"):
        corners.append(schedule.steps - schedule.decay)
    at, rate = getattr(schedule, "at", ()), getattr(schedule, "lr", ())
    moved = np.flatnonzero(np.abs(np.diff(rate)) > JUMP * schedule.peak) if len(at) > 1 else ()
    return corners + [int(at[i + side]) for i in moved for side in (0, 1)]


def released(path: Path, step: ArrayLike, kappa: float, rates: Floats, powers: Floats) -> Floats:
    """Shares of the full-rate noise that the drops up to ``step`` have let go; shape (rates, powers, steps).

    ``rates``: C, per full-rate step at age ``START``; ``powers``: p.
    """
    at, freed = path.drops(powers)
    where = np.asarray(step, float)
    if not len(at):
        return np.zeros((len(rates), len(powers), len(where)))
    clock = path.progress(kappa)
    then, now = np.interp(at, path.t, clock), np.interp(where, path.t, clock)
    gap = np.maximum(now[None, :] - then[:, None], 0.0) * (then[:, None] / START) ** -AGE  # (drops, steps)
    grown = rates[:, None, None] * gap
    return np.asarray(freed @ (grown / (1.0 + grown)))
