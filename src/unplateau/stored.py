"""Forecasts kept in a run's folder before their time comes, so that they can be verified when it has.

``forecast.json`` holds all that were ever stored, in their order: {"schema": "unplateau.forecasts/1",
"forecasts": [{"date", "version", "last_step", and what ``forecast --json`` says}]}. Written beside, synced and
renamed, so that a crash leaves the old file or the new one; never overwritten, only added to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import __version__
from .durable import sync
from .errors import UnreadableError, UsageError, printable, why

NAME = "forecast.json"
SCHEMA = "unplateau.forecasts/1"
LIMIT = 64 << 20  # bytes; a stored forecast has some thousand


def place_of(path: Path) -> Path:
    """Where the forecasts of the run at ``path`` are kept: in its folder, or beside its log."""
    if str(path) == "-":
        raise UsageError("--store needs a log or a run's folder; standard input has neither")
    return (path if path.is_dir() else path.parent) / NAME


def stored(place: Path) -> list[dict[str, Any]]:
    """The forecasts kept at ``place``, the oldest first; none where there is no file.

    Raises ``UnreadableError`` for a file that holds something else.
    """
    try:
        text = place.read_bytes()[: LIMIT + 1] if place.exists() else b""
        told = json.loads(text) if text else {"schema": SCHEMA, "forecasts": []}
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableError(f"{place.name} can't be read: {why(error)}; {_kept(place)}") from None
    kept = told.get("forecasts") if isinstance(told, dict) and told.get("schema") == SCHEMA else None
    if not isinstance(kept, list) or not all(isinstance(one, dict) for one in kept):
        raise UnreadableError(f"{place.name} holds no forecasts of {SCHEMA}; {_kept(place)}")
    return kept


def _kept(place: Path) -> str:
    return f"it is left as it is: move it, or store elsewhere than in {printable(place.parent.name or '.')}"


def store(place: Path, found: Sequence[Mapping[str, Any]]) -> int:
    """Add ``found`` to what is kept at ``place``; how many are kept now. One line for a folder that can't be written."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    new = [{"date": now, "version": __version__, **one} for one in found]
    try:
        with _alone(place.parent):
            kept = [*stored(place), *new]
            _write(place, json.dumps({"schema": SCHEMA, "forecasts": kept}, indent=1, allow_nan=False))
    except OSError as error:
        raise UnreadableError(
            f"can't store the forecast in {printable(place.parent.name or '.')}: {error.strerror or error}; "
            "expected a folder that may be written to: copy the log to one, or keep the output of --json"
        ) from None
    return len(kept)


def _write(place: Path, text: str) -> None:
    beside = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(place.parent)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One writer at a time: a lock on the folder itself, which leaves nothing behind."""
    if os.name != "posix":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
