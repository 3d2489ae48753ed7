"""What the callbacks of frameworks share: a logger that is opened when training begins, and what it costs to fail."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import UnplateauError
from ..given import mapping, number, path
from ._places import NOWHERE, Place, put_all
from ._say import Tell, teller
from ._settings import plain, understood
from ._shown import Shown
from ._stop_on import checked
from .logger import LAST, Logger, Silent

SAMPLES = 8  # of a data set whose lengths are looked at


class Callback:
    """Opens a folder when training begins, on the first process alone; where that fails, training goes on without.

    ``folder``: of the run (default: ``unplateau`` in the framework's own). ``config``: settings besides those that the
    framework knows. ``diagnose``, ``stop_on``, ``wait``, ``tell``: as for ``unplateau.init``; ``stop_on`` ends the training as the
    framework does it, on all processes. ``write_back``: put findings and forecast, as they stand at each evaluation, where the
    framework itself logs to: TensorBoard, W&B, trackio. Raises ``UsageError`` for a name in ``stop_on`` that is never raised.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        diagnose: bool = True,
        stop_on: str | Iterable[str] = (),
        wait: float = 0.0,
        tell: Tell | None = None,
        write_back: bool = False,
    ) -> None:
        super().__init__()
        self.folder = None if folder is None else path(folder, "folder")
        self.config = dict(mapping(config or {}, "config", "a setting to its value"))
        self.stop_on = checked(stop_on)
        self.diagnose, self.wait, self.tell = diagnose, number(wait, "wait"), teller(tell)
        self.write_back, self._places = write_back, list[Place]()
        self.logger: Logger = Silent()

    def open(
        self,
        place: Path,
        settings: Callable[[], Mapping[str, Any]],
        *,
        first: bool,
        places: Callable[[], list[Place]],
    ) -> None:
        """Begin to log into ``folder``, else ``place``/unplateau; what is called is called on the first process alone.

        ``settings``: of the framework; ``places``: where it logs to.
        """
        self.close(wait=0.0)
        self.logger = Silent()
        if not first:
            return
        try:
            told = plain({**settings(), **self.config})
            self.logger = Logger(
                self.folder or place / "unplateau",
                told,
                diagnose=self.diagnose,
                stop_on=self.stop_on,
                raises=False,
                wait=self.wait,
                tell=self.tell,
                show=self._show if self.write_back else None,
            )
        except UnplateauError as error:
            self.tell(f"this run is not logged: {error}")
            return
        if line := understood(told):
            self.tell(line)
        self._places = places() if self.write_back else []
        if self.write_back and not self._places:
            self.tell(NOWHERE)

    def _show(self, told: Shown) -> None:
        put_all(self._places, told)

    def close(self, *, wait: float = LAST) -> None:
        """End the log: one more look, and the verdict."""
        self.logger.finish(wait=wait)
        for place in self._places:
            place.close()
        self._places = []


def block_size(dataset: Any) -> int | None:
    """Tokens of a sample, where some from all over ``dataset`` are equally long; None where nobody can tell.

    >>> block_size([{"input_ids": [1, 2, 3]}] * 20), block_size([{"input_ids": [1]}, {"input_ids": [1, 2]}])
    (3, None)
    """
    try:
        if not (size := len(dataset)):
            return None
        with as_it_was():
            found = {_length(dataset[i]) for i in {size * k // SAMPLES for k in range(SAMPLES)}}
    except Exception:  # noqa: BLE001 - somebody's own data set: a stream, anything
        return None
    return found.pop() if len(found) == 1 else None


def _length(sample: Any) -> int | None:
    """Tokens of one sample: its ``input_ids``, or inputs and targets of one length."""
    if isinstance(sample, Mapping):
        return len(sample["input_ids"])
    return tokens_of(sample) if getattr(sample[0], "ndim", 0) == 1 else None


def tokens_of(batch: Any) -> int | None:
    """Tokens of a batch: its ``input_ids``, or inputs and targets, whole numbers of one shape; None where it has neither."""
    ids: Any = batch.get("input_ids") if isinstance(batch, Mapping) else getattr(batch, "input_ids", None)
    if ids is not None:
        return int(ids.numel()) if hasattr(ids, "numel") else None
    pair = list(batch[:2]) if isinstance(batch, list | tuple) else []
    if len(pair) < 2 or not all(hasattr(one, "numel") for one in pair):
        return None
    x, y = pair
    return int(x.numel()) if x.shape == y.shape and x.numel() and not x.is_floating_point() else None


@contextmanager
def as_it_was() -> Iterator[None]:
    """Leave the random numbers of Python, numpy and torch where they were: looking must not change a run."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    states = random.getstate(), numpy and numpy.random.get_state(), torch and torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        if numpy is not None:
            numpy.random.set_state(states[1])
        if torch is not None:
            torch.set_rng_state(states[2])
