"""Being told to stop: Ctrl-C and SIGTERM let a step finish and everything be saved; a second one ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Broken(Exception):  # noqa: N818 - nothing went wrong
    """A signal came where ``Stop.breaks`` holds."""


class Stop:
    """True once a signal has come; while it is entered, and on the main thread, where alone Python takes signals.

    >>> with Stop() as stop:
    ...     signal.raise_signal(signal.SIGTERM)
    ...     bool(stop), stop.word
    (True, 'SIGTERM')
    """

    def __init__(self) -> None:
        self.word = ""
        self._before: dict[int, Any] = {}
        self._breaks = False

    @contextmanager
    def breaks(self) -> Iterator[None]:
        """Within it the first signal raises ``Broken``: for what is long and can be done again."""
        if self.word:
            raise Broken
        self._breaks = True
        try:
            yield
        finally:
            self._breaks = False

    def __bool__(self) -> bool:
        return bool(self.word)

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.word:
            raise KeyboardInterrupt
        self.word = signal.Signals(number).name
        if self._breaks:
            raise Broken

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._take) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
