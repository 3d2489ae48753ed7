"""A run's folder: one writer, no row lost, nothing half."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from unplateau.errors import UnplateauError, UsageError
from unplateau.reading import read_runs
from unplateau.train import folder as module
from unplateau.train.folder import RunFolder

WRITER = """
import sys
from pathlib import Path
from unplateau.train.folder import RunFolder
folder = RunFolder(Path(sys.argv[1]))
for step in range(10**9):
    folder.log.append(step, {"batch_loss": 1.0 / (step + 1)})
    print(step, flush=True)
"""


def rows(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_second_writer_is_refused_and_welcome_when_the_first_has_gone(tmp_path):
    with RunFolder(tmp_path), pytest.raises(UnplateauError, match="another process is training in"):
        RunFolder(tmp_path)
    RunFolder(tmp_path).close()


def test_a_process_that_is_killed_loses_no_row_that_it_acknowledged(tmp_path):
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as process:
        for _ in range(300):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        acknowledged = 299 + len(process.stdout.read().split(b"\n")) - 1

    assert [row["step"] for row in rows(tmp_path)][: acknowledged + 1] == list(range(acknowledged + 1))
    RunFolder(tmp_path).close()  # and the lock went with it


@pytest.mark.parametrize("torn", [b'{"step": 2, "batch_lo', b"x" * 200_000], ids=["short", "long"])
def test_a_torn_last_line_is_cut_off_when_the_run_goes_on(tmp_path, torn):
    (tmp_path / "log.jsonl").write_bytes(b'{"step": 1, "batch_loss": 3.0}\n' + torn)
    with RunFolder(tmp_path) as folder:
        assert folder.log.last() == {"step": 1, "batch_loss": 3.0}
        folder.log.append(2, {"batch_loss": 2.5})

    assert rows(tmp_path) == [{"step": 1, "batch_loss": 3.0}, {"step": 2, "batch_loss": 2.5}]


def test_a_full_disk_is_one_line_and_no_half_row(tmp_path, monkeypatch):
    with RunFolder(tmp_path) as folder:
        folder.log.append(1, {"batch_loss": 3.0})
        real = os.write

        def full(handle, data):
            real(handle, data[:9])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(module.os, "write", full)
        with pytest.raises(UnplateauError, match="No space left on device"):
            folder.log.append(2, {"batch_loss": 2.5})
        monkeypatch.undo()
        folder.log.append(2, {"batch_loss": 2.5})

    assert [row["step"] for row in rows(tmp_path)] == [1, 2]


def test_no_run_is_written_over_another(tmp_path):
    with RunFolder(tmp_path) as folder:
        folder.refuse_another_run()
        folder.log.append(0, {"val_loss": 4.0})
        folder.refuse_another_run()
        folder.log.append(1_000, {"batch_loss": 3.0})
        with pytest.raises(UsageError, match="holds a run of 1,000 steps"):
            folder.refuse_another_run()


def test_a_changed_config_keeps_the_one_before_it(tmp_path):
    with RunFolder(tmp_path) as folder:
        for peak in (1e-3, 1e-3, 2e-3):
            folder.write_config({"peak_lr": peak}, {"peak_lr": "config.py:1"}, tokens_per_step=64)

    found = json.loads((tmp_path / "config.json").read_text())
    assert (found["peak_lr"], found["tokens_per_step"]) == (2e-3, 64)
    assert found["origin"] == {"peak_lr": "config.py:1"}
    assert json.loads((tmp_path / "config.before-1.json").read_text())["peak_lr"] == 1e-3
    assert not (tmp_path / "config.before-2.json").exists()


def test_each_process_adds_what_it_ran_on(tmp_path):
    with RunFolder(tmp_path) as folder:
        folder.write_environment({"torch": "1"})
        folder.write_environment({"torch": "2"})

    sessions = json.loads((tmp_path / "environment.json").read_text())["sessions"]
    assert [session["torch"] for session in sessions] == ["1", "2"]


def test_the_doctor_reads_the_folder_with_what_the_log_holds_besides(tmp_path):
    with RunFolder(tmp_path) as folder:
        folder.write_config({"peak_lr": 1e-3, "n_layer": 2, "ema": 0.0}, {"peak_lr": "--peak_lr"})
        folder.write_manifest({"splits": {"train": {"tokens": 900}, "val": {"tokens": 90}}})
        for step in range(0, 60, 10):
            told = {"lr": 1e-3, "tokens": step, "gradient_noise_scale": 9.0, "update_ratio_matrices": 1e-3}
            scale = {"skipped_steps": step // 20, "loss_scale": 2.0 ** (16 - step // 30), "colour": 7}
            folder.log.append(step, {"batch_loss": 4.0 - step / 100, **told, **scale})
            folder.log.append(step, {"val_loss": 4.1 - step / 100, "val_loss_error": 0.002})

    (run,) = read_runs(tmp_path)

    assert len(run.series["val_loss"]) == len(run.series["batch_loss"]) == 6
    assert run.get("peak_lr") == 1e-3
    assert run.get("train_tokens") == 900
    assert (run.get("skipped_steps"), run.get("loss_scale")) == (2, [[0, 65536.0], [30, 32768.0]])
    assert run.series["gradient_noise_scale"].unit == "tokens"
    assert {"val_loss_error", "update_ratio_matrices"} < set(run.series)
    assert "colour" not in run.series
    assert run.warnings == ()
