"""The verb that follows a run while it is trained: watch."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from ..errors import UnreadableError, UsageError
from ._core import DONE, FAILED, UNREADABLE, complain, group, log_options, look, options_of, say, unknown
from .live import Served, check_serve, show_page
from .logs import CURVES, check_names

if TYPE_CHECKING:
    from ..watch.calling import Caller
    from ..watch.ledger import Page
    from ..watch.seen import Event, Update
    from ..watch.watching import Watcher

QUIET = "quiet"


@group.command()
@log_options
@click.option("--once", is_flag=True, help="Look once, say what is new, and end: for cron.")
@click.option(
    "--on",
    "names",
    multiple=True,
    metavar="NAME",
    help="Call --run when this is raised: a cause, a curve (slowing, flat, rising, diverged), or quiet. Repeatable.",
)
@click.option(
    "--run",
    "command",
    metavar="CMD",
    help="A command of yours, for the shell; what was raised is in UNPLATEAU_CAUSE, _RUN, _PATH, _TEXT, _STEP, "
    "_VERDICT, _HEADLINE, _LOSS.",
)
@click.option(
    "--fail-on",
    multiple=True,
    metavar="NAME",
    help="End with 1 when this was raised: a cause, or a curve (flat, diverged, ...). Repeatable.",
)
@click.option(
    "--state",
    metavar="FILE",
    help="Where to keep what was raised; default: in ~/.local/state/unplateau/watch (XDG_STATE_HOME).",
)
@click.option("--plain", is_flag=True, help="Lines, also on a terminal.")
@click.option("--serve", is_flag=True, help="A live page for your browser, on 127.0.0.1 only.")
@click.option(
    "--port", type=click.IntRange(1, 65535), metavar="N", help="Of the page; default: any that is free."
)
@click.option("--open", "opened", is_flag=True, help="Open the page in your browser.")
def watch(
    path: str,
    *,
    as_json: bool,
    once: bool,
    names: tuple[str, ...],
    command: str | None,
    fail_on: tuple[str, ...],
    state: str | None,
    plain: bool,
    serve: bool,
    port: int | None,
    opened: bool,
    **given: Any,
) -> int:
    """Follow a run while it trains; say what is new, once.

    PATH is a log, a run's folder, or a folder of runs; it may not be there yet.
    A finding is raised when it holds at two evaluations in a row, and cleared
    when it does not at three. What was raised is kept between watches, so that
    nobody is woken twice. On a terminal: keys and a chart, where textual is
    installed (`pip install 'unplateau[watch]'`); q ends it with 0. Else lines;
    with --json one object a line. Ctrl-C ends it with 4.
    """
    from ..watch.memory import lean

    lean()
    check_names(fail_on)
    check_calls(names, command)
    check_serve(serve=serve, once=once, port=port, opened=opened)
    with ended_by_signals():
        watcher = watcher_of(path, state, given)
        caller = caller_of(command, names)
        if once:
            return look_once(watcher, caller, as_json=as_json, fail_on=fail_on)
        if serve:
            between, heard = told(watcher, caller, as_json=as_json, fail_on=fail_on)
            return show_page(Served(watcher, heard, between), port=port or 0, opened=opened, quietly=as_json)
        if not (plain or as_json) and on_screen():
            from ..watch.memory import without_openssl

            with without_openssl():
                from ..watch.terminal import show

            return FAILED if show(watcher, caller, fail_on, **look()) else DONE
        return follow(watcher, caller, as_json=as_json, fail_on=fail_on)


def watcher_of(path: str, state: str | None, given: dict[str, Any]) -> Watcher:
    """A watch of ``path`` with the ledger that belongs to it."""
    from ..watch.ledger import Ledger, check, place_of
    from ..watch.spots import Reading
    from ..watch.watching import Watcher

    reading = Reading(
        config=there(given["config"], "the config that the trainer read"),
        data=there(given["data"], "a manifest, or nanoGPT's data folder"),
        unique_tokens=given["unique_tokens"],
        options=options_of(given["columns"], given["unit"]),
        evidence=tuple(Path(folder) for folder in given["evidence"]),
    )
    place = Path(path)
    if state:
        check(Path(state))
    ledger = None if path == "-" else Ledger(place, Path(state) if state else place_of(place))
    return Watcher(place, reading=reading, ledger=ledger)


def there(name: str | None, expected: str) -> Path | None:
    """A path that must be there from the start."""
    if name is not None and not Path(name).exists():
        raise UnreadableError(f"there is no {name}; expected {expected}")
    return Path(name) if name else None


def check_calls(names: Sequence[str], command: str | None) -> None:
    """``--on`` and ``--run`` need each other; a name that could never be raised is refused."""
    if bool(names) != bool(command):
        raise UsageError(
            "--on NAME and --run CMD go together: expected both, found only " + ("--on" if names else "--run")
        )
    if names:
        from ..plugins import discover
        from ..watch.judging import RAISED

        known = [*discover("hypotheses"), *RAISED, QUIET]
        for name in names:
            if name in CURVES and name not in known:
                raise UsageError(
                    f"--on {name} is never raised: it is no news; expected one of {', '.join(RAISED)}, or a cause"
                )
            if name not in known:
                unknown(name, known)


def caller_of(command: str | None, names: Sequence[str]) -> Caller | None:
    """Who runs the user's command; None where there is none."""
    if command is None:
        return None
    from ..watch.calling import Caller

    return Caller(command, frozenset(names))


