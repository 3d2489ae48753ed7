"""What was raised, kept from one look to the next and from one watch to the next, so that nobody is woken twice.

A finding is raised when it is supported at ``RAISE`` evaluations in a row, and cleared when it is not at ``CLEAR`` in a
row: one evaluation is noise, and what comes and goes is one finding. Both are fitted (benchmarks/watch.py): of
trained and simulated runs, replayed evaluation by evaluation, they raise few findings again after they were cleared.

The ledger of a path lies in the user's state folder (XDG base directory specification), not beside the log.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from ..durable import write_durably
from ..errors import UnplateauError, UnreadableError, printable, why
from .seen import Event

RAISE, CLEAR = 2, 3  # evaluations in a row
AT_ONCE = frozenset(
    {"diverged"}
)  # a verdict that asks for two points of its own, and a run that is lost costs money
SCHEMA = "unplateau.ledger/1"
LIMIT = 64 << 20  # bytes; a run has about a thousand
PATIENCE, TRY = 2.0, 0.01  # seconds that another watch of the path is waited for, and between two tries
SEEN = 32  # evaluations whose times are kept, for the pace
FOLDER = Path("unplateau") / "watch"


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One finding on one run: how long it has held, and whether it was raised."""

    since_step: int
    since: float  # seconds since 1970
    held: int = 0  # evaluations in a row, to the last
    missed: int = 0
    raised: bool = False
    probability: float | None = None
    before: bool = False  # it held before ``since_step`` too, when nobody watched


