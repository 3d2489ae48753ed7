"""Other places that a run's rows go to: TensorBoard's event files, Weights & Biases, trackio.

Packages are imported where they are asked for. ``log.jsonl`` is the run's own record; none of these is needed.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from ..errors import UsageError, printable
from .settings import Settings

TENSORBOARD = "tensorboard"  # the folder in the run's


class Tracker(Protocol):
    """A place that rows go to."""

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """One row of the log, its finite numbers."""

    def close(self) -> None: ...


SERVICES = ("wandb", "trackio")
WAYS_OUT = {
    "wandb": "log in with `wandb login`, or set WANDB_MODE=offline",
    "trackio": "see that its folder can be written (TRACKIO_DIR)",
}
LEFT = "wandb"  # the folder that wandb makes in the one that it is given
SAID = 300  # characters of what a service says


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
        there = folder.exists()
        try:
            self._run: Any = self._module.init(
                project=settings.wandb_project,
                name=settings.run_name or folder.name,
                config=asdict(settings),
                **place,
            )
        except Exception as error:  # noqa: BLE001 - each service has its own; all mean the same
            if not there:
                _removed(folder)
            raise _unwilling(name, error) from None

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self._module.log(dict(values), step=step)

    def close(self) -> None:
        self._module.finish()


def _removed(folder: Path) -> None:
    """Take away what a service that did not begin left in a folder where no run is yet."""
    shutil.rmtree(folder / LEFT, ignore_errors=True)
    with suppress(OSError):  # another's files are in it
        folder.rmdir()


def _unwilling(name: str, error: Exception) -> UsageError:
    said = printable(" ".join(str(error).split()) or type(error).__name__, SAID).rstrip(".")
    return UsageError(f"{name} can't begin: {said}; {WAYS_OUT[name]}, or give --{name}=False")


@contextmanager
def services(settings: Settings) -> Iterator[list[Tracker]]:
    """The services that ``settings`` ask for, begun; ended afterwards. To be begun before the run's folder is made.

    Raises ``UsageError`` where one is not installed, or can't begin: no login, no network.
    """
    with ExitStack() as stack:
        asked = [name for name in SERVICES if getattr(settings, name)]
        yield [
            stack.enter_context(closing(Service(name, settings, Path(settings.out_dir)))) for name in asked
        ]


def files_of(settings: Settings, folder: Path) -> list[Tracker]:
    """Those in the run's own folder."""
    if not settings.tensorboard:
        return []
    from ..eventfile import EventFile

    return [EventFile(folder / TENSORBOARD)]


def tell(trackers: Sequence[Tracker], step: int, row: Mapping[str, Any]) -> None:
    """Send the numbers of a row of the log to each."""
    numbers = {n: float(v) for n, v in row.items() if isinstance(v, int | float) and math.isfinite(v)}
    for tracker in trackers:
        tracker.add(step, numbers)
