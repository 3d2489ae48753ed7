"""The job: arms as processes, one after another; ended at any instant it goes on; a folder that is not ours is only read.

A stand-in takes the trainer's place (``probed_runs``), so that nothing is trained; one test at the end trains.

Seen red, but for the one of ``_known`` and ``prove``, which were not run:
- ``finish`` that keeps nothing: test_what_was_finished_is_kept_and_a_half_arm_goes_on (the first arm ran twice);
- ``alone`` without its lock: test_two_probes_of_one_run_are_one_too_many;
- ``goes_on`` that is never true: test_a_plan_that_was_begun_holds_whatever_one_would_plan_now;
- a process without ``preexec_fn``: test_ended_by_a_signal_no_arm_is_left_behind, for SIGKILL;
- ``root_of`` that is the folder itself: test_a_folder_that_is_not_ours_is_only_read;
- ``prove`` without ``enough``: test_it_is_ended_where_the_time_of_the_budget_is_over_and_says_so;
- ``_known`` that is never true: test_an_evaluation_that_a_killed_probe_left_is_not_run_again;
- ``settled`` that is never true: test_an_arm_is_stopped_once_all_is_decided.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from probed_runs import STEP, TRAINER, own_run, stand_in
from small_runs import SMALL, write_text
from unplateau.cli import main
from unplateau.diagnosis import diagnose
from unplateau.errors import UnplateauError
from unplateau.probe import told
from unplateau.probe.job import job_of, spread
from unplateau.probe.kept import Kept, alone, begin, evidence_of, finish, read_plan, write_plan
from unplateau.probe.plan import Budget
from unplateau.probe.process import run_arm
from unplateau.probe.proof import prove
from unplateau.probe.site import where
from unplateau.probes import Arm, Trial, context, cooldown
from unplateau.reading import read_runs

BUDGET = ("--budget-tokens", "40000")
ARMS = ("hold", "cooldown")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run with one probe, the cooldown, and the stand-in for the trainer."""
    path = own_run(tmp_path)
    monkeypatch.setattr("unplateau.probe.process.command", stand_in(tmp_path))
    for module in ("plan", "told"):
        monkeypatch.setattr(f"unplateau.probe.{module}.discover", lambda _: {"cooldown": cooldown.PROBE})
    return path


def arms(run):
    return [run / "evidence" / "cooldown" / name for name in ARMS]


def calls(arm):
    return (arm / "calls").read_text().split()


def probed(run, *words):
    return main(["probe", str(run), *BUDGET, *words])


