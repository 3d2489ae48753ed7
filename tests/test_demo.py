"""The demo: its verbs hand over to each other, it goes on where it was ended, and writes into no folder but its own.

Guards, each seen red once:
- nothing taken of what is kept: test_what_is_done_is_not_done_again;
- no look at ``demo.json`` in a folder that is there: test_a_folder_of_anything_else_is_refused;
- ``loop.mended`` the first finding, supported or not: test_what_is_only_suspected_is_not_mended;
- signals left to Python: test_a_signal_ends_the_verb_and_says_that_the_demo_goes_on (it ends by the signal, without a word).
"""

import json
import signal
import subprocess
import sys
import time
from importlib.resources import files

import jsonschema
import pytest

from unplateau import cli
from unplateau.cli import showing
from unplateau.demo import job, steps
from unplateau.demo.place import Order
from unplateau.demo.planted import PLANTED, STEPS, config_of, settings_of
from unplateau.demo.steps import Step
from unplateau.errors import StoppedError, UnplateauError, UsageError
from unplateau.plugins import discover
from unplateau.report import demo as words

VERBS = ["prepare", "train", "before", "diagnose", "probe", "after", "fix", "train-mended", "verify"]
#: in the place of a verb
REFUSES = "import sys; print('unplateau: no room is left; make some'); sys.exit(3)"
STOPS = "import sys; print('unplateau: interrupted'); sys.exit(4)"
SLEEPS = "import pathlib, time; pathlib.Path('sleeps').touch(); time.sleep(60)"


