"""A watch follows what a trainer writes, judges it at each evaluation, and tells each thing once.

Time is the tests' own, but where a process writes. Each guard and its mutation; those of the first day were seen red, later ones not all:
- spots.py, ``_tells`` always True: test_lines_without_an_evaluation_are_not_judged;
- spots.py, never read again when it has settled: test_what_came_after_the_last_evaluation_is_judged_when_nothing_follows;
- spots.py, the names of runs not looked at: test_a_run_that_begins_in_a_table_of_runs_is_seen;
- spots.py, ``_lines`` kept after "cut": test_another_run_in_the_same_log_begins_a_new_page;
- follow.py, the mark not compared: test_a_file_that_was_written_anew_and_longer_is_not_taken_for_grown;
- follow.py, ``older_parts`` giving nothing: test_a_rotated_log_is_one_run;
- judging.py, ``first`` not compared: test_another_run_in_the_same_log_begins_a_new_page;
- judging.py, ``_before`` giving nothing: test_what_held_at_two_evaluations_is_raised_at_the_first_look;
- watching.py, ``SLEPT`` infinite: test_a_machine_that_slept_is_no_run_that_stopped_writing;
- pace.py, a mean in place of the median: test_a_gap_of_hours_does_not_count; the log's times though they leave out
  the evaluations: test_counts_what_the_log_leaves_out_...;
- pages.py, ``is_quiet`` never so: test_a_run_that_stops_writing_is_told_once_and_so_is_its_return;
- judging.py, the last loss of the series that is judged, whatever its step: test_step_and_loss_are_of_one_point;
- judging.py, no remedy taken for going on as planned: test_what_asks_for_nothing_but_to_go_on_is_calm.
"""

import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import unplateau
from unplateau.diagnosis import diagnose
from unplateau.errors import UsageError
from unplateau.reading import read_runs
from unplateau.watch import judging, spots, telling
from unplateau.watch.calling import environment
from unplateau.watch.follow import Growing, Joined, older_parts
from unplateau.watch.ledger import Ledger
from unplateau.watch.seen import Event
from unplateau.watch.spots import SETTLED, TOGETHER
from unplateau.watch.watching import Watcher

EXAMPLE = Path(unplateau.__file__).parent / "examples" / "reference-run"
LINES = (EXAMPLE / "train.log").read_text().splitlines(keepends=True)
UNTIMED = [re.sub(r", time [\d.]+ms", "", line) for line in LINES]  # no step times are logged
EVALUATIONS = [i for i, line in enumerate(LINES) if line.startswith("step ")]
MINUTE = 60.0


class Desk:
    """A log that is written by hand, and a watch on it, with a clock of their own."""

    def __init__(self, folder, name="train.log", ledger=None, watched=None):
        self.log, self.now = folder / name, 1_000_000_000.0
        self.slept = 0.0  # seconds for which the machine slept
        self.watcher = Watcher(
            watched or self.log,
            ledger=ledger,
            clock=lambda: self.now,
            awake=lambda: self.now - self.slept,
        )

    def write(self, *lines, mode="a"):
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open(mode) as file:
            file.write("".join(lines))
        os.utime(self.log, (self.now, self.now))

    def poll(self, after=MINUTE):
        """What is new once all that was written is judged; None where nothing is."""
        self.now += after
        events, last = [], None
        for _ in range(9):
            update = self.watcher.poll()
            if update is None:
                break
            events, last = [*events, *update.events], update
        return last, [event.kind for event in events], events


@pytest.fixture
def judged(monkeypatch):
    """The steps of the runs that were judged; judging itself costs too much to be done at each line."""
    steps = []

    def noted(run):
        steps.append(run.get("steps_done"))
        return diagnose(run)

    monkeypatch.setattr(judging, "diagnose", noted)
    return steps


@pytest.mark.parametrize(("lines", "step", "loss"), [(9, 1000, 4.4593), (14, 1500, 4.1375)])
def test_step_and_loss_are_of_one_point(tmp_path, lines, step, loss):
    desk = Desk(tmp_path)
    desk.write(*LINES[:lines])

    update, _, events = desk.poll()

    (run,) = update.runs
    assert (run.evaluated, run.series, run.loss) == (step, "val_loss", loss)
    assert f"step {step:,}: val_loss {loss:.4g} nats, {run.verdict}" in telling.lines(update)
    told = environment(Event(0.0, "raised", run.key, "", "flat", step), run, "")
    assert (told["UNPLATEAU_STEP"], told["UNPLATEAU_LOSS"]) == (str(step), f"{loss:.6g}")
    assert events[-1].step == step


