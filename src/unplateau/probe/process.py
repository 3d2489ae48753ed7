"""An arm as a process: started, watched, stopped, and never left behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO

from ..errors import StoppedError, UnplateauError, printable
from .kept import LOCK, held
from .words import command, resumed

POLL = 0.1  # seconds between two looks at a process
GRACE = 120.0  # seconds that an arm has to save after it was told to stop
WAIT = 120.0  # seconds that an arm of a probe that was killed may still take to save
SAID = 4096  # bytes of what a process said last
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded before a process is forked


class FailedError(UnplateauError):
    """The trainer ended an arm with a complaint; other probes may do."""


#: called now and then while an arm runs; True ends it
Enough = Callable[[], bool]


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM as ``StoppedError``, also where Python would end without a word."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise StoppedError("interrupted: finished arms are kept, and the same command goes on")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def run_arm(words: Sequence[str], folder: Path, enough: Enough = lambda: False, grace: float = GRACE) -> bool:
    """Run an arm into ``folder``, or go on with one that is half done; True where it reached its end, False where ``enough``.

    ``grace``: seconds that it has to save once it is told to stop. Raises ``FailedError`` with the trainer's own line
    where it fails; a signal to this process ends the arm first.
    """
    if not wait_for(folder, enough):
        return False
    words = resumed(words) if (folder / "config.json").is_file() else words
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - our own trainer, its words in a list
            command(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            preexec_fn=_ends_with_parent if LIBC else None,  # noqa: PLW1509 - one system call, no lock taken
            start_new_session=True,  # a Ctrl-C at the terminal is told to us, and by us to it
        )
        try:
            stopped = _watch(process, enough, grace)
        except BaseException:
            end(process, grace)
            raise
        if stopped or process.returncode == 0:  # a signal that it was too late to save for ends it by itself
            return not stopped
        raise FailedError(_complaint(said, folder, process.returncode))


def _watch(process: subprocess.Popen[bytes], enough: Enough, grace: float) -> bool:
    """Wait for its end; True where it was told to end before it."""
    stopped = False
    while process.poll() is None:
        time.sleep(POLL)
        if not stopped and process.poll() is None and enough():
            stopped = True
            end(process, grace)
    return stopped


def end(process: subprocess.Popen[bytes], grace: float = GRACE) -> None:
    """Let it save and end; kill it where it does not."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(folder: Path, enough: Enough = lambda: False) -> bool:
    """Wait until no process trains in ``folder``: one whose probe was killed saves, and ends, by itself.

    False where ``enough`` came first. Raises ``UnplateauError`` where it does not end.
    """
    path, until = folder / LOCK, time.monotonic() + WAIT
    while path.is_file() and _busy(path):
        if time.monotonic() > until:
            raise UnplateauError(f"a process trains in {printable(str(folder))}: wait for it, or end it")
        if enough():
            return False
        time.sleep(POLL)
    return True


def _busy(path: Path) -> bool:
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return held(handle)
    finally:
        os.close(handle)


def _ends_with_parent() -> None:
    """In the child: SIGTERM when the process that started it has gone, however it went."""
    assert LIBC is not None
    LIBC.prctl(DIE_WITH_PARENT, signal.SIGTERM)


def _complaint(said: IO[bytes], folder: Path, code: int) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - SAID))
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    last = lines[-1].removeprefix("unplateau: ") if lines else f"it ended with {code} and no word"
    return (
        f"the arm {printable(folder.name)} of {printable(folder.parent.name)} failed: {printable(last, 600)}"
    )
