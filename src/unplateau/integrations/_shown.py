"""A diagnosis as it goes from one process to another, and to trackers: plain values, nothing is loaded for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

PREFIX = "unplateau"  # of every tag: no reader takes it for a series of the run
FOLDER = "unplateau"  # in the folder that TensorBoard is given
COLUMNS = ("cause", "verdict", "probability", "costs, nats", "evidence", "advice")


@dataclass(frozen=True, slots=True)
class Shown:
    """What trackers are given: plain values, so that another process may make it.

    ``numbers`` and ``summary`` by their tags, ``rows`` under ``COLUMNS``, ``report``: the diagnosis as text.
    """

    step: int
    numbers: Mapping[str, float]
    summary: Mapping[str, Any]
    rows: Sequence[Sequence[Any]]
    report: str

    def plain(self) -> dict[str, Any]:
        """As JSON holds it; ``Shown(**plain)`` is the same again."""
        return asdict(self)
