"""What a watch raises, keeps and clears; whom it calls; and what it says, in lines and as JSON.

Each guard was seen red once:
- ledger.py, CLEAR = 1: test_a_finding_that_misses_one_evaluation_is_kept;
- ledger.py, ``again`` ignored: test_the_same_evaluation_read_again_counts_once;
- ledger.py, pages not read before they are turned: test_two_watches_of_one_log_raise_once;
- calling.py, the text of the event put into the command: test_what_a_log_says_is_never_part_of_the_command;
- calling.py, no limit: test_a_command_that_hangs_is_ended_with_all_that_it_began;
- cli/watching.py, the verdict on the curve taken for raised: test_a_curve_that_was_not_raised_ends_nothing;
- telling.py, ``printable`` left out: test_no_control_character_of_a_log_reaches_the_terminal.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

import unplateau
from unplateau.cli import main
from unplateau.cli.watching import met
from unplateau.errors import UnreadableError
from unplateau.estimate import Estimate
from unplateau.watch import calling, telling
from unplateau.watch.calling import Caller
from unplateau.watch.ledger import CLEAR, RAISE, Ledger, Page, place_of, turn
from unplateau.watch.seen import Event, Standing, Update, Watched
from unplateau.watch.serve_list import line, summary
from unplateau.watch.watching import Watcher

EXAMPLE = Path(unplateau.__file__).parent / "examples" / "reference-run"
LOG = EXAMPLE / "train.log"
SCHEMA = json.loads(files("unplateau").joinpath("schemas", "watch-1.json").read_text())
RUN = Watched(
    key="run",
    name="run",
    path=Path("run/train.log"),
    verdict="flat",
    headline="The loss is flat.",
    series="val_loss",
    unit="nats",
    loss=3.5696,
    step=14_800,
    evaluated=14_500,
    end=20_000,
    planned=(20_000, Estimate(3.536, 3.521, 3.552, "nats")),
    left=Estimate(5.65, 5.5, 5.8, "h"),
    rate=Estimate(0.0083, 0.0064, 0.0101, "nats per hour"),
    standing=(Standing("capacity", 500, 0.0, 0.93),),
    findings={"capacity": ("supported", 0.93)},
)
FLAT = Event(1e9, "raised", "run", "The curve is flat.", "flat", 14_500)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The user's state folder is the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def turns(*held):
    """The events of evaluations at which these held, each as raised, cleared."""
    page, told = Page(), []
    for i, names in enumerate(held):
        page, raised, cleared = turn(page, 500 * (i + 1), float(i), dict.fromkeys(names, 0.9))
        told.append((raised, cleared))
    return page, told


class TestTheLedger:
    def test_a_finding_is_raised_once_when_it_has_held_for_long_enough(self):
        page, told = turns(*[["flat"]] * (RAISE + 3))

        assert [raised for raised, _ in told].count(["flat"]) == 1
        assert told[RAISE - 1][0] == ["flat"]
        assert page.raised["flat"].since_step == 500

    def test_one_evaluation_alone_raises_nothing(self):
        _, told = turns([], ["flat"], [], ["flat"], [])

        assert all(one == ([], []) for one in told)

    def test_a_finding_that_misses_one_evaluation_is_kept(self):
        page, told = turns(["flat"], ["flat"], [], ["flat"], [], ["flat"])

        assert sum(len(raised) for raised, _ in told) == 1
        assert not any(cleared for _, cleared in told)
        assert page.raised["flat"].since_step == 500

    def test_a_finding_is_cleared_when_it_has_been_gone_for_long_enough(self):
        page, told = turns(["flat"], ["flat"], *[[]] * CLEAR)

        assert told[-1] == ([], ["flat"])
        assert page.raised == {}

    def test_a_run_that_is_lost_is_told_at_once(self):
        _, told = turns(["diverged"])

        assert told == [(["diverged"], [])]

    def test_the_same_evaluation_read_again_counts_once(self):
        page = Page()
        for _ in range(5):
            page, raised, cleared = turn(page, 500, 0.0, {"flat": None})
            assert (raised, cleared) == ([], [])

        page, raised, _ = turn(page, 1000, 0.0, {"flat": None})
        for _ in range(5):
            page, _, cleared = turn(page, 1000, 0.0, {})
            assert cleared == []
        assert raised == ["flat"]

    def test_what_held_before_counts_where_the_page_does_not_know(self):
        _, raised, _ = turn(Page(), 1000, 0.0, {"flat": None}, before={"flat"})

        assert raised == ["flat"]

    def test_is_kept_on_disk(self, tmp_path):
        place = tmp_path / "deep" / "ledger.json"
        with Ledger(LOG, place).turned() as pages:
            pages["run"] = turns(["flat"], ["flat"])[0]

        assert Ledger(LOG, place).pages["run"].raised["flat"].since_step == 500
        assert list(place.parent.iterdir()) == [place]

    def test_two_watches_of_one_log_raise_once(self, tmp_path):
        place = tmp_path / "ledger.json"
        one, other = Ledger(LOG, place), Ledger(LOG, place)
        with one.turned() as pages:
            pages["run"], first, _ = turn(Page(step=1), 2, 0.0, {"flat": None}, before={"flat"})
        with other.turned() as pages:
            pages["run"], second, _ = turn(pages.get("run", Page()), 2, 0.0, {"flat": None}, before={"flat"})

        assert (first, second) == (["flat"], [])

    def test_a_full_disk_does_not_end_a_watch(self, tmp_path):
        (tmp_path / "file").touch()
        ledger = Ledger(LOG, tmp_path / "file" / "ledger.json")
        with ledger.turned() as pages:
            pages["run"] = Page(step=5)

        assert ledger.pages["run"].step == 5
        assert "can't be kept" in ledger.trouble

    @pytest.mark.parametrize("text", ["[]", "{", '{"schema":"other/1","path":"","runs":{}}', "\x00" * 99])
    def test_a_file_that_is_no_ledger_is_left_alone(self, tmp_path, text):
        place = tmp_path / "notes.json"
        place.write_text(text)

        with pytest.raises(UnreadableError, match="--state FILE"):
            Ledger(LOG, place)
        assert place.read_text() == text

    def test_lies_in_the_users_state_folder_by_the_path_of_the_log(self, tmp_path, monkeypatch):
        here = place_of(Path("train.log"))

        assert here.parent == tmp_path / "state" / "unplateau" / "watch"
        assert here != place_of(Path("other") / "train.log")
        monkeypatch.setenv("XDG_STATE_HOME", "relative")  # to be ignored, says the specification
        monkeypatch.setenv("HOME", str(tmp_path))
        assert place_of(Path("train.log")).parent == tmp_path / ".local" / "state" / "unplateau" / "watch"


class TestTheUsersCommand:
    def call(self, command, event=FLAT, names=("flat",), run=RUN):
        caller = Caller(command, frozenset(names))
        caller.heard(Update(1, 0.0, Path("run"), (run,), (event,)))
        return list(caller.finish())

    def test_is_told_what_was_raised(self, tmp_path):
        told = self.call(f"env | grep ^UNPLATEAU_ | sort > {tmp_path}/told; echo sent")

        assert [(event.kind, event.text) for event in told] == [("ran", "the command for flat is done: sent")]
        assert (tmp_path / "told").read_text().splitlines() == [
            "UNPLATEAU_CAUSE=flat",
            "UNPLATEAU_HEADLINE=The loss is flat.",
            "UNPLATEAU_LOSS=3.5696",
            "UNPLATEAU_PATH=run/train.log",
            "UNPLATEAU_RUN=run",
            "UNPLATEAU_SERIES=val_loss",
            "UNPLATEAU_STEP=14500",
            "UNPLATEAU_TEXT=The curve is flat.",
            "UNPLATEAU_VERDICT=flat",
        ]

    def test_is_not_run_for_what_was_not_asked_for(self):
        assert self.call("echo ran", names=("capacity",)) == []

    def test_is_not_run_for_a_run_that_had_ended_long_ago(self):
        old = Event(1e9, "raised", "run", "The curve is flat.", "flat", 14_500, old=True)

        assert self.call("echo ran", old) == []

    def test_what_a_log_says_is_never_part_of_the_command(self, tmp_path):
        evil = f"$(touch {tmp_path}/owned); `touch {tmp_path}/owned`\n touch {tmp_path}/owned \x00\x1b[2J"
        event = Event(1e9, "raised", evil, evil, "flat", 1)

        (told,) = self.call('printf "%s" "$UNPLATEAU_RUN"', event)

        assert told.kind == "ran"
        assert "$(touch" in told.text
        assert "\x1b" not in told.text
        assert not (tmp_path / "owned").exists()

    def test_that_fails_is_told_with_its_last_line(self):
        (told,) = self.call("echo first; echo no such host >&2; exit 7")

        assert (told.kind, told.text) == ("trouble", "the command for flat ended with 7: no such host")

    def test_that_fails_is_on_the_live_page_until_it_succeeds(self, tmp_path):
        watcher = Watcher(EXAMPLE, ledger=Ledger(EXAMPLE, tmp_path / "state.json"))
        watcher.once()
        for kind, said in (("trouble", "ended with <7>"), ("ran", "is done")):
            watcher.add(Event(1e9, kind, "train.log", said, "flat"))
            update = watcher.poll()
            shown = summary(update), line(update.runs[0], update)
            assert ["train.log: ended with &lt;7&gt;" in one for one in shown] == [kind == "trouble"] * 2

    def test_a_command_that_hangs_is_ended_with_all_that_it_began(self, tmp_path, monkeypatch):
        monkeypatch.setattr(calling, "LIMIT", 0.3)

        (told,) = self.call(f"sleep 60 & echo $! > {tmp_path}/pid; wait")

        assert "took longer than" in told.text
        deadline = time.monotonic() + 5
        while is_alive(int((tmp_path / "pid").read_text())):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def is_alive(pid):
    """False for a process that is gone, or that nobody has buried yet."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


