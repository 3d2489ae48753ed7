"""A run's folder, held by one writer: ``config.json``, ``environment.json``, ``manifest.json`` and the log.

Locks are ``flock``'s, which end with the process however it ends. Files are whole or not there; the log is only ever
added to, a line at a time.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .. import __version__
from ..durable import told, write_durably
from ..errors import UnplateauError, UnreadableError, UsageError, printable, why

LOCK = ".lock"
CONFIG, ENVIRONMENT, MANIFEST, LOG = "config.json", "environment.json", "manifest.json", "log.jsonl"
CHECKPOINTS = "checkpoints"
CONFIG_SCHEMA, ENVIRONMENT_SCHEMA = "unplateau.config/1", "unplateau.environment/1"
DIGITS = 9  # significant ones of a logged number; a float32 needs no more
TAIL = 1 << 16  # bytes at the end of a log in which its last line is looked for
LIMIT = 1 << 20  # bytes of an environment.json


class Log:
    """``log.jsonl``: one object a line, the step first. A row that ``append`` returned from outlives the process.

    A last line that was cut off is removed when the log is opened. Where the disk is full, ``UnplateauError`` says so,
    and no half row stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with told(path):
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            self._size = self._mended()

    def _mended(self) -> int:
        """Cut off what stands behind the last line end: it was never said to be written."""
        size = os.fstat(self._handle).st_size
        while size:
            start = max(0, size - TAIL)
            end = os.pread(self._handle, size - start, start).rfind(b"\n")
            size = start + end + 1 if end >= 0 else start
            if end >= 0:
                break
        os.ftruncate(self._handle, size)
        return size

    def append(self, step: int, values: Mapping[str, Any]) -> None:
        """Add a row; a number that is not finite is null, for JSON has no NaN."""
        row = {"step": step, **{name: _rounded(value) for name, value in values.items()}}
        line = json.dumps(row, allow_nan=False, ensure_ascii=False).encode() + b"\n"
        try:
            with told(self.path):
                self._write(line)
        except UnplateauError:
            os.ftruncate(self._handle, self._size)
            raise
        self._size += len(line)

    def _write(self, line: bytes) -> None:
        if os.write(self._handle, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self) -> None:
        """Make all rows outlive the machine; call it before a checkpoint that goes past them."""
        with told(self.path):
            os.fsync(self._handle)

    def last(self) -> dict[str, Any] | None:
        """The last row; None where there is none, or it is no row."""
        start = max(0, self._size - TAIL)
        return _row(os.pread(self._handle, self._size - start, start))

    def close(self) -> None:
        os.close(self._handle)


def _row(tail: bytes) -> dict[str, Any] | None:
    """The last row of what a log ends with; a line that was cut off is none."""
    lines = tail[: tail.rfind(b"\n") + 1].splitlines()
    try:
        row = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


def settings_in(folder: Path | str) -> dict[str, Any]:
    """What ``config.json`` of a run's folder holds; nothing where there is none that can be read."""
    try:
        found = json.loads((Path(folder) / CONFIG).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def refuse_another_run(folder: Path) -> None:
    """Raise ``UsageError`` where ``folder`` holds a run already; nothing is made or locked."""
    try:
        with (folder / LOG).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            last = _row(file.read(TAIL))
    except OSError:
        last = None
    _refuse(folder, last)


def _refuse(folder: Path, last: Mapping[str, Any] | None) -> None:
    if (last is None or last["step"] == 0) and not (folder / CHECKPOINTS).is_dir():
        return  # it never got under way
    done = f" of {last['step']:,} steps" if last else ""
    raise UsageError(
        f"{printable(str(folder))} holds a run{done}: go on with it by --init_from=resume, "
        "or give another --out_dir"
    )


def _rounded(value: Any) -> Any:
    """As JSON holds it.

    >>> _rounded(1 / 3), _rounded(float("nan")), _rounded(7)
    (0.333333333, None, 7)
    """
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if isfinite(value) else None
    return value


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
        with told(path):
            path.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(path)
        try:
            self.log = Log(path / LOG)
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def checkpoints(self) -> Path:
        return self.path / CHECKPOINTS

    def refuse_if_gone(self) -> None:
        """Raise ``UnplateauError`` where the folder was removed or moved since: nothing written here would be found."""
        try:
            there = os.path.samestat((self.path / LOCK).stat(), os.fstat(self._lock))
        except OSError:
            there = False
        if not there:
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


def _locked(folder: Path) -> int:
    """A handle that holds the folder's lock; raises ``UnplateauError`` where another process has it."""
    with told(folder / LOCK):
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    if os.name != "posix":
        return handle
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UnplateauError(
            f"another process is training in {printable(str(folder))}: wait for it, or give another --out_dir"
        ) from None
    except OSError:
        return handle  # a file system without locks, as Lustre mounted so: nothing holds a second writer back
    return handle
