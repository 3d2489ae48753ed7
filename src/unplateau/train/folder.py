"""A run's folder, held by one writer: ``config.json``, ``environment.json``, ``manifest.json`` and the log.

Files are whole or not there; the log (``runlog.py``) is only ever added to, a line at a time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .. import __version__
from ..durable import write_durably
from ..errors import UnplateauError, UnreadableError, UsageError, printable, why
from ..runlog import LOCK, LOG, held, is_there, last_row, opened

CONFIG, ENVIRONMENT, MANIFEST = "config.json", "environment.json", "manifest.json"
CHECKPOINTS = "checkpoints"
CONFIG_SCHEMA, ENVIRONMENT_SCHEMA = "unplateau.config/1", "unplateau.environment/1"
HELD = (
    "is training in",
    "wait for it, or give another --out_dir",
)  # what another process does, and what to do
LIMIT = 1 << 20  # bytes of an environment.json


def settings_in(folder: Path | str) -> dict[str, Any]:
    """What ``config.json`` of a run's folder holds; nothing where there is none that can be read."""
    try:
        found = json.loads((Path(folder) / CONFIG).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def refuse_another_run(folder: Path) -> None:
    """Raise ``UsageError`` where ``folder`` holds a run already; nothing is made or locked."""
    _refuse(folder, last_row(folder / LOG))


def refuse_held(folder: Path) -> None:
    """Raise ``UnplateauError`` where another process trains in ``folder``; nothing is made, and nothing stays locked.

    Asked before services begin, which would tell of a run that is refused.
    """
    if (folder / LOCK).is_file():
        os.close(held(folder, *HELD))


def _refuse(folder: Path, last: Mapping[str, Any] | None) -> None:
    if (last is None or last["step"] == 0) and not (folder / CHECKPOINTS).is_dir():
        return  # it never got under way
    done = f" of {last['step']:,} steps" if last else ""
    raise UsageError(
        f"{printable(str(folder))} holds a run{done}: go on with it by --init_from=resume, "
        "or give another --out_dir"
    )


class RunFolder:
    """The folder of one run, made where it is missing, and held until ``close``; a second writer is refused.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place, RunFolder(Path(place) / "out") as folder:
    ...     folder.log.append(0, {"val_loss": 4.5, "train_loss": float("inf")})
    ...     print(folder.log.path.read_text(), end="")
    {"step": 0, "val_loss": 4.5, "train_loss": null}
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock, self.log = opened(path, *HELD)

    @property
    def checkpoints(self) -> Path:
        return self.path / CHECKPOINTS

    def refuse_if_gone(self) -> None:
        """Raise ``UnplateauError`` where the folder was removed or moved since: nothing written here would be found."""
        if not is_there(self.path, self._lock):
            raise UnplateauError(
                f"{printable(str(self.path))} was removed or moved while the run wrote to it: "
                "put it back, and go on with --init_from=resume"
            )

    def settings(self) -> dict[str, Any]:
        """What ``config.json`` holds; nothing where there is none that can be read."""
        return settings_in(self.path)

    def refuse_another_run(self) -> None:
        """Raise ``UsageError`` where the folder holds a run already: no new one is written over it."""
        _refuse(self.path, self.log.last())

    def write_config(self, settings: Mapping[str, Any], origin: Mapping[str, str], **follows: Any) -> None:
        """The settings by VOCABULARY's words, and where each came from; an earlier, other one is kept beside it."""
        told_now = {"schema": CONFIG_SCHEMA, **settings, **follows, "origin": dict(origin)}
        data = json.dumps(told_now, indent=1, allow_nan=False).encode() + b"\n"
        path = self.path / CONFIG
        before = path.read_bytes() if path.is_file() else data
        if before != data:
            write_durably(self._free("config.before"), before)
        write_durably(path, data)

    def _free(self, stem: str) -> Path:
        numbers = (self.path / f"{stem}-{n}.json" for n in range(1, 1_000_000))
        return next(path for path in numbers if not path.exists())

    def write_environment(self, found: Mapping[str, Any]) -> None:
        """Add what this process runs on to what earlier ones ran on."""
        path = self.path / ENVIRONMENT
        try:
            before = json.loads(path.read_bytes()[:LIMIT])["sessions"] if path.is_file() else []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnreadableError(f"{path} can't be read: {why(error)}; move it away") from None
        now = datetime.now(UTC).isoformat(timespec="seconds")
        told_now = {"date": now, "unplateau": __version__, **found}
        sessions = {"schema": ENVIRONMENT_SCHEMA, "sessions": [*before, told_now]}
        write_durably(path, json.dumps(sessions, indent=1).encode() + b"\n")

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """What the data are, as whoever prepared them wrote it."""
        write_durably(self.path / MANIFEST, json.dumps(manifest, indent=1).encode() + b"\n")

    def close(self) -> None:
        self.log.close()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
