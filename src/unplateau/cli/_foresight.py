"""Forecasts of a run that goes on, kept in its folder, so that they can be verified when it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UnplateauError

if TYPE_CHECKING:
    from ..futures import Forecast

SHARES = (0.25, 0.5, 0.75)  # of a run, after which its end is forecast
WORTH = 30.0  # seconds that a run has left; less is over before anyone has read what it will come to


@dataclass(slots=True)
class Foresight:
    """Called after each evaluation: forecasts the end of the run in ``folder`` at some shares of its ``steps``, in words.

    Where no law fits yet, nothing is said; the next evaluation asks again.
    """

    folder: Path
    steps: int
    done: int = 0  # of SHARES

    def __call__(self, step: int, left: float | None) -> str:
        """``left``: seconds to the end of the run, as far as known."""
        due = sum(step >= share * self.steps for share in SHARES)
        if due <= self.done or left is None or left < WORTH:
            return ""
        from ..report import forecast as words
        from ..stored import NAME, store

        try:
            found = foretold(self.folder)
            store(self.folder / NAME, [words.stored(one) for one in found])
        except (UnplateauError, ValueError):
            return ""
        self.done, planned = due, found[0].futures[0]
        return f"forecast: {planned.loss} at step {planned.step:,}; kept in {NAME}"


def foretold(folder: Path) -> list[Forecast]:
    """What the laws say of the run's planned end; raises ``UnplateauError`` where none fits."""
    from ..futures import forecast
    from ..reading import read_runs

    return [forecast(run, []) for run in read_runs(folder)]
