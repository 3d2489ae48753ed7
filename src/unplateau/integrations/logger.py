"""Three lines in any training loop: a folder that ``unplateau diagnose`` reads, and findings while the run goes on.

>>> import tempfile
>>> import unplateau as up
>>> folder = tempfile.TemporaryDirectory()
>>> run = up.init(folder.name, config={"learning_rate": 1e-3, "max_iters": 400}, diagnose=False)
>>> for step in range(400):
...     up.log(step=step, loss=5.0 - step / 400, lr=1e-3)
...     if step % 100 == 0:
...         up.log(step=step, val_loss=5.1 - step / 400)
>>> up.finish()
>>> read = up.read(folder.name)
>>> len(read.series["batch_loss"]), len(read.series["val_loss"]), read.get("max_steps")
(400, 4, 400)
>>> folder.cleanup()

A row is one line of ``log.jsonl``, written before ``log`` returns: it outlives the process; what was logged up to an
evaluation outlives the machine. ``log`` does not wait for a GPU (a CUDA tensor is copied behind the work that makes it),
and raises nothing for a mere trouble with the log: that is told once, on standard error.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import datetime
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .. import given
from ..errors import UnplateauError, UsageError, printable, why
from ._doctor import LINE, Doctor, Told
from ._folder import Folder, free
from ._numbers import Later, Number, here, number, read
from ._rows import LOSSES, Clock, Names
from ._say import Tell, say, teller
from ._settings import plain, understood
from ._shown import Shown
from ._stop_on import checked
from ._world import first

RUNS = Path("unplateau-runs")  # where runs lie that nobody gave a folder
PENDING = 64  # rows that may wait for a GPU; with more, the oldest is waited for
FIRST, GROWTH = (
    100,
    1.25,
)  # rows after which a run without evaluations is looked at, and their growth to the next look
LOST = "diverged"  # the verdict on a curve that ends in nan, or has lost what it had gained
ROWS_LOST = 2  # batches in a row whose loss is no number; one may be skipped by a loss scaler, or hold no target at all
LAST = 10.0  # seconds that ``finish`` waits for the last look


class StopTraining(Exception):  # noqa: N818 - an end, not an error
    """Raised by ``log`` where a finding of ``stop_on`` was raised; its text says which, and at which step."""


class Logger:
    """One run's folder, written by this process alone. Made by ``init``, which says what the arguments are.

    ``show`` is called with what each look found, as trackers hold it.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any] | None,
        *,
        diagnose: bool = True,
        stop_on: str | Iterable[str] = (),
        raises: bool = True,
        wait: float = 0.0,
        strict: bool = False,
        tell: Tell | None = None,
        show: Callable[[Shown], object] | None = None,
    ) -> None:
        self.folder, self.stopped = folder, ""
        self.rows = self.lost = 0
        self._stop_on, self._raises, self._wait = checked(stop_on), raises, given.number(wait, "wait")
        self._strict, self.tell = strict, teller(tell)
        self._guard, self._pid = threading.RLock(), os.getpid()
        self._pending: deque[tuple[int, dict[str, Number | Later]]] = deque()
        self._names, self._clock = Names(), Clock()
        self._closed = self._raised = self._evaluated = self._news = self._urgent = False
        self._due, self._looked = FIRST, 0  # rows: of the next look without an evaluation, at the last look
        self._said: set[str] = set()
        self._nan: dict[str, int] = {}  # rows in a row in which a loss was no number
        self._found: Told | None = None
        self._old: set[str] | None = None  # what stood before this part of the run
        self._place = Folder(folder, settings, self.tell)
        self._show = show
        self._doctor = Doctor(folder, show is not None) if diagnose or self._stop_on or show else None
        _open.append(self)

    @property
    def writes(self) -> bool:
        """Whether this process writes the run: not a forked one, nor one of a run that is over."""
        return not self._closed and os.getpid() == self._pid

    def log(self, *, step: int, **values: Any) -> None:
        """Add a row; see the module's ``log``."""
        if not self.writes:
            return
        try:
            with self._guard:
                self._take(step, values)
        except Exception as error:
            if self._strict:
                raise
            self._trouble(error)
        if self.stopped and self._raises and not self._raised:
            self._raised = True
            raise StopTraining(self.stopped)

    def _take(self, step: Any, values: Mapping[str, Any]) -> None:
        at = read({"step": number("step", step)})["step"]
        if isinstance(at, bool) or not isfinite(at) or at != int(at) or at < 0:
            raise UsageError(f"step wants a whole number, 0 or above; found {printable(str(at), 40)}")
        row = self._names.row({n: number(n, value) for n, value in values.items() if value is not None})
        self._pending.append((int(at), row))
        self._drain()
        self._look()

    def _drain(self, *, wait: bool = False) -> None:
        """Write the rows whose numbers are there, in their order."""
        while self._pending:
            step, values = self._pending[0]
            if not (wait or len(self._pending) > PENDING or here(values)):
                return
            self._pending.popleft()
            self._write(step, read(values))

    def _write(self, step: int, row: dict[str, Number]) -> None:
        if (took := self._clock.step_ms(step, row)) is not None:
            row["step_ms"] = took
        try:
            self._place.append(step, row)
        except UnplateauError:
            self.lost += 1
            raise
        self.rows += 1
        self._news |= self._tells(step, row)
        if "val_loss" in row:
            self._evaluated = True
            self._place.sync()

    def _tells(self, step: int, row: Mapping[str, Number]) -> bool:
        """Whether a row is worth a look: an evaluation, the first loss that is lost, enough rows without either."""
        lost = "lost" not in self._said and any(not isfinite(row[n]) for n in LOSSES if n in row)
        if lost:
            self._said.add("lost")
            self._urgent = True
        self._lose(step, row)
        return lost or "val_loss" in row or (not self._evaluated and self.rows >= self._due)

    def _look(self) -> None:
        """Ask the doctor where there is news, and tell what it found meanwhile."""
        if self._doctor is None:
            return
        news, urgent = self._news, self._urgent or self._wait > 0
        self._news = self._urgent = False
        if news:
            self._looked, self._due = self.rows, max(self._due, int(GROWTH * self.rows))
            self._doctor.ask(now=urgent)
        if (found := self._doctor.hear(self._wait if news else 0.0)) is not None:
            self._heard(found)

    def _heard(self, found: Told) -> None:
        self._found = found
        for line in found.lines:
            self.tell(line)
        self._to_stop(self._stop_on.intersection(self._stands(found)), found.step)
        if self._show is not None and found.shown is not None:
            try:
                self._show(Shown(**found.shown))
            except Exception as error:  # noqa: BLE001 - a tracker may raise anything; training goes on
                self._trouble(error)

    def _lose(self, step: int, row: Mapping[str, Number]) -> None:
        """Stop at the row that says itself that the run is lost, without a look: an evaluation, or ``ROWS_LOST`` batches in a row."""
        for name in (name for name in LOSSES if name in row):
            self._nan[name] = 0 if isfinite(row[name]) else self._nan.get(name, 0) + 1
            if self._nan[name] >= (ROWS_LOST if name == "batch_loss" else 1):
                self._to_stop(self._stop_on & {LOST}, step)

    def _to_stop(self, met: AbstractSet[str], step: int) -> None:
        if met and not self.stopped:
            self.stopped = f"{' and '.join(sorted(met))} at step {step:,}"
            self.tell(f"to stop: {self.stopped}")

    def _stands(self, found: Told) -> set[str]:
        """What is raised of this part of the run: what stood when it was resumed was known, unless it is lost again."""
        standing = set(found.standing)
        self._old = standing.intersection(
            standing.difference(found.raised) if self._old is None else self._old
        )
        return standing - self._old | ({found.verdict} if found.verdict == LOST else set()) & standing

    def _trouble(self, error: Exception) -> None:
        """Say once what went wrong with the log; training goes on."""
        line = why(error, LINE)
        if line not in self._said:
            self._said.add(line)
            with suppress(Exception):  # what tells may be what failed
                self.tell(f"the log of this run lacks something: {line}")

    def should_stop(self) -> bool:
        """Whether a finding of ``stop_on`` was raised."""
        if self.writes:
            with self._guard, suppress(Exception):
                self._look()
        return bool(self.stopped)

    def finish(self, *, wait: float = LAST) -> None:
        """Write what is left, look at the run once more for ``wait`` seconds at most, and let go of the folder."""
        if not self.writes:
            return
        with self._guard:
            try:
                self._drain(wait=True)
                self._place.sync()
                self._last(wait)
            except Exception as error:  # noqa: BLE001 - the run is over, whatever became of its log
                self._trouble(error)
            finally:
                self._close()

    def _last(self, wait: float) -> None:
        """The last look, the verdict in a sentence, and how to see the rest."""
        if self.lost:
            self.tell(f"{self.lost:,} rows of this run could not be written")
        if self._doctor is None or not self.rows:
            return
        if wait > 0 and self.rows > self._looked:
            self._doctor.ask()
        for found in self._doctor.last(wait):
            self._heard(found)
        if self._found is not None:
            self.tell(f"step {self._found.step:,}: {printable(self._found.headline, LINE)}")
        self.tell(f"all of it: unplateau diagnose {printable(str(self.folder), 200)}")

    def _close(self) -> None:
        self._closed = True
        if self._doctor is not None:
            self._doctor.close()
        self._place.close()
        if self in _open:
            _open.remove(self)

    def leave(self) -> None:
        """Close what a forked process has of it; the lock and the log are the parent's."""
        self._closed, self._guard = True, threading.RLock()
        self._place.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(wait=LAST if kind is None else 0.0)


