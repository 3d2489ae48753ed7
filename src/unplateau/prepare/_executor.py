"""Who does the parts: this process, or some beside it. Any other with the same ``map`` does as well."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from ..errors import UnplateauError

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor

AHEAD = (
    2  # tasks given to each worker at once: it never waits, and little is done in vain where enough is found
)
GRACE = 2.0  # seconds that a worker outlives SIGTERM; Slurm follows it with SIGKILL after 30
#: what a worker will need: imported once, by the process that workers are forked from
PRELOADED = ("unplateau.cli.folders", "unplateau.prepare.job", "pyarrow.parquet")
KILLED = (
    "a worker was killed, perhaps for want of memory; what was finished is kept: "
    "run the same command again with fewer --workers"
)

A = TypeVar("A")
B = TypeVar("B")


class Executor(Protocol):
    """Applies a function that can be pickled to items; results in the items' order, as they come."""

    def map(self, function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]: ...


@dataclass(slots=True)
class Local:
    """``workers`` processes on this machine; with one, this process itself.

    In a ``with`` block they are started at once and stay for all that is mapped there; else for each ``map`` anew.

    >>> list(Local(1).map(abs, [-1, 2]))
    [1, 2]
    """

    workers: int = 1
    _pool: _Pool | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> Self:
        if self.workers > 1:
            self._pool = _Pool(self.workers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.processes.shutdown(wait=True, cancel_futures=True)

    def map(self, function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
        """Results in order; in a ``with`` block the first items are begun at once, so that several maps overlap.

        Raises what ``function`` raises, ``UnplateauError`` where a worker was killed.
        """
        if self._pool is not None:
            return _spread(self._pool.processes, function, items, AHEAD * self.workers)
        if min(self.workers, len(items)) <= 1:
            return map(function, items)
        return self._alone(function, items)

    def _alone(self, function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
        with Local(min(self.workers, len(items))) as mine:
            yield from mine.map(function, items)


class _Pool:
    """Processes that start while this one does something else, forked from one that has imported what they need.

    Where the system can't fork them so, each imports by itself.
    """

    def __init__(self, workers: int) -> None:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_all_start_methods, get_context

        context = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
        context.set_forkserver_preload([*PRELOADED])
        self._pool = ProcessPoolExecutor(workers, context, _begin)
        self._starting = threading.Thread(target=self._start)
        self._starting.start()  # it waits for the first process

    def _start(self) -> None:
        """Start all processes. What a thread starts has its mask: no interrupt ends one that is not ready for it."""
        _masked("SIG_BLOCK")
        self._pool.submit(os.getpid)

    @property
    def processes(self) -> ProcessPoolExecutor:
        """The pool, once it is there."""
        self._starting.join()
        return self._pool


def _spread(
    pool: ProcessPoolExecutor, function: Callable[[A], B], items: Sequence[A], ahead: int
) -> Iterator[B]:
    """``function`` of all items, some ``ahead`` of the one that is waited for."""
    left = iter(items)
    try:
        waiting = deque(pool.submit(function, item) for item in islice(left, ahead))
    except RuntimeError:  # the pool is broken
        raise UnplateauError(KILLED) from None
    return _results(pool, function, left, waiting)


def _results(
    pool: ProcessPoolExecutor, function: Callable[[A], B], left: Iterator[A], waiting: deque[Future[B]]
) -> Iterator[B]:
    from concurrent.futures.process import BrokenProcessPool

    try:
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(left, 1))
            yield done
    except BrokenProcessPool:
        raise UnplateauError(KILLED) from None
    finally:
        for future in waiting:
            future.cancel()


def local(workers: int | None = None) -> Local:
    """Processes on this machine; by default as many as it lets this process use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Local(workers or usable)


def _begin() -> None:
    """A worker leaves interrupts to its parent, and ends with it: one that outlives it would write for nobody."""
    import signal
    from multiprocessing import parent_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _linger)
    _masked("SIG_UNBLOCK")
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _masked(how: str) -> None:
    """Block or unblock, in this thread, the signals that end a job; not where the system has no masks."""
    import signal

    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(getattr(signal, how), {signal.SIGINT, signal.SIGTERM})


def _linger(_number: int, _frame: object) -> None:
    """End a little later: a parent that was told the same has then said so, and sees no worker killed."""
    time.sleep(GRACE)
    os._exit(1)


def _follow(sentinel: int) -> None:
    from multiprocessing.connection import wait

    wait([sentinel])
    os._exit(1)