class TestALogThatGrows:
    def test_is_waited_for_where_it_is_not_there_yet(self, tmp_path):
        desk = Desk(tmp_path)

        update, kinds, _ = desk.poll()

        assert update.runs == ()
        assert "there is no train.log" in update.waiting
        assert kinds == []
        assert desk.poll()[0] is None  # said once

    def test_is_waited_for_until_it_holds_a_loss(self, tmp_path):
        desk = Desk(tmp_path)
        desk.write("compiling the model... (takes a ~minute)\n")

        update, _, _ = desk.poll()
        assert "train.log" in update.waiting

        desk.write(*LINES[:2])
        update, kinds, _ = desk.poll()
        assert update.waiting == ""
        assert kinds == ["appeared", "evaluated"]

    def test_is_judged_as_diagnose_judges_it(self, tmp_path):
        desk = Desk(tmp_path)
        shutil.copy(EXAMPLE / "config.py", tmp_path)
        desk.write(*LINES)

        update, _, _ = desk.poll()

        (run,) = update.runs
        found = diagnose(read_runs(EXAMPLE / "train.log")[0])
        assert run.verdict == found.state.verdict
        assert run.findings == {f.cause: (f.verdict, f.probability) for f in found.findings}
        assert run.planned == found.planned
        assert (run.step, run.evaluated, run.end, run.loss) == (14_800, 14_500, 20_000, 3.5696)

    def test_is_judged_at_each_evaluation_and_at_nothing_else(self, tmp_path, judged):
        desk = Desk(tmp_path)
        desk.write(*LINES[:30])
        desk.poll()
        judged.clear()

        for line in LINES[30:40]:
            desk.write(line)
            desk.poll()

        assert judged == [3500, 4000]
        assert [line.split(":")[0] for line in LINES[30:40] if line.startswith("step")] == [
            "step 3500",
            "step 4000",
        ]

    def test_lines_without_an_evaluation_are_not_judged(self, tmp_path, judged, monkeypatch):
        desk = Desk(tmp_path)
        desk.write(*LINES[:30])
        desk.poll()
        judged.clear()

        monkeypatch.delattr(spots, "read_source")  # nor is the log read again
        desk.write("iter 3450: loss 3.9408, time 3909.13ms, mfu 11.10%\n")
        update, kinds, _ = desk.poll()

        assert judged == []
        assert kinds == []
        assert update.runs[0].step == 3450  # but the step is told
        assert update.runs[0].evaluated == 3000

    def test_a_loss_that_is_no_number_is_judged_at_once(self, tmp_path, judged):
        desk = Desk(tmp_path)
        desk.write(*LINES[:30])
        desk.poll()
        judged.clear()

        desk.write(
            "iter 3200: loss nan, time 3909.13ms, mfu 11.10%\n",
            "iter 3210: loss nan, time 3909.13ms, mfu 11.10%\n",
        )
        update, _, events = desk.poll()

        assert judged
        assert update.runs[0].verdict == "diverged"
        assert "diverged" in {event.name for event in events if event.kind == "raised"}

    def test_a_line_that_is_being_written_waits_for_its_end(self, tmp_path, judged):
        desk = Desk(tmp_path)
        at = EVALUATIONS[8]
        desk.write(*LINES[:at])
        desk.poll()
        judged.clear()

        desk.write(LINES[at][:-8])
        desk.poll()
        assert judged == []

        desk.write(LINES[at][-8:])
        update, _, _ = desk.poll()
        assert judged[-1] == update.runs[0].evaluated

    def test_without_evaluations_is_judged_when_it_has_grown(self, tmp_path, judged):
        desk = Desk(tmp_path)
        lines = [f"iter {i}: loss {3 + 9 / i:.4f}, time 39.10ms, mfu 11.10%\n" for i in range(1, 400)]
        desk.write(*lines[:300])
        desk.poll()
        judged.clear()

        for line in lines[300:320]:
            desk.write(line)
            desk.poll()

        assert judged == [307, 314]  # by a fiftieth

    def test_what_came_after_the_last_evaluation_is_judged_when_nothing_follows(self, tmp_path, judged):
        desk = Desk(tmp_path)
        desk.write(*LINES[:30])
        desk.poll()
        desk.write("iter 3450: loss 3.9408, time 3909.13ms, mfu 11.10%\n", "CUDA out of memory.")
        desk.poll()
        judged.clear()

        desk.poll(after=2 * SETTLED)

        assert judged == [3450]
        assert desk.watcher.diagnosis("train.log").run.has("killed")
        assert desk.poll(after=2 * SETTLED)[0] is None

    def test_a_table_is_looked_at_by_its_rows(self, tmp_path, judged):
        desk = Desk(tmp_path, "metrics.csv")
        rows = [f"{step},{3 + 40 / step:.4f}\n" for step in range(50, 1050, 50)]
        desk.write("step,val_loss\n", *rows[:10])
        desk.poll()
        judged.clear()

        desk.write(rows[10])
        update, kinds, _ = desk.poll()

        assert update.runs[0].evaluated == 550
        assert kinds == ["evaluated"]
        assert next(iter(desk.watcher._spots.values())).by_lines

    def test_a_run_that_begins_in_a_table_of_runs_is_seen(self, tmp_path):
        desk = Desk(tmp_path, "runs.csv")
        rows = [f"base,{step},{3 + 40 / step:.4f}\n" for step in range(50, 10_050, 50)]
        desk.write("run,step,loss\n", *rows)
        assert [run.key for run in desk.poll()[0].runs] == ["base"]

        desk.write("wide,50,3.7000\n")
        update, kinds, _ = desk.poll()

        assert {run.key for run in update.runs} == {"base", "wide"}
        assert kinds == ["appeared", "evaluated"]

    def test_that_a_process_writes_is_followed(self, tmp_path):
        code = "import sys, time\nfor line in open(sys.argv[1]):\n    print(line, end='', flush=True)\n    time.sleep(.01)\n"
        log = tmp_path / "train.log"
        with log.open("w") as out:
            writer = subprocess.Popen([sys.executable, "-c", code, str(EXAMPLE / "train.log")], stdout=out)
            watcher, seen = Watcher(log), 0
            while writer.poll() is None or watcher.busy:
                update = watcher.poll()
                seen += update is not None

        watcher.poll()
        assert seen > 1
        (run,) = watcher.once().runs
        assert run.evaluated == 14_500


