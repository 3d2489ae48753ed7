"""What changed since when, and the stream that tells it: server-sent events.

Nothing is queued. A ``Board`` keeps for each name the revision at which it changed last; a stream sends the
names that are newer than what its tab has seen, and the tab fetches what it shows. So a tab that reads slowly,
or that comes back after an hour, costs no memory and misses nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from secrets import token_hex

HEARTBEAT = 15.0  # s; proxies and tunnels drop connections that are silent for 30 to 60
PAUSE = 0.1  # s between two messages of a stream: what changes in between goes into one
RETRY = 1000  # ms after which a browser connects again


class Board:
    """The revision at which each name changed last. Used on the event loop only.

    >>> board = Board(start="a")
    >>> board.changed(["run-1"]); board.changed(["run-2"])
    >>> board.mark(), board.newer("a-1"), board.newer("a-2"), board.newer("of another start-9")
    ('a-2', ['run-2'], [], ['run-1', 'run-2'])
    """

    def __init__(self, start: str = "") -> None:
        self.start = start or token_hex(4)  # tells a mark of this start of the program from one of another
        self.closed = False
        self._revision = 0
        self._at: dict[str, int] = {}
        self._wake = asyncio.Event()

    def changed(self, names: Iterable[str]) -> None:
        """Note that what is shown under ``names`` has changed."""
        if names := list(names):
            self._revision += 1
            self._at.update(dict.fromkeys(names, self._revision))
            self._woken()

    def close(self) -> None:
        """End all streams."""
        self.closed = True
        self._woken()

    def _woken(self) -> None:
        self._wake.set()
        self._wake = asyncio.Event()

    def mark(self) -> str:
        """The revision of now, as the id of an event."""
        return f"{self.start}-{self._revision}"

    def newer(self, mark: str) -> list[str]:
        """The names that changed after ``mark``; all where it is of another start, or none of ours."""
        start, _, seen = mark.rpartition("-")
        known = int(seen) if start == self.start and seen.isdecimal() and len(seen) < 18 else -1
        return [name for name, at in self._at.items() if at > known]

    async def wait(self, seconds: float) -> None:
        """Until something changes, at most ``seconds``."""
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return


async def events(board: Board, seen: str, *, heartbeat: float = HEARTBEAT) -> AsyncIterator[str]:
    """The stream for a tab that has seen all up to the mark ``seen``: each message is names, and the new mark."""
    yield f"retry: {RETRY}\n\n"
    while not board.closed:
        names, mark = board.newer(seen), board.mark()
        if names:
            seen = mark
            yield f"id: {mark}\nevent: changed\ndata: {json.dumps(names)}\n\n"
            await asyncio.sleep(PAUSE)
        else:
            before = board.mark()
            await board.wait(heartbeat)
            if board.mark() == before and not board.closed:
                yield ": still here\n\n"
    yield "event: ended\ndata: []\n\n"
