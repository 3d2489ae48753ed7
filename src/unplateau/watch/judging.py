"""A run judged at its evaluations: how it stands, and what of that is new."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from ..derive import derive
from ..diagnosis import READINGS, Diagnosis, diagnose
from ..errors import UnplateauError, printable
from ..estimate import Estimate
from ..outlook import differences
from ..report.causes import claims
from ..report.headline import headline
from ..run import LOSSES, Run
from .follow import older_parts
from .ledger import Ledger, Page, turn
from .pace import Pace, left_of, pace_of, rate_of
from .pages import begins_of, is_quiet, known_by, page_of, seen_with, standing
from .remembered import ASIDE, owed, owing, renamed, stood, written
from .seen import Event, Watched
from .spots import EVALUATED
from .telling import hours

#: verdicts on a curve that are raised as causes are; that it falls, or is short, is no news
RAISED = ("slowing", "flat", "rising", "diverged")

OLD = 3600.0  # seconds; trainers write more often
Mark = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """Which run is looked at: its key, its log, when that was last written, and the time now (seconds since 1970)."""

    key: str
    path: Path
    written: float
    now: float
    alone: bool = True  # no other run is watched
    file: tuple[int, int] = (0, 0)  # device and inode of the log
    root: Path = Path()  # that keys are paths below
    log: Path = Path()  # that is written, where ``path`` may be an older part of it
    present: AbstractSet[str] = frozenset()  # the keys of all runs that were read with it

    @property
    def old(self) -> bool:
        """True for one of several runs whose log has long been left alone."""
        return not self.alone and self.now - self.written > OLD

    def free(self, key: str) -> bool:
        """True where no run goes by ``key`` any more."""
        place = self.root / key.removesuffix(ASIDE)
        return key not in self.present and (key.endswith(ASIDE) or place == self.log or not place.exists())

    def writes_to(self, name: str) -> bool:
        """True where the trainer of the run that was called so writes to another file now: this one is over."""
        place = self.root / name
        return place != self.path and place.exists() and place not in older_parts(self.path)


@dataclass(slots=True)
class Judge:
    """Judges runs and turns the pages of the ledger.

    ``kept``: the last run judged, by its key, and its diagnosis: one alone, for 200 would not fit into a small process.
    """

    ledger: Ledger
    kept: tuple[str, Diagnosis] | None = None
    _marks: dict[str, Mark] = field(default_factory=dict)
    _paces: dict[str, Pace | None] = field(default_factory=dict)
    _resumes: dict[str, int] = field(default_factory=dict)
    _owing: set[str] = field(default_factory=set)  # the runs of which something is to be told
    _heard: set[str] = field(default_factory=set)  # those that were asked what an earlier watch left untold
    _told: str = ""

    def turn(
        self, run: Run, before: Watched | None, look: Look, *, live: bool, forced: bool
    ) -> tuple[Watched, list[Event]]:
        """The run as it stands, and what is new; judged only where it was evaluated since, or ``forced``.

        ``live``: it is the one that its log goes on with, so that findings on it are raised.
        """
        key = look.key
        mark = mark_of(run)
        if before is not None and self._marks.get(key) == mark and not forced:
            return self.at_step(before, int(run.get("steps_done") or 0), look.written), []
        self._marks[key] = mark
        found = self.diagnosed(key, run)
        events = [*self._left_untold(key), *self._moved(run, before, look)]
        if live:
            page, news = self._turned(found, look)
            events += news
        else:
            page = self._passed(found, look)
        watched = self._watched(found, look, page)
        if before is None or watched.evaluated != before.evaluated:
            events.append(Event(look.now, "evaluated", key, watched.headline, "", watched.evaluated))
        return watched, sorted(events, key=lambda e: e.kind in ("raised", "cleared"))

    def recalled(self, stamp: str, now: float) -> list[tuple[Watched, list[Event]]]:
        """The runs that were judged from the same files, as they stood; what of them was left untold is news."""
        return [
            (
                replace(run, quiet=self.ledger.pages[run.key].quiet),
                [
                    *self._left_untold(run.key),
                    Event(now, "evaluated", run.key, run.headline, "", run.evaluated),
                ],
            )
            for run in stood(self.ledger.pages, stamp)
        ]

    def remember(self, runs: Iterable[Watched], stamp: str) -> None:
        """Keep how ``runs`` stand by the files of ``stamp``."""
        with self.ledger.turned() as pages:
            for run in runs:
                if run.key in pages:
                    pages[run.key] = msgspec.structs.replace(
                        pages[run.key], stamp=stamp, state=written(run) if stamp else ""
                    )

    def told(self) -> None:
        """All that was raised so far has been told: should this process be killed, nobody is told again."""
        if not self._owing:
            return
        with self.ledger.turned() as pages:
            for key in self._owing & pages.keys():
                if pages[key].by[0] == os.getpid():
                    pages[key] = msgspec.structs.replace(pages[key], untold=(), by=(0, 0.0))
        self._owing.clear()

    def _left_untold(self, key: str) -> tuple[Event, ...]:
        """What a watch that was killed had raised and not told, once."""
        if key in self._heard:
            return ()
        self._heard.add(key)
        if not owed(self.ledger.pages.get(key, Page())):
            return ()
        with self.ledger.turned() as pages:
            if not owed(pages[key]):
                return ()
            pages[key] = msgspec.structs.replace(pages[key], by=(os.getpid(), time.time()))
            self._owing.add(key)
            return pages[key].untold

    def diagnosed(self, key: str, run: Run) -> Diagnosis:
        """Judge ``run``, and keep that."""
        found = diagnose(run)
        found = replace(found, run=replace(found.run, name=printable(key, 200)))
        self.kept = key, found
        return found

    def at_step(self, watched: Watched, step: int, written: float) -> Watched:
        """``watched`` after some lines without an evaluation."""
        pace, end = self._paces.get(watched.key), watched.end
        left = pace.hours(max(0, end - step)) if pace is not None and end else watched.left
        return replace(watched, step=step, left=left, written=written)

    def heard_of(self, watched: Watched, now: float, since: float) -> tuple[Watched, list[Event]]:
        """Whether its log goes on being written: told once when it stops, and when it goes on.

        ``since``: when it was last written, or the machine woke.
        """
        page = self.ledger.pages.get(watched.key)
        if page is None or (quiet := is_quiet(page, now - since)) == page.quiet:
            return replace(watched, quiet=page.quiet) if page and page.quiet != watched.quiet else watched, []
        silent = hours(Estimate((now - watched.written) / 3600, 0.0, now, "h"))
        said = (
            f"nothing was written for {silent}: it may hang, or be dead" if quiet else "it is written again"
        )
        event = Event(
            now, "quiet" if quiet else "alive", watched.key, said, "quiet" if quiet else "", watched.step
        )
        with self.ledger.turned() as pages:
            pages[watched.key] = self._owed(
                msgspec.structs.replace(pages.get(watched.key, page), quiet=quiet), watched.key, [event]
            )
        return replace(watched, quiet=quiet), [event]

    def _owed(self, page: Page, key: str, events: list[Event]) -> Page:
        if (made := owing(page, events)) is not page:
            self._owing.add(key)
        return made

    def new_trouble(self) -> str:
        """Why the ledger can't be kept, once."""
        if self.ledger.trouble == self._told:
            return ""
        self._told = self.ledger.trouble
        return self._told

    def _moved(self, run: Run, before: Watched | None, look: Look) -> Iterator[Event]:
        """That another run began, that this one was found, or that it went back."""
        was = self._renamed(run, look)
        page, done = self.ledger.pages.get(look.key), int(run.get("steps_done") or 0)
        resumes = run.get("resumed_after") or []
        resumed, self._resumes[look.key] = self._resumes.get(look.key, 0), len(resumes)
        known = page is not None and page.first is not None and not (page.left and before is None)
        if known and page_of(page, run) is not page:
            yield Event(
                look.now,
                "restarted",
                look.key,
                f"another run began in this log; it is at step {done:,}",
                "",
                done,
            )
        elif before is None:
            name = f"; it was {printable(was, 200)} until it was renamed" if was else ""
            yield Event(look.now, "appeared", look.key, f"found, at step {done:,}{name}", "", done)
        elif len(resumes) > resumed:
            yield Event(
                look.now, "resumed", look.key, f"it went back, from step {int(resumes[-1]):,}", "", done
            )
        elif before.step is not None and done < before.step:
            yield Event(look.now, "resumed", look.key, f"it went back, from step {before.step:,}", "", done)

    def _renamed(self, run: Run, look: Look) -> str:
        """The name that the log had until it was renamed, with whose page it goes on; empty where there was none."""
        if not self.ledger.pages.get(look.key, Page(left=True)).left:
            return ""
        with self.ledger.turned() as pages:
            others = {other: page for other, page in pages.items() if other != look.key and not page.left}
            found = renamed(others, look.file, partial(begins_of, run), evaluated_at(run), look.free)
            if found is None:
                return ""
            key, page = found
            name = key.removesuffix(ASIDE)
            over = look.writes_to(name) or page.step >= int(run.get("planned_end") or page.step + 1)
            pages[look.key] = msgspec.structs.replace(page, ended=over, stamp="", state="", untold=())
            pages[key] = Page(first=page.first, left=True)
        return name

    def _passed(self, found: Diagnosis, look: Look) -> Page:
        """The page of a run that its log does not go on with: it is neither called for nor missed."""
        with self.ledger.turned() as pages:
            page = page_of(pages.get(look.key), found.run)
            pages[look.key] = page = msgspec.structs.replace(
                known_by(page, found.run),
                file=look.file,
                step=evaluated_at(found.run),
                ended=True,
                quiet=False,
            )
        return page

    def _turned(self, found: Diagnosis, look: Look) -> tuple[Page, list[Event]]:
        """The page of the run after this evaluation, and what was raised or cleared by it."""
        key, now = look.key, look.now
        step, held = evaluated_at(found.run), held_by(found)
        known = self.ledger.pages.get(key)
        # of a run that is over nobody is called: what holds is noted, without a look back
        before = (
            held.keys()
            if look.old and known is None
            else self._before(known or Page(), found, held.keys(), step)
        )
        with self.ledger.turned() as pages:
            if (there := pages.get(key, Page())).file not in (None, look.file) and not there.left:
                pages[key + ASIDE] = msgspec.structs.replace(there, untold=(), stamp="", state="")
            page = known_by(page_of(pages.get(key), found.run), found.run)
            page = msgspec.structs.replace(page, file=look.file)
            new = step != page.step
            page, raised, cleared = turn(page, step, look.written, held, before)
            if new:
                page = msgspec.structs.replace(page, seen=seen_with(page.seen, step, look.written))
            old = look.old and key not in self.ledger.pages
            events = [
                *_raised(key, found, raised, page, now, old=old),
                *_cleared(key, found, cleared, step, now),
            ]
            if (end := found.run.get("planned_end")) and step >= int(end) and not page.ended:
                page = msgspec.structs.replace(page, ended=True)
                events.append(
                    Event(now, "ended", key, f"its planned end, step {int(end):,}, is reached", "", step)
                )
            pages[key] = self._owed(page, key, events)
        return page, events

    def _before(self, page: Page, found: Diagnosis, held: AbstractSet[str], step: int) -> AbstractSet[str]:
        """What held at the evaluation before, where the page does not know and something hangs on it."""
        open_still = {
            n for n in held if n not in page.entries or not (page.entries[n].raised or page.entries[n].held)
        }
        if not open_still or (page.step != step and page.step == evaluated_at(found.run, -2)):
            return frozenset()
        try:
            return held_by(diagnose(until(found.run, step))).keys()
        except UnplateauError:
            return frozenset()

    def _watched(self, found: Diagnosis, look: Look, page: Page) -> Watched:
        run, state = found.run, found.state
        pace = self._paces[look.key] = pace_of(run, page.seen)
        series, unit, loss = point_of(run, state.series)
        rank, calm = [f.cause for f in found.findings], calm_of(found)
        names = sorted(page.raised, key=lambda n: rank.index(n) if n in rank else len(rank))
        return Watched(
            key=look.key,
            name=run.name,
            path=look.path,
            format=run.format,
            verdict=state.verdict,
            headline=headline(found, claims()),
            series=series,
            unit=unit,
            loss=loss,
            judged=state.series,
            step=run.get("steps_done"),
            evaluated=evaluated_at(run),
            end=run.get("planned_end"),
            planned=found.planned,
            left=left_of(run, pace),
            pace=pace.source if pace is not None else "",
            rate=rate_of(found, pace),
            standing=tuple(standing(n, page, calm) for n in names),
            findings={f.cause: (f.verdict, f.probability) for f in found.findings},
            written=look.written,
        )


