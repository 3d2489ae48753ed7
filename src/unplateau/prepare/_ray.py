"""Parts as tasks of Ray: on the cluster that ``RAY_ADDRESS`` names, else on one that is started on this machine.

All machines need the same folders under the same names, and this package. Ray makes again what a lost worker had.
"""

from __future__ import annotations

import os
import platform
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from ..errors import UnplateauError, UnreadableError, why
from ._executor import AHEAD

EXTRA = "pip install 'unplateau[ray]'"
ADDRESS = "RAY_ADDRESS"  # Ray's own name for where its cluster is
#: no telemetry; no traceback of a task that failed after the one that is told
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_IGNORE_UNHANDLED_ERRORS": "1"}

A = TypeVar("A")
B = TypeVar("B")


@dataclass(slots=True)
class Ray:
    """Tasks of Ray in a ``with`` block; ``out`` is the folder that all its machines have to see.

    The cluster is joined, or started, at the first ``map``. ``workers`` is how many parts are worked on at once: by
    default as many as it has cores.
    """

    out: Path
    workers: int | None = None
    _open: ExitStack = field(default_factory=ExitStack, init=False, repr=False)
    _ray: Any = field(default=None, init=False, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ray = None
        self._open.close()

    def map(self, function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
        """Results in order; the first items are begun at once, so that several maps overlap.

        Raises what ``function`` raises, ``UnplateauError`` where Ray gives a task up, ``UnreadableError`` where
        there is no Ray.
        """
        ray = self._ray = self._ray or self._joined()
        call, given = ray.remote(_call), ray.put(function)
        places = (str(Path.cwd()), str(self.out.resolve()))
        cores = int(ray.cluster_resources().get("CPU", 1))
        ahead = self.workers if self.workers and self.workers < cores else AHEAD * cores
        left = (call.remote(given, item, *places) for item in items)
        return _results(ray, left, deque(islice(left, ahead)))

    def _joined(self) -> Any:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError:
            raise UnreadableError(f"--executor ray needs Ray, which is not installed: {EXTRA}") from None
        here = {} if os.environ.get(ADDRESS) else {"num_cpus": self.workers, "include_dashboard": False}
        self._open.enter_context(redirect_stdout(sys.stderr))  # where Ray tells of its workers
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", **here)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            place = os.environ.get(ADDRESS, "this machine")
            raise UnreadableError(f"can't reach Ray at {place}: {why(error)}") from None
        self._open.callback(ray.shutdown)
        return ray


def _results(ray: Any, left: Iterator[Any], waiting: deque[Any]) -> Iterator[Any]:
    try:
        while waiting:
            done = _result(ray, waiting[0])
            waiting.popleft()
            waiting.extend(islice(left, 1))
            yield done
    finally:
        for task in waiting:
            ray.cancel(task, force=True)


def _result(ray: Any, task: Any) -> Any:
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise UnplateauError(
            f"Ray lost a task each time that it was tried: {why(error)}; what was finished is kept: "
            "run the same command again"
        ) from None


def _call(function: Callable[[A], B], item: A, here: str, out: str) -> B:
    """What a worker does: the same names lead to the same files as for who asks."""
    try:
        os.chdir(here)
        os.stat(out)  # noqa: PTH116 - a folder that has to be there, not be made
    except OSError as error:
        raise UnreadableError(
            f"Ray's worker on {platform.node()} does not see {error.filename}: all machines need the same folders"
        ) from None
    return function(item)
