"""``watch --serve``: the live page in place of lines or a view on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ._core import DONE, FAILED, say

if TYPE_CHECKING:
    from ..watch.seen import Update
    from ..watch.watching import Watcher


def check_serve(*, serve: bool, once: bool, port: int | None, opened: bool) -> None:
    """Refuse options that mean nothing together."""
    if serve and once:
        raise UsageError("--serve goes on until Ctrl-C, --once looks once: give one of them")
    for name, given in (("--port", port is not None), ("--open", opened)):
        if given and not serve:
            raise UsageError(f"{name} is of the live page: give --serve with it")


def show_page(watcher: Served, *, port: int, opened: bool, quietly: bool) -> int:
    """Serve the page until Ctrl-C; 1 where what ``--fail-on`` names was met.

    ``quietly``: standard output is for JSON, the address goes to standard error.
    """
    from ..watch.serve import serve
    from ..watch.serve_page import rendering

    with opener(wanted=opened) as shown:

        def ready(address: str) -> None:
            say(f"{address}\n", sys.stderr if quietly else sys.stdout)
            say("unplateau: who has this address can read the page; Ctrl-C ends it\n", sys.stderr)
            shown(address)

        serve(watcher, rendering(watcher.watcher), port=port, ready=ready)
    return FAILED if watcher.over else DONE


class Served:
    """A watcher whose updates are also told to ``heard``, which says whether that was the last one.

    ``between`` is called before each poll.
    """

    def __init__(
        self, watcher: Watcher, heard: Callable[[Update], bool], between: Callable[[], None]
    ) -> None:
        self.watcher, self.heard, self.between = watcher, heard, between
        self.over = False

    @property
    def wait(self) -> float:
        """Seconds between two polls."""
        return self.watcher.wait

    def poll(self) -> Update | None:
        """What is new; called on one thread only."""
        self.between()
        found = self.watcher.poll()
        if found is not None:
            self.over = self.heard(found)
        return found


@contextmanager
def opener(*, wanted: bool) -> Iterator[Callable[[str], None]]:
    """What opens an address in the user's browser; by a file that only he can read, for others see command lines."""
    import os
    import tempfile
    import webbrowser

    made: list[Path] = []

    def shown(address: str) -> None:
        if not wanted:
            return
        handle, name = tempfile.mkstemp(prefix="unplateau-watch-", suffix=".html")  # mode 0600
        made.append(Path(name))
        with os.fdopen(handle, "w") as file:
            file.write(
                f'<!doctype html><meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0;url={address}">'
            )
        if not webbrowser.open(made[0].as_uri()):
            say("unplateau: no browser could be opened; open the address yourself\n", sys.stderr)

    try:
        yield shown
    finally:
        for path in made:
            path.unlink(missing_ok=True)
