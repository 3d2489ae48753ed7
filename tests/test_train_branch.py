"""A branch: another run's checkpoint, changed settings, a folder of its own; the parent is only read."""

import hashlib
import json

import pytest
import torch

from small_runs import SMALL, last_rows, write_text
from unplateau.errors import UsageError
from unplateau.train.branch import branch
from unplateau.train.checkpoints import found_at, read, steps
from unplateau.train.ckpt_beside import ckpt_of
from unplateau.train.configure import resolve
from unplateau.train.huggingface import read_gpt2
from unplateau.train.loop import train
from unplateau.train.nanogpt_ckpt import read_ckpt, write_ckpt

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = (
    *SMALL,
    *("--max_steps=40", "--eval_interval=10", "--log_interval=1", "--dropout=0.1"),
    *("--warmup_steps=5", "--architecture=gpt2", "--optimizer=adamw"),
    *("--keep_every=10",),
)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A run of 40 steps with a checkpoint at each tenth."""
    folder = write_text(tmp_path_factory.mktemp("parent"))
    train(resolve(None, [*WORDS, f"--dataset={folder}", f"--out_dir={folder / 'out'}"]))
    return folder / "out"


def contents(folder):
    return {
        p.relative_to(folder): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_without_a_change_it_is_the_parent_to_the_bit_and_the_parent_is_not_touched(parent, tmp_path):
    before = contents(parent)

    done = branch(parent / "checkpoints/20", tmp_path / "out")

    assert done.step == 40
    expected = last_rows(parent, after=20)
    del expected[20, True]  # was evaluated before the checkpoint
    assert last_rows(tmp_path / "out") == expected
    one, other = read(found_at(tmp_path / "out")), read(found_at(parent))
    assert all(torch.equal(w, other.tensors["model"][n]) for n, w in one.tensors["model"].items())
    assert contents(parent) == before


def test_with_a_change_it_reads_the_same_batches_and_nothing_else_differs(parent, tmp_path):
    branch(parent / "checkpoints/20", tmp_path / "same")
    branch(parent / "checkpoints/20", tmp_path / "other", ["--weight_decay=0.5", "--max_steps=30"])

    same, other = last_rows(tmp_path / "same"), last_rows(tmp_path / "other")
    assert same[20, False]["batch_loss"] == other[20, False]["batch_loss"]
    assert same[21, False]["batch_loss"] != other[21, False]["batch_loss"]
    assert all(same[key]["unique_tokens"] == other[key]["unique_tokens"] for key in other)
    told = json.loads((tmp_path / "other/config.json").read_bytes())
    assert told["weight_decay"] == 0.5
    assert told["origin"]["weight_decay"] == "--weight_decay"
    assert told["origin"]["n_layer"] == "checkpoints/00000020"
    assert told["init_from"] == str(parent / "checkpoints/20")


def test_it_is_saved_at_once_and_says_whence_it_came_when_it_goes_on(parent, tmp_path):
    rates = ["--peak_lr=0.01", "--floor_lr=0.001"]  # the parent's has come down to 0
    more = ["--max_steps=41", "--checkpoint_interval=100"]
    branch(parent / "checkpoints/best", tmp_path / "out", [*more, *rates])
    first = steps(tmp_path / "out/checkpoints")

    train(resolve(tmp_path / "out", ["--max_steps=43"]))

    assert first[-1] == 41
    assert first[0] in steps(parent / "checkpoints")
    told = json.loads((tmp_path / "out/config.json").read_bytes())
    assert told["init_from"] == str(parent / "checkpoints/best")


def test_from_nanogpt_s_own_file_with_its_own_settings(parent, tmp_path):
    (tmp_path / "out").mkdir()
    write_ckpt(tmp_path / "out/ckpt.pt", ckpt_of(read(parent / "checkpoints/00000020")))

    done = branch(
        tmp_path / "out/ckpt.pt",
        tmp_path / "branch",
        [f"--dataset={parent.parent}", "--max_iters=24", "--eval_iters=1", "--device=cpu", "--batch_size=4"],
    )

    assert done.step == 24
    told = json.loads((tmp_path / "branch/config.json").read_bytes())
    assert (told["architecture"], told["n_embd"], told["origin"]["n_embd"]) == ("gpt2", 16, "ckpt.pt")


def test_it_is_not_written_over_its_parent(parent):
    with pytest.raises(UsageError, match="holds a run"):
        branch(parent / "checkpoints/20", parent)


@pytest.mark.parametrize("words", [["--max_steps=41"], ["--eval_only=True"]])
def test_a_folder_for_transformers_is_written_on_request_also_of_any_checkpoint(words, parent, tmp_path):
    branch(parent / "checkpoints/20", tmp_path / "out", ["--huggingface=True", *words])

    weights = read(found_at(tmp_path / "out")).tensors["model"]
    shape, told = read_gpt2(tmp_path / "out/huggingface")
    assert shape.n_embd == 16
    assert all(torch.equal(told[name], weight) for name, weight in weights.items())
    with pytest.raises(UsageError, match="transformers has no gpt2 with positions alibi"):
        resolve(None, ["--huggingface=True", "--architecture=gpt2", "--positions=alibi"])


def test_nanogpt_s_own_file_is_written_beside_on_request(parent, tmp_path):
    done = branch(parent / "checkpoints/20", tmp_path / "out", ["--nanogpt_ckpt=True"])

    ckpt, state = read_ckpt(tmp_path / "out/ckpt.pt"), read(found_at(tmp_path / "out"))
    assert (ckpt.step, ckpt.best_val_loss) == (done.step, state.plain["best"])
    for name, weight in state.tensors["model"].items():
        assert torch.equal(ckpt.weights[name], weight)
        assert torch.equal(ckpt.moments[name]["exp_avg"], state.tensors["optimizer"][f"{name}.exp_avg"])
    assert ckpt.config["max_iters"] == 40
    with pytest.raises(UsageError, match="expected False, or gpt2 with adamw"):
        resolve(None, ["--nanogpt_ckpt=True"])


def test_going_on_without_a_config_is_with_the_run_s_own_settings(parent):
    found = resolve(None, ["--init_from=resume", f"--out_dir={parent}", "--max_steps=50"])

    assert (found.settings.n_embd, found.settings.optimizer, found.settings.max_steps) == (16, "adamw", 50)
    assert found.settings.dataset == str(parent.parent)
