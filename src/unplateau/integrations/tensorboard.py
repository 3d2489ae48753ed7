"""Findings and forecast as TensorBoard shows them: scalars at the last step, and the report as text.

The event files are our own; the tensorboard package is not needed. They lie in a folder of their own, so that TensorBoard
shows them as a run called ``unplateau`` beside yours, and no file of yours is touched.
"""

from __future__ import annotations

from pathlib import Path

from ..diagnosis import Diagnosis
from ..errors import UsageError, printable
from ..eventfile import EventFile
from ..futures import Forecast
from ..report.causes import claims
from ..report.text import text
from ._findings import PREFIX, numbers, step_of

FOLDER = "unplateau"  # in the folder that TensorBoard is given


def write(found: Diagnosis, folder: Path, ahead: Forecast | None = None) -> str:
    """Add an event file to ``folder``/unplateau; where it went, in words.

    Raises ``UsageError`` where ``folder`` is a file, ``UnplateauError`` where it can't be written.
    """
    if folder.is_file():
        raise UsageError(
            f"{printable(str(folder))} is a file; expected the folder that tensorboard --logdir is given"
        )
    report = text(found, claims=claims())
    file = EventFile(folder / FOLDER)
    try:
        file.add(step_of(found), numbers(found, ahead))
        # TensorBoard shows text as Markdown: as code it keeps its columns
        file.add_text(
            step_of(found), f"{PREFIX}/report", "\n".join(f"    {line}" for line in report.splitlines())
        )
    finally:
        file.close()
    return str(folder / FOLDER)