class Page(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the ledger holds of one run. ``first``: a loss, its first step and value: another there means another run.

    ``file``: device and inode of its log; ``stamp`` and ``state``: how it stood, by the files that it was judged from
    (remembered.py); ``untold``: what is kept as raised and was not yet told when process ``by`` (and since when)
    wrote it: where that was killed, the next watch tells it. ``begins``: the first points of that loss: a run is known
    by them under any name; ``left``: it goes on under another, and what comes here is another run.
    """

    first: tuple[str, int, float] | None = None
    step: int = -1  # of the last evaluation that was judged
    entries: dict[str, Entry] = {}
    seen: tuple[tuple[int, float], ...] = ()  # step and time of the last evaluations
    ended: bool = False
    quiet: bool = False
    file: tuple[int, int] | None = None
    stamp: str = ""
    state: str = ""
    untold: tuple[Event, ...] = ()
    by: tuple[int, float] = (0, 0.0)
    begins: tuple[tuple[int, float], ...] = ()
    left: bool = False

    @property
    def raised(self) -> dict[str, Entry]:
        return {name: entry for name, entry in self.entries.items() if entry.raised}


class _File(msgspec.Struct):
    schema: str
    path: str
    runs: dict[str, Page]


def turn(
    page: Page,
    step: int,
    when: float,
    held: Mapping[str, float | None],
    before: AbstractSet[str] = frozenset(),
) -> tuple[Page, list[str], list[str]]:
    """The page after the evaluation at ``step``, what is raised by it, and what is cleared.

    ``held``: what is supported, and how sure; ``before``: what was at the evaluation before, as far as the page
    does not know. The same evaluation read again counts once.

    >>> page, raised, _ = turn(Page(), 500, 0.0, {"capacity": 0.8})
    >>> raised
    []
    >>> page, raised, _ = turn(page, 1000, 60.0, {"capacity": 0.9})
    >>> raised, page.entries["capacity"].since_step
    (['capacity'], 500)
    """
    again = step == page.step
    entries: dict[str, Entry] = {}
    for name in dict.fromkeys((*page.entries, *held)):
        entry = page.entries.get(name, Entry(since_step=step, since=when))
        made = _held(entry, held[name], again, name in before) if name in held else _missed(entry, again)
        if made.raised or made.held:
            entries[name] = made
    raised = [n for n in entries if not entries[n].raised and n in held and _is_due(n, entries[n])]
    cleared = [n for n, e in entries.items() if e.raised and e.missed >= CLEAR]
    kept = {
        n: msgspec.structs.replace(e, raised=e.raised or n in raised)
        for n, e in entries.items()
        if n not in cleared
    }
    return msgspec.structs.replace(page, step=step, entries=kept), raised, cleared


def _is_due(name: str, entry: Entry) -> bool:
    return entry.held >= (1 if name in AT_ONCE else RAISE)


def _held(entry: Entry, probability: float | None, again: bool, before: bool) -> Entry:
    count = max(entry.held + (0 if again else 1), 2 if before else 1)
    earlier = entry.before or (before and not entry.held)
    return msgspec.structs.replace(entry, held=count, missed=0, probability=probability, before=earlier)


def _missed(entry: Entry, again: bool) -> Entry:
    """One that was not raised is forgotten; the evaluations that count are those in a row."""
    return entry if again else msgspec.structs.replace(entry, held=0, missed=entry.missed + 1)


class Ledger:
    """The pages of the runs at one path; on disk where ``place`` says, else in memory.

    ``trouble``: why it could not be kept, where it could not: the watch goes on without.
    """

    def __init__(self, path: Path, place: Path | None = None) -> None:
        self.path, self.place = path, place
        self.pages: dict[str, Page] = {} if place is None else _read(place)
        self.trouble = ""
        self._inside = False

    @contextmanager
    def turned(self) -> Iterator[dict[str, Page]]:
        """The pages, to be changed: no other watch of this path does so meanwhile, and what it did is seen."""
        if self.place is None or self._inside:
            yield self.pages
            return
        with self._alone():
            with suppress(UnreadableError):
                self.pages |= _read(self.place)
            before = dict(self.pages)
            self._inside = True
            try:
                yield self.pages
            finally:
                self._inside = False
                if self.pages != before:
                    self._write()

    def _write(self) -> None:
        told = _File(SCHEMA, str(self.path), self.pages)
        try:
            assert self.place is not None
            self.place.parent.mkdir(parents=True, exist_ok=True)
            write_durably(self.place, msgspec.json.encode(told) + b"\n")
            self.trouble = ""
        except OSError as error:
            where = printable(str(self.place), 400)
            self.trouble = f"what was raised can't be kept in {where}: {error.strerror or error}; name another with --state FILE"
        except Exception as error:  # noqa: BLE001 - a full disk must not end a watch
            self.trouble = f"what was raised can't be kept: {why(error)}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time: a lock on the ledger's folder, which leaves nothing behind and ends with the process."""
        handle = None
        if os.name == "posix" and self.place is not None:
            with suppress(OSError):
                self.place.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(self.place.parent, os.O_RDONLY)
                self._wait(handle)
        try:
            yield
        finally:
            if handle is not None:
                os.close(handle)

    def _wait(self, handle: int) -> None:
        """Take the lock; go on without where another watch keeps it: one that is stopped must not stop this one."""
        import fcntl

        for _ in range(round(PATIENCE / TRY)):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(TRY)
            else:
                return


def check(place: Path) -> None:
    """Raises ``UnplateauError`` where it can be seen beforehand that nothing can be kept at ``place``."""
    above = next(folder for folder in place.absolute().parents if folder.exists())
    if not place.is_dir() and above.is_dir() and os.access(above, os.W_OK | os.X_OK):
        return
    folder = printable(above.name or str(above))
    found = "it is a folder" if place.is_dir() else f"{folder} can't be written to"
    raise UnplateauError(
        f"--state {printable(str(place))}: what was raised can't be kept there: {found}; name a file that can be written"
    )


def _read(place: Path) -> dict[str, Page]:
    """The pages kept at ``place``; none where there is no file. Raises ``UnreadableError`` for one that is no ledger."""
    try:
        text = place.read_bytes()[: LIMIT + 1] if place.exists() else b""
        told = msgspec.json.decode(text, type=_File) if text else _File(SCHEMA, "", {})
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableError(
            f"{printable(place.name)} is no ledger of a watch: {why(error)}; move it, or name another with --state FILE"
        ) from None
    if told.schema != SCHEMA:
        raise UnreadableError(
            f"{printable(place.name)} is a ledger of {printable(told.schema)}, expected {SCHEMA}; "
            "move it, or name another with --state FILE"
        )
    return told.runs


def place_of(path: Path) -> Path:
    """Where the ledger of ``path`` lies where nobody says: $XDG_STATE_HOME/unplateau/watch, by default ~/.local/state."""
    told = os.environ.get("XDG_STATE_HOME", "")
    root = Path(told) if told.startswith("/") else Path.home() / ".local" / "state"
    whole = path.absolute()
    digest = hashlib.sha256(os.fsencode(whole)).hexdigest()[:16]
    name = "".join(c if c.isalnum() or c in "._-" else "_" for c in whole.name)[:60]
    return root / FOLDER / f"{name}-{digest}.json"
