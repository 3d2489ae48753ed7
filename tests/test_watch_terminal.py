"""The watch on a terminal: what is to be seen in it, and how it ends. Skipped, with the reason, where textual is not installed.

Each guard was seen red once:
- terminal.py, ``printable`` left out of the title, and of the events: test_nothing_in_a_log_reaches_the_terminal_raw;
- terminal.py, not shown again after the table is there: test_below_a_table_too_with_the_last_events_under_it;
- terminal.py, Ctrl-C left to textual, which does not end by it: test_on_a_real_terminal_it_ends_as_it_should.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import unplateau

pytest.importorskip("textual", reason="textual is not installed: pip install 'unplateau[watch]'")

from textual.widgets import DataTable, Static

from unplateau.watch.calling import Caller
from unplateau.watch.ledger import Ledger
from unplateau.watch.terminal import NEWS, PARTS, View
from unplateau.watch.watching import Watcher

EXAMPLE = Path(unplateau.__file__).parent / "examples" / "reference-run"
LINES = (EXAMPLE / "train.log").read_text().splitlines(keepends=True)
PATIENCE = 30  # seconds; a loaded machine takes some


async def held(condition):
    """Wait until ``condition`` holds, for as long as ``PATIENCE``."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110 - it hangs on a thread
        await asyncio.sleep(0.05)


def seen(path, *keys, size=(80, 24), until=lambda view: view.found, fail_on=(), caller=None, between=None):
    """The view after ``keys``, with what its parts showed, by their names."""

    async def run():
        view = View(Watcher(path), caller, fail_on)
        shown = {}
        async with view.run_test(size=size) as pilot:
            await held(lambda: until(view))
            if between is not None:
                await between(view)
            for _ in range(3):
                await pilot.pause()
            for part in PARTS:
                widget = view.query_one(f"#{part}", Static)
                shown[part] = str(widget.content) if widget.display else ""
            shown["rows"] = view.query_one(DataTable).row_count
            shown["height"] = {part: view.query_one(f"#{part}", Static).region.bottom for part in PARTS}
            await pilot.press(*keys)
            await pilot.pause()
        return view, shown

    return asyncio.run(run())


@pytest.mark.parametrize("size", [(80, 24), (200, 50), (40, 20)], ids=str)
def test_shows_the_verdict_the_numbers_the_findings_and_the_chart(size):
    view, shown = seen(EXAMPLE, "q", size=size)

    assert view.return_value is False
    assert "The loss is still falling: val_loss 3.570 nats" in shown["verdict"]
    assert "step 14,800 of 20,000, 5.6 h left" in shown["numbers"]
    assert "-0.0083 nats per hour (-0.0064 to -0.0101) from here" in shown["numbers"]
    assert "at its end, step 20,000: 3.536 (3.521 to 3.552)" in shown["numbers"]
    assert "● lr-not-annealed (93%), since before step 14,500" in shown["standing"]
    assert "val_loss as dots" in shown["chart"]
    assert max(map(len, shown["chart"].splitlines())) <= size[0]
    assert "raised Val is not a fair sample" in shown["events"]
    assert shown["rows"] == 0


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=str)
def test_the_whole_chart_fits_the_screen(size):
    _, shown = seen(EXAMPLE, "q", size=size)

    assert shown["height"]["chart"] < size[1]


def test_below_a_table_too_with_the_last_events_under_it(tmp_path):
    for i in range(8):
        folder = tmp_path / f"run-{i}"
        folder.mkdir()
        (folder / "train.log").write_text("".join(LINES[:14]).replace("4.", f"{4 + i}."))

    def all_there(view):
        laid_out = (
            view.query_one("#chart", Static).region.bottom + NEWS <= 49
        )  # a pause later than the last news
        return view.update_ and len(view.update_.runs) == 8 and view.found and laid_out

    _, shown = seen(tmp_path, "q", size=(200, 50), until=all_there)

    assert shown["rows"] == 8
    assert shown["height"]["chart"] + NEWS <= 49  # the last row is of the keys


