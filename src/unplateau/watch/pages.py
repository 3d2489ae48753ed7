"""The page of a run in the ledger: whose it is, when its evaluations came, and whether the run has gone silent."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import msgspec
import numpy as np

from ..run import LOSSES, Run
from .ledger import SEEN, Page
from .seen import Standing

BEGINS = 16  # points that a run is known by
#: stretches between evaluations that tell how long one takes; times the longest of them, and seconds above, that a
#: run must be silent to be called so: a checkpoint or a slow disk takes less
FEW, LONGER, MINUTE = 3, 3.0, 60.0


def first_of(run: Run, series: str = "") -> tuple[str, int, float] | None:
    """The first finite point of ``series``, else of the first loss that has one."""
    for name in (series,) if series else LOSSES:
        if name in run.series and len(curve := run.series[name].finite):
            return name, int(curve.step[0]), curve.first
    return None


def begins_of(run: Run, series: str) -> tuple[tuple[int, float], ...]:
    """The first ``BEGINS`` finite points of ``series``: step and value."""
    if series not in run.series:
        return ()
    curve = run.series[series].finite
    return tuple(zip(curve.step[:BEGINS].tolist(), curve.value[:BEGINS].tolist(), strict=True))


def page_of(page: Page | None, run: Run) -> Page:
    """The page, or a new one where another run has taken the log's place.

    A log that begins later than the page's run, with another loss, is of the same run resumed.
    """
    if page is None or page.first is None:
        return msgspec.structs.replace(page or Page(), first=first_of(run))
    if page.left:
        return Page(first=first_of(run))
    first = first_of(run, page.first[0])
    begins_anew = first is not None and first != page.first and first[1] <= page.first[1]
    return Page(first=first) if begins_anew else page


def known_by(page: Page, run: Run) -> Page:
    """The page with the points that its run is known by."""
    if page.first is None or (begins := begins_of(run, page.first[0]))[:1] != (page.first[1:],):
        return page
    return msgspec.structs.replace(page, begins=begins)


def seen_with(
    seen: tuple[tuple[int, float], ...], step: int, written: float
) -> tuple[tuple[int, float], ...]:
    """The times of evaluations, to the last; those from before a resume are no measure any more."""
    kept = [(s, t) for s, t in seen if s < step and t < written]
    return (*kept[-SEEN + 1 :], (step, written))


def is_quiet(page: Page, silent: float) -> bool:
    """True where it has been ``silent`` for so many seconds that it is much longer than evaluations took so far; a run at its end may be."""
    stretches = np.diff([time for _, time in page.seen])
    if len(stretches) < FEW or page.ended:
        return False
    return silent > LONGER * float(stretches.max()) + MINUTE


def standing(name: str, page: Page, calm: AbstractSet[str]) -> Standing:
    entry = page.entries[name]
    return Standing(name, entry.since_step, entry.since, entry.probability, name in calm, entry.before)
