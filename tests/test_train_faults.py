"""What can go wrong around a run: each has one line, its exit code, and everything that was saved before it.

Each guard was seen red once, by taking out: ``refuse_if_gone``; the lock; ``_refuse_broken``; the second signal's
``KeyboardInterrupt``; the renaming in ``set_aside``.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from small_runs import SMALL
from unplateau import cli
from unplateau.train import checkpoints
from unplateau.train.checkpoints import damage, found_at, read, steps
from unplateau.train.folder import RunFolder
from unplateau.train.session import Session

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = (
    *SMALL,
    *("--max_steps=40", "--eval_interval=10", "--log_interval=5", "--optimizer=adamw"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for split, tokens in (("train", 5_000), ("val", 2_000)):
        (np.arange(tokens) % 32).astype(np.uint16).tofile(folder / f"{split}.bin")
    return folder


def words(data, out, *more):
    return ["train", *WORDS, f"--dataset={data}", f"--out_dir={out}", *more]


def at_step(monkeypatch, step, work):
    """Do ``work`` of the session before it takes ``step``, once what is being saved is saved, or failed to be."""
    real = Session.take

    def take(self, **more):
        if self.step == step:
            for thread in threading.enumerate():
                if thread.name == "checkpoint":
                    thread.join()
            work(self)
        return real(self, **more)

    monkeypatch.setattr(Session, "take", take)


def test_a_second_writer_is_refused_fifty_times_of_fifty(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom unplateau.errors import UnplateauError\n"
        "from unplateau.train.folder import RunFolder\n"
        "for _ in range(50):\n"
        "    try:\n        RunFolder(Path(sys.argv[1]))\n"
        "    except UnplateauError as error:\n        print(error)\n"
    )
    with RunFolder(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
        )

    assert done.stdout.count("another process is training in") == 50


def test_the_verb_says_so_in_one_line_and_changes_nothing(data, tmp_path, capsys):
    with RunFolder(tmp_path / "out"):
        before = sorted(p.name for p in (tmp_path / "out").iterdir())
        assert cli.main(words(data, tmp_path / "out")) == 3
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == before

    said = capsys.readouterr().err
    assert "another process is training in" in said
    assert said.count("\n") == 1


def test_a_loss_that_is_no_number_leaves_the_checkpoint_before_it_and_a_lower_rate_goes_on(
    data, tmp_path, monkeypatch, capsys
):
    def break_a_weight(session):
        with torch.no_grad():
            next(session.model.parameters())[3] = float("nan")

    with monkeypatch.context() as patch:
        at_step(patch, 25, break_a_weight)
        assert cli.main(words(data, tmp_path / "out")) == 3
    said = capsys.readouterr().err
    assert "the loss of step 25, or its gradient, is no number" in said
    assert "the checkpoint before it is of step 20" in said
    assert said.count("\n") == 1
    assert damage(found_at(tmp_path / "out")) == ""

    assert cli.main(words(data, tmp_path / "out", "--init_from=resume", "--peak_lr=1e-4")) == 0
    assert steps(tmp_path / "out/checkpoints")[-1] == 40


def test_weights_that_broke_between_two_logged_steps_are_not_saved(data, tmp_path, monkeypatch, capsys):
    def break_a_bias(session):
        session.stepper._step_if_sound = lambda *_: None  # as a card does, which looks a step later
        with torch.no_grad():
            next(session.model.parameters())[3] = float("nan")

    with monkeypatch.context() as patch:
        at_step(patch, 29, break_a_bias)
        cli.main(
            words(data, tmp_path / "out", "--on_nan=skip", "--eval_interval=30", "--checkpoint_interval=10")
        )

    assert "holds weights that are no numbers; the checkpoint before it stays" in capsys.readouterr().err
    assert steps(tmp_path / "out/checkpoints") == [10, 20]


def test_a_folder_that_is_removed_under_the_run_is_said_and_not_made_again(
    data, tmp_path, monkeypatch, capsys
):
    at_step(monkeypatch, 12, lambda _: shutil.rmtree(tmp_path / "out"))

    assert cli.main(words(data, tmp_path / "out")) == 3

    said = capsys.readouterr().err
    assert "was removed or moved while the run wrote to it" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["file/out", "file"])
def test_a_folder_that_can_t_be_made_is_one_line(out, data, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(words(data, tmp_path / out)) == 3
    said = capsys.readouterr().err
    assert "can't write" in said
    assert said.count("\n") == 1


def test_a_disk_that_is_full_for_one_save_is_a_warning_and_the_run_goes_on(
    data, tmp_path, monkeypatch, capsys
):
    real = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(soft):
        return lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, real[1]))

    at_step(monkeypatch, 12, limit(4_000))
    at_step(monkeypatch, 24, limit(real[0]))
    try:
        code = cli.main(words(data, tmp_path / "out"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, real)

    said = capsys.readouterr().err
    assert code == 0
    assert (
        "warning: step 20 is not saved, the run goes on: can't write model.safetensors: File too large"
        in said
    )
    assert said.count("\n") == 1
    assert steps(tmp_path / "out/checkpoints") == [30, 40]


def test_a_disk_that_stays_full_ends_it_with_3_and_the_last_good_one_is_there(
    data, tmp_path, monkeypatch, capsys
):
    real = resource.getrlimit(resource.RLIMIT_FSIZE)
    full = lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, real[1]))  # noqa: E731
    at_step(monkeypatch, 22, full)
    try:
        code = cli.main(words(data, tmp_path / "out"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, real)

    said = capsys.readouterr().err.splitlines()
    assert code == 3
    assert "step 30 is not saved" in said[0]
    assert said[-1].startswith("unplateau: can't write model.safetensors: File too large")
    assert read(found_at(tmp_path / "out")).step == 20
    assert [p for p in (tmp_path / "out/checkpoints").iterdir() if p.name.startswith(".")] == []


def test_a_damaged_checkpoint_is_set_aside_with_a_warning_and_the_one_before_it_goes_on(
    data, tmp_path, capsys
):
    assert cli.main(words(data, tmp_path / "out")) == 0
    whole = (tmp_path / "out/checkpoints/00000040/model.safetensors").read_bytes()
    hurt = bytearray(whole)
    hurt[-9] ^= 4
    (tmp_path / "out/checkpoints/00000040/model.safetensors").write_bytes(hurt)
    capsys.readouterr()

    assert cli.main(words(data, tmp_path / "out", "--init_from=resume")) == 0

    said = capsys.readouterr().err
    assert (
        "warning: 00000040/model.safetensors is not as it was written: the checkpoint before it is taken"
        in said
    )
    assert (tmp_path / "out/checkpoints/00000040.damaged/model.safetensors").read_bytes() == hurt
    assert (tmp_path / "out/checkpoints/00000040/model.safetensors").read_bytes() == whole


def test_an_end_before_the_first_checkpoint_goes_on_from_the_beginning(data, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def die(_session):
        raise Killed

    with monkeypatch.context() as patch:
        at_step(patch, 7, die)
        with pytest.raises(Killed):
            cli.main(words(data, tmp_path / "out"))

    assert steps(tmp_path / "out/checkpoints") == []
    assert cli.main(words(data, tmp_path / "out", "--init_from=resume")) == 0
    assert steps(tmp_path / "out/checkpoints")[-1] == 40


SLOW = """
import sys, time
from unplateau.train import checkpoints
checkpoints.write = lambda *_: (print("saving", flush=True), time.sleep(600))
from unplateau.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_second_ctrl_c_ends_at_once_also_while_a_checkpoint_is_written(data, tmp_path):
    args = words(
        data, tmp_path / "out", "--max_steps=100000", "--eval_interval=0", "--checkpoint_interval=50"
    )
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, *args],
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        for line in process.stdout:
            if line == "saving\n":
                break
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()

    assert process.returncode == 4
    assert time.monotonic() - begun < 10  # seconds; the save alone would have taken 600
    assert said == "unplateau: interrupted\n"
    assert checkpoints.steps(tmp_path / "out/checkpoints") == []
