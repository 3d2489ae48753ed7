"""The watch on a terminal, with textual: the verdict, what is left, the curve, what stands, what happened.

The watcher works in a thread of its own, so that keys are heard while a run is judged. Colours are the terminal's own,
light or dark as it is; ``t`` changes to others.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Footer, Static

from ..diagnosis import Diagnosis
from ..errors import printable
from ..report.redact import redacted
from ..report.text import loss_chart
from . import telling
from .calling import Caller
from .seen import Event, Update, Watched
from .watching import Watcher

EVENTS = 200  # that are kept for the list
CHART = 5  # rows of the chart, at least
AROUND = 3  # rows of its legend and its axis
PADDING = 1  # columns on either side
NEWS = 4  # events that there is room for in any case
PARTS = ("verdict", "numbers", "standing", "chart", "events")
THEMES = ("ansi-dark", "textual-light", "textual-dark")
STYLE = {"raised": "bold red", "cleared": "green", "trouble": "yellow", "quiet": "yellow", "gone": "yellow"}
VERDICTS = {
    "diverged": "bold red",
    "rising": "red",
    "flat": "yellow",
    "slowing": "yellow",
    "falling": "green",
}
LATER = "waiting for an evaluation"


class View(App[bool]):
    """Runs, and one of them in full. Ends with True where a ``--fail-on`` condition was met."""

    TITLE = "unplateau watch"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #runs { height: auto; max-height: 30%; display: none; scrollbar-size: 0 1; }
    #verdict { padding: 0 1; }
    #numbers { padding: 0 1; }
    #chart { padding: 0 1; text-wrap: nowrap; }
    #standing { padding: 0 1; }
    #events { padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    VerticalScroll { scrollbar-size: 0 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "leave", "Quit"),
        ("t", "theme", "Colours"),
        Binding("ctrl+c", "interrupt", "Interrupt", show=False, priority=True),
    ]

    def __init__(self, watcher: Watcher, caller: Caller | None, fail_on: Sequence[str]) -> None:
        super().__init__()
        self.watcher, self.caller, self.fail_on = watcher, caller, frozenset(fail_on)
        self.update_: Update | None = None
        self.found: tuple[str, Diagnosis] | None = None
        self.chosen = ""  # by the user; else the run that was written last
        self.log_: deque[Event] = deque(maxlen=EVENTS)
        self.over = threading.Event()

    def compose(self) -> ComposeResult:
        yield DataTable(id="runs", cursor_type="row", zebra_stripes=False)
        with VerticalScroll(can_focus=True):
            for part in PARTS:
                yield Static(id=part)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.theme = THEMES[0]
        self.query_one(DataTable).add_columns("run", "curve", "loss", "step", "left", "stands")
        self.query_one("#verdict", Static).update(
            Text(f"Looking at {printable(str(self.watcher.path), 200)} ...", "dim")
        )
        self.run_worker(self._watch, thread=True, exit_on_error=True)

    def _watch(self) -> None:
        """Poll until the view ends; runs in the worker's thread."""
        shown = ""
        while not self.over.is_set():
            update = self.watcher.poll()
            for event in self._called(update):
                self.watcher.add(event)
            wanted = self.chosen or (
                self.watcher.last.runs[0].key if self.watcher.last and self.watcher.last.runs else ""
            )
            if wanted and (update is not None or wanted != shown):
                shown, found = wanted, self.watcher.diagnosis(wanted)
                self.found = (wanted, found) if found is not None else None
                update = update or self.watcher.last
            if update is not None and not self.over.is_set():
                self.call_from_thread(self.apply, update)
                if self.caller is None or not self.caller.waits:
                    self.watcher.told()
            self.over.wait(self.watcher.wait)

    def _called(self, update: Update | None) -> list[Event]:
        if self.caller is None:
            return []
        if update is not None:
            self.caller.heard(update)
        return list(self.caller.ended())

    def apply(self, update: Update) -> None:
        """Show what is new."""
        if self.update_ is None or update.number != self.update_.number:
            self.log_.extend(update.events)
        self.update_ = update
        self._runs(update)
        self._show()
        self.call_after_refresh(self._show)  # when it is known what room the table leaves
        held = {s.name for run in update.runs for s in run.standing} | {run.verdict for run in update.runs}
        if held & self.fail_on:
            self._end(met=True)

    def _run(self) -> Watched | None:
        if self.update_ is None or not self.update_.runs:
            return None
        return self.update_.run(self.chosen) or self.update_.runs[0]

    def _runs(self, update: Update) -> None:
        """The table, where there are several runs."""
        table = self.query_one(DataTable)
        table.display = len(update.runs) > 1
        if not table.display:
            return
        here = table.cursor_row
        table.clear()
        for run in update.runs:
            table.add_row(*_cells(run), key=run.key)
        table.move_cursor(row=min(here, len(update.runs) - 1), animate=False)

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Another run was chosen."""
        if event.row_key is not None and event.row_key.value and self.query_one(DataTable).has_focus:
            self.chosen = str(event.row_key.value)
            self._show()

    def _show(self) -> None:
        run, width = self._run(), max(20, self.query_one(VerticalScroll).size.width - 2 * PADDING)
        several = self.update_ is not None and len(self.update_.runs) > 1
        if run is None:
            waiting = self.update_.waiting if self.update_ is not None else "looking"
            parts = {"verdict": Text(f"Waiting: {printable(waiting, 400)}", "bold")}
        else:
            parts = {
                "verdict": _title(run),
                "numbers": Text("\n".join(numbers(run))),
                "standing": _standing(run, self.update_.troubles if self.update_ is not None else ()),
            }
        above = sum(len(text.wrap(self.console, width)) for text in parts.values())
        if run is not None:
            parts["chart"] = Text("\n".join(self._chart(run, width, above)))
        parts["events"] = _events(self.log_, several=several)
        for name in PARTS:
            part = self.query_one(f"#{name}", Static)
            part.update(parts.get(name, Text()))
            part.display = bool(parts.get(name))

    def _chart(self, run: Watched, width: int, above: int) -> list[str]:
        """As high as there is room for, below what stands ``above`` and over the last events."""
        if self.found is None or self.found[0] != run.key:
            return []
        _, found = self.found
        room = self.query_one(VerticalScroll).size.height - above - AROUND - min(NEWS, len(self.log_))
        return loss_chart(found.run, found.state, width, max(CHART, min(width // 3, room)))

    def on_resize(self) -> None:
        self._show()

    def action_theme(self) -> None:
        """The next of ``THEMES``."""
        self.theme = THEMES[(THEMES.index(self.theme) + 1) % len(THEMES)]

    def action_leave(self) -> None:
        """The watch's normal end."""
        self._end(met=False)

    async def action_quit(self) -> None:
        """Textual's own key for the same."""
        self._end(met=False)

    def action_interrupt(self) -> None:
        """Ctrl-C, which ends every verb with 4."""
        self._end(met=None)

    def _end(self, *, met: bool | None) -> None:
        self.over.set()
        self.exit(met)


