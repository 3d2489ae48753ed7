"""Tidy rows of every series: run, series, step, value."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..errors import UnreadableError, printable
from ..run import Run

ROWS = 10_000  # written at once


def write(runs: Sequence[Run], path: str, say: Callable[[str], None]) -> None:
    """Write to ``path``, or through ``say`` where it is ``-``; non-finite values as nan and inf."""
    if path == "-":
        for chunk in chunks(runs):
            say(chunk)
        return
    try:
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            file.writelines(chunks(runs))
    except OSError as error:
        raise UnreadableError(f"can't write {path}: {error.strerror or error}") from None


def chunks(runs: Sequence[Run]) -> Iterator[str]:
    """The header, then text of at most ``ROWS`` rows."""
    yield "run,series,step,value\n"
    for run in runs:
        for name, curve in run.series.items():
            names = _names(run.name, name)
            for i in range(0, len(curve), ROWS):
                part = zip(curve.step[i : i + ROWS].tolist(), curve.value[i : i + ROWS].tolist(), strict=True)
                yield "".join([f"{names},{step},{value!r}\n" for step, value in part])


def _names(run: str, series: str) -> str:
    """The first two cells, quoted where need be."""
    file = io.StringIO()
    csv.writer(file, lineterminator="").writerow([_cell(run), _cell(series)])
    return file.getvalue()


def _cell(text: str) -> str:
    """Foreign text that no spreadsheet takes for a formula (OWASP: CSV injection)."""
    shown = printable(text, 200)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown
