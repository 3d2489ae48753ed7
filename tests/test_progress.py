"""What ``prepare`` says while it works: to people, to batch jobs, to machines; and when it is interrupted."""

import json
import os
import signal
import subprocess
import sys

import pytest

from test_prepare_job import contents, corpus, verb
from unplateau.report.prepare import Progress


class Watch:
    """Progress with a clock of its own, and all that it said."""

    def __init__(self, **how):
        self.said, self.now = "", 0.0
        self.progress = Progress(self.hear, _clock=lambda: self.now, **how)

    def hear(self, text):
        self.said += text

    def stage(self, name, parts, seconds, tokens=0):
        """A stage of ``parts``, each of which takes so many seconds and gives so many tokens."""
        for done in range(parts + 1):
            self.progress(name, done, parts, done * tokens)
            self.now += seconds if done < parts else 0


def test_a_terminal_sees_one_line_a_stage_that_never_wraps():
    watch = Watch(terminal=True, width=80)

    watch.stage("tokenise", 64, 300.0, 226_000_000)
    watch.stage("find copies", 3, 0.5)
    watch.progress("write", 1, 2, 10**12)
    watch.progress.close()
    watch.progress.close()

    stages = watch.said.split("\n")
    shown = [line.split("\r")[1:] for line in stages]
    assert [len(lines) for lines in shown] == [65, 4, 1, 0]
    assert {len(line) for lines in shown for line in lines} == {79}
    assert (
        shown[0][16].rstrip()
        == "tokenise     25% [###         ] 3.62B tokens, 753k a second, 4 h 00 min left"
    )
    assert shown[0][64].rstrip() == "tokenise    100% [############] 14.5B tokens, 753k a second, 5 h 20 min"
    assert shown[0][0].rstrip() == "tokenise      0% [            ]"


def test_on_a_narrow_terminal_lines_are_cut():
    watch = Watch(terminal=True, width=40)

    watch.stage("tokenise", 4, 1.0, 1_000_000)

    assert {len(line) for line in watch.said[:-1].split("\r")[1:]} == {39}


def test_a_batch_job_s_log_has_a_line_a_minute_and_the_end_of_each_stage():
    watch = Watch()

    watch.stage("tokenise", 100, 2.0, 1_000_000)
    watch.stage("count", 10, 0.1, 1_000_000)

    assert watch.said.splitlines() == [
        "tokenise     30% [###         ] 30M tokens, 500k a second, 2 min left",
        "tokenise     60% [#######     ] 60M tokens, 500k a second, 80 s left",
        "tokenise     90% [##########  ] 90M tokens, 500k a second, 20 s left",
        "tokenise    100% [############] 100M tokens, 500k a second, 3 min",
        "count       100% [############] 10M tokens, 10M a second, 1.0 s",
    ]


def test_a_machine_reads_one_object_a_line_five_times_a_second():
    watch = Watch(as_json=True)

    watch.stage("tokenise", 100, 0.125, 1000)

    events = [json.loads(line) for line in watch.said.splitlines()]
    assert len(events) == 51
    assert events[0] == {
        "stage": "tokenise",
        "done": 0,
        "total": 100,
        "tokens": 0,
        "seconds": 0.0,
        "left": None,
    }
    assert events[-1] == {
        "stage": "tokenise",
        "done": 100,
        "total": 100,
        "tokens": 100_000,
        "seconds": 12.5,
        "left": 0.0,
    }
    assert events[10]["left"] == pytest.approx(
        events[10]["seconds"] * (100 - events[10]["done"]) / events[10]["done"], abs=1e-3
    )


def test_a_stage_of_nothing_is_not_spoken_of():
    watch = Watch()

    watch.progress("tokenise", 0, 0, 0)

    assert watch.said == ""


def test_a_limit_is_what_progress_runs_up_to(tmp_path):
    """Red with the parts of all sources as the total: it then ends at a few percent."""
    corpus(tmp_path / "in", documents=4000)

    done = verb(
        "prepare",
        tmp_path / "in",
        "--out",
        tmp_path / "out",
        "--tokenizer",
        "bytes",
        "--limit-docs",
        "300",
        "--json",
    )

    events = [json.loads(line) for line in done.stderr.splitlines()]
    (last,) = [e for e in events if e["stage"] == "tokenise" and e["done"] == e["total"]]
    assert last["done"] >= 1


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_interrupted_it_says_so_in_one_line_and_goes_on_when_run_again(name, workers, tmp_path):
    """By Ctrl-C, or as Slurm ends a job: all processes are told. Red where SIGTERM was left to the system."""
    corpus(tmp_path / "in", documents=3000)
    code = "import sys; from unplateau.prepare import sources; sources.SMALLEST_PART = 8_000; from unplateau.cli import main; sys.exit(main(sys.argv[1:]))"
    args = [
        sys.executable,
        "-c",
        code,
        "prepare",
        tmp_path / "in",
        "--tokenizer",
        "bytes",
        "--workers",
        workers,
        "--json",
    ]
    subprocess.run([*args, "--out", tmp_path / "whole"], check=True, capture_output=True)

    child = subprocess.Popen(
        [*args, "--out", tmp_path / "out"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    first = child.stderr.readline()
    os.killpg(child.pid, getattr(signal, name))
    out, rest = child.communicate()

    assert json.loads(first)["stage"] == "tokenise"
    assert child.returncode == 4, rest
    assert rest.splitlines()[-1] == "unplateau: interrupted: the same command goes on where it was"
    assert all(line.startswith("{") for line in rest.splitlines()[:-1]), rest
    assert "Traceback" not in rest
    assert out == ""
    subprocess.run([*args, "--out", tmp_path / "out"], check=True, capture_output=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
