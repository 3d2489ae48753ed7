"""Our own record: what was predicted of a change, and what came of it, kept in ``verdicts.jsonl`` beside the runs.

One object a line, as ``unplateau verify`` wrote it: {"schema": "unplateau.verdict/1", "date", "version", "before", "after",
"cause" or null, "predicted": EST or null, "achieved": EST, "hit": bool or null, "significant": bool, "foretold": bool,
"step": int, "warnings": [str]}. ``foretold``: the prediction was stored before AFTER was run. Only ever added to; of one pair
of runs and one cause the last line holds. A line that was cut off is no verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from . import __version__
from .durable import append_durably
from .errors import UnplateauError, printable
from .estimate import Estimate

NAME, SCHEMA = "verdicts.jsonl", "unplateau.verdict/1"
LIMIT = 16 << 20  # bytes of one file; a verdict has some hundred
FOLDERS = 2_000  # that are looked into below one


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the record: nats that a change was to win (``predicted``), and those that it won."""

    before: str
    after: str
    achieved: Estimate
    significant: bool
    schema: str = SCHEMA
    date: str = ""
    version: str = ""
    cause: str | None = None
    predicted: Estimate | None = None
    hit: bool | None = None
    foretold: bool = False
    step: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """The record of one cause. ``misses``: those whose achieved gain lay outside; ``doubtful``: not counted, for their warnings."""

    hits: int
    misses: tuple[Entry, ...]
    doubtful: int
    unpredicted: int = 0  # mended, but nothing was predicted before

    @property
    def of(self) -> int:
        """Predictions that were held against what came."""
        return self.hits + len(self.misses)


def append(folder: Path, entry: Entry) -> Path:
    """Add ``entry``, dated now, to the record in ``folder`` (made where it is missing); the file. One line where it can't."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnplateauError(
            f"can't make {printable(str(folder))}: {error.strerror or error}; expected a place that may be written to"
        ) from None
    now = datetime.now(UTC).isoformat(timespec="seconds")
    dated = msgspec.structs.replace(entry, date=now, version=__version__)
    append_durably(folder / NAME, msgspec.json.encode(dated))
    return folder / NAME


def read(path: Path, warnings: list[str]) -> list[Entry]:
    """The verdicts in one file; lines that are none are counted in ``warnings``."""
    try:
        with path.open("rb") as file:
            lines = file.read(LIMIT).splitlines()
    except OSError as error:
        warnings.append(f"can't read {printable(str(path), 200)}: {error.strerror or error}")
        return []
    found, damaged = [], 0
    for line in filter(None, lines):
        entry = _entry(line)
        damaged += entry is None
        found += [entry] if entry is not None else []
    if damaged:
        warnings.append(f"{printable(str(path), 200)}: {damaged} lines are no verdict, left out")
    return found


def _entry(line: bytes) -> Entry | None:
    """None for a line that is none, or whose interval does not hold its value."""
    try:
        entry = msgspec.json.decode(line, type=Entry)
    except (ValueError, RecursionError):
        return None
    return entry if entry.schema == SCHEMA else None


def below(folders: Iterable[Path], warnings: list[str]) -> list[Entry]:
    """The verdicts in ``folders`` and one level below each, in the order of their dates; of one pair the last."""
    kept: dict[tuple[str, str, str | None], Entry] = {}
    found = [entry for path in _files(folders) for entry in read(path, warnings)]
    for entry in sorted(found, key=lambda one: one.date):
        kept[entry.before, entry.after, entry.cause] = entry
    return list(kept.values())


def _files(folders: Iterable[Path]) -> list[Path]:
    files: dict[Path, None] = {}
    for folder in folders:
        try:
            inner = sorted(entry for _, entry in zip(range(FOLDERS), folder.iterdir(), strict=False))
        except OSError:
            inner = []
        for place in (folder, *inner):
            if (path := place / NAME).is_file():
                files[path.resolve()] = None
    return list(files)


def tally(entries: Sequence[Entry], cause: str) -> Tally:
    """How often what was predicted of mending ``cause`` came, of the predictions that were made before.

    >>> est = Estimate(0.1, 0.05, 0.15, "nats")
    >>> told = Entry(before="a", after="b", achieved=est, significant=True, cause="c", predicted=est, hit=True, foretold=True)
    >>> tally([told], "c").hits, tally([told], "d").of
    (1, 0)
    """
    mine = [e for e in entries if e.cause == cause and e.hit is not None and e.foretold]
    clear = [e for e in mine if not e.warnings]
    misses = tuple(e for e in clear if not e.hit)
    without = sum(e.cause == cause and e.predicted is None for e in entries)
    return Tally(len(clear) - len(misses), misses, len(mine) - len(clear), without)
