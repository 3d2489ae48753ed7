"""Where a trainer logs to already, as places that findings are put into while it trains."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError, why
from ._shown import FOLDER, Shown

NOWHERE = "write_back: the Trainer logs to none of TensorBoard, W&B and trackio: what is found stands in the run's folder"
FINDINGS = "findings"  # a folder of its own in ours: Lightning's callback has the log of the run there
SAID = 200  # characters of what a tracker complains of


@dataclass(frozen=True, slots=True)
class Place:
    """One tracker, by its name: ``put`` hands it what was found, ``close`` ends that."""

    name: str
    put: Callable[[Shown], object]
    close: Callable[[], object] = lambda: None


def board(where: Callable[[], Path]) -> Place:
    """TensorBoard's folder; ``where`` is asked with the first finding, for the trainer makes it late."""
    from .tensorboard import Board

    made = Board(lambda: where() / FOLDER / FINDINGS)
    return Place("TensorBoard", made.put, made.close)


def wandb(run: Callable[[], object] | None = None) -> Place:
    """A run of W&B, by default the one that is open."""

    def put(told: Shown) -> object:
        from .wandb import put as write

        found = run() if run is not None else getattr(sys.modules.get("wandb"), "run", None)
        if found is None:
            raise UsageError("no run of W&B is open")
        return write(told, found)

    return Place("W&B", put)


def trackio(word: str) -> Place:
    """The open run of trackio; ``word``: what the trainer calls the step in its own rows there, which count on by themselves."""

    def put(told: Shown) -> object:
        from .trackio import put as write

        return write(told, **{word: told.step})

    return Place("trackio", put)


def put_all(places: Sequence[Place], told: Shown) -> None:
    """Hand ``told`` to each. Raises ``UsageError`` for those that did not take it, after all were asked."""
    failed: list[str] = []
    for place in places:
        try:
            place.put(told)
        except Exception as error:  # noqa: BLE001 - each tracker has its own; none may end the training
            failed.append(f"{place.name}: {why(error, SAID)}")
    if failed:
        raise UsageError(f"findings are not written back to {'; '.join(failed)}")