class TestWhatIsSaid:
    def test_an_evaluation_is_a_row(self):
        said = telling.lines(
            Update(1, 0.0, Path("run"), (RUN,), (Event(1e9, "evaluated", "run", "", "", 14_500),))
        )

        assert said.partition(" ")[2].partition(" ")[2] == (
            "step 14,500: val_loss 3.57 nats, flat; -0.0083 nats per hour (-0.0064 to -0.0101) from here; "
            "5.7 h left; 3.536 (3.521 to 3.552) at step 20,000\n"
        )

    @pytest.mark.parametrize("width", [40, 80, 200])
    def test_on_a_terminal_no_row_is_wider_than_it(self, width):
        events = (FLAT, Event(1e9, "evaluated", "run", "", "", 14_500), Event(1e9, "trouble", "", "x " * 200))

        said = telling.lines(Update(1, 0.0, Path("run"), (RUN,), events), width=width)

        assert max(len(row) for row in said.splitlines()) <= min(width, 80)

    def test_of_several_runs_each_row_says_whose(self):
        other = Watched("other", "other", Path("other"))

        said = telling.lines(Update(1, 0.0, Path(), (RUN, other), (FLAT,)))

        assert "run: RAISED The curve is flat." in said

    def test_no_control_character_of_a_log_reaches_the_terminal(self):
        evil = Event(1e9, "raised", "\x1b[31mrun\x07", "\x1b]0;owned\x07 \x9b2J\r text", "flat", 1)

        for width in (None, 80):
            said = telling.lines(Update(1, 0.0, Path("run"), (RUN,), (evil,)), width=width)
            assert said.endswith("\n")
            assert all(c.isprintable() for row in said.splitlines() for c in row)

    def test_the_json_keeps_its_schema(self):
        waiting = Update(1, 1e9, Path("nowhere"), waiting="there is no nowhere")
        whole = Update(2, 1e9, Path("run"), (RUN, Watched("new", "new", Path("new.log"))), (FLAT,))

        for update in (waiting, whole):
            told = telling.as_json(update)
            assert "\n" not in told
            jsonschema.validate(json.loads(told), SCHEMA)


