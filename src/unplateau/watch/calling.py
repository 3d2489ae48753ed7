"""The user's own command, run once for each finding that is raised.

The command is the user's and goes to the shell as it stands. What the log says reaches it in environment variables
alone, so that no text of a log is ever part of a command line.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

from ..errors import printable
from .seen import Event, Update, Watched

LIMIT = 60.0  # seconds; a message is sent in less, and what hangs is no message
LAST = 4096  # bytes at the end of what it printed, of which the last line is told
AT_ONCE = 4  # commands that run side by side
PREFIX = "UNPLATEAU_"


@dataclass(slots=True)
class _Call:
    event: Event
    process: subprocess.Popen[bytes]
    said: IO[bytes]
    begun: float


@dataclass(slots=True)
class Caller:
    """Runs ``command`` for each event of ``Update`` that raises one of ``names``; ``ended`` tells what became of it."""

    command: str
    names: Collection[str]
    _waiting: list[tuple[Event, Watched | None, str]] = field(default_factory=list)
    _running: list[_Call] = field(default_factory=list)

    def heard(self, update: Update) -> None:
        """Take the events that the user asked to be called for."""
        for event in update.events:
            if event.kind in ("raised", "quiet") and event.name in self.names and not event.old:
                self._waiting.append((event, update.run(event.run), str(update.path)))

    @property
    def waits(self) -> bool:
        """True while there are commands that are not begun."""
        return bool(self._waiting)

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._running)

    def ended(self) -> Iterator[Event]:
        """Begin what waits, and tell of what ended."""
        for call in list(self._running):
            if call.process.poll() is None and time.monotonic() - call.begun < LIMIT:
                continue
            self._running.remove(call)
            yield _outcome(call)
        while self._waiting and len(self._running) < AT_ONCE:
            event, run, path = self._waiting.pop(0)
            try:
                self._running.append(_begun(self.command, event, environment(event, run, path)))
            except (OSError, ValueError) as error:
                yield _told(event, "trouble", f"can't run the command for {event.name}: {error}")

    def finish(self) -> Iterator[Event]:
        """Wait for all that runs or waits."""
        while self.busy:
            yield from self.ended()
            if self.busy:
                time.sleep(0.02)


def environment(event: Event, run: Watched | None, path: str) -> dict[str, str]:
    """What the command is told, as environment variables; control characters are replaced.

    >>> environment(Event(0.0, "raised", "run-1", "The curve is flat.", "flat", 500), None, "train.log")
    {'UNPLATEAU_CAUSE': 'flat', 'UNPLATEAU_RUN': 'run-1', 'UNPLATEAU_PATH': 'train.log', \
'UNPLATEAU_TEXT': 'The curve is flat.', 'UNPLATEAU_STEP': '500'}
    """
    told = {"CAUSE": event.name, "RUN": event.run, "PATH": path, "TEXT": event.text}
    told |= {"STEP": str(event.step)} if event.step is not None else {}
    if run is not None:
        told |= {
            "PATH": str(run.path),
            "VERDICT": run.verdict,
            "HEADLINE": run.headline,
            "SERIES": run.series,
        }
        if event.step in (None, run.evaluated):  # step and loss are of one point
            told |= {"LOSS": f"{run.loss:.6g}" if run.loss is not None else "nan"}
        sure = next((s.probability for s in run.standing if s.name == event.name), None)
        told |= {"PROBABILITY": f"{sure:.2f}"} if sure is not None else {}
    return {f"{PREFIX}{name}": printable(value, 4000) for name, value in told.items()}


def _begun(command: str, event: Event, told: dict[str, str]) -> _Call:
    said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the call
    process = subprocess.Popen(  # noqa: S602 - the user's own words; what the log says is not among them
        command,
        shell=True,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=subprocess.STDOUT,
        env={**os.environ, **told},
        start_new_session=True,
    )
    return _Call(event, process, said, time.monotonic())


def _outcome(call: _Call) -> Event:
    """What became of it; one that takes too long is ended, with all that it started."""
    late = call.process.poll() is None
    if late:
        with suppress(OSError):
            if os.name == "posix":
                os.killpg(call.process.pid, signal.SIGKILL)
            else:
                call.process.kill()
        call.process.wait()
    code, last = call.process.returncode, _last_line(call.said)
    if not late and code == 0:
        return _told(
            call.event, "ran", f"the command for {call.event.name} is done" + (f": {last}" if last else "")
        )
    how = f"took longer than {LIMIT:.0f} s and was ended" if late else f"ended with {code}"
    return _told(
        call.event, "trouble", f"the command for {call.event.name} {how}" + (f": {last}" if last else "")
    )


def _last_line(said: IO[bytes]) -> str:
    with said:
        said.seek(max(0, said.seek(0, os.SEEK_END) - LAST))
        rows = said.read().decode("utf-8", "replace").strip().splitlines()
    return printable(rows[-1], 200) if rows else ""


def _told(event: Event, kind: str, text: str) -> Event:
    return Event(time.time(), "ran" if kind == "ran" else "trouble", event.run, text, event.name, event.step)
