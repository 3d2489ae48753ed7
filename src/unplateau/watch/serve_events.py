"""What changed since when, and the stream that tells it: server-sent events.

Nothing is queued. A ``Board`` keeps for each name the revision at which it changed last; a stream sends the
names that are newer than what its tab has seen, and the tab fetches what it shows. So a tab that reads slowly,
or that comes back after an hour, costs no memory and misses nothing.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from secrets import token_hex

HEARTBEAT = 15.0  # s; proxies and tunnels drop connections that are silent for 30 to 60
TICK = 1.0  # s between two looks whether the tab is still there
PAUSE = 0.1  # s between two messages of a stream: what changes in between goes into one
RETRY = 1000  # ms after which a browser connects again


class Board:
    """The revision at which each name changed last; for several threads.

    >>> board = Board(start="a")
    >>> board.changed(["run-1"]); board.changed(["run-2"])
    >>> board.newer("a-1"), board.newer("a-2"), board.newer("of another start-9")
    ((['run-2'], 'a-2'), ([], 'a-2'), (['run-1', 'run-2'], 'a-2'))
    """

    def __init__(self, start: str = "") -> None:
        self.start = start or token_hex(4)  # tells a mark of this start of the program from one of another
        self.closed = False
        self._revision = 0
        self._at: dict[str, int] = {}
        self._news = threading.Condition()

    def changed(self, names: Iterable[str]) -> None:
        """Note that what is shown under ``names`` has changed."""
        with self._news:
            if names := list(names):
                self._revision += 1
                self._at.update(dict.fromkeys(names, self._revision))
                self._news.notify_all()

    def close(self) -> None:
        """End all streams."""
        with self._news:
            self.closed = True
            self._news.notify_all()

    def mark(self) -> str:
        """The revision of now, as the id of an event."""
        return f"{self.start}-{self._revision}"

    def newer(self, mark: str) -> tuple[list[str], str]:
        """The names that changed after ``mark`` (all where it is none of this start), and the mark of now."""
        start, _, seen = mark.rpartition("-")
        # a mark comes from a request: digits of ours, and no more of them than any revision has
        known = (
            int(seen) if start == self.start and seen.isascii() and seen.isdigit() and len(seen) < 18 else -1
        )
        with self._news:
            return [name for name, at in self._at.items() if at > known], self.mark()

    def wait(self, mark: str, seconds: float) -> None:
        """Until something is newer than ``mark``, or the board is closed; at most ``seconds``."""
        with self._news:
            self._news.wait_for(lambda: self.closed or self.mark() != mark, seconds)


def events(
    board: Board,
    seen: str,
    gone: Callable[[], bool] = lambda: False,
    *,
    heartbeat: float = HEARTBEAT,
    tick: float = TICK,
) -> Iterator[str]:
    """The stream for a tab that has seen all up to the mark ``seen``: each message is names, and the new mark.

    It ends with the board, and where ``gone`` says that the tab is not there any more.
    """
    yield f"retry: {RETRY}\n\n"
    quiet = 0.0
    while not (board.closed or gone()):
        names, mark = board.newer(seen)
        if names:
            seen, quiet = mark, 0.0
            yield f"id: {mark}\nevent: changed\ndata: {json.dumps(names)}\n\n"
            time.sleep(PAUSE)
            continue
        board.wait(mark, tick)
        quiet += tick
        if quiet >= heartbeat and board.mark() == mark and not board.closed:
            quiet = 0.0
            yield ": still here\n\n"
    if board.closed:
        yield "event: ended\ndata: []\n\n"