def on_screen() -> bool:
    """True where a terminal is there for the view, and textual to draw it."""
    from importlib.util import find_spec

    return sys.stdout.isatty() and sys.stdin.isatty() and find_spec("textual") is not None


def look_once(watcher: Watcher, caller: Caller | None, *, as_json: bool, fail_on: Sequence[str]) -> int:
    """Judge all that is there, tell what is new since the last watch, and end."""
    events: list[Event] = []
    before, told = dict(watcher.judge.ledger.pages), False

    def heard(part: Update) -> None:
        nonlocal told
        events.extend(part.events)
        if not as_json and part.runs:
            new = news(part, before)
            told |= bool(new.events)
            hear(watcher, caller, new, as_json=False, several=watcher.several)

    try:
        update = watcher.once(heard)
    except KeyboardInterrupt:
        if as_json and watcher.last is not None:  # what is kept as raised has been told
            hear(watcher, caller, replace(watcher.last, events=tuple(events)), as_json=True)
        raise
    if not update.runs:
        raise UnreadableError(update.waiting)
    if as_json:
        hear(watcher, caller, update, as_json=True)
    elif not told:
        say("nothing is new since the last look\n")
    finish(watcher, caller)
    if met(update, fail_on):
        return FAILED
    return UNREADABLE if watcher.trouble else DONE  # it was told; what is not kept would be told again


def news(update: Update, before: Mapping[str, Page]) -> Update:
    """``update`` without what the watch ``before`` told already: that a run is there, and how it stood."""
    seen = {run.key for run in update.runs if run.key in before and before[run.key].step == run.evaluated}
    seen -= {event.run for event in update.events if event.kind == "restarted"}
    old = ("appeared", "evaluated")
    return replace(update, events=tuple(e for e in update.events if not (e.kind in old and e.run in seen)))


def follow(watcher: Watcher, caller: Caller | None, *, as_json: bool, fail_on: Sequence[str]) -> int:
    """Look again and again, and tell what is new; 1 where a ``--fail-on`` condition is met, else until a signal."""
    between, heard = told(watcher, caller, as_json=as_json, fail_on=fail_on)
    while True:
        update = watcher.poll()
        if update is not None and heard(update):
            return FAILED
        between()
        time.sleep(watcher.wait)


def told(
    watcher: Watcher, caller: Caller | None, *, as_json: bool, fail_on: Sequence[str]
) -> tuple[Callable[[], None], Callable[[Update], bool]]:
    """What is done between two looks, and with each update: told, and handed to the user's command.

    The second is true of an update that meets a ``--fail-on`` condition.
    """

    def between() -> None:
        for event in caller.ended() if caller is not None else ():
            watcher.add(event)

    def heard(update: Update) -> bool:
        hear(watcher, caller, update, as_json=as_json)
        if not met(update, fail_on):
            return False
        finish(watcher, caller)
        return True

    return between, heard


def hear(
    watcher: Watcher, caller: Caller | None, update: Update, *, as_json: bool, several: bool = False
) -> None:
    """Tell an update and begin the user's command for what it raised; then that is known as told."""
    tell(update, as_json=as_json, several=several)
    if caller is not None:
        caller.heard(update)
        for event in caller.ended():
            watcher.add(event)
    if caller is None or not caller.waits:
        watcher.told()


def finish(watcher: Watcher, caller: Caller | None) -> None:
    """Wait for the user's commands before the watch ends."""
    for event in caller.finish() if caller is not None else ():
        say(f"unplateau: {event.text}\n", sys.stderr)
    watcher.told()


def tell(update: Update, *, as_json: bool, several: bool = False) -> None:
    """One update on standard output; what went wrong on standard error, where that is not for JSON alone."""
    from ..watch import telling

    if as_json and (update.events or update.waiting):
        say(telling.as_json(update) + "\n")
    for event in update.events:
        if event.kind == "trouble":
            complain(event.text, UNREADABLE)
    if as_json:
        return
    terminal = sys.stdout.isatty()
    how = look()
    right = replace(update, events=tuple(event for event in update.events if event.kind != "trouble"))
    say(telling.lines(right, width=how["width"] if terminal else None, colour=how["colour"], several=several))


def met(update: Update, names: Sequence[str]) -> bool:
    """True where one of ``names`` was raised on a run and stands; of a verdict that is never raised, where the curve is so."""
    from ..watch.judging import RAISED

    held = {one.name for run in update.runs for one in run.standing}
    held |= {run.verdict for run in update.runs} - set(RAISED)  # one flat evaluation raises nothing
    return bool(held & set(names))


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM ends a watch as Ctrl-C does: what was raised is kept at each evaluation already."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
