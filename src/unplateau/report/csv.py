"""Tidy rows of every series: run, series, step, value."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from ..durable import DurableFile, told
from ..errors import printable
from ..places import look
from ..run import Run
from ..spare import ROWS as TABLE
from ..spare import spare

ROWS = 10_000  # written at once


def write(runs: Sequence[Run], path: str, say: Callable[[str], None]) -> None:
    """Write to ``path``, or through ``say`` where it is ``-``; non-finite values as nan and inf."""
    if path == "-":
        for chunk in chunks(runs):
            say(chunk)
        return
    target = Path(path)
    if is_stream(target):
        with told(target), target.open("w", encoding="utf-8", newline="") as file:
            file.writelines(chunks(runs))
        return
    with DurableFile(target) as rows:
        for chunk in chunks(runs):
            rows.write(chunk.encode())
        rows.commit()


def spare_rows(file: str, path: str, others: Iterable[str | None]) -> None:
    """Refuse to write over what the rows of ``path`` are read from, or what is no table of ours. Raises ``UsageError``."""
    target = Path(file)
    if file == "-" or is_stream(target):
        return
    alone = [place.logs[0] for place in look(Path(path)) if len(place.logs) == 1]
    spare("--csv", target, TABLE, (path, *others, *alone))


def is_stream(path: Path) -> bool:
    """A pipe, a terminal or a device: what is written to it replaces nothing."""
    return path.exists() and not path.is_file() and not path.is_dir()


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
