"""The diagnosis of a run that goes on, made by another process: training neither waits for it nor shares its memory.

One process at a time, each for one look; none outlives the training. Where looking takes longer than a tenth of the
time between evaluations, some evaluations are judged together.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ..errors import printable
from ._examine import SHOW

SHARE = 0.1  # of one core's time that looking may take
LONGEST = 120.0  # seconds after which a look is given up
LINE = 400  # characters of a line that is told
ROOT = Path(__file__).parents[2]  # where the package lies, for the other process
#: numpy's threads would take the cores that feed the GPU
QUIET = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Told:
    """What one look found. ``standing``: what is raised and not cleared, causes and verdicts on the curve; ``raised``: now."""

    step: int
    verdict: str = ""
    headline: str = ""
    standing: tuple[str, ...] = ()
    raised: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()  # what is new, in words
    shown: Mapping[str, Any] | None = None  # the whole diagnosis, where it was asked for


@dataclass(slots=True)
class Look:
    """A process that looks at the run once."""

    process: subprocess.Popen[bytes]
    said: IO[bytes]
    begun: float = field(default_factory=time.monotonic)

    @classmethod
    def start(cls, folder: Path, *options: str) -> Look:
        """Begin to look at ``folder``. Raises ``OSError`` where no process can be started."""
        said = tempfile.TemporaryFile()  # noqa: SIM115 - read when the process has ended
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        process = subprocess.Popen(  # noqa: S603 - our own module, by a list
            [sys.executable, "-P", "-m", "unplateau.integrations._examine", str(folder), *options],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **QUIET, "PYTHONPATH": os.pathsep.join(paths)},
        )
        return cls(process, said)

    def ended(self, wait: float) -> bool:
        """Whether it has ended, after ``wait`` seconds at most."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(wait) if wait > 0 else None
        return self.process.poll() is not None

    def answer(self) -> Mapping[str, Any]:
        """What it said; empty where it said nothing that can be read."""
        self.said.seek(0)
        try:
            found = json.loads(self.said.read())
        except ValueError:
            found = {}
        self.said.close()
        return found if isinstance(found, dict) else {}

    def stop(self) -> None:
        """End it, whatever it does."""
        with suppress(OSError):
            self.process.kill()
        self.process.wait()
        self.said.close()


@dataclass(slots=True)
class Doctor:
    """Looks at the run in ``folder`` where it is asked to, and tells what is new.

    ``ask`` begins a look, or notes that one is wanted as soon as the one before has ended; ``hear`` gives what was
    found, if it is there. Neither waits, unless ``hear`` is told to. ``show``: the whole diagnosis is wanted.
    """

    folder: Path
    show: bool = False
    _look: Look | None = None
    _wanted: bool = False
    _free: float = 0.0  # when the next look may begin, seconds of time.monotonic

    def ask(self, *, now: bool = False) -> None:
        """There is something new to look at; ``now`` also where the look before was not long ago."""
        self._wanted = True
        self._begin(now=now)

    @property
    def busy(self) -> bool:
        """Whether a look is under way."""
        return self._look is not None

    def _begin(self, *, now: bool = False) -> None:
        if not self._wanted or self._look is not None or (time.monotonic() < self._free and not now):
            return
        self._wanted = False
        with suppress(OSError):  # no room for another process: training goes on without
            self._look = Look.start(self.folder, *([SHOW] if self.show else []))

    def hear(self, wait: float = 0.0) -> Told | None:
        """What a look found that has ended, within ``wait`` seconds; None where there is none."""
        look = self._look
        if look is None:
            self._begin()
            return None
        if not look.ended(wait):
            if time.monotonic() - look.begun > LONGEST:
                self.close()
            return None
        took = time.monotonic() - look.begun
        self._free = time.monotonic() + took * (1 / SHARE - 1)
        self._look = None
        told = told_of(look.answer())
        self._begin()
        return told

    def last(self, wait: float) -> Iterator[Told]:
        """What there is to tell at the end of the run, within ``wait`` seconds."""
        until = time.monotonic() + wait
        for _ in range(2):  # the look under way, and the one that is wanted since
            if wait > 0:
                self._begin(now=True)
            if self._look is not None and (told := self.hear(max(0.0, until - time.monotonic()))) is not None:
                yield told
        self.close()

    def close(self) -> None:
        """End the look under way."""
        if self._look is not None:
            self._look.stop()
            self._look = None


def told_of(answer: Mapping[str, Any]) -> Told | None:
    """What the other process said; None where it could not look yet.

    >>> told_of({"step": 500, "verdict": "flat", "standing": [{"name": "flat"}], "events": []}).standing
    ('flat',)
    """
    if not isinstance(answer.get("step"), int):
        return None
    step = int(answer["step"])
    return Told(
        step,
        str(answer.get("verdict", "")),
        str(answer.get("headline", "")),
        tuple(str(one["name"]) for one in answer.get("standing", ())),
        tuple(str(one["name"]) for one in answer.get("events", ()) if one.get("kind") == "raised"),
        tuple(line_of(event, step) for event in answer.get("events", ())),
        answer.get("shown"),
    )


def line_of(event: Mapping[str, Any], step: int) -> str:
    """What was raised or cleared, in a line."""
    kind = {"raised": "", "cleared": "no longer: "}.get(str(event.get("kind")), "")
    return f"step {step:,}: {kind}{printable(str(event.get('text', '')), LINE)}"
