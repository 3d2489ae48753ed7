"""The watch as the live page sees it: the last update, what changed when, and the pages of the runs.

All that reads logs or judges runs happens on one thread, the one that calls ``follow``: what is cached below
knows of no second one. The threads that answer requests hand it their wishes, and wait.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Protocol

from ..errors import UnplateauError, printable
from .memory import trim
from .seen import Update, Watched
from .serve_events import Board
from .serve_list import address, ordered, stands
from .serve_page import sorry

LIST = "runs"  # the name on the board of what stands above the list: how many runs stand how, in which order
PAGES = 4  # that are kept as made last, for several tabs of one run; 0.1 MB each
PATIENCE = 60.0  # s that a request waits for its page; that of a large log takes some


class Watching(Protocol):
    """What the page needs of a watcher (watching.py): ``poll`` gives an update where something is new."""

    @property
    def wait(self) -> float:
        """Seconds between two polls."""

    @property
    def over(self) -> bool:
        """True when the last update was the one that was waited for."""

    def poll(self) -> Update | None: ...


@dataclass(slots=True)
class _Wish:
    """A page that a request waits for: its status and its inside."""

    key: str
    of: Watched | None
    page: SimpleQueue[tuple[int, str]] = field(default_factory=SimpleQueue)


class Live:
    """What the live page shows of a watch.

    ``render``: the inside of the page's main part for the run of a key; called by ``follow`` only.
    """

    def __init__(self, watcher: Watching, render: Callable[[str], str]) -> None:
        self.watcher, self.render = watcher, render
        self.board = Board()
        self.update: Update | None = None
        self._wishes: SimpleQueue[_Wish] = SimpleQueue()
        self._stood: dict[str, str] = {}
        self._made: dict[str, tuple[Watched | None, str]] = {}

    def follow(self) -> None:
        """Poll until the watch is over, note what each update changed, and make the pages that are wished for."""
        due = time.monotonic()
        try:
            while not self.watcher.over:
                if (left := due - time.monotonic()) <= 0:
                    self._poll()
                    due, left = time.monotonic() + self.watcher.wait, 0.0
                self._grant(max(0.0, left))
        finally:
            self.board.close()

    def _poll(self) -> None:
        found = self.watcher.poll()
        if found is not None:
            self.take(found)
        else:
            self._by_the_clock()

    def _grant(self, seconds: float) -> None:
        """Make the pages that are wished for within ``seconds``; the wishes that wait already at least."""
        try:
            wish = self._wishes.get(timeout=seconds) if seconds else self._wishes.get_nowait()
        except Empty:
            return
        wish.page.put(self._page(wish))

    def take(self, found: Update) -> None:
        """The update of now; the runs that stand otherwise than before have changed, and so may the list."""
        before = {run.key: run for run in self.update.runs} if self.update else {}
        now = {run.key: run for run in found.runs}
        names = [address(key) for key in {**before, **now} if before.get(key) != now.get(key)]
        names += [page_of(key) for key in now if judged(before.get(key)) != judged(now[key])]
        if self.update is not None and self.update.troubles != found.troubles:
            names += [address(key) for key in now if address(key) not in names]
        if self.update is None or _above(self.update) != _above(found):
            names.append(LIST)
        self.update, self._stood = found, {run.key: stands(run) for run in found.runs}
        self.board.changed(names)

    def _by_the_clock(self) -> None:
        """Note what stands otherwise though nothing was written: a run that is overdue now."""
        runs = self.update.runs if self.update else ()
        now = {run.key: stands(run) for run in runs}
        if late := [address(key) for key, word in now.items() if self._stood.get(key) != word]:
            self._stood = now
            self.board.changed([*late, LIST])

    def page(self, key: str) -> tuple[int, str]:
        """The inside of the page of a run and its status; where it can't be made, why. For any other thread."""
        wish = _Wish(key, judged(self.watched(key)))
        held = self._made.get(key)
        if held is not None and held[0] == wish.of:
            return 200, held[1]
        self._wishes.put(wish)
        try:
            return wish.page.get(timeout=PATIENCE)
        except Empty:
            return 503, sorry("it takes long to be made; load it again")

    def _page(self, wish: _Wish) -> tuple[int, str]:
        held = self._made.get(wish.key)
        if held is not None and held[0] == wish.of:
            return 200, held[1]
        try:
            made = self.render(wish.key)
        except UnplateauError as error:
            return 200, sorry(str(error))
        except Exception as error:
            if os.environ.get("UNPLATEAU_DEBUG"):
                raise
            return 500, sorry(fault(error))
        self._made = dict([*self._made.items(), (wish.key, (wish.of, made))][-PAGES:])
        trim()
        return 200, made

    def key(self, place: str) -> str | None:
        """The key of the run at an address; None where there is none."""
        runs = self.update.runs if self.update else ()
        return next((run.key for run in runs if address(run.key) == place), None)

    def watched(self, key: str) -> Watched | None:
        """The run of a key as it stands."""
        return self.update.run(key) if self.update else None

    def alone(self) -> str | None:
        """The key of the only run; None where there are several, or none yet."""
        runs = self.update.runs if self.update else ()
        return runs[0].key if len(runs) == 1 else None


def fault(error: Exception) -> str:
    """What went wrong here, in one line."""
    said = f"{type(error).__name__}: {printable(str(error), 200)}"
    return f"{said} (this is a fault of unplateau; set UNPLATEAU_DEBUG=1 to see where)"


def page_of(key: str) -> str:
    """The name on the board of the page of a run; that of its row is its address alone."""
    return f"{address(key)}/main"


def judged(run: Watched | None) -> Watched | None:
    """A run as it was judged last: without what every line of its log changes."""
    return None if run is None else replace(run, step=None, left=None, written=0.0, quiet=False)


def _above(update: Update) -> object:
    return update.waiting, update.troubles, [(run.key, stands(run)) for run in ordered(update)]
