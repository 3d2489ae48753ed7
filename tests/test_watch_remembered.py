"""What one watch leaves to the next: nothing told twice, nothing lost, nothing judged again that is as it was.

Each guard and its mutation; those of the first day were seen red, later ones not all:
- remembered.py, ``stamp_of`` always empty: test_what_has_not_changed_is_not_judged_again;
- remembered.py, the file's state left out of the stamp: test_what_has_grown_is_judged_again;
- remembered.py, ``renamed`` giving nothing: test_a_log_that_was_renamed_is_the_run_that_it_was;
- spots.py, ``_by_part`` left out: test_a_run_that_was_rotated_away_keeps_its_findings_and_the_live_log_its_name;
- cli/watching.py, ``news`` giving all: test_a_second_look_says_nothing_of_what_was_told;
- remembered.py, the last step not looked at: test_another_run_that_begins_alike_in_the_same_file_is_another;
- judging.py, ``_left_untold`` giving nothing: test_what_was_raised_and_not_told_is_told_by_the_next_watch;
- judging.py, ``told`` doing nothing: the same one, at its end;
- watching.py, "new" left out of ``MOVED``: test_a_log_that_is_there_again_is_told.
"""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from test_watch import EXAMPLE, LINES, Desk
from unplateau.cli import main
from unplateau.watch import judging, remembered
from unplateau.watch.ledger import Ledger
from unplateau.watch.watching import Watcher


def folder_of_runs(folder, count=2, lines=LINES):
    for i in range(count):
        (folder / f"run-{i}").mkdir(parents=True)
        (folder / f"run-{i}" / "train.log").write_text("".join(lines).replace(" 3.", f" {3 + i}."))
    return folder


def look(folder, place):
    """What a watch of ``folder`` tells once, and how the runs stand."""
    watcher = Watcher(folder, ledger=Ledger(folder, place))
    update = watcher.once()
    watcher.told()
    return update


def kinds(update, *wanted):
    return [(e.kind, e.name) for e in update.events if e.kind in wanted]


class TestALookAfterAnother:
    @pytest.fixture
    def looked(self, tmp_path):
        return folder_of_runs(tmp_path / "runs"), tmp_path / "state.json"

    def test_what_has_not_changed_is_not_judged_again(self, looked, monkeypatch):
        first = look(*looked)
        monkeypatch.setattr(judging, "diagnose", lambda run: pytest.fail(f"{run.name} was judged again"))

        second = look(*looked)

        assert second.runs == first.runs
        assert kinds(second, "raised", "cleared", "appeared") == []

    def test_what_has_grown_is_judged_again(self, looked):
        folder, place = looked
        look(folder, place)
        with (folder / "run-1" / "train.log").open("a") as log:
            log.write("step 15000: train loss 4.4600, val loss 4.5600\n")

        second = look(folder, place)

        assert {run.key: run.evaluated for run in second.runs}["run-1/train.log"] == 15_000

    def test_a_config_that_changed_counts_too(self, looked):
        folder, place = looked
        look(folder, place)
        for i in range(2):
            shutil.copy(EXAMPLE / "config.py", folder / f"run-{i}")

        assert {run.end for run in look(folder, place).runs} == {20_000}

    def test_what_an_other_version_wrote_is_judged_again(self, looked):
        first = look(*looked)
        place = looked[1]
        place.write_text(place.read_text().replace('\\"format\\":\\"nanogpt\\"', '\\"format\\":7'))

        assert look(*looked).runs == first.runs


