"""The logs below a path, each read again only when it told something new.

A log is read as a whole, as every verb reads it: so what is watched is what ``diagnose`` says, after any resume or
rotation. To know when that is due, only the new lines are looked at, by the reader that knows the log; whether that
reader understands lines of the middle alone is tried on each log before it is relied upon.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..captures import nothing, read_all
from ..errors import UnplateauError
from ..logs import is_binary, read_source
from ..places import Place, look
from ..plugins import discover
from ..readers import Options, Reader
from ..reading import complete, probed
from ..run import LOSSES, Fact, Run
from ..source import Source
from ..state import JUDGED, judged
from .follow import Change, Growing, Joined, older_parts
from .parts import called, ended_in

TOGETHER = 12  # logs below one path that are read together, as ``diagnose`` reads them: some may be copies
HEAD = 4096  # bytes at the start that are read before new lines: a table's names stand there
TRIED = 1 << 16  # bytes at the end on which reading lines alone is tried
GREW = 0.02  # share by which a log that is judged by its batches grows before it is judged again
SETTLED = 60.0  # seconds of silence after which what was only looked at is read too
BESIDE = 5.0  # seconds between looks at configurations and evidence
UTF16 = (b"\xff\xfe", b"\xfe\xff")  # marks of a text whose lines don't end in one byte
INNER = 2_000  # files in a folder that is one log
EVALUATED = tuple(name for name in JUDGED if name != "batch_loss")  # series with a point an evaluation

Points = frozenset[tuple[str, int, float]]


@dataclass(frozen=True, slots=True)
class Reading:
    """How logs are read: what the user said of them, as for every verb."""

    config: Path | None = None
    data: Path | None = None
    unique_tokens: int | None = None
    options: Options = field(default_factory=Options)
    evidence: tuple[Path, ...] = ()


@dataclass(slots=True)
class Lines:
    """How the new lines of one log are looked at: its reader, and what its head gives."""

    reader: Reader
    options: Options
    head: bytes
    runs: frozenset[str]  # the names of the runs that are known

    @property
    def known(self) -> Points:
        """The losses of the head; not kept, for of 200 logs they take 3 MB."""
        return _told(self.reader, self.head, self.options)[0]

    def points(self, lines: bytes) -> tuple[Points, frozenset[str]]:
        """The losses that ``lines`` tell, and the names of runs that begin in them."""
        points, runs = _told(self.reader, self.head + lines, self.options)
        return points - self.known, runs - self.runs


def _told(reader: Reader, text: bytes, options: Options) -> tuple[Points, frozenset[str]]:
    """The losses in ``text``, by series, step and value (nan as infinite, so that it equals itself), and its runs."""
    try:
        runs = reader.read(Source(Path("lines"), "lines", io.BytesIO(text)), options)
    except (UnplateauError, ValueError):
        return frozenset(), frozenset()
    return frozenset(point for run in runs for point in losses_of(run)), frozenset(run.name for run in runs)


def losses_of(run: Run) -> Iterator[tuple[str, int, float]]:
    """Every point of a loss; a value that is not finite is infinite."""
    for name in dict.fromkeys((*LOSSES, *JUDGED)):
        if name in run.series:
            curve = run.series[name]
            values = np.where(np.isfinite(curve.value), curve.value, np.inf)
            yield from ((name, s, v) for s, v in zip(curve.step.tolist(), values.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Found:
    """A run that was read: its key in the watch, its log, and when that was last written (seconds since 1970)."""

    key: str
    path: Path
    written: float
    run: Run
    file: tuple[int, int] = (0, 0)  # device and inode of the log


@dataclass(slots=True)
class Spot:
    """A log, or a few of one folder that are read together.

    ``key``: a name that stays; ``root``: what runs are named below; ``stale``: it must be read again; ``forced``: since what is known besides the log changed;
    ``advanced``: the last step of lines that were looked at since, 0 where none; ``cost``: seconds that reading took;
    ``moved``: what happened to each log.
    """

    key: str
    places: tuple[Place, ...]
    reading: Reading
    root: Path
    files: dict[Path, Growing] = field(default_factory=dict)
    stale: bool = True
    forced: bool = False
    advanced: int = 0
    cost: float = 0.0
    moved: dict[Path, Change] = field(default_factory=dict)
    _logs: tuple[Path, ...] = ()
    _ended: dict[str, Path] = field(default_factory=dict)  # the part of the log that each run ended in
    _older: dict[int, tuple[object, list[Run]]] = field(
        default_factory=dict
    )  # runs of the older parts, by their number
    _looked: float = -BESIDE
    _lines: Lines | None = None
    _heard: int = 0  # bytes of the single log that were looked at
    _fresh: int = 0  # points since it was read
    _unread: bool = False  # it has grown since
    _whole: bool = True  # the last line too, though nothing ends it
    _long: int = 0  # points of its longest loss
    _evaluated: bool = False  # it is judged by evaluations

    @property
    def path(self) -> Path:
        """The log, or the first of them."""
        return self.places[0].logs[0]

    @property
    def alone(self) -> bool:
        """True for a single log that is a file."""
        return len(self.places) == 1 and len(self.places[0].logs) == 1 and not self.path.is_dir()

    @property
    def there(self) -> bool:
        """True where a log of it can be read."""
        return any(self._file(path).there for path in self._logs)

    @property
    def by_lines(self) -> bool:
        """True where its new lines can be looked at alone."""
        return self._lines is not None

    @property
    def written(self) -> float:
        """When any of its logs was last written, seconds since 1970."""
        return max((self.files[p].written for p in self._logs if p in self.files), default=0.0)

    def look(self, now: float) -> Change:
        """What happened to its logs since the look before; ``stale`` where that may change what it gave."""
        if now - self._looked >= BESIDE:
            self._looked, self._logs = now, tuple(self._all_logs())
            if [path for path in self._beside() if self._file(path).look() != "same"]:
                self.stale = self.forced = True
        self.moved = {path: self._file(path).look() for path in self._logs}
        changes = set(self.moved.values())
        if changes <= {"same", "grown"}:
            if "grown" in changes:
                self._unread = True
                self.stale = self.stale or self._tells()
                return "grown"
            if self._unread and now - self.written > SETTLED:
                self.stale = self.forced = self._whole = True
            return "same"
        self.stale, self._heard, self._lines = True, 0, None
        return next(change for change in ("replaced", "cut", "gone", "new", "rewritten") if change in changes)

    def _file(self, path: Path) -> Growing:
        return self.files.setdefault(path, Growing(path))

    def _all_logs(self) -> Iterator[Path]:
        for place in self.places:
            for log in place.logs:
                yield from _files(log) if log.is_dir() else (log,)

    def _beside(self) -> Iterator[Path]:
        """What else decides what is known: configurations, the data's manifest, what probes told."""
        from ..evidence import FOLDER

        yield from (path for path in (self.reading.config, self.reading.data) if path and path.is_file())
        for place in self.places:
            yield from place.configs
            if place.manifest is not None:
                yield place.manifest
            for folder in place.folders[:1]:
                yield from _files(folder / FOLDER)

    def _tells(self) -> bool:
        """Whether the news holds an evaluation, a loss that is not finite, or so many batches that it matters."""
        if self._lines is None:
            return True
        news = self.files[self.path].lines_from(self._heard)
        if news is None:
            return True
        lines, self._heard = news
        points, begun = self._lines.points(lines)
        self._fresh += len(points)
        self.advanced = max((step for _, step, _ in points), default=self.advanced)
        if begun or any(name in EVALUATED or value == np.inf for name, _, value in points):
            return True
        return not self._evaluated and self._fresh > GREW * self._long

    def read(self) -> list[Found]:
        """Read it anew. Raises ``UnreadableError`` where no loss can be read; ``stale`` is over either way."""
        self.stale, begun = False, time.perf_counter()
        try:
            pairs = self._read()
        finally:
            self.cost = time.perf_counter() - begun
        runs = [run for _, run in pairs]
        self._fresh, self.advanced, self._whole = 0, 0, False
        self._unread = self.alone and self._heard < self._file(self.path).size
        self._evaluated = any(judged(run)[0] in EVALUATED for run in runs[-1:])
        self._long = max(
            (len(c) for run in runs[-1:] for n, c in run.series.items() if n in LOSSES), default=0
        )
        return [self._found(place, run) for place, run in pairs]

    def _found(self, place: Place, run: Run) -> Found:
        """The run under the name of its log below the root: one that stays when other runs come."""
        first = place.logs[0]
        folder = first if first.is_dir() else first.parent
        name = run.name.removeprefix(f"{place.origin}/") if place.origin else run.name
        path = folder / name
        path = path if path in self.files else first
        key = folder.relative_to(self.root) / name if folder.is_relative_to(self.root) else Path(name)
        file = self.files.get(self._ended.get(run.name, path))
        path = file.path if file is not None else path
        if file is None:
            return Found(key.as_posix(), path, self.written, run)
        return Found(key.as_posix(), path, file.written, run, file.id)

    def _read(self) -> list[tuple[Place, Run]]:
        if not self.alone:
            found = read_all(self.places, self.reading.options)
            if not found:
                raise nothing(self.places[0].path, self.places)
        else:
            found = [(self.places[0], run) for run in self._single()]
        return [(place, self._completed(run, place)) for place, run in found]

    def _single(self) -> list[Run]:
        size = self._file(self.path).size
        end = self._end(size) if self._lines is not None and not self._whole else None
        parts = older_parts(self.path)
        runs = read_source(Joined(self.path, parts, end), self.reading.options)
        if self._lines is None:
            self._lines = self._tried(runs, size)
        if self._lines is not None:
            self._lines.runs |= {run.name for run in runs}
            end = self._end(size)
        self._heard = size if end is None else end
        return self._by_part(runs, parts) if parts and len(runs) > 1 else runs

    def _by_part(self, runs: list[Run], parts: tuple[Path, ...]) -> list[Run]:
        """Each run under the name of the part that it ended in; the one that is written keeps the log's own."""
        for part in parts:
            self._file(part).look()
        ends = ended_in((*parts, self.path), runs, self._joined)
        named = called(runs, ends)
        self._ended = {run.name: end for run, end in zip(named, ends, strict=True)}
        return named

    def _joined(self, parts: tuple[Path, ...]) -> list[Run]:
        """The runs of older parts; read once, for they are written no more."""
        state = tuple(self._file(part).state for part in parts)
        if (known := self._older.get(len(parts))) is None or known[0] != state:
            known = self._older[len(parts)] = (
                state,
                read_source(Joined(parts[-1], parts[:-1]), self.reading.options),
            )
        return known[1]

    def _end(self, size: int) -> int | None:
        """Where the last whole line ends; None where there is none to be seen."""
        file = self.files[self.path]
        news = file.lines_from(max(0, size - TRIED))
        return news[1] if news is not None and news[0] else None

    def _tried(self, runs: Sequence[Run], size: int) -> Lines | None:
        """A way to look at lines alone, where it finds in the last ones what the whole log gave there."""
        reader = discover("readers").get(runs[-1].format)
        try:
            with self.path.open("rb") as file:
                head = file.read(min(HEAD, size // 2))
                file.seek(max(size - TRIED, size // 2))
                tail = file.read(TRIED).partition(b"\n")[2]
        except OSError:
            return None
        if reader is None or is_binary(head) or head.startswith(UTF16):
            return None
        head = head[: head.rfind(b"\n") + 1]
        begun = _told(reader, head, self.reading.options)[1]
        lines = Lines(reader, self.reading.options, head, begun)
        last = _last_points(runs[-1])
        return lines if last and last <= lines.points(tail)[0] | lines.known else None

    def _completed(self, run: Run, place: Place) -> Run:
        asked, option = self.reading, {}
        if asked.unique_tokens is not None:
            option["unique_tokens"] = Fact(asked.unique_tokens, "tokens", "--unique-tokens")
        run = complete(run, place, config=asked.config, data=asked.data, option=option)
        return probed(run, place, asked.evidence)


def _last_points(run: Run) -> Points:
    """The last point of each loss."""
    last: dict[str, tuple[str, int, float]] = {
        name: (name, step, value) for name, step, value in losses_of(run)
    }
    return frozenset(last.values())


def _files(folder: Path) -> Iterator[Path]:
    """The files in a folder that is one log, and in those below it; the first ``INNER``."""
    try:
        found = (path for path in folder.glob("**/*") if path.is_file())
        yield from sorted(path for path, _ in zip(found, range(INNER), strict=False))
    except OSError:
        return


def spots_of(path: Path, reading: Reading) -> dict[str, Spot]:
    """The logs at ``path``, by a name that stays. Raises ``UnreadableError`` where nothing lies there."""
    places = tuple(place for place in look(path) if place.logs)
    root = path if path.is_dir() else path.parent
    if sum(len(place.logs) for place in places) <= TOGETHER:
        return {"": Spot("", places, reading, root)} if places else {}
    found: dict[str, Spot] = {}
    for place in places:
        apart = [place]
        if len(place.logs) > TOGETHER:
            apart = [replace(place, path=log, logs=(log,), origin="", folders=()) for log in place.logs]
        for one in apart:
            key = one.logs[0].relative_to(root).as_posix()
            found[key] = Spot(key, (one,), reading, root)
    return found
