"""Findings and forecast as TensorBoard shows them: scalars at the last step, and the report as text.

The event files are our own; the tensorboard package is not needed. They lie in a folder of their own, so that TensorBoard
shows them as a run called ``unplateau`` beside yours, and no file of yours is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..diagnosis import Diagnosis
from ..errors import UsageError, printable
from ..eventfile import EventFile
from ..futures import Forecast
from ..report.causes import claims
from ..report.text import text
from ._findings import PREFIX, numbers, step_of

FOLDER = "unplateau"  # in the folder that TensorBoard is given
LONGEST = 80  # characters of a folder's name


def write_all(found: Sequence[Diagnosis], folder: Path) -> str:
    """Add an event file for each of ``found``, in folders of their names where there are several; where they went."""
    if len(found) == 1:
        return write(found[0], folder)
    for i, one in enumerate(found, 1):
        write(one, folder, name=f"{i}-{named(one)}")
    return str(folder / FOLDER)


def named(found: Diagnosis) -> str:
    """The run's name as that of a folder."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in found.run.name)[:LONGEST]


def write(found: Diagnosis, folder: Path, ahead: Forecast | None = None, name: str = "") -> str:
    """Add an event file to ``folder``/unplateau/``name``; where it went, in words.

    Raises ``UsageError`` where ``folder`` is a file, ``UnplateauError`` where it can't be written.
    """
    if folder.is_file():
        raise UsageError(
            f"{printable(str(folder))} is a file; expected the folder that tensorboard --logdir is given"
        )
    report = text(found, claims=claims())
    place = folder / FOLDER / name
    file = EventFile(place)
    try:
        file.add(step_of(found), numbers(found, ahead))
        # TensorBoard shows text as Markdown: as code it keeps its columns
        file.add_text(
            step_of(found), f"{PREFIX}/report", "\n".join(f"    {line}" for line in report.splitlines())
        )
    finally:
        file.close()
    return str(place)
