"""The folder of somebody's run: its log and its config, held by one process; another run that lay there is put aside."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..durable import DurableFile, told, write_durably
from ..errors import UnplateauError, printable
from ..runlog import LOG, RESUMED, Log, is_there, opened, row_of
from ._settings import CONFIG, document

#: what is of one run alone, put aside where another begins in its folder
OF_A_RUN = (LOG, CONFIG, "forecast.json", "findings.json", "evidence")


class Folder:
    """Made where it is missing, and held until ``close``.

    Its config is written with the first row, which tells whether the run that lies there goes on or another begins.
    Raises ``UnplateauError`` where it can't be written, or another process logs to it.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any] | None, tell: Callable[[str], None]) -> None:
        self.path, self._settings, self._tell, self._begun = path, settings, tell, False
        self._lock, self._log = opened(path, "logs to", "wait for it, or give another folder")

    def append(self, step: int, row: Mapping[str, Any]) -> None:
        """Add a row, which then outlives the process."""
        if not self._begun:
            self._begin(step)
        self._log.append(step, row)

    def _begin(self, step: int) -> None:
        """Go on with the run that lies here, or begin another: one that starts no later than that did."""
        first, last = self._log.first(), self._log.last()
        if first is not None and step <= first["step"]:
            self._put_aside()
        elif last is not None:
            if step <= last["step"]:
                self._go_back(step)
            self._log.append(step, {RESUMED: last["step"]})
        self._begun = True
        if self._settings is not None:
            self.write_settings(self._settings)

    def _go_back(self, step: int) -> None:
        """Put the rows from ``step`` on aside: they are of a way that was left, whose end is not the end of this run."""
        aside = free(self.path, "before-{}")
        with told(aside), DurableFile(self.path / LOG) as kept:
            aside.mkdir()
            shutil.copyfile(self.path / LOG, aside / LOG)
            with (aside / LOG).open("rb") as rows:
                for line in rows:
                    if (row := row_of(line)) is None or row["step"] < step:
                        kept.write(line)
            self._log.close()
            kept.commit()
        self._log = Log(self.path / LOG)

    def write_settings(self, settings: Mapping[str, Any]) -> None:
        """Write config.json; an earlier, other one is kept beside it."""
        path, data = self.path / CONFIG, document(settings)
        before = path.read_bytes() if path.is_file() else data
        if before != data:
            write_durably(free(self.path, "config.before-{}.json"), before)
        write_durably(path, data)

    def _put_aside(self) -> None:
        """Move what another run left here into a folder below, where no verb looks for it."""
        aside = free(self.path, "before-{}")
        with told(aside):
            aside.mkdir()
            for name in OF_A_RUN:
                if (self.path / name).exists():
                    (self.path / name).rename(aside / name)
        self._log.close()
        self._log = Log(self.path / LOG)
        self._tell(f"another run lay in {printable(str(self.path))}: it is in {aside.name} now")

    def sync(self) -> None:
        """Make all rows outlive the machine. Raises ``UnplateauError`` where the folder is not there any more."""
        self._log.sync()
        if not is_there(self.path, self._lock):
            raise UnplateauError(
                f"{printable(str(self.path))} was removed or moved while the run logged to it"
            )

    def close(self) -> None:
        """Let go of it; for a forked process, of what it has of its parent's."""
        with suppress(OSError):
            self._log.close()
            os.close(self._lock)


def free(folder: Path, pattern: str) -> Path:
    """The first of ``pattern`` with 1, 2, ... that is not there."""
    return next(path for n in range(1, 1_000_000) if not (path := folder / pattern.format(n)).exists())