def held_by(found: Diagnosis) -> dict[str, float | None]:
    """What is supported, and how sure; and the verdict on the curve where that is news."""
    held = {f.cause: f.probability for f in found.findings if f.verdict == "supported"}
    return held | ({found.state.verdict: None} if found.state.verdict in RAISED else {})


def calm_of(found: Diagnosis) -> frozenset[str]:
    """What holds of it and is no fault: readings of the curve, and causes whose remedy is to go on as planned.

    Of a run half way down its schedule it is true that annealing will take something off the loss; nobody need wake.
    """
    plans = {f.cause: f.remedy.plan for f in found.findings if f.remedy is not None and not f.remedy.patch}
    as_planned = {n for n, plan in plans.items() if plan is not None and not differences(found.run, plan.run)}
    return frozenset((*READINGS, *as_planned))


def evaluated_at(run: Run, place: int = -1) -> int:
    """The step of the last evaluation (or of the one at ``place`` from the end), else of the last loss; -1 for none."""
    steps = [run.series[n].step for n in EVALUATED if n in run.series and len(run.series[n]) >= -place]
    steps = steps or [run.series[n].step for n in LOSSES if n in run.series and len(run.series[n]) >= -place]
    return max((int(step[place]) for step in steps), default=-1)


def point_of(run: Run, judged: str) -> tuple[str, str, float | None]:
    """A loss at the step of the last evaluation: its series, unit and value (None where that is no number).

    The series that is ``judged``, where it has a point there: batches may be logged at other steps than evaluations.
    """
    step = evaluated_at(run)
    for name in (judged, *EVALUATED, *LOSSES):
        if name in run.series and len(curve := run.series[name]) and step in curve.step:
            value = float(curve.value[curve.step == step][-1])
            return name, curve.unit, value if np.isfinite(value) else None
    return judged, "", None