class TestRunning:
    def test_evidence_is_written_and_the_causes_are_ranked_anew(self, run, capsys):
        assert probed(run) == 0

        said = capsys.readouterr()
        assert "cooldown 1/2 hold: " in said.err
        assert "likelier with lr-not-annealed than without" in said.out
        assert "before: lr-not-annealed" in said.out
        assert f"Evidence: {run}/evidence" in " ".join(said.out.split())
        kept = json.loads((run / "evidence" / "cooldown.json").read_text())
        assert kept["checkpoint"]["step"] == STEP
        assert [arm["name"] for arm in kept["arms"]] == list(ARMS)
        assert kept["told"][0]["log_odds"] > 1
        (found,) = read_runs(run)
        assert found.probed[0].cause == "lr-not-annealed"

    def test_a_checkpoint_between_two_rows_of_the_log_is_one_of_this_run(self, run):
        assert probed(run) == 0
        rows = (run / "log.jsonl").read_text().splitlines()
        (run / "log.jsonl").write_text("".join(f"{row}\n" for row in rows[:-2]))  # it ends at step 990

        (found,) = read_runs(run)
        assert found.get("steps_done") == STEP - 10
        assert found.probed[0].step == STEP
        assert not [w for w in found.warnings if "not used" in w]

    @pytest.mark.parametrize("words", [["--plan"], []], ids=["plan", "run"])
    def test_the_json_is_that_of_the_contract(self, run, capsys, words):
        assert probed(run, "--json", *words) == 0

        found = json.loads(capsys.readouterr().out)
        schema = json.loads(files("unplateau").joinpath("schemas", "probe-1.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(found)
        (probe,) = found["probes"]
        assert (found["after"] is None) == bool(words)
        assert (probe["outcome"] is None) == bool(words)
        assert (probe["arms"][1]["loss"] is None) == bool(words)
        assert probe["arms"][1]["patch"]["floor_lr"] == [1e-4, 0.0]

    def test_a_failing_arm_is_one_line_with_the_trainers_own_words(self, run, capsys, monkeypatch):
        monkeypatch.setenv("FAKE_FAILS", "the disk is full: make room")

        assert probed(run) == 3
        assert capsys.readouterr().err.splitlines()[-1] == (
            "unplateau: the arm checkpoint of baseline failed: the disk is full: make room"
        )

    def test_data_that_are_not_the_runs_own_are_found_out_before_an_arm_is_trained(
        self, run, capsys, monkeypatch
    ):
        monkeypatch.setenv("FAKE_DATA", "another text")

        assert probed(run) == 3
        assert "the data are not those of this run" in capsys.readouterr().err
        assert not arms(run)[0].exists()

    def test_without_fingerprints_the_loss_tells(self, run, capsys):
        (run / "evaluations" / "plan.json").unlink()  # the log has 2.99 there, the stand-in 3.0
        assert probed(run) == 0

        rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        rows[-1]["val_loss"] -= 0.8
        (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        shutil.rmtree(run / "evidence")  # else nothing is open any more
        assert probed(run) == 3
        assert "val loss on these data is 3.0" in capsys.readouterr().err

    def test_the_time_of_the_budget_ends_what_takes_longer(self, run, capsys, monkeypatch):
        monkeypatch.setenv("FAKE_SECONDS", "30")
        monkeypatch.setattr("unplateau.probe.job.LOOK", 0.1)
        begun = time.monotonic()
        # planned to fit into 15 s, of which each arm takes 30
        monkeypatch.setattr("unplateau.probe.proof.prove", lambda *_: True)
        monkeypatch.setattr("unplateau.probe.job.prove", lambda *_: True)
        monkeypatch.setattr("unplateau.probe.plan.STARTING", 0.0)

        assert main(["probe", str(run), "--budget", "2s"]) == 0
        assert time.monotonic() - begun < 20
        assert "stopped early" in capsys.readouterr().err
        assert (arms(run)[0] / "saved").exists()


class TestTheBaseline:
    @pytest.fixture(autouse=True)
    def foreign(self, run, monkeypatch):
        (run / "evaluations" / "plan.json").unlink()  # without fingerprints the loss must be evaluated
        monkeypatch.setattr("unplateau.probe.plan.STARTING", 0.0)

    def test_it_is_ended_where_the_time_of_the_budget_is_over_and_says_so(self, run, capsys, monkeypatch):
        monkeypatch.setenv("FAKE_SECONDS", "30")
        begun = time.monotonic()
        assert main(["probe", str(run), "--budget", "2s"]) == 0

        said = " ".join(capsys.readouterr().out.split())
        assert time.monotonic() - begun < 15
        assert re.search(
            r"the time of the budget is over; the baseline took [12] s of it: give a larger --budget", said
        )
        assert not arms(run)[0].exists()  # nothing is trained on data that nobody has proved
        monkeypatch.delenv("FAKE_SECONDS")
        assert probed(run) == 0
        assert calls(run / "evidence" / "baseline" / "checkpoint") == [f"{STEP:08d}", "resume"]

    def test_an_evaluation_that_a_killed_probe_left_is_not_run_again(self, run, monkeypatch):
        def killed(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr("unplateau.probe.proof.finish", killed)
            assert probed(run) == 4
        assert probed(run) == 0
        assert calls(run / "evidence" / "baseline" / "checkpoint") == [f"{STEP:08d}"]

    def test_fingerprints_end_it_before_its_evaluation(self, tmp_path, monkeypatch):
        folder = own_run(tmp_path / "other")
        early = TRAINER.replace("time.sleep(", "SLEEP(", 1)
        head, _, tail = early.partition("SLEEP(")
        plan = next(line for line in tail.splitlines() if line.startswith("plan ="))
        write = next(line for line in tail.splitlines() if "plan.json" in line)
        (tmp_path / "trainer.py").write_text(f"{head}{plan}\n{write}\ntime.sleep({tail}")
        monkeypatch.setattr(
            "unplateau.probe.process.command",
            lambda words: [sys.executable, str(tmp_path / "trainer.py"), *words],
        )
        monkeypatch.setenv("FAKE_SECONDS", "60")
        (found,) = read_runs(folder)
        begun = time.monotonic()
        with alone(folder) as evidence:
            assert prove(where(found, folder), evidence, "sha", lambda _: None)
        assert time.monotonic() - begun < 20


class TestGoingOn:
    def test_what_was_finished_is_kept_and_a_half_arm_goes_on(self, run, capsys, monkeypatch):
        begun = []

        def broken(words, folder, enough=None):  # noqa: ARG001
            begun.append(folder.name)
            if folder.name == "cooldown":
                (folder).mkdir()
                (folder / "config.json").write_text("{}")
                raise KeyboardInterrupt
            return run_arm(words, folder)

        with monkeypatch.context() as patched:
            patched.setattr("unplateau.probe.job.run_arm", broken)
            assert probed(run) == 4
        kept = read_plan(run / "evidence")
        assert not kept.finished
        assert probed(run) == 0

        hold, down = arms(run)
        assert calls(hold) == [f"{STEP:08d}"]  # once
        assert calls(down) == ["resume"]
        assert calls(run / "evidence" / "baseline" / "checkpoint") == [f"{STEP:08d}"]
        assert read_plan(run / "evidence").finished
        capsys.readouterr()
        assert probed(run) == 2  # nothing is left that a probe would tell
        assert "nothing to run" in capsys.readouterr().err

    def test_a_plan_that_was_begun_holds_whatever_one_would_plan_now(self, run):
        (found,) = read_runs(run)
        place, told_now = where(found, run), diagnose(found)
        budget = Budget(40_000, None, "40k")
        write_plan(evidence_of(run), Kept(place.sha256(), "40k", {"cooldown": 20_000}, ("what came first",)))

        begun_before = job_of(place, told_now, budget)
        assert begun_before.kept.before == ("what came first",)
        assert begun_before.plan.chosen[0].budget == 20_000
        for other in (job_of(place, told_now, budget, again=True), job_of(place, told_now, Budget(40_000))):
            assert other.kept.before[0] == "lr-not-annealed"

    def test_arms_of_another_checkpoint_are_moved_aside_and_kept(self, tmp_path):
        place = tmp_path / "cooldown"
        assert begin(place, "one", {"hold": ["--seed=1"]}) == set()
        (place / "hold").mkdir()
        finish(place, "hold")
        assert begin(place, "one", {"hold": ["--seed=1"]}) == {"hold"}
        assert begin(place, "two", {"hold": ["--seed=1"]}) == set()
        assert (tmp_path / "cooldown.before-1" / "hold").is_dir()
        assert not (place / "hold").exists()

    @pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"schema": "unplateau.probing/1"}'])
    def test_a_damaged_plan_is_no_plan(self, tmp_path, damage):
        (tmp_path / ".plan").write_bytes(damage)

        assert read_plan(tmp_path) is None

    def test_two_probes_of_one_run_are_one_too_many(self, run, capsys):
        with alone(run):
            assert probed(run) == 3
        assert "another probe works in" in capsys.readouterr().err

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_ended_by_a_signal_no_arm_is_left_behind(self, tmp_path, number):
        run = own_run(tmp_path)
        (tmp_path / "trainer.py").write_text(TRAINER)
        code = (
            "import sys; import unplateau.probe.process as p; from unplateau.cli import main\n"
            f"p.command = lambda words: [sys.executable, {str(tmp_path / 'trainer.py')!r}, *words]\n"
            f"sys.exit(main(['probe', {str(run)!r}]))"
        )
        job = subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, "FAKE_SECONDS": "60"}, stderr=subprocess.PIPE
        )
        arm = run / "evidence" / "baseline" / "checkpoint"
        wait_until((arm / "ready").exists)
        job.send_signal(number)
        said = job.communicate(timeout=30)[1].decode()

        wait_until((arm / "saved").exists)
        if number == signal.SIGKILL:
            assert job.returncode == -signal.SIGKILL
        else:
            assert job.returncode == 4
            assert "finished arms are kept, and the same command goes on" in said.splitlines()[-1]


def wait_until(true, seconds=30):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


class TestSideBySide:
    def test_the_listed_commands_are_those_of_the_arms_and_collect_reads_them(self, run, capsys):
        assert probed(run, "--collect") == 2
        assert "run it with --list first" in capsys.readouterr().err
        assert probed(run, "--list") == 0
        lines = capsys.readouterr().out.splitlines()

        assert [line.rpartition("/")[2] for line in lines[:2]] == list(ARMS)
        assert lines[2] == f"unplateau probe {run} --collect"
        for line in lines[:2]:
            words = line.split()[2:]
            subprocess.run(stand_in(run.parent)(words), check=True)
        assert probed(run, "--collect") == 0
        assert "likelier with lr-not-annealed" in capsys.readouterr().out

    def test_all_arms_at_once_by_an_executor(self, run):
        class Executor:
            """Like Ray's, in this process."""

            def map(self, function, items):
                return map(function, items)

        (found,) = read_runs(run)
        job = job_of(where(found, run), diagnose(found), Budget(40_000, None, "x"))
        outcomes = spread(job, Executor(), lambda _: None)

        assert outcomes[0].odds["lr-not-annealed"] > 1
        assert (run / "evidence" / "cooldown.json").exists()

    def test_without_ray_there_is_one_line(self, run, capsys, monkeypatch):
        monkeypatch.setattr("unplateau.probe.side_by_side.find_spec", lambda _: None)

        assert probed(run, "--ray") == 3
        assert "pip install 'unplateau[ray]'" in capsys.readouterr().err


class TestStopping:
    TRIAL = Trial(
        "cooldown",
        "",
        (Arm("hold", 75, start=500), Arm("cooldown", 75, start=500)),
        cooldown.PREDICTIONS,
        1,
        0.01,
    )

    def test_an_arm_is_stopped_once_all_is_decided(self, tmp_path, monkeypatch):
        run = stand_in(tmp_path)
        monkeypatch.setenv("FAKE_WON", "0.08")
        for name, schedule in (("hold", "constant"), ("cooldown", "wsd")):
            found = told.outcome_of(self.TRIAL, tmp_path)
            assert not told.settled(found, {"lr-not-annealed": 0.9})
            words = [f"--out_dir={tmp_path / name}", f"--schedule={schedule}", "--max_steps=575"]
            subprocess.run(run([*words, "--init_from=x"]), check=True)

        found = told.outcome_of(self.TRIAL, tmp_path)
        assert told.settled(found, {"lr-not-annealed": 0.9})
        assert told.settled(found, {"lr-not-annealed": 0.9, "capacity": 0.5})  # of which it tells nothing
        assert not told.settled(found, {"lr-not-annealed": 0.021})

    def test_a_process_is_ended_when_it_has_told_enough(self, tmp_path, monkeypatch):
        monkeypatch.setattr("unplateau.probe.process.command", stand_in(tmp_path))
        monkeypatch.setenv("FAKE_SECONDS", "60")
        place = tmp_path / "arm"
        words = (f"--out_dir={place}", "--init_from=x", "--max_steps=5")

        assert not run_arm(words, place, (place / "ready").exists)
        assert (place / "saved").exists()

    def test_a_process_that_is_killed_is_one_line(self, tmp_path, monkeypatch):
        monkeypatch.setattr(
            "unplateau.probe.process.command",
            lambda _: [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"],
        )
        with pytest.raises(UnplateauError, match="the arm a of b failed: it ended with -9 and no word"):
            run_arm(("--out_dir=x",), tmp_path / "b" / "a")


def hashes(folder):
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.usefixtures("one_thread")
def test_a_folder_that_is_not_ours_is_only_read(tmp_path, capsys, monkeypatch):
    """nanoGPT's out_dir, with real arms: a look at its ckpt.pt and its data."""
    from unplateau.train.configure import resolve
    from unplateau.train.loop import train

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for module in ("plan", "told"):
        monkeypatch.setattr(f"unplateau.probe.{module}.discover", lambda _: {"context": context.PROBE})
    theirs, ours = tmp_path / "out-toy", tmp_path / "ours"
    theirs.mkdir()
    (tmp_path / "data" / "toy").mkdir(parents=True)
    write_text(tmp_path / "data" / "toy", 20_000, 6_000)
    words = (
        "--preset=nanogpt",
        "--nanogpt_ckpt=True",
        "--max_steps=40",
        "--eval_interval=10",
        "--warmup_steps=2",
    )
    more = ("--gradient_accumulation_steps=1", "--eval_iters=5", "--log_interval=5", "--learning_rate=1e-2")
    with (theirs / "train.log").open("w") as log:
        line = [f"--dataset={tmp_path / 'data' / 'toy'}", f"--out_dir={ours}"]
        train(resolve(None, [*SMALL, *words, *more, *line, "--log_style=nanogpt"]), log)
    (ours / "ckpt.pt").rename(theirs / "ckpt.pt")
    before = hashes(tmp_path)

    assert (
        main(["probe", str(theirs), "--data", str(tmp_path / "data" / "toy"), "--budget-tokens", "9000"]) == 0
    )
    said = capsys.readouterr()
    root = tmp_path / "out-toy-probes"
    assert f"{root}/evidence" in "".join(said.out.split())
    assert any((root / "evidence").glob("*.json"))
    after = {p: h for p, h in hashes(tmp_path).items() if root not in p.parents}
    assert after == before
    assert not any(Path(theirs).rglob("evidence"))
