"""Other places that a run's rows go to: TensorBoard's event files, Weights & Biases, trackio.

Packages are imported where they are asked for. ``log.jsonl`` is the run's own record; none of these is needed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from ..errors import UsageError
from .settings import Settings

TENSORBOARD = "tensorboard"  # the folder in the run's


class Tracker(Protocol):
    """A place that rows go to."""

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """One row of the log, its finite numbers."""

    def close(self) -> None: ...


SERVICES = ("wandb", "trackio")


def refuse_missing(settings: Settings) -> None:
    """Raise ``UsageError`` where a package that is asked for is not installed; none is imported."""
    for name in SERVICES:
        if getattr(settings, name) and name not in sys.modules and find_spec(name) is None:
            raise _missing(name)


def _missing(name: str) -> UsageError:
    return UsageError(f"{name} is not installed: pip install {name}, or --{name}=False")


class Service:
    """Weights & Biases, or trackio, which has the same functions."""

    def __init__(self, name: str, settings: Settings, folder: Path) -> None:
        try:
            self._module: Any = import_module(name)
        except ImportError:
            raise _missing(name) from None
        place = {"dir": str(folder)} if name == "wandb" else {}
        self._run: Any = self._module.init(
            project=settings.wandb_project,
            name=settings.run_name or folder.name,
            config=asdict(settings),
            **place,
        )

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self._module.log(dict(values), step=step)

    def close(self) -> None:
        self._module.finish()


def trackers_of(settings: Settings, folder: Path) -> list[Tracker]:
    """Those that ``settings`` ask for; raises ``UsageError`` where one is not installed."""
    asked = [name for name in SERVICES if getattr(settings, name)]
    found: list[Tracker] = [Service(name, settings, folder) for name in asked]
    if settings.tensorboard:
        from ..eventfile import EventFile

        found.append(EventFile(folder / TENSORBOARD))
    return found


def tell(trackers: Sequence[Tracker], step: int, row: Mapping[str, Any]) -> None:
    """Send the numbers of a row of the log to each."""
    numbers = {n: float(v) for n, v in row.items() if isinstance(v, int | float) and math.isfinite(v)}
    for tracker in trackers:
        tracker.add(step, numbers)
