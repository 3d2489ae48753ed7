"""Rows sent elsewhere: TensorBoard's files by hand, and packages that are there or not."""

import sys
from types import ModuleType

import pytest

from unplateau.errors import UsageError
from unplateau.reading import read_runs
from unplateau.eventfile import EventFile
from unplateau.train.folder import RunFolder
from unplateau.train.settings import Settings
from unplateau.train.trackers import TENSORBOARD, tell, trackers_of


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
    trackers = trackers_of(Settings(tensorboard=True), tmp_path)
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

    trackers = trackers_of(Settings(**{name: True}, wandb_project="owt", run_name="small"), tmp_path)
    tell(trackers, 7, {"val_loss": 2.5, "train_loss": float("nan"), "batch_loss": None})
    trackers[0].close()

    assert (told[0]["project"], told[0]["name"], told[0]["config"]["n_layer"]) == ("owt", "small", 6)
    assert told[1:] == [(7, {"val_loss": 2.5}), "end"]


def test_a_package_that_is_missing_is_said_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)

    with pytest.raises(UsageError, match="wandb is not installed: pip install wandb, or --wandb=False"):
        trackers_of(Settings(wandb=True), tmp_path)
