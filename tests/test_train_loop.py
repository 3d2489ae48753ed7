"""Runs from first to last, small ones: what they leave behind, and how they end."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch

from small_runs import SMALL, rows, write_text
from unplateau import cli
from unplateau.cli._foresight import Foresight
from unplateau.reading import read_runs
from unplateau.train import trackers
from unplateau.train.configure import resolve
from unplateau.train.loop import train

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = (
    *SMALL,
    *("--max_steps=40", "--eval_interval=20", "--log_interval=5", "--optimizer=adamw"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("data"), 20_000, 4_000)


def words(data, out, *more):
    return [*WORDS, f"--dataset={data}", f"--out_dir={out}", *more]


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "out"
    return train(resolve(None, words(data, out)))


def test_the_loss_falls_and_the_end_is_told(done):
    evaluated = [row for row in rows(done.folder) if "val_loss" in row]

    assert [row["step"] for row in evaluated] == [0, 20, 40]
    assert evaluated[0]["val_loss"] == pytest.approx(np.log(32), abs=0.3)
    assert evaluated[-1]["val_loss"] < evaluated[0]["val_loss"] - 0.3
    assert done.losses["val_loss"] == pytest.approx(evaluated[-1]["val_loss"], rel=1e-6)
    assert (done.step, done.stopped) == (40, "")


def test_rows_of_steps_say_where_in_the_data_they_are(done):
    steps = [row for row in rows(done.folder) if "batch_loss" in row]

    assert [row["step"] for row in steps] == list(range(0, 40, 5))
    assert [row["tokens"] for row in steps] == [64 * row["step"] for row in steps]
    assert all(a["unique_tokens"] < b["unique_tokens"] for a, b in pairwise(steps))
    assert {"lr", "grad_norm", "epoch", "step_ms", "tokens_per_second", "memory"} <= set(steps[0])


def test_the_doctor_needs_no_flag(done):
    (run,) = read_runs(done.folder)

    assert run.warnings == ()
    assert not run.has("config_unread")
    assert run.get("params") == 32 * 16 + 12 * 16 * 16
    assert run.get("tokens_seen") == 40 * 64
    assert run.get("train_tokens") == 20_000
    assert run.schedule(40) == 0.0
    assert [run.schedule(row["step"]) for row in rows(done.folder)] == pytest.approx(
        [row["lr"] for row in rows(done.folder)]
    )


def test_no_run_is_written_over_another(done, data, capsys):
    assert cli.main(["train", *words(data, done.folder)]) == 2
    assert "holds a run of 40 steps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ((), 2, "holds a run of 40 steps"),
        (("--out_dir=new", "--device=cuda:7"), 2, "device"),
        (("--out_dir=new", "--dataset=nowhere"), 3, "there is no data folder nowhere"),
        (("--init_from=resume", "--max_steps=60"), 2, "the learning rate has come down to 0 by step 40"),
        (("--out_dir=new", "--architecture=mamba"), 2, "architecture 'mamba'"),
        (("--out_dir=new", "--trackio=True"), 2, "trackio is not installed: pip install trackio"),
        (("--out_dir=new", "--batch_size=100000000"), 2, "GiB of memory; there are"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["run", "dry"])
def test_what_is_known_to_be_wrong_is_one_line_and_nothing_else(
    done, data, more, code, said, dry, capsys, monkeypatch
):
    if "cuda" in str(more) and torch.cuda.is_available():
        pytest.skip("this machine has the device")
    monkeypatch.delitem(sys.modules, "trackio", raising=False)
    monkeypatch.setattr(trackers, "find_spec", lambda _: None)  # also where it is installed
    assert cli.main(["train", *words(data, done.folder, *more, *dry)]) == code

    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert told.err.count("\n") == 1


def test_a_run_with_a_floor_is_made_longer_with_its_schedule_told_in_one_line(data, tmp_path, capsys):
    first = words(data, tmp_path / "out", "--max_steps=8", "--floor_lr=0.001", "--log_interval=1")
    train(resolve(None, [*first, "--schedule=cosine", "--log_style=none"]))
    for steps in (16, 24):
        more = ["--init_from=resume", f"--max_iters={steps}", f"--out_dir={tmp_path / 'out'}"]
        assert cli.main(["train", *more]) == 0
        said = capsys.readouterr().out
        assert f"note: the schedule ends with the run, now at step {steps} (it was {steps - 8})" in said
        assert f"from step {steps - 8}: 8 steps are left" in " ".join(said.split())

    lr = [row["lr"] for row in rows(tmp_path / "out") if "batch_loss" in row]
    assert len(lr) == 24
    assert all(later <= earlier for earlier, later in pairwise(lr[1:]))


def test_a_dry_run_counts_what_is_left_of_a_run_and_all_that_it_does(done, data, capsys):
    short = ["train", *words(data, done.folder.parent / "new", "--max_steps=500"), "--dry-run", "--json"]
    told = []
    for more in (["--eval_interval=500"], ["--eval_interval=5"], ["--max_steps=5"]):
        assert cli.main([*short, *more]) == 0
        told.append(json.loads(capsys.readouterr().out)["rehearsal"])

    rare, often, few = told
    assert all(one["low"] <= one["whole"] <= one["high"] for one in told)
    assert all(one["start"] > 0 and one["evaluation"] > 0 and one["checkpoint"] > 0 for one in told)
    assert rare["whole"] - rare["start"] >= 500 * rare["step"] + 2 * rare["evaluation"]
    assert often["whole"] - often["start"] >= 500 * often["step"] + 101 * often["evaluation"]
    assert few["whole"] - few["start"] < 20 * few["step"] + 3 * (few["evaluation"] + few["checkpoint"])


def test_a_signal_ends_it_with_4_and_the_step_is_said(data, tmp_path):
    args = [sys.executable, "-m", "unplateau", "train", *words(data, tmp_path / "out", "--max_steps=1000000")]
    args += ["--log_style=rich"]
    with subprocess.Popen(
        args, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    ) as process:
        for line in process.stdout:
            if line.startswith("step 20 "):
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stdout.read()

    assert process.returncode == 4
    assert "SIGTERM: saved at step" in rest


def test_nanogpt_s_own_lines_are_read_as_its_log(data, tmp_path):
    log = tmp_path / "train.log"
    with log.open("w") as stream:
        train(resolve(None, words(data, tmp_path / "out", "--log_style=nanogpt")), stream)

    (run,) = read_runs(log)
    assert run.format == "nanogpt"
    assert run.series["val_loss"].step.tolist() == [0, 20, 40]
    assert len(run.series["batch_loss"]) == 8


def own_shard(folder, split, tokens):
    """A shard as ``unplateau prepare`` writes it, of documents of 100 tokens."""
    ends = np.arange(100, len(tokens) + 1, 100).astype("<u8")
    head = {"schema": "unplateau.shard/1", "dtype": "uint16", "tokens": len(tokens), "documents": len(ends)}
    tokens.astype("<u2").tofile(folder / f"{split}-00000.bin")
    ends.tofile(folder / f"{split}-00000.ends")
    (folder / f"{split}-00000.json").write_text(json.dumps({**head, "vocab_size": 32}))


def test_a_loss_that_is_no_number_ends_it_with_the_step_and_its_documents(tmp_path, capsys):
    for split, count in (("train", 5_000), ("val", 1_000)):
        own_shard(tmp_path, split, np.arange(count) % 32)

    code = cli.main(["train", *words(tmp_path, tmp_path / "out", "--peak_lr=1e30", "--warmup_steps=0")])

    said = capsys.readouterr().err
    assert code == 3
    assert re.search(r"the loss of step \d, or its gradient, is no number, documents \d+, \d+", said)
    assert said.count("\n") == 1
    assert rows(tmp_path / "out")[-1]["batch_loss"] is None


def test_a_full_disk_is_one_line(data, tmp_path, monkeypatch, capsys):
    real = os.write

    def full(handle, line):
        if b'"step": 20' in line:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, line)

    monkeypatch.setattr(os, "write", full)

    assert cli.main(["train", *words(data, tmp_path / "out")]) == 3
    said = capsys.readouterr().err
    assert "can't write log.jsonl: No space left on device" in said
    assert [row["step"] for row in rows(tmp_path / "out")][-1] == 15


def test_a_device_that_is_not_there_is_said(data, tmp_path, capsys):
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    assert cli.main(["train", *words(data, tmp_path / "out", "--device=cuda")]) == 2
    assert "has no cuda device" in capsys.readouterr().err


def test_json_is_one_object_on_standard_output(data, tmp_path, capsys):
    assert cli.main(["train", *words(data, tmp_path / "out", "--max_steps=3"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["step"]) == ("unplateau.training/1", 3)


def test_dry_run_and_print_config_leave_nothing_behind(data, tmp_path, capsys):
    assert cli.main(["train", *words(data, tmp_path / "out"), "--dry-run"]) == 0
    assert "passes" in capsys.readouterr().out
    assert cli.main(["train", *words(data, tmp_path / "out"), "--print-config"]) == 0
    assert "--n_layer" in capsys.readouterr().out
    assert cli.main(["train", *words(data, tmp_path / "out"), "--print-config", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["n_layer"] == 1
    assert not (tmp_path / "out").exists()


def test_the_end_is_forecast_at_some_shares_of_a_long_run_and_kept(tmp_path):
    path = tmp_path / "log.jsonl"
    (tmp_path / "config.json").write_text(
        json.dumps(
            {"schedule": "linear", "peak_lr": 1e-3, "warmup_steps": 10, "decay_end": 1000, "max_steps": 1000}
        )
    )
    said = []
    foresight = Foresight(tmp_path, 1000)
    with path.open("w") as log:
        for step in range(0, 600, 20):
            loss = 2.0 + 2.5 * (step + 20) ** -0.3
            log.write(json.dumps({"step": step, "val_loss": loss, "train_loss": loss}) + "\n")
            log.flush()
            said += filter(None, [foresight(step, left=1.0 if step == 260 else 3600.0)])

    stored = json.loads((tmp_path / "forecast.json").read_text())["forecasts"]
    assert [one["last_step"] for one in stored] == [280, 500]
    assert len(said) == 2
    assert "at step 1,000; kept in forecast.json" in said[0]
