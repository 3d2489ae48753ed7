"""Two processes on one run, as torchrun starts them: the same losses, one folder, one end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from small_runs import SMALL, rows, write_text
from unplateau import cli
from unplateau.errors import ElsewhereError, UsageError
from unplateau.train.checkpoints import found_at, read
from unplateau.train.configure import resolve
from unplateau.train.distributed import Devices, Nobody, check
from unplateau.train.loop import train
from unplateau.train.settings import Settings
from unplateau.train.world import World, once_a_machine

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = (
    *SMALL,
    *("--max_steps=20", "--eval_interval=10", "--log_interval=1"),
    *("--gradient_accumulation_steps=4", "--warmup_steps=2", "--decay_end=20"),
)
CLOSE = {"adamw": 1e-5, "muon": 1e-4}  # nats; float32 sums in another order, and Muon iterates in bfloat16
PAIRS = {"2-2 ddp": "adamw", "1-2 fsdp": "muon", "2-1 fsdp": "adamw"}
MEASURED = ("val_loss", "train_loss", "batch_loss", "grad_norm", "update_ratio_matrices")
EXACT = ("step", "lr", "tokens", "epoch", "unique_tokens")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("data"), 5_000, 1_000)


def words(data, out, *more):
    return [*WORDS, f"--dataset={data}", f"--out_dir={out}", *more]


def launched(*program):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    return subprocess.Popen(
        [*launcher, *program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )


RESUMED = "--init_from=resume"
HALF = "--max_steps=10"
FSDP = "--parallel=fsdp"


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """Folders by name; of each pair the number of processes to the middle, and then to the end. And what was said."""
    top = tmp_path_factory.mktemp("runs")
    adamw, muon = "--optimizer=adamw", "--optimizer=muon"
    train(resolve(None, words(data, top / "adamw", adamw)))
    train(resolve(None, words(data, top / "muon", muon)))
    train(resolve(None, words(data, top / "1-2 fsdp", muon, HALF)))
    two = [
        words(data, top / "2-2 ddp", adamw, HALF),
        words(data, top / "2-2 ddp", adamw, RESUMED),
        words(data, top / "1-2 fsdp", muon, FSDP, RESUMED),
        words(data, top / "2-1 fsdp", adamw, FSDP, HALF),
        words(data, top / "broken", adamw, "--peak_lr=1e30", "--warmup_steps=0"),
    ]
    with launched(str(Path(__file__).parent / "two_processes.py"), json.dumps(two)) as process:
        said, trouble = process.communicate(timeout=60)
    assert process.returncode == 0, trouble
    train(resolve(None, words(data, top / "2-1 fsdp", adamw, FSDP, RESUMED)))
    return top, said.splitlines()


@pytest.mark.parametrize(("name", "optimizer"), PAIRS.items())
def test_two_processes_have_the_losses_of_one_and_go_on_from_each_other_s_checkpoints(name, optimizer, runs):
    found, expected = (rows(runs[0] / folder) for folder in (name, optimizer))

    assert len(found) == len(expected) > 20
    for mine, other in zip(found, expected, strict=True):
        assert [mine.get(n) for n in EXACT] == [other.get(n) for n in EXACT]
        assert [mine[n] for n in MEASURED if n in mine] == pytest.approx(
            [other[n] for n in MEASURED if n in other], abs=CLOSE[optimizer]
        )


@pytest.mark.parametrize(("name", "optimizer"), PAIRS.items())
def test_their_checkpoints_are_those_of_one(name, optimizer, runs):
    mine, other = (read(found_at(runs[0] / folder)).tensors for folder in (name, optimizer))

    assert {f: set(t) for f, t in mine.items()} == {f: set(t) for f, t in other.items()}
    for kind, tensors in other.items():
        for tensor, value in tensors.items():
            torch.testing.assert_close(mine[kind][tensor], value, atol=1e-4, rtol=1e-3)


def test_a_loss_that_is_no_number_ends_all_and_is_said_once(runs):
    assert sorted(line.split()[0] for line in runs[1]) == ["ElsewhereError", "UnplateauError"]
    assert all("the loss of step" in line for line in runs[1])


def test_by_the_command_line_one_speaks_and_writes_and_a_signal_ends_all_at_one_step(data, tmp_path):
    out = tmp_path / "out"
    more = ("--max_steps=1000000", "--eval_interval=0", "--log_style=nanogpt")
    with launched("-m", "unplateau", "train", *words(data, out, *more)) as process:
        for line in process.stdout:
            if line.startswith("iter 5:"):
                process.send_signal(signal.SIGTERM)
                break
        said = process.stdout.read()  # not communicate: it would miss what was read ahead
        process.wait(60)

    steps = [int(line.split()[1][:-1]) for line in said.splitlines() if line.startswith("iter ")]
    assert steps == list(range(6, 6 + len(steps)))
    assert said.count("SIGTERM: saved at step") == 1
    assert read(found_at(out)).step == rows(out)[-1]["step"] + 1
    assert json.loads((out / "config.json").read_text())["world_size"] == 2


def test_a_dry_run_is_told_once_and_leaves_nothing(data, tmp_path):
    with launched("-m", "unplateau", "train", *words(data, tmp_path / "out"), "--dry-run") as process:
        said, trouble = process.communicate(timeout=60)

    assert process.returncode == 0, trouble
    assert said.count("The run") == 1
    assert said.count("to the end") == 1
    assert not (tmp_path / "out").exists()


def test_micro_batches_that_can_not_be_shared_are_said_before_anything_is_written(
    data, tmp_path, monkeypatch, capsys
):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    out = tmp_path / "out"

    assert cli.main(["train", *words(data, out, "--gradient_accumulation_steps=3")]) == 2
    said = capsys.readouterr().err
    assert "gradient_accumulation_steps 3 does not divide by the 2 processes of torchrun" in said
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert cli.main(["train", *words(data, out, "--gradient_accumulation_steps=3")]) == 3
    assert capsys.readouterr().err == ""
    assert not out.exists()


def test_shards_and_float16_are_refused_and_so_is_a_device_without_a_way_to_talk():
    two, cpu = World(0, 2), torch.device("cpu")
    check(Settings(gradient_accumulation_steps=2), two, cpu)
    with pytest.raises(UsageError, match="take bfloat16"):
        check(Settings(gradient_accumulation_steps=2, parallel="fsdp", dtype="float16"), two, cpu)
    with pytest.raises(UsageError, match="not on mps"):
        check(Settings(gradient_accumulation_steps=2), two, torch.device("mps"))


def test_every_micro_batch_is_one_process_s():
    shares = [list(Devices(World(rank, 4), torch.device("cpu")).own(7, 8)) for rank in range(4)]

    assert sorted(number for share in shares for number in share) == list(range(56, 64))
    assert {len(share) for share in shares} == {2}


def test_an_environment_that_is_not_torchrun_s_is_a_process_alone():
    assert World.of({"RANK": "0"}) == World.of({"RANK": "x", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}) == World()
    assert World.of({"RANK": "5", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}) == World()


def test_of_a_machine_s_processes_the_first_says_what_is_wrong_in_all(monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ElsewhereError), once_a_machine():
        raise UsageError("no data")
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(UsageError, match="no data"), once_a_machine():
        raise UsageError("no data")


def test_nobody_does_nothing_whatever_he_is_told():
    with Nobody() as nobody:
        assert nobody.log.append(3, {"val_loss": 1.0}) is None