class TestALogThatIsMoved:
    def test_a_rotated_log_is_one_run(self, tmp_path):
        desk = Desk(tmp_path)
        desk.write(*LINES[:40])
        desk.poll()

        desk.log.rename(tmp_path / "train.log.1")
        desk.write(*LINES[40:60])
        update, kinds, _ = desk.poll()

        assert "rotated" in kinds
        assert "restarted" not in kinds
        (run,) = update.runs
        assert run.evaluated == 6500
        assert len(desk.watcher.diagnosis(run.key).run.series["val_loss"]) == 14

    def test_parts_that_were_packed_count_too(self, tmp_path):
        desk = Desk(tmp_path)
        (tmp_path / "train.log.2.gz").write_bytes(gzip.compress("".join(LINES[:20]).encode()))
        (tmp_path / "train.log.1").write_text("".join(LINES[20:40]))
        desk.write(*LINES[40:60])

        update, _, _ = desk.poll()

        whole = tmp_path / "whole" / "train.log"
        whole.parent.mkdir()
        whole.write_text("".join(LINES[:60]))
        (run,) = read_runs(whole)
        assert desk.watcher.diagnosis(update.runs[0].key).run.series == run.series

    def test_of_two_that_rotate_by_date_and_number_the_order_is_that_of_time(self, tmp_path):
        for name in (
            "t.log",
            "t.log-20261120",
            "t.log-20261121.gz",
            "t.log.2",
            "t.log.1",
            "t.log.1.gz",
            "t.log.bak",
        ):
            (tmp_path / name).touch()

        names = [part.name for part in older_parts(tmp_path / "t.log")]

        assert names == ["t.log-20261120", "t.log-20261121.gz", "t.log.2", "t.log.1"]

    def test_another_run_in_the_same_log_begins_a_new_page(self, tmp_path):
        desk = Desk(tmp_path)
        desk.write(*LINES)
        _, _, events = desk.poll()
        assert [e.name for e in events if e.kind == "raised"]

        again = [line.replace("3.", "4.") for line in LINES[:25]]
        again[0] = "step 0: train loss 10.9000, val loss 10.9100\n"
        desk.write(*again, mode="w")
        update, kinds, _ = desk.poll()

        assert {"cut", "restarted", "evaluated"} <= set(kinds)
        (run,) = update.runs
        assert run.evaluated == 2500
        assert all(one.since_step <= 2500 for one in run.standing)

    def test_a_run_that_goes_on_from_an_earlier_checkpoint_is_the_same_run(self, tmp_path):
        desk = Desk(tmp_path)
        desk.write(*LINES[:60])
        desk.poll()

        desk.write("step 4500: train loss 3.8300, val loss 3.7900\n")
        update, kinds, _ = desk.poll()

        assert kinds == ["resumed"]
        assert update.runs[0].evaluated == 6500  # the later record of a step holds, the rest stays

    def test_a_log_that_begins_in_the_middle_is_of_the_same_run_resumed(self, tmp_path):
        desk = Desk(tmp_path)
        desk.write(*LINES)
        _, _, events = desk.poll()
        raised = {e.name for e in events if e.kind == "raised"}

        desk.write(*LINES[80:], mode="w")
        _, kinds, events = desk.poll()

        assert raised
        assert "restarted" not in kinds
        assert not raised & {e.name for e in events if e.kind == "raised"}

    def test_a_log_that_vanishes_is_told_and_waited_for(self, tmp_path):
        desk = Desk(tmp_path)
        desk.write(*LINES[:40])
        desk.poll()

        desk.log.unlink()
        update, kinds, _ = desk.poll()
        assert kinds == ["gone"]
        assert len(update.runs) == 1

        desk.write(*LINES[:50])
        _, kinds, _ = desk.poll()
        assert "evaluated" in kinds
        assert "restarted" not in kinds

    def test_a_file_that_was_written_anew_and_longer_is_not_taken_for_grown(self, tmp_path):
        path = tmp_path / "log"
        path.write_bytes(b"a" * 100)
        file = Growing(path)
        assert file.look() == "new"

        path.write_bytes(b"b" * 200)
        assert file.look() == "rewritten"
        with path.open("ab") as more:
            more.write(b"c")
        assert file.look() == "grown"
        path.write_bytes(b"d")
        assert file.look() == "cut"
        beside = tmp_path / "other"
        beside.write_bytes(b"e" * 300)
        beside.rename(path)
        assert file.look() == "replaced"
        path.unlink()
        assert [file.look(), file.look()] == ["gone", "same"]

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
    def test_a_pipe_is_waited_for_and_does_not_hold_the_watch(self, tmp_path):
        os.mkfifo(tmp_path / "train.log")
        desk = Desk(tmp_path)

        update, kinds, _ = desk.poll()

        assert kinds == []
        assert "train.log is a pipe" in update.waiting

    def test_a_part_that_is_damaged_gives_what_it_can_and_a_note(self, tmp_path):
        whole = gzip.compress(os.urandom(5000).hex().encode())
        (tmp_path / "t.log.1.gz").write_bytes(whole[:-600])
        (tmp_path / "t.log").write_text("the end\n")
        joined = Joined(tmp_path / "t.log", older_parts(tmp_path / "t.log"))

        found = b"".join(joined.blocks())

        assert found.endswith(b"the end\n")
        assert len(found) > 5000
        assert "t.log.1.gz is damaged" in joined.notes[0]


