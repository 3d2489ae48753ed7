"""Findings written back to TensorBoard, Weights & Biases and trackio, by their own packages where these are installed.

Each guard was seen red once, its mutation in brackets:
- test_tensorboard_shows_the_numbers_and_the_report [tag without /text_summary];
- test_what_is_written_back_is_no_run_of_its_own [tags loss/forecast in place of unplateau/forecast];
- test_nothing_is_opened_by_us [wandb.init() where no run is open];
- test_a_secret_in_a_log_is_not_written_back [no ``clean``].
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import unplateau as up
from unplateau.cli import main
from unplateau.eventfile import EventFile
from unplateau.hypotheses import Evidence
from unplateau.integrations._findings import numbers, rows, summary


@pytest.fixture(scope="module")
def found():
    return up.diagnose(up.EXAMPLE)


@pytest.fixture(scope="module")
def ahead(found):
    return up.forecast(found.run, cooldown=2000)


def test_tensorboard_shows_the_numbers_and_the_report(found, ahead, tmp_path):
    package = "tensorboard.backend.event_processing.event_accumulator"
    board = pytest.importorskip(package, reason="tensorboard is not installed")

    where = up.write_back(found, to="tensorboard", folder=tmp_path, ahead=ahead)

    told = board.EventAccumulator(where)
    told.Reload()
    assert where == str(tmp_path / "unplateau")
    (scalar,) = told.Scalars("unplateau/forecast/cooldown=2000")
    assert (scalar.step, scalar.value) == (14_800, pytest.approx(ahead.futures[1].loss.value))
    assert {tag.split("/")[0] for tag in told.Tags()["scalars"]} == {"unplateau"}
    (text,) = told.Tensors("unplateau/report/text_summary")
    assert "    supported   lr-not-annealed" in text.tensor_proto.string_val[0].decode()
    assert told.SummaryMetadata("unplateau/report/text_summary").plugin_data.plugin_name == "text"


def test_what_is_written_back_is_no_run_of_its_own(found, tmp_path):
    file = EventFile(tmp_path)
    for step in range(0, 2000, 50):
        file.add(step, {"val_loss": 5 - step / 1000, "lr": 1e-3})
    file.close()
    before = up.read_all(tmp_path)
    up.write_back(found, to="tensorboard", folder=tmp_path)

    after = up.read_all(tmp_path)

    assert [one.name for one in after] == [one.name for one in before]
    assert after[0].series == before[0].series


def test_diagnose_writes_for_tensorboard(tmp_path, capsys):
    assert main(["diagnose", str(up.EXAMPLE), "--tensorboard", str(tmp_path / "board")]) == 0

    assert len(list((tmp_path / "board" / "unplateau").iterdir())) == 1
    assert "written to" in capsys.readouterr().err


def test_several_runs_have_a_folder_each(tmp_path, capsys):
    for i, name in enumerate(("a", "b/../c")):
        (tmp_path / "runs" / str(i)).mkdir(parents=True)
        log = [f'{{"step": {100 * s}, "val_loss": {4 - i / 3 - s / 20}}}\n' for s in range(20)]
        (tmp_path / "runs" / str(i) / "log.jsonl").write_text("".join(log))
        (tmp_path / "runs" / str(i) / "config.json").write_text(
            json.dumps({"peak_lr": 0.1, "run_name": name})
        )

    assert main(["diagnose", str(tmp_path / "runs"), "--tensorboard", str(tmp_path / "board")]) == 0

    assert len(list((tmp_path / "board" / "unplateau").iterdir())) == 2
    assert {p.name for p in tmp_path.iterdir()} == {"runs", "board"}
    capsys.readouterr()


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path, capsys):
    (tmp_path / "board").write_text("a file")

    assert main(["diagnose", str(up.EXAMPLE), "--tensorboard", str(tmp_path / "board")]) == 2
    assert "is a file; expected the folder that tensorboard --logdir is given" in capsys.readouterr().err


def isolated(code, place):
    """What a script printed that may use trackers, in a process of its own: they write here, and send nothing."""
    nowhere = dict.fromkeys(
        ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "HOME"), str(place)
    )
    quiet = {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "HF_HUB_OFFLINE": "1"}
    quiet |= {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "TRACKIO_DIR": str(place / "trackio"),
    }
    env = {**os.environ, **nowhere, **quiet}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env=env,
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_weights_and_biases_has_a_summary(tmp_path):
    pytest.importorskip("wandb", reason="wandb is not installed")
    told = isolated(
        "import json, unplateau as up, wandb\n"
        "found = up.diagnose(up.EXAMPLE)\n"
        "run = wandb.init(project='p', mode='offline')\n"
        "said = up.write_back(found, to='wandb')\n"
        "kept = {k: run.summary[k] for k in ('unplateau/cause', 'unplateau/verdict', 'unplateau/forecast/as planned')}\n"
        "run.finish()\n"
        "print(json.dumps([said, kept]))",
        tmp_path,
    )

    assert told[0].startswith("the summary of W&B run ")
    assert told[1]["unplateau/cause"] == "lr-not-annealed"
    assert told[1]["unplateau/verdict"].startswith("The loss is still falling")
    assert told[1]["unplateau/forecast/as planned"] == pytest.approx(3.54, abs=0.05)
    assert list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))


def test_trackio_has_a_table(tmp_path):
    pytest.importorskip("trackio", reason="trackio is not installed")
    told = isolated(
        "import json, unplateau as up, trackio\n"
        "found = up.diagnose(up.EXAMPLE)\n"
        "trackio.init(project='p', name='r', auto_log_gpu=False, auto_log_cpu=False)\n"
        "up.write_back(found, to='trackio')\n"
        "trackio.finish()\n"
        "from trackio.sqlite_storage import SQLiteStorage\n"
        "print(json.dumps(SQLiteStorage.get_logs('p', 'r')))",
        tmp_path,
    )

    (log,) = told
    table = log["unplateau/findings"]["_value"]
    assert log["step"] == 14_800
    assert (table[0]["cause"], table[0]["verdict"]) == ("lr-not-annealed", "supported")
    assert log["unplateau/forecast/as planned"] == pytest.approx(3.54, abs=0.05)


def test_nothing_is_opened_by_us(found, monkeypatch):
    def opened(*_, **__):
        raise AssertionError("a run was opened")

    def no_run(*_, **__):
        raise RuntimeError("Call trackio.init() before trackio.log().")

    wandb, trackio = ModuleType("wandb"), ModuleType("trackio")
    wandb.run, wandb.init = None, opened
    trackio.init, trackio.log, trackio.Table = opened, no_run, SimpleNamespace
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "trackio", trackio)

    with pytest.raises(up.UsageError, match=r"no run of W&B is open; call wandb\.init first"):
        up.write_back(found, to="wandb")
    with pytest.raises(up.UsageError, match=r"no run of trackio is open; call trackio\.init first"):
        up.write_back(found, to="trackio")


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_package_that_is_missing_is_one_line(name, found, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(up.UsageError, match=f"^{name} is not installed: pip install {name}$"):
        up.write_back(found, to=name)


def test_a_run_that_is_given_is_the_one_that_is_written_to(found):
    mine = SimpleNamespace(summary={}, name="mine")

    assert up.write_back(found, to="wandb", run=mine) == "the summary of W&B run mine"
    assert mine.summary["unplateau/step"] == 14_800


def test_a_summary_holds_words_and_finite_numbers(found, ahead):
    told = summary(found, ahead)

    assert all(isinstance(value, str | int | float) for value in told.values())
    assert told["unplateau/forecast/cooldown=2000 step"] == 16_800
    assert numbers(found).items() <= summary(found).items()
    assert json.dumps(told, allow_nan=False)


def test_a_secret_in_a_log_is_not_written_back(found):
    evidence = (Evidence("the key is sk-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKL", "for", "log"),)
    first = replace(found.findings[0], evidence=evidence)

    (row, *_) = rows(replace(found, findings=(first, *found.findings[1:])))

    assert "abcdefghijklmnop" not in str(row)


def test_a_run_that_is_too_short_is_written_back_too(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 0, "val_loss": 5.0}\n{"step": 100, "val_loss": 4.5}\n')
    short = up.diagnose(tmp_path)

    where = up.write_back(short, to="tensorboard", folder=tmp_path / "board")

    assert summary(short)["unplateau/curve"] == "too-short"
    assert len(list(Path(where).iterdir())) == 1