class Silent(Logger):
    """In place of a logger: on a process that is not the first of its run, or where none could be made."""

    def __init__(self) -> None:
        self.folder, self.stopped, self.tell = Path(), "", say
        self._closed = True


_open: list[Logger] = []  # loggers that hold a folder, to be closed when Python ends
_current: list[Logger] = []  # the one that ``log`` writes to


def init(
    folder: str | os.PathLike[str] | None = None,
    config: Any = None,
    *,
    diagnose: bool = True,
    stop_on: str | Iterable[str] = (),
    raises: bool = True,
    wait: float = 0.0,
    strict: bool = False,
    tell: Tell | None = None,
    rank: int | None = None,
) -> Logger:
    """Begin to log a run into ``folder`` (default: a new one below ``unplateau-runs``), or go on with the run in it.

    A run whose first step comes after that of the run in ``folder`` goes on with it, without the rows from that step on; one that
    begins anew leaves all of them: what is left is put into ``before-1``. Of several processes only the first writes (``rank``, else torch's, else torchrun's).

    ``config``: the run's settings under your trainer's own names, as a mapping, a dataclass or a namespace; what looks
    like a secret is left out. ``diagnose``: look at the run at each evaluation (a row with ``val_loss``), in another process,
    and ``tell`` (default: a line on standard error) what is raised and cleared. ``wait``: seconds that ``log`` may wait for
    that; 0: what is found is told at a later row. ``stop_on``: causes, or ``slowing``, ``flat``, ``rising``, ``diverged``:
    where one is raised ``log`` raises ``StopTraining``, once (``diverged`` at the very row of a ``val_loss``, or the second of a ``batch_loss``, that is no number); with ``raises=False`` only ``should_stop()`` says so.
    ``strict``: raise for any trouble with the log; else it is told once, and training goes on.

    Raises ``UnplateauError`` where the folder can't be written or another process logs to it, ``UsageError`` for a ``config``
    that is none, and a name in ``stop_on`` that nobody knows.
    """
    place = None if folder is None else given.path(folder, "folder")
    leads = first(None if rank is None else given.whole(rank, "rank", 0))
    settings = None if config is None else plain(config)
    for before in _current:
        before.finish(wait=0.0)
    if not leads:
        return _now(Silent())
    made = Logger(
        place or _fresh(),
        settings,
        diagnose=diagnose,
        stop_on=stop_on,
        raises=raises,
        wait=wait,
        strict=strict,
        tell=tell,
    )
    if folder is None:
        made.tell(f"logging to {made.folder}; to look at it: unplateau diagnose {made.folder}")
    if settings and (line := understood(settings)):
        made.tell(line)
    return _now(made)


