"""How a logger says something to the user: a line at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from textwrap import fill

from ..errors import UsageError
from ..given import kind

WIDTH = 80  # columns

Tell = Callable[[str], None]


def say(line: str) -> None:
    """A line on standard error, folded where that is a terminal; above a progress bar where tqdm draws one."""
    text = f"unplateau: {line}"
    if sys.stderr.isatty():
        text = fill(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    bars = sys.modules.get("tqdm")
    if bars is not None and hasattr(bars, "tqdm"):
        bars.tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - it is what the user sees of it


def teller(tell: Tell | None) -> Tell:
    """``tell``, by default ``say``. Raises ``UsageError`` for what can't be called."""
    if tell is not None and not callable(tell):
        raise UsageError(f"tell wants a function of one line; found {kind(tell)}")
    return tell or say