class TestALogThatIsRenamed:
    def test_a_log_that_was_renamed_is_the_run_that_it_was(self, tmp_path):
        folder, place = tmp_path / "runs", tmp_path / "state.json"
        folder.mkdir()
        (folder / "train.log").write_text("".join(LINES[:100]))
        assert kinds(look(folder, place), "raised")

        (folder / "train.log").rename(folder / "train.1.log")
        (folder / "train.log").write_text("".join(LINES[100:]))
        second = look(folder, place)

        assert kinds(second, "raised", "restarted") == []
        found = {event.run: event.text for event in second.events if event.kind == "appeared"}
        assert "it was train.log until it was renamed" in found["train.1.log"]

    def test_a_run_that_was_rotated_away_keeps_its_findings_and_the_live_log_its_name(self, tmp_path):
        folder, place = tmp_path / "runs", tmp_path / "state.json"
        folder.mkdir()
        log = folder / "train.log"
        log.write_text("".join(LINES))
        assert kinds(look(folder, place), "raised")

        log.rename(folder / "train.log.1")
        log.write_text("".join(LINES[:30]).replace("5.", "5.1"))
        second = look(folder, place)
        assert {(run.key, run.path.name, run.evaluated) for run in second.runs} == {
            ("train.log", "train.log", 3000),
            ("train.log.1", "train.log.1", 14_500),
        }
        assert not any(e.kind == "raised" and e.run == "train.log.1" for e in second.events)
        assert Ledger(folder, place).pages["train.log.1"].ended  # nobody waits for more of it

        shutil.copy(log, folder / "train.log.2")  # copied and emptied: another inode
        log.write_text("")
        third = look(folder, place)
        assert {run.key for run in third.runs} == {"train.log.1", "train.log.2"}
        assert kinds(third, "raised", "restarted") == []

    def test_a_second_look_says_nothing_of_what_was_told(self, tmp_path, capsys):
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs" / "train.log").write_text("".join(LINES[:30]))
        asked = ["watch", str(tmp_path / "runs"), "--once", "--state", str(tmp_path / "state.json")]
        assert main(asked) == 0
        assert "found, at step" in capsys.readouterr().out
        assert main(asked) == 0
        assert capsys.readouterr().out == "nothing is new since the last look\n"

    def test_so_it_is_where_the_watch_saw_the_new_log_first(self, tmp_path):
        desk = Desk(tmp_path, ledger=Ledger(tmp_path, tmp_path / "state.json"), watched=tmp_path)
        desk.write(*LINES[:100])
        assert "raised" in desk.poll()[1]

        desk.log.rename(tmp_path / "aside")
        desk.write(*LINES[100:])
        desk.poll()
        (tmp_path / "aside").rename(tmp_path / "older.log")
        _, seen, events = desk.poll()

        assert "raised" not in seen
        assert any("it was train.log" in event.text for event in events)

    def test_another_run_that_begins_alike_in_the_same_file_is_another(self, tmp_path):
        folder, place = tmp_path / "runs", tmp_path / "state.json"
        folder.mkdir()
        (folder / "a.log").write_text("".join(LINES))
        look(folder, place)

        (folder / "a.log").rename(folder / "b.log")  # as an inode that is used again
        (folder / "b.log").write_text("".join(LINES[:60]))
        second = look(folder, place)

        assert not any("renamed" in event.text for event in second.events)

    def test_a_log_that_is_there_again_is_told(self, tmp_path):
        desk = Desk(tmp_path)
        desk.write(*LINES[:60])
        desk.poll()
        desk.log.rename(tmp_path / "elsewhere")
        assert desk.poll()[1] == ["gone"]

        (tmp_path / "elsewhere").rename(desk.log)

        assert "alive" in desk.poll()[1]

    def test_that_one_of_two_is_gone_is_told_of_that_one(self, tmp_path):
        folder = folder_of_runs(tmp_path / "runs")
        desk = Desk(folder / "run-0", watched=folder)
        desk.poll()
        desk.log.unlink()

        _, _, events = desk.poll(after=1)

        assert [(event.kind, event.run) for event in events] == [("gone", "run-0/train.log")]


class TestAWatchThatIsKilled:
    def test_what_was_raised_and_not_told_is_told_by_the_next_watch(self, tmp_path, monkeypatch):
        place = tmp_path / "state.json"
        killed = Watcher(EXAMPLE, ledger=Ledger(EXAMPLE, place))
        lost = kinds(killed.once(), "raised")
        monkeypatch.setattr(remembered, "_is_alive", lambda _: False)
        monkeypatch.setattr(remembered.os, "getpid", lambda: 1 << 30)

        assert lost
        assert kinds(look(EXAMPLE, place), "raised") == lost
        monkeypatch.setattr(remembered.os, "getpid", lambda: (1 << 30) + 1)
        assert kinds(look(EXAMPLE, place), "raised") == []

    def test_what_a_living_watch_is_about_to_tell_no_other_tells(self, tmp_path, monkeypatch):
        place = tmp_path / "state.json"
        living = Watcher(EXAMPLE, ledger=Ledger(EXAMPLE, place))
        living.once()
        pid = os.getpid()
        monkeypatch.setattr(remembered, "_is_alive", lambda one: one == pid)
        monkeypatch.setattr(remembered.os, "getpid", lambda: 1 << 30)

        assert kinds(look(EXAMPLE, place), "raised") == []

    @pytest.mark.parametrize("after", [0.6, 0.9, 1.2])
    def test_at_any_instant_loses_nothing(self, tmp_path, after):
        folder, place = folder_of_runs(tmp_path / "runs", 3), tmp_path / "state.json"
        command = [sys.executable, "-m", "unplateau", "watch", str(folder), "--once", "--state", str(place)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
            try:
                watch.wait(after)
            except subprocess.TimeoutExpired:
                watch.send_signal(signal.SIGKILL)
            first = watch.stdout.read()
        second = subprocess.run(command, capture_output=True, text=True, check=True).stdout

        told = re.findall(r"(run-\d/train.log): (?:RAISED|NOTED) .*\((\S+), ", first + second)
        kept = Ledger(folder, place).pages
        assert sorted(told) == sorted((key, name) for key, page in kept.items() for name in page.raised)
        assert len(told) >= 3


def test_where_nothing_can_be_kept_all_is_told_and_it_ends_with_3(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file" / "deeper"))
    (tmp_path / "file").touch()

    assert main(["watch", "--once", str(EXAMPLE)]) == 3

    told = capsys.readouterr()
    assert "RAISED" in told.out
    assert told.err.count("\n") == 1
    assert "what was raised can't be kept" in told.err