class TestAFolder:
    def test_of_one_run_is_watched_with_its_config(self, tmp_path):
        desk = Desk(tmp_path / "run", watched=tmp_path / "run")
        desk.write(*LINES[:60])
        shutil.copy(EXAMPLE / "config.py", tmp_path / "run")

        update, _, _ = desk.poll()

        assert update.runs[0].key == "train.log"
        assert update.runs[0].end == 20_000

    def test_a_config_that_comes_later_is_heard(self, tmp_path):
        desk = Desk(tmp_path)
        desk.write(*LINES[:60])
        update, _, _ = desk.poll()
        assert update.runs[0].end is None

        shutil.copy(EXAMPLE / "config.py", tmp_path)
        update, _, _ = desk.poll()

        assert update.runs[0].end == 20_000

    def test_of_many_runs_lists_each_and_reads_again_only_what_grew(self, tmp_path, judged):
        many = TOGETHER + 3
        for i in range(many):
            folder = tmp_path / f"run-{i:02}"
            folder.mkdir()
            (folder / "train.log").write_text("".join(LINES[:6]))
        desk = Desk(tmp_path / "run-07", watched=tmp_path)
        update, _, _ = desk.poll()
        assert {run.key for run in update.runs} == {f"run-{i:02}/train.log" for i in range(many)}
        judged.clear()

        desk.write(*LINES[6:12])
        update, _, events = desk.poll()

        assert judged == [1200]
        assert {event.run for event in events} == {"run-07/train.log"}
        assert len(update.runs) == many

    def test_keys_stay_when_other_runs_come(self, tmp_path):
        desk = Desk(tmp_path / "a", watched=tmp_path)
        desk.write(*LINES[:6])
        update, _, _ = desk.poll()
        assert [run.key for run in update.runs] == ["a/train.log"]

        other = tmp_path / "b"
        other.mkdir()
        (other / "train.log").write_text("".join(LINES[:6]).replace("5.", "6."))
        update, kinds, _ = desk.poll()

        assert {run.key for run in update.runs} == {"a/train.log", "b/train.log"}
        assert kinds == ["appeared", "evaluated"]