class TestTheVerb:
    def test_once_tells_what_is_new_and_then_nothing_twice(self, capsys):
        assert main(["watch", "--once", str(EXAMPLE)]) == 0
        first = capsys.readouterr().out
        assert main(["watch", "--once", str(EXAMPLE)]) == 0
        second = capsys.readouterr().out

        assert "step 14,500: val_loss 3.57 nats, falling" in first
        assert first.count("RAISED") == 1
        assert first.count("NOTED") == 2  # it is half way down its schedule, and still learning
        assert "RAISED" not in second
        assert "NOTED" not in second

    def test_once_tells_each_part_as_soon_as_it_is_kept(self, tmp_path):
        for i in range(3):
            (tmp_path / f"run-{i}").mkdir()
            shutil.copy(LOG, tmp_path / f"run-{i}")
        parts = []

        update = Watcher(tmp_path).once(parts.append)

        told = [event for part in parts for event in part.events]
        assert tuple(told) == update.events
        assert {event.run for event in told if event.kind == "raised"} == {run.key for run in update.runs}

    def test_once_that_is_interrupted_as_json_tells_what_it_kept(self, capsys, monkeypatch):
        def ended(watcher, heard):
            heard(watcher.poll())
            raise KeyboardInterrupt

        monkeypatch.setattr(Watcher, "once", ended)

        assert main(["watch", "--once", "--json", str(EXAMPLE)]) == 4
        assert any(event["kind"] == "raised" for event in json.loads(capsys.readouterr().out)["events"])

    def test_once_as_json_is_one_object(self, capsys):
        assert main(["watch", "--once", "--json", str(EXAMPLE)]) == 0

        (line,) = capsys.readouterr().out.splitlines()
        told = json.loads(line)
        jsonschema.validate(told, SCHEMA)
        assert [run["evaluated"] for run in told["runs"]] == [14_500]

    def test_ends_with_1_where_a_condition_is_met(self, capsys):
        assert main(["watch", "--once", "--fail-on", "lr-not-annealed", str(LOG)]) == 1
        assert main(["watch", "--once", "--fail-on", "diverged", str(LOG)]) == 0
        assert "RAISED" in capsys.readouterr().out

    def test_a_curve_that_was_not_raised_ends_nothing(self):
        once = Update(1, 0.0, Path("x"), (replace(RUN, standing=()),))
        assert not met(once, ["flat"])
        assert met(replace(once, runs=(replace(RUN, standing=(Standing("flat", 1, 0.0, None),)),)), ["flat"])
        assert met(replace(once, runs=(replace(RUN, verdict="falling"),)), ["falling"])  # is never raised

    def test_calls_once_in_two_looks(self, capsys, tmp_path):
        call = [
            "--on",
            "lr-not-annealed",
            "--run",
            f"echo called >> {tmp_path}/calls",
            "--state",
            str(tmp_path / "l.json"),
        ]
        for _ in range(2):
            assert main(["watch", "--once", *call, str(LOG)]) == 0

        assert (tmp_path / "calls").read_text() == "called\n"
        assert "the command for lr-not-annealed is done" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("args", "code", "said"),
        [
            (["nowhere"], 3, "there is no nowhere"),
            (["-"], 2, "tee train.log"),
            (["--on", "flat", "x"], 2, "--on NAME and --run CMD go together"),
            (["--run", "true", "x"], 2, "--on NAME and --run CMD go together"),
            (["--on", "flatt", "--run", "true", "x"], 2, "did you mean flat?"),
            (["--on", "falling", "--run", "true", "x"], 2, "it is no news"),
            (["--fail-on", "capacty", "x"], 2, "did you mean capacity?"),
            (["--config", "nowhere.py", "x"], 3, "there is no nowhere.py"),
            (["--state", ".", str(LOG)], 3, "it is a folder; name a file"),
            (["--state", f"{LOG}/deeper/state.json", str(LOG)], 3, "can't be written to; name a file"),
        ],
    )
    def test_a_wrong_call_is_one_line(self, args, code, said, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

        assert main(["watch", "--once", *args]) == code

        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.count("\n") == 1
        assert said in told.err

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_with_4_and_what_was_raised_is_kept(self, number, tmp_path):
        state = tmp_path / "ledger.json"
        command = [sys.executable, "-m", "unplateau", "watch", "--json", "--state", str(state), str(EXAMPLE)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
            told = json.loads(watch.stdout.readline())
            watch.send_signal(number)
            try:
                _, err = watch.communicate(timeout=20)
            finally:
                watch.kill()

        assert watch.returncode == 4
        assert err == "unplateau: interrupted\n"
        assert told["events"][0]["kind"] == "appeared"
        assert Ledger(EXAMPLE, state).pages["train.log"].raised
