"""What a watch remembers of runs from the one before: how they stood, under which name, and what was not yet told.

A run whose log, configuration and data are the files that they were is not judged again: a folder of 300 runs, looked
at by cron each ten minutes, is mostly runs that have ended. A log that was renamed is the run that it was: its file
is the same (device and inode) or its first losses are, and it holds what was judged of it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from .. import __version__
from .ledger import Page
from .seen import Event, Watched
from .spots import Spot

ASIDE = "\0"  # behind a key: the page of the file that lay there before; no path holds it
LATE = (
    60.0  # seconds after which what another process raised and did not say it told is told all the same: its
)
#: number may be another's by now
ALIKE = 3  # points that two texts share at least where they are of one run: runs of one seed share the first
Points = tuple[tuple[int, float], ...]  # step and value
Begins = Callable[[str], Points]
TOLD_ONCE = frozenset({"raised", "cleared", "quiet", "alive", "ended"})


def stamp_of(spot: Spot) -> str:
    """What differs when anything that ``spot`` is judged from does; empty where that can't be known."""
    if spot.reading.evidence or not spot.files:
        return ""
    told = sorted((str(path), file.state) for path, file in spot.files.items() if file.there)
    text = repr((__version__, spot.key, spot.reading, told))
    return hashlib.blake2s(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def written(run: Watched) -> str:
    """A run as it stands, for the ledger."""
    return msgspec.json.encode(run, enc_hook=str).decode()


def read(text: str) -> Watched | None:
    """A run as it stood; None for what is none any more, as of another version."""
    try:
        return msgspec.json.decode(text, type=Watched, dec_hook=_path)
    except (ValueError, TypeError):
        return None


def _path(kind: type, value: Any) -> Any:
    return kind(value) if issubclass(kind, Path) else value


def stood(pages: Mapping[str, Page], stamp: str) -> list[Watched]:
    """The runs that were judged from the same files, as they stood then; none where one of them is not known."""
    held = [read(page.state) for page in pages.values() if stamp and page.stamp == stamp]
    known = [run for run in held if run is not None]
    return known if len(known) == len(held) else []


def renamed(
    pages: Mapping[str, Page], file: tuple[int, int], begins: Begins, step: int, free: Callable[[str], bool]
) -> tuple[str, Page] | None:
    """The page of the run whose log has another name now, and its key until then; None where there was none.

    A run is known by the first points of a loss; by the first alone where its file is the same too. ``begins``: gives
    those points by the loss's name; ``step``: its last evaluation; ``free``: whether no run goes by that key any more.
    """
    copied = None
    for other, page in pages.items():
        if page.first is None or step < page.step:
            continue
        ours = begins(page.first[0])
        if ours[:1] != (page.first[1:],):
            continue
        if page.file == file:
            return other, page
        if _same(ours, page.begins) and free(other):
            copied = other, page
    return copied


def _same(a: Points, b: Points) -> bool:
    """True where both begin alike, for as far as both go."""
    common = min(len(a), len(b))
    return common >= ALIKE and a[:common] == b[:common]


def owed(page: Page) -> bool:
    """True where it holds what was raised by a process that is gone before it could tell."""
    pid, when = page.by
    if not page.untold or pid == os.getpid():
        return False
    return not _is_alive(pid) or not -LATE < time.time() - when < LATE


def _is_alive(pid: int) -> bool:
    if os.name != "posix":
        return True  # there, os.kill ends a process; LATE decides
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def owing(page: Page, events: list[Event]) -> Page:
    """The page with what is to be told of these."""
    news = tuple(event for event in events if event.kind in TOLD_ONCE)
    if not news:
        return page
    return msgspec.structs.replace(page, untold=(*page.untold, *news), by=(os.getpid(), time.time()))
