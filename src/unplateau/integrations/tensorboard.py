"""Findings and forecast as TensorBoard shows them: scalars at the last step, and the report as text.

The event files are our own; the tensorboard package is not needed. They lie in a folder of their own, so that TensorBoard
shows them as a run called ``unplateau`` beside yours, and no file of yours is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..diagnosis import Diagnosis
from ..errors import UsageError, printable
from ..eventfile import EventFile
from ..futures import Forecast
from ._findings import shown
from ._shown import FOLDER, PREFIX, Shown

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
    board = Board(lambda: folder / FOLDER / name)
    try:
        return board.put(shown(found, ahead))
    finally:
        board.close()


class Board:
    """The event file that findings go to: made with the first of them, in the folder that ``where`` then says."""

    def __init__(self, where: Callable[[], Path]) -> None:
        self._where = where
        self._file: EventFile | None = None

    def put(self, told: Shown) -> str:
        """Add the numbers and the report at their step; where they went."""
        self._file = self._file or EventFile(self._where())
        self._file.add(told.step, told.numbers)
        # TensorBoard shows text as Markdown: as code it keeps its columns
        report = "\n".join(f"    {line}" for line in told.report.splitlines())
        self._file.add_text(told.step, f"{PREFIX}/report", report)
        return str(self._file.path.parent)

    def close(self) -> None:
        """No more is put."""
        if self._file is not None:
            self._file.close()