def log(*, step: int, **values: Any) -> None:
    """Add a row to the log of the run, at the optimiser step ``step``; the first call begins a run, as ``init()`` does.

    ``loss`` (or ``batch_loss``): of the batch just trained on; ``val_loss``: of an evaluation, which is looked at;
    ``train_loss`` in one call with ``val_loss``: of the same evaluation on the train split, alone: the batch's. Losses are in
    nats per token. ``lr``, ``grad_norm``, ``tokens`` (seen so far), ``epoch``, ``mfu``, ``step_ms`` (timed where you don't); any
    other name is kept as it is. A value is a number or a tensor with one; None is left out.

    Raises ``StopTraining`` where ``init`` was told to.
    """
    if not _current:
        _begin_quietly()
    _current[0].log(step=step, **values)


def should_stop() -> bool:
    """Whether a finding of ``init``'s ``stop_on`` was raised in this process's run."""
    return bool(_current) and _current[0].should_stop()


def finish(*, wait: float = LAST) -> None:
    """End the log of the run: look at it once more, for ``wait`` seconds at most, and tell the verdict."""
    told = given.number(wait, "wait")
    while _current:
        _current.pop().finish(wait=told)


def _now(made: Logger) -> Logger:
    _current[:] = [made]
    return made


def _begin_quietly() -> None:
    """A run that nobody began; where its folder can't be made, training goes on without."""
    try:
        init()
    except UnplateauError as error:
        say(f"this run is not logged: {error}")
        _now(Silent())


def _fresh() -> Path:
    """A folder below ``RUNS`` that is not there yet, named after the time."""
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")  # noqa: DTZ005 - the user's own clock
    return free(RUNS, stem + "-{}") if (RUNS / stem).exists() else RUNS / stem


def _at_exit() -> None:
    for logger in (*_open,):
        logger.finish(wait=0.0)


def _in_child() -> None:
    """A forked process lets go of its parent's folders: it must not hold them when the parent has ended."""
    for logger in _open:
        logger.leave()
    _open.clear()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