class TestWhatIsRaised:
    def test_what_held_at_two_evaluations_is_raised_at_the_first_look(self, tmp_path):
        desk = Desk(tmp_path)
        shutil.copy(EXAMPLE / "config.py", tmp_path)
        desk.write(*LINES)

        update, _, events = desk.poll()

        raised = {event.name for event in events if event.kind == "raised"}
        assert raised == {"lr-not-annealed", "still-learning", "val-mismatch"}
        assert {one.name for one in update.runs[0].standing} == raised

    def test_what_asks_for_nothing_but_to_go_on_is_calm(self, tmp_path):
        desk = Desk(tmp_path)
        shutil.copy(EXAMPLE / "config.py", tmp_path)
        desk.write(*LINES)

        update, _, events = desk.poll()

        calm = {"lr-not-annealed": True, "still-learning": True, "val-mismatch": False}
        assert {event.name: event.calm for event in events if event.kind == "raised"} == calm
        assert {one.name: one.calm for one in update.runs[0].standing} == calm

    def test_nobody_is_woken_twice_by_another_watch(self, tmp_path):
        place = tmp_path / "state" / "ledger.json"
        for first in (True, False):
            desk = Desk(tmp_path, ledger=Ledger(tmp_path / "train.log", place))
            desk.write(*LINES, mode="w")
            update, kinds, _ = desk.poll()
            assert ("raised" in kinds) is first
            assert update.runs[0].standing

    def test_of_several_runs_one_that_ended_long_ago_is_told_as_old(self, tmp_path):
        for name, lines in (("a", LINES), ("b", [line.replace("3.", "4.") for line in LINES])):
            desk = Desk(tmp_path / name, watched=tmp_path)
            desk.write(*lines)
        desk.now += 86_400

        _, _, events = desk.poll()

        raised = [event for event in events if event.kind == "raised"]
        assert raised
        assert all(event.old for event in raised)

    def test_that_the_planned_end_is_reached_is_told_once(self, tmp_path):
        desk = Desk(tmp_path)
        (tmp_path / "config.py").write_text("max_iters = 6500\n")
        desk.write(*LINES[:60])
        assert desk.poll()[1].count("ended") == 1

        desk.write("step 7000: train loss 3.7600, val loss 3.7000\n")
        assert "ended" not in desk.poll()[1]
        assert desk.poll(after=86_400)[1] == []  # nor is its silence news

    def test_a_run_that_stops_writing_is_told_once_and_so_is_its_return(self, tmp_path):
        desk = Desk(tmp_path)
        for at in EVALUATIONS[:6]:
            desk.write(LINES[at])
            desk.poll(after=600)
        _, kinds, _ = desk.poll(after=600)
        assert kinds == []

        _, kinds, events = desk.poll(after=3600)
        assert kinds == ["quiet"]
        assert "nothing was written for" in events[0].text
        assert desk.poll(after=3600)[1] == []

        desk.write(LINES[EVALUATIONS[6]])
        assert set(desk.poll()[1]) == {"evaluated", "alive"}

    def test_a_machine_that_slept_is_no_run_that_stopped_writing(self, tmp_path):
        desk = Desk(tmp_path)
        for at in EVALUATIONS[:6]:
            desk.write(LINES[at])
            desk.poll(after=600)

        desk.slept += 8 * 3600
        assert desk.poll(after=8 * 3600)[1] == []
        assert desk.poll(after=600)[1] == []
        assert desk.poll(after=3600)[1] == ["quiet"]


