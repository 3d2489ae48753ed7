"""The command line from outside: exit codes, one line of error, JSON alone on standard output."""

import csv
import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from unplateau import cli
from unplateau.curve import Curve
from unplateau.run import Fact, Run

REFERENCE = files("unplateau") / "examples" / "reference-run"
LOG, CONFIG = str(REFERENCE / "train.log"), str(REFERENCE / "config.py")
START = 0.3  # seconds of CPU that --help may take, by the project's own rule


def unread(pipe):
    """Bytes written to a pipe that nobody has read yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def asleep(pid):
    """Whether a process waits in a system call (proc(5): the state stands behind the name)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def call(*args, **more):
    """Run the real command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "unplateau", *args], capture_output=True, text=True, check=False, **more
    )


def schema(name):
    found = json.loads(files("unplateau").joinpath("schemas", f"{name}-1.json").read_text())
    return jsonschema.Draft202012Validator(found)


class TestExitCodes:
    def test_help_is_0_and_so_is_no_argument(self, capsys):
        assert cli.main(["--help"]) == 0
        assert cli.main([]) == 0
        assert "diagnose" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "args",
        [
            ["prophesy", "x"],
            ["diagnose"],
            ["diagnose", LOG, "--no-such"],
            ["diagnose", LOG, "--unique-tokens", "many"],
            ["read", LOG, "--map", "val_loss"],
            ["read", LOG, "--map", "colour=blue"],
            ["read", LOG, "--unit", "furlongs"],
            ["diagnose", LOG, "--fail-on", "gremlins"],
            ["causes", "gremlins"],
        ],
        ids=" ".join,
    )
    def test_a_wrong_call_is_2_with_one_line(self, args, capsys):
        assert cli.main(args) == 2

        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("unplateau: ")
        assert said.err.count("\n") == 1

    def test_a_name_that_is_nearly_right_is_suggested(self, capsys):
        cli.main(["causes", "lr-not-anealed"])

        assert "did you mean lr-not-annealed?" in capsys.readouterr().err

    @pytest.mark.parametrize("verb", ["read", "diagnose"])
    @pytest.mark.parametrize(
        "content", [None, b"", b"hello\n", bytes(range(256)) * 20, b"\x1f\x8b broken", b'{"a": NaN']
    )
    def test_what_cannot_be_read_is_3_with_one_line(self, verb, content, tmp_path, capsys):
        log = tmp_path / "x.log"
        if content is not None:
            log.write_bytes(content)

        assert cli.main([verb, str(log), "--json"]) == 3

        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("unplateau: ")
        assert said.err.count("\n") == 1

    def test_a_cause_to_fail_on_is_1_where_it_is_supported(self, capsys):
        found = json.loads(call("diagnose", LOG, "--config", CONFIG, "--json").stdout)
        by_verdict = {f["verdict"]: f["cause"] for f in found["findings"]}
        verdict = found["state"]["verdict"]

        assert cli.main(["diagnose", LOG, "--fail-on", verdict]) == 1
        assert cli.main(["diagnose", LOG, "--config", CONFIG, "--fail-on", by_verdict["supported"]]) == 1
        assert cli.main(["diagnose", LOG, "--config", CONFIG, "--fail-on", by_verdict["refuted"]]) == 0
        capsys.readouterr()

    def test_a_fault_of_our_own_is_one_line_and_a_hint(self, monkeypatch, capsys):
        monkeypatch.setattr(cli.logs, "runs_of", lambda *_, **__: 1 / 0)
        monkeypatch.delenv("UNPLATEAU_DEBUG", raising=False)

        assert cli.main(["read", LOG]) == 3

        said = capsys.readouterr().err
        assert "ZeroDivisionError" in said
        assert "UNPLATEAU_DEBUG=1" in said
        assert said.count("\n") == 1

    def test_debugging_shows_where(self, monkeypatch):
        monkeypatch.setattr(cli.logs, "runs_of", lambda *_, **__: 1 / 0)
        monkeypatch.setenv("UNPLATEAU_DEBUG", "1")

        with pytest.raises(ZeroDivisionError):
            cli.main(["read", LOG])

    def test_control_c_is_4(self, monkeypatch, capsys):
        def interrupted(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(cli.logs, "runs_of", interrupted)

        assert cli.main(["read", LOG]) == 4
        assert capsys.readouterr().err == "unplateau: interrupted\n"

    def test_control_c_while_it_waits_for_input_is_4(self):
        # where the tests run in the background SIGINT is ignored, and a child would inherit that
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        waiting = subprocess.Popen(
            [sys.executable, "-m", "unplateau", "read", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        signal.signal(signal.SIGINT, before)
        stop = threading.Timer(60, waiting.kill)
        stop.start()
        try:
            waiting.stdin.write(b"step 1\n" * 200_000)
            waiting.stdin.flush()
            # asleep inside the read: a signal between Python's own look for one and the system call is seen only
            # when that call returns, which here is never (seen once in CI)
            while unread(waiting.stdin) or not asleep(waiting.pid):
                time.sleep(0.05)
            waiting.send_signal(signal.SIGINT)
            said = waiting.stderr.read()
            assert (waiting.wait(), said) == (4, b"unplateau: interrupted\n")
        finally:
            stop.cancel()
            waiting.kill()
            waiting.stdin.close()
            waiting.stderr.close()

    def test_a_reader_that_leaves_early_is_no_error(self):
        done = subprocess.run(
            [
                "bash",
                "-c",
                f'set -o pipefail; "{sys.executable}" -m unplateau read --csv - "{LOG}" | head -n 1',
            ],
            capture_output=True,
            text=True,
            check=False,
        )

        assert (done.stdout, done.stderr) == ("run,series,step,value\n", "")


class TestOutput:
    def test_diagnose_gives_one_object_that_keeps_to_the_schema(self):
        done = call("diagnose", LOG, "--config", CONFIG, "--json")

        assert done.returncode == 0, done.stderr
        schema("diagnosis").validate(json.loads(done.stdout))

    def test_read_gives_one_object_that_keeps_to_the_schema(self):
        done = call("read", LOG, "--json")
        said = json.loads(done.stdout)

        schema("read").validate(said)
        assert said["format"] == "nanogpt"
        assert said["runs"][0]["series"]["val_loss"]["value"][-1] == 3.5696

    def test_standard_input_reads_like_the_file(self):
        with Path(LOG).open() as log:
            piped = json.loads(call("read", "-", "--json", stdin=log).stdout)

        assert (
            piped["runs"][0]["series"] == json.loads(call("read", LOG, "--json").stdout)["runs"][0]["series"]
        )

    def test_csv_holds_every_point(self, tmp_path):
        out = tmp_path / "rows.csv"
        done = call("read", LOG, "--json", "--csv", str(out))
        said = json.loads(done.stdout)["runs"][0]["series"]

        rows = list(csv.DictReader(io.StringIO(out.read_text())))

        assert len(rows) == sum(len(s["step"]) for s in said.values())
        assert list(rows[0]) == ["run", "series", "step", "value"]

    def test_a_file_that_cannot_be_written_is_one_line(self, tmp_path, capsys):
        assert cli.main(["read", LOG, "--csv", str(tmp_path / "no" / "rows.csv")]) == 2
        assert "there is no folder" in capsys.readouterr().err

    def test_no_name_in_a_csv_is_a_formula(self):
        from unplateau.report.csv import chunks

        text = "".join(chunks([Run("=cmd()", "", {"@x": Curve([1], [2.0])})]))

        assert list(csv.reader(io.StringIO(text)))[1] == ["'=cmd()", "'@x", "1", "2.0"]

    def test_the_reference_run_is_diagnosed(self):
        done = call("diagnose", LOG)

        assert done.returncode == 0, done.stderr
        assert "val_loss 3.5" in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert len(done.stdout.splitlines()) <= 60

    def test_every_cause_has_a_page(self, capsys):
        cli.main(["causes", "--json"])
        listed = json.loads(capsys.readouterr().out)["causes"]

        assert len(listed) > 5
        for entry in listed:
            assert cli.main(["causes", entry["cause"]]) == 0
            assert "Claim:" in capsys.readouterr().out

    def test_an_ascii_terminal_gets_question_marks_not_a_crash(self):
        done = call("diagnose", LOG, env={**os.environ, "PYTHONIOENCODING": "ascii"})

        assert done.returncode == 0, done.stderr
        assert "?" in done.stdout

    def test_no_colour_is_written_to_a_pipe(self):
        assert "\x1b" not in call("diagnose", LOG).stdout

    def test_help_starts_at_once(self):
        def seconds():
            before = os.times()
            call("--help")
            after = os.times()
            return after.children_user + after.children_system - before.children_user - before.children_system

        assert min(seconds() for _ in range(3)) < START

    def test_only_verbs_that_work_are_listed(self):
        assert sorted(cli.group.commands) == [
            *("causes", "compare", "completion", "demo", "diagnose", "fix", "forecast", "mcp", "prepare"),
            *("probe", "read", "report", "sample", "simulate", "train", "verify", "watch"),
        ]


@pytest.mark.usefixtures("terminal")
class TestLook:
    @pytest.fixture
    def terminal(self, monkeypatch):
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", "120")
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)

    def test_a_terminal_gets_colour_and_at_most_80_columns(self):
        assert cli.logs.look() == {"width": 80, "colour": True}

    def test_no_color_is_heeded(self, monkeypatch):
        monkeypatch.setenv("NO_COLOR", "1")

        assert not cli.logs.look()["colour"]

    def test_a_narrow_terminal_is_heeded(self, monkeypatch):
        monkeypatch.setenv("COLUMNS", "60")

        assert cli.logs.look()["width"] == 60


class TestHelp:
    def test_simulate_names_its_default_folder_and_its_limits(self, capsys):
        from unplateau.simulate import LONGEST, SHORTEST

        assert cli.main(["simulate", "--help"]) == 0
        said = " ".join(capsys.readouterr().out.split())

        assert "[default: simulated-CAUSE-SEVERITY-SEED]" in said
        assert f"{SHORTEST:,} to {LONGEST:,}" in said


class TestALogWithoutLosses:
    """Exit 3 and one line, never an empty diagnosis."""

    def test_is_refused_with_the_series_that_were_found(self, capsys, monkeypatch):
        rates = Run("rates.log", "demo", {"lr": Curve([1, 2, 3, 4], [0.1] * 4)})
        monkeypatch.setattr(cli.logs, "runs_of", lambda *_, **__: [rates])

        assert cli.main(["diagnose", "rates.log"]) == cli.UNREADABLE
        told = capsys.readouterr()
        assert told.out == ""
        assert "found lr" in told.err
        assert told.err.count("\n") == 1

    def test_is_diagnosed_where_the_scaler_says_why(self, capsys):
        fact = Fact(4, "steps", "log line 1")
        run = Run("meg.out", "megatron", {"lr": Curve([1, 2, 3, 4], [0.0] * 4)}, {"skipped_steps": fact})

        assert cli.logs.show([run], as_json=False, verbose=False) == cli.DONE
        assert "4 of 4 steps were skipped" in capsys.readouterr().out
