"""Who does the parts: this process, or some beside it. Any other with the same ``map`` does as well."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ..errors import UnplateauError, UsageError

AHEAD = (
    2  # tasks given to each worker at once: it never waits, and little is done in vain where enough is found
)

A = TypeVar("A")
B = TypeVar("B")


class Executor(Protocol):
    """Applies a function that can be pickled to items; results in the items' order, as they come."""

    def map(self, function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]: ...


@dataclass(frozen=True, slots=True)
class Local:
    """``workers`` processes on this machine; with one, this process itself.

    >>> list(Local(1).map(abs, [-1, 2]))
    [1, 2]
    """

    workers: int = 1

    def map(self, function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
        """Results in order. Raises what ``function`` raises, ``UnplateauError`` where a worker was killed."""
        if min(self.workers, len(items)) <= 1:
            return map(function, items)
        return self._shared(function, items)

    def _shared(self, function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
        from multiprocessing import get_context

        workers = min(self.workers, len(items))
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin)
        try:
            waiting: deque[Future[B]] = deque()
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise UnplateauError(
                "a worker was killed, perhaps for want of memory; what was finished is kept: "
                "run the same command again with fewer --workers"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def local(workers: int | None = None) -> Local:
    """Processes on this machine; by default as many as it lets this process use."""
    if workers is not None and workers < 1:
        raise UsageError(f"--workers wants 1 or more; found {workers}")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Local(workers or usable)


def _begin() -> None:
    """A worker leaves interrupts to its parent, and ends with it: one that outlives it would write for nobody."""
    import signal
    from multiprocessing import parent_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    from multiprocessing.connection import wait

    wait([sentinel])
    os._exit(1)