class TestThePace:
    def test_a_gap_of_hours_does_not_count(self, tmp_path):
        desk = Desk(tmp_path)
        shutil.copy(EXAMPLE / "config.py", tmp_path)
        for i, at in enumerate(EVALUATIONS[:8]):
            desk.write(*UNTIMED[EVALUATIONS[i - 1] + 1 if i else 0 : at + 1])
            update, _, _ = desk.poll(after=1800 + (i == 4) * 9 * 3600)

        (run,) = update.runs
        assert run.left.value == pytest.approx((20_000 - 3500) / 500 * 0.5)
        assert run.left.high < 1.5 * run.left.value

    def test_after_a_resume_it_is_that_of_the_steps_that_count(self, tmp_path):
        desk = Desk(tmp_path)
        shutil.copy(EXAMPLE / "config.py", tmp_path)
        kinds = []
        for i in (*range(10), *range(7, 12)):  # it goes back from step 4500 to 3500
            desk.write(*UNTIMED[EVALUATIONS[i - 1] + 1 if i else 0 : EVALUATIONS[i] + 1])
            update, seen, _ = desk.poll(after=1800)
            kinds += seen

        (run,) = update.runs
        assert kinds.count("resumed") == 1
        assert run.evaluated == 5500
        assert run.left.value == pytest.approx((20_000 - 5500) / 500 * 0.5)


class TestThePaceOfARunThatIsNotBroken:
    def test_is_seen_by_the_times_of_evaluations(self, tmp_path):
        desk = Desk(tmp_path)
        shutil.copy(EXAMPLE / "config.py", tmp_path)
        for i, at in enumerate(EVALUATIONS[:12]):
            desk.write(*UNTIMED[EVALUATIONS[i - 1] + 1 if i else 0 : at + 1])
            update, _, _ = desk.poll(after=1800)

        (run,) = update.runs
        assert run.pace == "the times of the last 12 evaluations"
        assert run.left.value == pytest.approx((20_000 - 5500) / 500 * 0.5)
        assert run.rate.low < run.rate.value < run.rate.high

    def test_is_the_logs_own_where_it_tells_one_though_it_was_written_fast(self, tmp_path):
        desk = Desk(tmp_path)
        shutil.copy(EXAMPLE / "config.py", tmp_path)
        for i, at in enumerate(EVALUATIONS[:6]):
            desk.write(*LINES[EVALUATIONS[i - 1] + 1 if i else 0 : at + 1])
            update, _, _ = desk.poll(after=1)

        assert update.runs[0].left.value > 10
        assert "h left by the log's step times" in telling.evaluated(update.runs[0])

    def test_counts_what_the_log_leaves_out_where_evaluations_take_as_long_as_the_steps_between_them(
        self, tmp_path
    ):
        desk = Desk(tmp_path)
        shutil.copy(EXAMPLE / "config.py", tmp_path)
        for i, at in enumerate(EVALUATIONS[:6]):
            desk.write(*LINES[EVALUATIONS[i - 1] + 1 if i else 0 : at + 1])
            update, _, _ = desk.poll(after=2 * 500 * 3.91)  # seconds; the log's steps take 3.91

        assert update.runs[0].pace == "the times of the last 6 evaluations"
        assert update.runs[0].left.value == pytest.approx(2 * (20_000 - 2500) * 3.91 / 3600)

    def test_is_the_logs_own_where_nothing_was_seen(self, tmp_path):
        desk = Desk(tmp_path)
        shutil.copy(EXAMPLE / "config.py", tmp_path)
        desk.write(*LINES)

        update, _, _ = desk.poll()

        assert update.runs[0].pace == "the log's step times"
        assert 5.5 < update.runs[0].left.value < 5.8


def test_standard_input_is_no_log_to_follow():
    with pytest.raises(UsageError, match=r"\| tee"):
        Watcher(Path("-"))