def until(run: Run, step: int) -> Run:
    """``run`` as it was logged before ``step``; facts that its log told later stay."""
    series = {n: c.between(-1, step) for n, c in run.series.items()}
    return derive(replace(run, series={n: c for n, c in series.items() if len(c)}))


def mark_of(run: Run) -> Mark:
    """What tells a run from itself some lines later: its evaluations, how long its series are, what it tells besides."""
    told: list[object] = []
    for name in EVALUATED:
        if name in run.series and len(curve := run.series[name]):
            told += [name, hash((curve.step.tobytes(), curve.value.tobytes()))]
    return (*told, *(len(curve) for curve in run.series.values()), len(run.facts))


def _raised(
    key: str, found: Diagnosis, names: list[str], page: Page, now: float, *, old: bool
) -> Iterator[Event]:
    said, calm = claims(), calm_of(found)
    for name in names:
        entry = page.entries[name]
        claim = said.get(name) or f"The curve is {name}."
        sure = f", {entry.probability:.0%}" if entry.probability is not None else ""
        told = f"{claim} ({name}{sure}, since {'before ' if entry.before else ''}step {entry.since_step:,})"
        yield Event(now, "raised", key, told, name, evaluated_at(found.run), name in calm, old)


def _cleared(key: str, found: Diagnosis, names: list[str], step: int, now: float) -> Iterator[Event]:
    verdicts = {f.cause: f.verdict for f in found.findings}
    for name in names:
        yield Event(now, "cleared", key, f"{name} is {verdicts.get(name, 'over')}", name, step)
