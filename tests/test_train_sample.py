"""Text from a checkpoint: the same for a seed, in the words of the run's data."""

import json
import pickle
from dataclasses import asdict
from itertools import islice

import numpy as np
import pytest
import torch

from unplateau import cli
from unplateau.errors import UsageError
from unplateau.train import checkpoints
from unplateau.train.configure import resolve
from unplateau.train.data import open_data
from unplateau.train.folder import RunFolder
from unplateau.train.nanogpt_ckpt import Ckpt, write_ckpt
from unplateau.train.sample import tokens_after, trained
from unplateau.train.session import begin
from unplateau.train.settle import settled

LETTERS = "abcdefgh\n"
pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = (
    *("--preset=nanogpt", "--n_layer=1", "--n_head=2", "--n_embd=16", "--block_size=8", "--batch_size=4"),
    *("--gradient_accumulation_steps=1", "--max_iters=60", "--lr_decay_iters=60", "--warmup_iters=2"),
    *("--learning_rate=1e-2", "--eval_interval=60", "--eval_iters=2", "--device=cpu", "--log_style=none"),
    "--compile=False",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of ours on nanoGPT's data, that has learned to count; with a checkpoint, and nanoGPT's ckpt.pt elsewhere."""
    root = tmp_path_factory.mktemp("sample")
    (root / "data/letters").mkdir(parents=True)
    for split in ("train", "val"):
        (np.arange(4_000) % len(LETTERS)).astype(np.uint16).tofile(root / f"data/letters/{split}.bin")
    meta = {"vocab_size": len(LETTERS), "itos": dict(enumerate(LETTERS)), "stoi": {}}
    (root / "data/letters/meta.pkl").write_bytes(pickle.dumps(meta))
    resolved = resolve(None, [*WORDS, f"--dataset={root / 'data/letters'}", f"--out_dir={root / 'out'}"])
    corpora = open_data(resolved.settings)
    resolved = settled(resolved, corpora[0][0])
    session = begin(resolved.settings, corpora, torch.device("cpu"))
    for _ in range(60):
        session.take()
    with RunFolder(root / "out") as folder:
        folder.write_config(asdict(resolved.settings), resolved.origin)
        folder.checkpoints.mkdir()
        checkpoints.write(folder.checkpoints, checkpoints.State(60, {"model": session.model.state_dict()}))
    return root / "out"


@pytest.fixture(scope="module")
def ckpt(run):
    found = trained(run, "cpu")
    path = run.parent / "out-nanogpt/ckpt.pt"
    path.parent.mkdir()
    write_ckpt(
        path,
        Ckpt(
            shape=type(found.model).shape(found.settings),
            dropout=0.0,
            weights=found.model.state_dict(),
            step=found.step,
            best_val_loss=1.0,
            config={"dataset": "letters"},
        ),
    )
    return path


def test_the_likeliest_token_is_the_model_s_own(run):
    found = trained(run, "cpu")
    start = [0, 1, 2]

    drawn = list(islice(tokens_after(found, start, temperature=0, top_k=0, seed=1), 12))

    assert drawn[0] == int(found.model(torch.tensor([start]))[0, -1].argmax())
    assert drawn == [(3 + i) % len(LETTERS) for i in range(12)]  # beyond block_size too


def test_a_seed_names_a_text_and_top_k_of_one_is_the_likeliest(run):
    found = trained(run, "cpu")

    def text(**how):
        told = {"temperature": 5.0, "top_k": 0, "seed": 1, **how}
        return list(islice(tokens_after(found, [0], **told), 30))

    assert text() == text()
    assert text() != text(seed=2)
    assert text(top_k=1) == text(temperature=0)


@pytest.mark.parametrize("what", ["out", "checkpoint", "ckpt.pt", "out_dir of nanoGPT's"])
def test_the_verb_writes_text_from_each_kind_of_checkpoint(what, run, ckpt, capsys):
    place = checkpoints.found_at(run)
    path = {"out": run, "checkpoint": place, "ckpt.pt": ckpt}.get(what, ckpt.parent)

    assert (
        cli.main(["sample", str(path), "--start", "ab", "--tokens=9", "--temperature=0", "--device=cpu"]) == 0
    )

    assert capsys.readouterr().out == "abcdefgh\nab\n"


def test_json_holds_every_sample(run, capsys):
    args = ["sample", str(run), "--tokens=3", "--samples=2", "--json", "--device=cpu", "--start=a"]

    assert cli.main(args) == 0

    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["step"], len(told["samples"])) == ("unplateau.sample/1", 60, 2)
    assert all(len(text) == 4 for text in told["samples"])


def test_what_the_model_never_saw_is_a_wrong_call(run, capsys):
    assert cli.main(["sample", str(run), "--start", "xyz", "--device=cpu"]) == 2
    assert "'x' (U+0078), which is not in the alphabet of the run's data" in capsys.readouterr().err
    assert cli.main(["sample", str(run), "--start", "", "--device=cpu"]) == 2
    assert "--start is empty; expected a text" in capsys.readouterr().err
    with pytest.raises(UsageError, match="a start of 1 token or more"):
        next(tokens_after(trained(run, "cpu"), [], temperature=1, top_k=0, seed=1))


def test_a_folder_without_a_checkpoint_is_said(tmp_path, capsys):
    assert cli.main(["sample", str(tmp_path)]) == 3
    assert "holds no checkpoint" in capsys.readouterr().err
