"""What of a run a chart shows: which losses, how far one point is off, and how many tokens a step stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...curve import Curve
from ...estimate import Z90
from ...hypotheses._say import step_word
from ...run import Run
from ...state import Bump, State
from .draw import Floats

#: series of losses -> name in a legend, colour
LOSSES = {
    "val_loss": ("val loss", "val"),
    "train_loss": ("train loss, evaluated", "train"),
    "seen_loss": ("loss on windows seen in training", "seen"),
    "fresh_loss": ("loss on windows never seen", "fresh"),
    "batch_loss": ("loss of the training batches", "batch"),
}
MOST_BUMPS = 40  # that a picture marks; of more, the highest above the noise
OTHER = ("", "val")  # a judged series under another name


@dataclass(frozen=True, slots=True)
class Amounts:
    """What the x axis counts: tokens where they are known, else what the log counts.

    ``step``, ``token``: shape (n,), the logged counts of a run whose batch changed; empty where a step has
    ``per_step`` all along.
    """

    unit: str
    per_step: float
    step: Floats
    token: Floats

    @classmethod
    def of(cls, run: Run) -> Amounts:
        """As the run logged them, else as its batch tells, else steps."""
        logged, size = run.series.get("tokens"), run.get("tokens_per_step")
        known = isinstance(size, (int, float)) and size > 0 and not run.has("step_unit")
        if logged is not None and len(seen := logged.finite) > 1 and (np.diff(seen.value) > 0).all():
            last = float((seen.value[-1] - seen.value[-2]) / (seen.step[-1] - seen.step[-2]))
            return cls("tokens", last, seen.step.astype(float), seen.value)
        none = np.empty(0)
        return cls("tokens", float(size), none, none) if known else cls(f"{step_word(run)}s", 1.0, none, none)

    def at(self, steps: ArrayLike) -> Floats:
        """Amounts at steps, shape as given; beyond the last logged count at the rate it had there.

        >>> Amounts("tokens", 4.0, np.array([10.0, 20.0]), np.array([20.0, 60.0])).at([0, 10, 15, 30]).tolist()
        [0.0, 20.0, 40.0, 100.0]
        """
        x = np.asarray(steps, dtype=np.float64)
        if not len(self.step):
            return x * self.per_step
        first, last = self.step[0], self.step[-1]
        inside = np.interp(x, self.step, self.token)
        before = self.token[0] * x / first if first > 0 else inside
        beyond = self.token[-1] + (x - last) * self.per_step
        return np.asarray(np.where(x > last, beyond, np.where(x < first, before, inside)))


def shown(run: Run, state: State) -> list[tuple[str, Curve]]:
    """The judged loss, then the others of its unit; each with its points that are finite."""
    if state.series in run.series:
        first = [state.series]
    else:
        first = [name for name in LOSSES if name in run.series][:1]
    unit = run.series[first[0]].unit if first else ""
    names = dict.fromkeys([*first, *(n for n in LOSSES if n in run.series and run.series[n].unit == unit)])
    curves = [(name, run.series[name].finite) for name in names]
    return [(name, curve) for name, curve in curves if len(curve)]


def bumps_of(state: State) -> list[Bump]:
    """The bumps to mark, in the order of their steps."""
    highest = sorted(state.bumps, key=lambda bump: -bump.errors)[:MOST_BUMPS]
    return sorted(highest, key=lambda bump: bump.step)


def errors(run: Run, state: State, name: str, curve: Curve) -> tuple[Floats | None, str]:
    """Half a 90 % interval of each point of ``curve``, shape (n,), and where it was measured; None where it is not known.

    As the evaluation measured it over its windows; else, for the judged evaluations, by their scatter.
    """
    if name == "batch_loss":
        return None, ""
    told = run.series.get(f"{name}_error")
    if told is not None and len(seen := told.finite):
        return Z90 * np.interp(curve.step, seen.step, seen.value), "measured over its windows"
    if name == state.series and state.noise is not None:
        return np.full(len(curve), Z90 * state.noise), "by their scatter"
    return None, ""