def numbers(run: Watched) -> list[str]:
    """Where the run is, what is left, what the next hour wins, where it ends: a row each, those that are known."""
    done = f"step {run.step:,}" if run.step is not None else "no step yet"
    left = (
        f", {telling.hours(run.left)} left by {run.pace}"
        if run.left is not None and run.left.value > 0
        else ""
    )
    said = [f"{done}{f' of {run.end:,}' if run.end else ''}{left}"]
    if run.rate is not None:
        said.append(f"{telling.rate(run.rate)} from here")
    if run.planned is not None and run.step is not None and run.planned[0] > run.step:
        said.append(f"at its end, step {run.planned[0]:,}: {telling.short(run.planned[1])}")
    if run.quiet:
        said.append(f"nothing was written since {telling.clock(run.written)}")
    return said


def _title(run: Watched) -> Text:
    """Which log it is, and the verdict in a sentence or two."""
    text = Text()
    text.append(f"{printable(run.key, 200)} ({run.format or 'unknown format'}) ", "dim")
    text.append(f"{run.verdict}\n", VERDICTS.get(run.verdict, ""))
    text.append(redacted(printable(run.headline or LATER, 1000)), "bold")
    return text


def _standing(run: Watched, troubles: Sequence[Event] = ()) -> Text:
    """What went wrong with the user's command, and what was raised and not cleared, a row each."""
    text = Text()
    for event in troubles:
        said = redacted(printable(telling.trouble(event), 300))
        text.append(f"✗ {telling.clock(event.when)} {said}\n", STYLE["trouble"])
    for one in run.standing:
        text.append("● ", _ink(one.name, calm=one.calm))
        text.append(f"{telling.standing(one)}\n")
    text.rstrip()
    return text


def _ink(name: str, *, calm: bool) -> str:
    """The colour of a finding: what asks for nothing but to go on is no fault."""
    return "green" if calm else VERDICTS.get(name, STYLE["raised"])


def _events(events: Sequence[Event] | deque[Event], *, several: bool) -> Text:
    text = Text()
    for event in reversed(events):
        whose = f"{printable(event.run, 60)}: " if several and event.run else ""
        said = (
            f"step {event.step:,} judged"
            if event.kind == "evaluated" and event.step is not None
            else event.text
        )
        word = "noted " if event.calm else f"{event.kind} " if event.kind in ("raised", "cleared") else ""
        ink = _ink(event.name, calm=event.calm) if event.kind == "raised" else STYLE.get(event.kind, "dim")
        text.append(f"{telling.clock(event.when)} {whose}{word}{redacted(printable(said, 300))}\n", ink)
    text.rstrip()
    return text


def _cells(run: Watched) -> tuple[Text, ...]:
    style = VERDICTS.get(run.verdict, "")
    stands = ", ".join(one.name for one in run.standing)
    left = telling.hours(run.left) if run.left is not None and run.left.value > 0 else ""
    return (
        Text(printable(run.key, 40)),
        Text("quiet" if run.quiet else run.verdict, style),
        Text("" if run.loss is None else f"{run.loss:.3f}"),
        Text("" if run.step is None else f"{run.step:,}"),
        Text(left),
        Text(printable(stands, 60)),
    )


def show(watcher: Watcher, caller: Caller | None, fail_on: Sequence[str], **look: Any) -> bool:
    """Show the watch until ``q`` (False), or until a ``--fail-on`` condition is met (True). Ctrl-C raises ``KeyboardInterrupt``."""
    del look  # the view fills the terminal, in its colours
    view = View(watcher, caller, fail_on)
    done = view.run()
    if done is None:
        raise KeyboardInterrupt
    for event in caller.finish() if caller is not None else ():
        sys.stderr.write(f"unplateau: {event.text}\n")
    return done
