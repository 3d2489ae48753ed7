"""Rows sent elsewhere: TensorBoard's files by hand, and packages that are there or not.

Red before its guard was there: ``_unwilling`` (no login was "a fault of unplateau", after the header, beside a folder),
``refuse_held`` (W&B showed a run that was refused).
"""

import sys
from contextlib import ExitStack
from types import ModuleType

import pytest

from small_runs import SMALL, write_text
from unplateau.cli import main
from unplateau.errors import UsageError
from unplateau.eventfile import EventFile
from unplateau.reading import read_runs
from unplateau.train.folder import RunFolder
from unplateau.train.settings import Settings
from unplateau.train.trackers import TENSORBOARD, files_of, services, tell


def test_event_files_hold_every_point(tmp_path):
    file = EventFile(tmp_path / "logs")
    for step in range(0, 3_000, 10):
        file.add(step, {"val_loss": 5.0 - step / 1_000, "lr": 1e-3})
    file.close()

    (run,) = read_runs(tmp_path / "logs")

    assert run.format == "tensorboard"
    assert run.warnings == ()
    assert run.series["val_loss"].step.tolist() == list(range(0, 3_000, 10))
    assert run.series["val_loss"].value.tolist() == pytest.approx(
        [5.0 - s / 1_000 for s in range(0, 3_000, 10)]
    )


def test_a_run_with_event_files_is_still_read_by_its_own_log(tmp_path):
    trackers = files_of(Settings(tensorboard=True), tmp_path)
    with RunFolder(tmp_path) as folder:
        for step in range(5):
            folder.log.append(step, {"batch_loss": 3.0, "lr": 1e-3})
            tell(trackers, step, {"batch_loss": 3.0, "lr": 1e-3})
    for tracker in trackers:
        tracker.close()

    runs = read_runs(tmp_path)

    assert list((tmp_path / TENSORBOARD).iterdir())
    assert [run.format for run in runs] == ["unplateau"]


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_package_is_told_the_settings_and_finite_numbers(name, tmp_path, monkeypatch):
    told = []
    module = ModuleType(name)
    module.init = lambda **given: told.append(given)
    module.log = lambda values, step: told.append((step, values))
    module.finish = lambda: told.append("end")
    monkeypatch.setitem(sys.modules, name, module)

    asked = Settings(**{name: True}, out_dir=str(tmp_path), wandb_project="owt", run_name="small")
    with services(asked) as trackers:
        tell(trackers, 7, {"val_loss": 2.5, "train_loss": float("nan"), "batch_loss": None})

    assert (told[0]["project"], told[0]["name"], told[0]["config"]["n_layer"]) == ("owt", "small", 6)
    assert told[1:] == [(7, {"val_loss": 2.5}), "end"]


def test_a_package_that_is_missing_is_said_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)

    missing = pytest.raises(UsageError, match="wandb is not installed: pip install wandb, or --wandb=False")
    with missing, ExitStack() as stack:
        stack.enter_context(services(Settings(wandb=True, out_dir=str(tmp_path))))


@pytest.mark.parametrize(
    ("name", "way_out"), [("wandb", "log in with `wandb login`"), ("trackio", "TRACKIO_DIR")]
)
def test_a_service_that_can_not_begin_is_one_line_before_anything_is_made(
    name, way_out, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "out"

    def init(**_):
        (out / "wandb").mkdir(parents=True)  # as wandb does
        raise RuntimeError("No API key configured.\n Use it.")

    module = ModuleType(name)
    module.init = init
    monkeypatch.setitem(sys.modules, name, module)
    words = [
        *SMALL,
        f"--dataset={write_text(tmp_path)}",
        f"--out_dir={out}",
        "--max_steps=2",
        f"--{name}=True",
    ]

    assert main(["train", *words]) == 2

    said, err = capsys.readouterr()
    assert (said, err.count("\n")) == ("", 1)
    assert f"{name} can't begin: No API key configured. Use it; " in err
    assert way_out in err
    assert "fault of unplateau" not in err
    assert not out.exists()


def test_a_service_follows_a_run_to_its_end_and_is_ended_once(tmp_path, monkeypatch):
    told, module = [], ModuleType("wandb")
    module.init = lambda **_: told.append("begun")
    module.log = lambda _, step: told.append(step)
    module.finish = lambda: told.append("end")
    monkeypatch.setitem(sys.modules, "wandb", module)
    words = [*SMALL, f"--dataset={write_text(tmp_path)}", f"--out_dir={tmp_path / 'out'}", "--wandb=True"]

    assert main(["train", *words, "--max_steps=2", "--log_interval=1", "--eval_iters=1"]) == 0

    assert told[0] == "begun"
    assert told[-1] == "end"
    assert (told.count("begun"), told.count("end")) == (1, 1)
    assert {0, 1, 2} <= set(told)
    assert main(["train", *words, "--dry-run", "--max_steps=2", "--init_from=resume"]) == 0
    assert told.count("begun") == 1


def test_no_service_is_begun_for_a_run_that_is_refused(tmp_path, monkeypatch, capsys):
    told, module = [], ModuleType("wandb")
    module.init = lambda **_: told.append("begun")
    monkeypatch.setitem(sys.modules, "wandb", module)
    words = [*SMALL, f"--dataset={write_text(tmp_path)}", f"--out_dir={tmp_path / 'out'}", "--wandb=True"]

    with RunFolder(tmp_path / "out"):  # another run that has only begun
        assert main(["train", *words, "--max_steps=2"]) == 3

    assert "another process is training in" in capsys.readouterr().err
    assert told == []
