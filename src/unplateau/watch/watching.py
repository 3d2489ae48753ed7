"""The watch itself: look, read what is new, judge it, and say what changed. Knows no screen."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from ..diagnosis import Diagnosis
from ..errors import UnplateauError, UsageError, printable
from .follow import Change
from .judging import Judge, Look
from .ledger import Ledger
from .memory import trim
from .remembered import stamp_of
from .seen import Event, Kind, Update, Watched
from .spots import Reading, Spot, spots_of

OFTEN = 0.2  # seconds between looks, at least
SHARE = 0.005  # of the time that looking may take
AGAIN = 5.0  # seconds between looks for new logs in a folder, at least
SLICE = 0.3  # seconds of reading and judging within one poll; the rest waits for the next
BUSY = 0.5  # of the time that reading and judging may take
BLIND = 0.1  # the same, of logs that can't be looked at line by line
SLEPT = (
    30.0  # seconds by which the clock runs ahead of the time awake that are a sleep; a clock is set by less
)
TROUBLES = 3  # that are shown at once
MOVED: dict[Change, tuple[Kind, str]] = {
    "replaced": ("rotated", "the log was moved aside and begun anew"),
    "cut": ("cut", "the log became shorter"),
    "gone": ("gone", "the log is not there any more"),
    "new": ("alive", "the log is there again"),
}


class Watcher:
    """Follows the logs at ``path``, which may not be there yet.

    ``poll`` gives an ``Update`` where something is new, else None; call it every ``wait`` seconds. ``reading``: what
    the user said of the logs; ``ledger``: what was raised before; ``clock``: seconds since 1970; ``awake``: seconds
    that do not go on while the machine sleeps (by default the system's, with its own clock).
    Raises ``UsageError`` for standard input.
    """

    def __init__(
        self,
        path: Path,
        *,
        reading: Reading | None = None,
        ledger: Ledger | None = None,
        clock: Callable[[], float] = time.time,
        awake: Callable[[], float] | None = None,
    ) -> None:
        if str(path) == "-":
            raise UsageError(
                "watch follows a file or a folder; found -: write with | tee train.log, and watch that"
            )
        self.path, self.clock, self.wait = path, clock, OFTEN
        self.last: Update | None = None
        self.reading = reading or Reading()
        self.judge = Judge(ledger or Ledger(path))
        self._awake = awake or (time.monotonic if clock is time.time else clock)
        self._ahead, self._woke = self.clock() - self._awake(), 0.0
        self._spots: dict[str, Spot] = {}
        self._due: dict[str, float] = {}
        self._runs: dict[str, dict[str, Watched]] = {}  # by spot, then by key
        self._events: list[Event] = []
        self._gone: frozenset[str] = frozenset()
        self._troubles: dict[tuple[str, str], Event] = {}
        self._waiting, self._changed = "", True
        self._scan_at = float("-inf")

    def poll(self) -> Update | None:
        """Look once; what is new, or None. Reads and judges for ``SLICE`` seconds, what is left at the next poll."""
        begun, now = time.perf_counter(), self.clock()
        self._scan(now)
        for spot in self._spots.values():
            self._look(spot, now)
        self.wait = max(OFTEN, (time.perf_counter() - begun) / SHARE)
        with self.judge.ledger.turned() if self.busy else nullcontext():
            if self._work(now):
                self.wait = 0.0
        self._quiet(now)
        self._tell_trouble(now)
        return self._update(now) if self._changed or self._events else None

    @property
    def several(self) -> bool:
        """True where more than one log is there, judged or not."""
        return len(self._spots) > 1

    def once(self, heard: Callable[[Update], None] | None = None) -> Update:
        """All that is there, judged, and what is new since the last watch; ``heard`` gets each part as soon as it is known.

        What was raised is kept with each part: a watch that is ended in the middle loses nothing that it heard.
        """
        events: list[Event] = []
        self._due.clear()
        while True:
            update = self.poll()
            if update is not None:
                events += update.events
                if heard is not None:
                    heard(update)
            waiting = (s for s in self._spots.values() if s.stale and s.there and s.key not in self._due)
            if self.last is not None and not any(waiting):
                return replace(self.last, events=tuple(events))

    def told(self) -> None:
        """Say that all updates so far have been told: what is not, the next watch tells, where this one is killed."""
        self.judge.told()

    @property
    def trouble(self) -> str:
        """Why what was raised can't be kept; empty where it can."""
        return self.judge.ledger.trouble

    def add(self, event: Event) -> None:
        """An event from elsewhere, for the next update."""
        self._events.append(event)

    def diagnosis(self, key: str) -> Diagnosis | None:
        """The whole diagnosis of a run; read and judged anew unless it was the last one judged. None where it is gone."""
        if self.judge.kept is not None and self.judge.kept[0] == key:
            return self.judge.kept[1]
        for name, runs in self._runs.items():
            if key in runs:
                spot = self._spots[name]
                stale = spot.stale
                found = {one.key: one.run for one in spot.read()}
                spot.stale = stale  # what is new is told by poll alone
                return self.judge.diagnosed(key, found[key]) if key in found else None
        return None

    @property
    def busy(self) -> bool:
        """True while logs wait to be read."""
        return any(spot.stale and spot.there for spot in self._spots.values())

    def _scan(self, now: float) -> None:
        """Look for logs: at once while there are none, else now and then."""
        if now < self._scan_at:
            return
        begun = time.perf_counter()
        try:
            found = spots_of(self.path, self.reading)
            waiting = "" if found else f"no log in {printable(self.path.name)} yet"
        except UnplateauError as error:
            found, waiting = {}, str(error) if self.path.exists() else self._absent
        if found:
            self._spots = {
                key: old if (old := self._spots.get(key)) is not None and old.places == spot.places else spot
                for key, spot in found.items()
            }
            self._runs = {key: runs for key, runs in self._runs.items() if key in found}
        if not self._spots:
            self._wait_for(waiting)
        alone = self.path.is_file()
        cost = time.perf_counter() - begun
        self._scan_at = now + (
            OFTEN if not self._spots else float("inf") if alone else max(AGAIN, cost / SHARE)
        )

    @property
    def _absent(self) -> str:
        return (
            f"there is no {printable(self.path.name or str(self.path))} yet; expected a log or a run's folder"
        )

    def _wait_for(self, waiting: str) -> None:
        self._changed |= waiting != self._waiting
        self._waiting = waiting

    def _look(self, spot: Spot, now: float) -> None:
        found = spot.look(now)
        for key, run in self._runs.get(spot.key, {}).items():
            change = spot.moved.get(run.path, found)
            if change in MOVED and (change != "new" or key in self._gone):
                self._events.append(Event(now, MOVED[change][0], key, MOVED[change][1]))
                self._gone = self._gone | {key} if change == "gone" else self._gone - {key}
        if spot.advanced:
            self._tick(spot, now)

    def _tick(self, spot: Spot, now: float) -> None:
        """The last step, of lines that were looked at and not judged."""
        runs = self._runs.get(spot.key, {})
        if spot.alone and runs and (key := list(runs)[-1]):
            runs[key] = self.judge.at_step(runs[key], spot.advanced, spot.written or now)
            self._changed = True
        spot.advanced = 0

    def _work(self, now: float) -> bool:
        """Read and judge what is stale, the last written first; True where some is left that could be done now."""
        begun = time.perf_counter()
        ready = [s for s in self._spots.values() if s.stale and s.there and self._due.get(s.key, 0.0) <= now]
        for i, spot in enumerate(sorted(ready, key=lambda s: -s.written)):
            if i and time.perf_counter() - begun > SLICE:
                return True
            start = time.perf_counter()
            self._read(spot, now)
            cost = time.perf_counter() - start
            self._due[spot.key] = now + cost / (BUSY if spot.by_lines else BLIND)
        if ready:
            trim()
        return False

    def _read(self, spot: Spot, now: float) -> None:
        if spot.key not in self._runs and self._recalled(spot, now):
            return
        forced, spot.forced, stamp = spot.forced, False, stamp_of(spot)
        try:
            found = spot.read()
        except UnplateauError as error:
            if not self._runs.get(spot.key):
                self._wait_for(str(error))
            return
        self._waiting, after = "", {}
        before = {run.key: run for run in self.last.runs} if self.last is not None else {}
        before |= self._runs.get(spot.key, {})
        several = len(self._spots) > 1 or len(found) > 1
        present = frozenset(one.key for one in found)
        for i, one in enumerate(found):
            live = not spot.alone or (i == len(found) - 1 and one.path == spot.path)
            log = spot.path if spot.alone else one.path
            look = Look(
                one.key, one.path, one.written or now, now, not several, one.file, spot.root, log, present
            )
            after[one.key], events = self.judge.turn(
                one.run, before.get(one.key), look, live=live, forced=forced
            )
            self._events += events
            self._changed |= after[one.key] != before.get(one.key)
        self._runs[spot.key] = after
        # of an earlier run in the same log no page is kept
        self.judge.remember(after.values(), stamp if len(found) == 1 or not spot.alone else "")

    def _recalled(self, spot: Spot, now: float) -> bool:
        """Take the runs of ``spot`` as they stood when they were judged from the same files; False where they were not."""
        known = self.judge.recalled(stamp_of(spot), now)
        if not known:
            return False
        spot.stale = spot.forced = False
        self._waiting, self._changed = "", True
        self._runs[spot.key] = {run.key: run for run, _ in known}
        self._events += (event for _, events in known for event in events)
        return True

    def _quiet(self, now: float) -> None:
        """Note which runs have stopped writing, and which write again; a machine that slept wrote nothing."""
        ahead = now - self._awake()
        if ahead - self._ahead > SLEPT:
            self._woke = now
        self._ahead = ahead
        for runs in self._runs.values():
            for key, run in runs.items():
                runs[key], events = self.judge.heard_of(run, now, max(run.written, self._woke))
                self._events += events

    def _tell_trouble(self, now: float) -> None:
        if said := self.judge.new_trouble():
            self._events.append(Event(now, "trouble", "", said))

    def _update(self, now: float) -> Update:
        runs = sorted((w for found in self._runs.values() for w in found.values()), key=lambda w: -w.written)
        self._mend()
        self.last = Update(
            1 + (self.last.number if self.last else 0),
            now,
            self.path,
            tuple(runs),
            tuple(self._events),
            "" if runs else self._waiting,
            tuple(reversed(self._troubles.values()))[:TROUBLES],
        )
        self._events, self._changed = [], False
        return self.last

    def _mend(self) -> None:
        """Keep in mind what went wrong, until the same goes well."""
        for event in self._events:
            if event.kind in ("trouble", "ran"):
                self._troubles.pop((event.run, event.name), None)
            if event.kind == "trouble":
                self._troubles[event.run, event.name] = event
        if not self.trouble:
            self._troubles.pop(("", ""), None)
