"""Processes that begin where torch is loaded already: forks of this one, in the place of three seconds of imports each.

A fork ends by itself, and with the process that made it; what it breaks in the trainer's modules is broken in it alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from unplateau.cli import main
from unplateau.probe import process
from unplateau.probe.process import _ends_with_parent

LIMIT_S = 3600  # of one process; far more than any needs
LOOK_S = 0.01  # between two looks at a process that has a time to end in
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)

Work = Callable[[], int | None]


def fork(work: Work, ready: Callable[[], object]) -> int:
    """The id of a new process that makes itself ``ready``, does ``work``, and ends with the exit code that it gives."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        for number in HANDLED:  # as a new program has them
            signal.signal(number, signal.SIG_DFL)
        if process.LIBC:
            _ends_with_parent()
        signal.alarm(LIMIT_S)
        ready()
        code = work() or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except Exception:  # noqa: BLE001 - a process has nobody to raise to
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for a process; its exit code, below 0 where a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def logged(work: Work, folder: Path, log: Path) -> int:
    """``work`` in a process in ``folder``; what it prints goes to the end of ``log``, what it says of itself to ``log``.err."""

    def ready() -> None:
        os.chdir(folder)
        for path, stream in ((log, 1), (log.with_suffix(".err"), 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)

    return ended(fork(work, ready))


class Arm:
    """An arm of a probe as a fork: what ``probe.process`` uses of ``subprocess.Popen``, and nothing else."""

    def __init__(self, words: Sequence[str], stderr: IO[bytes], **_: Any) -> None:
        self.args, self.returncode = words, None

        def ready() -> None:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(stderr.fileno(), 2)

        own = list(words[words.index("unplateau") + 1 :])
        self.pid = fork(lambda: main(own), ready)

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises ``TimeoutExpired``."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            time.sleep(LOOK_S)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Tell it something, while it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def probed(words: Sequence[str]) -> int:
    """``unplateau probe``, its arms being forks; to be called in a process of its own."""
    process.subprocess = SimpleNamespace(
        Popen=Arm, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired
    )
    return main(list(words))
