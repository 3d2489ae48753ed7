"""A step of the demo: one verb as a process, its words as a user would type them, its output kept."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..durable import told, write_durably
from ..errors import StoppedError, UnplateauError, printable
from ..probe.process import LIBC, _ends_with_parent, end

OUTPUTS = "steps"  # the folder of what each verb printed
INTERRUPTED = 4  # exit code of a verb that a signal ended, with everything saved (CONTRACT.md)
LIMIT = 4 << 20  # bytes of an output that is kept
SAID = 600  # characters of a verb's complaint


@dataclass(frozen=True, slots=True)
class Step:
    """One command. ``words``: after ``unplateau``; ``shown``: False for one whose output only the demo reads.

    ``allowed``: exit codes that do not end the demo.
    """

    name: str
    words: tuple[str, ...]
    shown: bool = True
    allowed: tuple[int, ...] = (0,)

    @property
    def line(self) -> str:
        """For a shell."""
        return shlex.join(["unplateau", *self.words])


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a step. ``cpu``: seconds of the processor; ``earlier``: a demo that was ended before this one did it."""

    step: Step
    code: int
    seconds: float
    cpu: float
    output: str
    earlier: bool = False


class FailedStepError(UnplateauError):
    """A verb ended with a complaint; its line, and its exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code


#: called with each row of a verb's output as it comes
Row = Callable[[str], None]


def carried_out(step: Step, folder: Path, row: Row) -> Done:
    """Run ``step`` in ``folder``, and keep its output there.

    Raises ``FailedStepError`` where it fails, ``StoppedError`` where a signal ended it or this process.
    """
    began, used = time.monotonic(), _cpu()
    code, output = _run(step, folder, row)
    if code == INTERRUPTED:
        raise StoppedError("interrupted: the same command goes on")
    if code not in step.allowed:
        raise FailedStepError(f"{step.line}: {_complaint(output)}", code if 0 < code < INTERRUPTED else 3)
    path = folder / OUTPUTS / f"{step.name}.txt"
    with told(path):
        path.parent.mkdir(exist_ok=True)
    write_durably(path, output.encode())
    return Done(step, code, time.monotonic() - began, _cpu() - used, output)


def kept(step: Step, folder: Path, facts: Mapping[str, float]) -> Done:
    """A step that was done before; raises ``UnplateauError`` where its output is gone."""
    path = folder / OUTPUTS / f"{step.name}.txt"
    try:
        with path.open("rb") as file:
            output = file.read(LIMIT).decode("utf-8", "replace")
    except OSError as error:
        raise UnplateauError(
            f"can't read {printable(str(path))}: {error.strerror or error}; give another --out, or remove the folder"
        ) from None
    return Done(step, int(facts["code"]), float(facts["seconds"]), float(facts["cpu"]), output, earlier=True)


def _cpu() -> float:
    """Seconds of the processor that ended children, and theirs, have used."""
    times = os.times()
    return times.children_user + times.children_system


def _run(step: Step, folder: Path, row: Row) -> tuple[int, str]:
    """Exit code and output; what is only read has standard output alone."""
    process = subprocess.Popen(  # noqa: S603 - our own verbs, their words in a list
        command(step.words),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if step.shown else subprocess.DEVNULL,
        preexec_fn=_ends_with_parent if LIBC else None,  # noqa: PLW1509 - one system call, no lock taken
        start_new_session=True,  # a Ctrl-C at the terminal is told to us, and by us to it
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout is not None
    rows: list[str] = []
    try:
        for text in process.stdout:
            rows.append(text)
            row(text.rstrip("\n"))
        return process.wait(), "".join(rows)
    except BaseException:
        end(process)  # type: ignore[arg-type]
        raise
    finally:
        process.stdout.close()


def command(words: Sequence[str]) -> list[str]:
    """The process of a verb."""
    return [sys.executable, "-m", "unplateau", *words]


def _complaint(output: str) -> str:
    rows = output.strip().splitlines()
    return printable(rows[-1].removeprefix("unplateau: "), SAID) if rows else "it ended without a word"