def test_of_several_runs_there_is_a_table_and_the_chosen_one_is_shown(tmp_path):
    for i, count in enumerate((30, 60)):
        folder = tmp_path / f"run-{i}"
        folder.mkdir()
        (folder / "train.log").write_text("".join(LINES[:count]).replace("3.", f"{3 + i}."))
        os.utime(folder / "train.log", (1e9 + i, 1e9 + i))

    async def choose(view):
        first = view.found[0]
        view.query_one(DataTable).focus()
        await asyncio.sleep(0.1)
        view.query_one(DataTable).action_cursor_down()
        await held(lambda: view.found[0] != first)

    view, shown = seen(
        tmp_path, "q", until=lambda v: v.found and v.update_ and len(v.update_.runs) == 2, between=choose
    )

    assert shown["rows"] == 2
    assert view.chosen == "run-0/train.log"
    assert view.found[0] == "run-0/train.log"
    assert shown["verdict"].startswith("run-0/train.log (nanogpt)")


def test_waits_for_a_log_that_is_not_there_yet(tmp_path):
    _, shown = seen(tmp_path / "train.log", "q", until=lambda view: view.update_)

    assert "Waiting: there is no train.log yet" in shown["verdict"]


def test_what_is_written_meanwhile_is_shown(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("".join(LINES[:30]))

    async def write(view):
        with log.open("a") as file:
            file.write("".join(LINES[30:40]))
        await held(lambda: view.update_.runs[0].evaluated == 4000)

    _, shown = seen(log, "q", between=write)

    assert "val_loss 3.800" in shown["verdict"]
    assert "step 4,000 judged" in shown["events"]


def test_t_changes_the_colours():
    async def change(view):
        before = view.theme
        view.action_theme()
        assert view.theme != before

    seen(EXAMPLE, "t", "t", "q", between=change)


def test_a_condition_of_fail_on_ends_it_with_1():
    view, _ = seen(EXAMPLE, until=lambda v: v.return_value is not None, fail_on=["still-learning"])

    assert view.return_value is True


def test_calls_the_users_command(tmp_path):
    told = tmp_path / "told"
    caller = Caller(f"echo $UNPLATEAU_CAUSE >> {told}", {"val-mismatch"})

    seen(EXAMPLE, "q", until=lambda _: told.exists() and not caller.busy, caller=caller)

    assert not caller.busy
    assert told.read_text() == "val-mismatch\n"


def test_a_command_that_fails_stays_on_the_screen_with_its_exit_code():
    caller = Caller("echo no such host; exit 7", {"val-mismatch"})

    _, screen = seen(EXAMPLE, "q", until=lambda v: v.update_ and v.update_.troubles, caller=caller)

    assert "✗" in screen["standing"]
    assert "the command for val-mismatch ended with 7: no such host" in screen["standing"]


def test_nothing_in_a_log_reaches_the_terminal_raw(tmp_path):
    folder = tmp_path / "[red]run\x1b[31m\x07"
    folder.mkdir()
    (folder / "train.log").write_text("".join(LINES[:30]))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "train.log").write_text("".join(LINES[:40]).replace("3.", "4."))
    os.utime(tmp_path / "b" / "train.log", (1e9, 1e9))

    _, shown = seen(tmp_path, "q", until=lambda v: v.update_ and len(v.update_.runs) == 2)

    assert shown["verdict"].startswith("[red]run?[31m?/train.log")
    assert "[red]run?[31m?/train.log" in shown["events"]  # neither a colour nor markup
    assert not any(c in "".join(shown[part] for part in PARTS) for c in "\x1b\x07")


@pytest.mark.skipif(
    shutil.which("script") is None, reason="script (util-linux) is not installed: it makes a terminal"
)
@pytest.mark.parametrize(("key", "code"), [("q", 0), ("\x03", 4)], ids=["q", "Ctrl-C"])
def test_on_a_real_terminal_it_ends_as_it_should(key, code, tmp_path):
    state = tmp_path / "ledger.json"
    watch = f"{sys.executable} -m unplateau watch --state {state} {EXAMPLE}"
    command = ["script", "-qec", f"stty cols 80 rows 24; {watch}", "/dev/null"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TERM": "xterm-256color"},
    ) as view:
        deadline = time.monotonic() + PATIENCE
        while not state.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        view.stdin.write(key.encode())
        view.stdin.flush()
        try:
            view.communicate(timeout=PATIENCE)
        finally:
            view.kill()  # and with it the terminal of a watch that did not end

    assert view.returncode == code
    assert Ledger(EXAMPLE, state).pages["train.log"].raised