class Heard:
    """Keeps what is told."""

    def __init__(self):
        self.began, self.rows, self.said = [], [], []

    def begins(self, step, *, earlier):
        self.began.append((step.name, earlier))

    def row(self, text):
        self.rows.append(text)

    def ended(self, found):
        pass

    def means(self, name, loop):
        self.said.append(words.meaning(name, loop))


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The demo at a tenth of its steps, of a mistake that is told from 80 steps too."""
    out = tmp_path_factory.mktemp("demo") / "out"
    order, voice = Order("batch-too-small", 1, STEPS // 10, out, ("--budget", "8s")), Heard()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        return order, job.run(order, voice), voice


class TestTheLoop:
    def test_each_verb_hands_over_to_the_next(self, shown):
        _, loop, voice = shown

        assert [one.step.name for one in loop.done] == VERBS
        assert [name for name, _ in voice.began] == [
            name for name in VERBS if name not in ("before", "after")
        ]
        assert loop.mended == loop.planted.cause == "batch-too-small"
        assert set(loop.losses) == {"run", "run-batch-too-small"}
        assert loop.verdict is not None
        assert loop.verdict.achieved.value == pytest.approx(
            loop.losses["run"] - loop.losses["run-batch-too-small"], abs=0.01
        )

    def test_what_it_tells_is_the_contracts_json(self, shown):
        schema = json.loads(files("unplateau").joinpath("schemas", "demo-1.json").read_text())

        jsonschema.validate(words.document(shown[1]), schema)

    def test_its_words_fit_a_terminal(self, shown):
        _, loop, voice = shown
        said = words.text(loop)

        report = words.report(loop)

        assert max(map(len, report.splitlines())) <= 80
        assert report.endswith(said)
        assert "$ unplateau verify run run-batch-too-small" in report
        assert len(voice.said) == 6
        assert "batch-too-small" in said

    def test_its_page_shows_both_runs(self, shown, capsys):
        order, loop, _ = shown

        showing.show(loop, order.out, as_json=False)

        page = (order.out / "report.html").read_text("utf-8")
        assert "2 runs side by side" in page
        assert "run-batch-too-small" in page
        assert "report.html to look at" in capsys.readouterr().out

    def test_what_is_done_is_not_done_again(self, shown, monkeypatch):
        order, loop, _ = shown
        monkeypatch.setattr(steps, "command", lambda _: [sys.executable, "-c", REFUSES])
        voice = Heard()

        again = job.run(order, voice)

        assert all(earlier for _, earlier in voice.began)
        assert words.document(again) == words.document(loop) | {
            key: pytest.approx(value, abs=0.1)
            for key, value in words.document(loop).items()
            if key.endswith("seconds")
        } | {"steps": words.document(again)["steps"]}


class TestWhereItWrites:
    def test_a_folder_of_anything_else_is_refused(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("x")

        with pytest.raises(UsageError, match="holds no demo"):
            job.run(Order("lr-too-low", 1, STEPS, tmp_path), Heard())
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    def test_a_file_is_refused(self, tmp_path):
        (tmp_path / "file").write_text("x")

        with pytest.raises(UsageError, match="no folder"):
            job.run(Order("lr-too-low", 1, STEPS, tmp_path / "file"), Heard())

    def test_another_demo_is_refused_by_its_name(self, shown):
        order = shown[0]

        with pytest.raises(UsageError, match="demo of batch-too-small with seed 1 and 80 steps"):
            job.run(Order("batch-too-small", 2, order.steps, order.out), Heard())

    def test_a_run_that_was_ended_goes_on_and_one_that_had_not_begun_is_made_anew(self, tmp_path):
        work = job.Work(Order("lr-too-low", 1, STEPS, tmp_path), Heard(), None, {})
        (tmp_path / "run" / "checkpoints" / "00000040").mkdir(parents=True)
        goes_on = job._training(work, "train", "plateau.toml", "run")
        (tmp_path / "run" / "checkpoints" / "00000040").rmdir()
        anew = job._training(work, "train", "plateau.toml", "run")

        assert (goes_on.line, anew.line) == ("unplateau train run", "unplateau train plateau.toml")
        assert not (tmp_path / "run").exists()


class TestAVerbThatFails:
    def test_is_told_in_its_own_words_with_its_exit_code(self, tmp_path, monkeypatch):
        monkeypatch.setattr(steps, "command", lambda _: [sys.executable, "-c", REFUSES])

        with pytest.raises(UnplateauError, match=r"unplateau prepare .*: no room is left; make some") as told:
            job.run(Order("lr-too-low", 1, STEPS, tmp_path), Heard())
        assert told.value.exit_code == 3

    def test_that_was_interrupted_ends_the_demo_with_4(self, tmp_path, monkeypatch):
        monkeypatch.setattr(steps, "command", lambda _: [sys.executable, "-c", STOPS])

        with pytest.raises(StoppedError, match="the same command goes on"):
            job.run(Order("lr-too-low", 1, STEPS, tmp_path), Heard())

    def test_a_signal_ends_the_verb_and_says_that_the_demo_goes_on(self, tmp_path):
        code = (
            "import sys\nfrom unplateau import cli\nfrom unplateau.demo import steps\n"
            f"steps.command = lambda words: [sys.executable, '-c', {SLEEPS!r}]\n"
            f"sys.exit(cli.main(['demo', '--out', {str(tmp_path / 'out')!r}]))"
        )
        process = subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True)
        until = time.monotonic() + 60
        while not (tmp_path / "out" / "sleeps").exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)

        assert process.returncode == 4
        assert time.monotonic() - began < 30
        assert said.splitlines() == [
            "unplateau: interrupted: what is done is kept, and the same command goes on"
        ]


class TestWhatItPlants:
    @pytest.mark.parametrize("cause", PLANTED)
    def test_each_mistake_is_a_cause_and_a_config_that_trains(self, cause, tmp_path):
        from unplateau.train.configure import resolve

        assert cause in discover("hypotheses")
        (tmp_path / "plateau.toml").write_text(config_of(PLANTED[cause], 7))
        told = resolve(tmp_path / "plateau.toml", ()).settings

        for key, value in settings_of(PLANTED[cause], 7).items():
            if key not in ("preset", "dataset", "compile"):
                assert getattr(told, key) == value, key

    def test_there_are_six(self):
        assert len(PLANTED) >= 6

    def test_what_is_only_suspected_is_not_mended(self):
        found = [
            {"cause": "still-learning", "verdict": "supported", "remedy": {"patch": {"max_steps": [1, 2]}}},
            {"cause": "capacity", "verdict": "undecided", "remedy": {"patch": {"n_embd": [1, 2]}}},
            {"cause": "noisy-data", "verdict": "supported", "remedy": {"patch": {}}},
        ]

        assert job.chosen(found) == ""


class TestTheVerb:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--cause", "lr-too-hgh"], "did you mean lr-too-high?"),
            (["--cause", "val-leak"], "the demo makes no mistake that is val-leak; it knows lr-not-annealed"),
            (["--seed", "-1"], "-1 is not in the range"),
        ],
    )
    def test_a_wrong_call_is_one_line_and_2(self, words, said, capsys):
        assert cli.main(["demo", *words]) == 2
        told = capsys.readouterr()
        assert said in told.err
        assert len(told.err.splitlines()) == 1
        assert told.out == ""

    def test_long_output_is_shown_by_its_first_and_last_rows(self, capsys):
        telling = showing.Telling("out", sys.stdout)
        step = Step("train", ("train", "plateau.toml"))
        telling.begins(step, earlier=False)
        for number in range(10):
            telling.row(f"row {number}")
        telling.ended(steps.Done(step, 0, 1.0, 1.0, ""))

        assert capsys.readouterr().out.splitlines()[-3:] == [
            "  … 8 rows more in steps/train.txt",
            "row 8",
            "row 9",
        ]
