"""What a run starts from: nanoGPT's ckpt.pt and GPT-2's weights; those of its own are tested with checkpoints.

Compared beside unmodified nanoGPT once, 2 layers of 64 with dropout .1: 40 steps, then 20 more with
--init_from=resume from the ckpt.pt that it had written; every logged loss was the same to its four decimals.
Red before its guard was there: ``data_for`` (an IndexError of torch's, after the header, of a checkpoint with fewer tokens
than the data), ``refuse_other_model`` beside nanoGPT's and GPT-2's weights (another --n_layer was left out in silence).
"""

import pickle

import numpy as np
import pytest
import torch

from unplateau.cli import main
from unplateau.errors import UnplateauError, UsageError
from unplateau.train.checkpoints import State, write
from unplateau.train.configure import resolve
from unplateau.train.huggingface import export
from unplateau.train.loop import train
from unplateau.train.nanogpt_ckpt import Ckpt, moments_of, write_ckpt
from unplateau.train.session import begin
from unplateau.train.settle import settled
from unplateau.train.start import Start, data_for, shaped, start_of

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = (
    *("--preset=nanogpt", "--n_layer=2", "--n_head=2", "--n_embd=16", "--block_size=16", "--batch_size=4"),
    *("--gradient_accumulation_steps=1", "--max_iters=12", "--lr_decay_iters=12", "--warmup_iters=2"),
    *("--eval_interval=4", "--eval_iters=2", "--log_interval=1", "--sampling=nanogpt", "--device=cpu"),
    *("--log_style=none", "--compile=False", "--vocab_size=32"),
)
CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    for split in ("train", "val"):
        (np.arange(5_000) % 32).astype(np.uint16).tofile(tmp_path / f"data/{split}.bin")
    return tmp_path / "data"


def session_of(data, *words, config=None):
    shape = [word for word in WORDS if config is None or not word.startswith("--n_layer")]
    resolved = resolve(config, [*shape, f"--dataset={data}", *words])
    start = start_of(resolved.settings)
    resolved = shaped(resolved, start)
    corpora = data_for(resolved, start)
    resolved = settled(resolved, corpora[0][0])
    return begin(resolved.settings, corpora, CPU, start), resolved


@pytest.fixture
def stopped(data, tmp_path):
    """A run of nanoGPT's that stopped after 6 steps, and the session as it was then."""
    session, _ = session_of(data)
    for _ in range(6):
        session.take()
    (tmp_path / "out").mkdir()
    write_ckpt(tmp_path / "out/ckpt.pt", ckpt_of(session))
    return session


def ckpt_of(session):
    return Ckpt(
        shape=type(session.model).shape(session.settings),
        dropout=0.0,
        weights=session.model.state_dict(),
        step=session.step,
        best_val_loss=3.25,
        moments=moments_of(session.model, session.optimizer),
    )


def test_nanogpt_s_run_goes_on_where_it_stopped_with_its_moments(stopped, data, tmp_path):
    session, _ = session_of(data, "--init_from=resume", f"--out_dir={tmp_path / 'out'}")

    assert (session.step, session.best) == (6, 3.25)
    same = moments_of(session.model, session.optimizer)
    for name, weight in stopped.model.state_dict().items():
        assert torch.equal(session.model.state_dict()[name], weight)
        assert torch.equal(same[name]["exp_avg_sq"], ckpt_of(stopped).moments[name]["exp_avg_sq"])


def test_it_is_trained_to_its_end_in_its_own_folder(stopped, data, tmp_path):
    words = [*WORDS, f"--dataset={data}", "--init_from=resume", f"--out_dir={tmp_path / 'out'}"]

    done = train(resolve(None, words))

    assert stopped.step == 6
    assert done.step == 12
    log = (tmp_path / "out/log.jsonl").read_text()
    assert '"step": 6, "batch_loss"' in log
    assert '"step": 5, ' not in log


def test_its_shape_holds_over_the_settings_and_a_shorter_context_stays(stopped, data, tmp_path):
    assert stopped.step
    (tmp_path / "config.py").write_text("n_layer = 5\n")
    words = ("--init_from=resume", f"--out_dir={tmp_path / 'out'}", "--block_size=8", "--n_kv_head=2")

    session, resolved = session_of(data, *words, config=tmp_path / "config.py")

    assert (resolved.settings.n_layer, resolved.settings.block_size) == (2, 8)
    assert resolved.origin["n_layer"] == "ckpt.pt"
    assert session.model.state_dict()["positions.weight"].shape == (8, 16)
    session.take()


def test_gpt2_s_weights_begin_a_run_at_its_first_step(stopped, data, tmp_path):
    export(tmp_path / "gpt2", "gpt2", type(stopped.model).shape(stopped.settings), stopped.model.state_dict())

    session, resolved = session_of(data, f"--init_from={tmp_path / 'gpt2'}")

    assert session.step == 0
    assert (resolved.settings.n_layer, resolved.settings.bias) == (2, True)
    assert torch.equal(session.model.state_dict()["embed.weight"], stopped.model.state_dict()["embed.weight"])


@pytest.mark.parametrize(
    "word", ["n_layer=4", "n_kv_head=1", "positions=rope", "tied=False", "architecture=llama"]
)
def test_another_model_than_nanogpt_s_is_refused_and_nothing_is_made(word, stopped, data, tmp_path, capsys):
    assert stopped.step
    words = [f"--init_from={tmp_path / 'out/ckpt.pt'}", f"--dataset={data}", f"--out_dir={tmp_path / 'new'}"]

    assert main(["train", *words, "--max_iters=12", f"--{word}"]) == 2

    out, err = capsys.readouterr()
    name, _, value = word.partition("=")
    assert f"--{name} is {value}; expected what the checkpoint's model has, " in err
    assert (out, err.count("\n")) == ("", 1)
    assert not (tmp_path / "new").exists()


def test_a_file_s_other_shape_gives_way_to_nanogpt_s_and_is_told(stopped, data, tmp_path):
    assert stopped.step
    (tmp_path / "config.py").write_text("n_layer = 4\n")
    words = [f"--init_from={tmp_path / 'out'}", f"--dataset={data}"]
    resolved = resolve(tmp_path / "config.py", words)

    resolved = shaped(resolved, start_of(resolved.settings))

    assert resolved.settings.n_layer == 2
    assert "config.py:1: n_layer is 4; the checkpoint's model has 2, and that is taken" in resolved.notes


@pytest.fixture(params=["said", "sampled"])
def larger(request, tmp_path):
    """Data of 50 tokens: their meta.pkl says so, or nothing but the tokens does."""
    folder = tmp_path / "larger"
    folder.mkdir()
    for split in ("train", "val"):
        (np.arange(5_000) % 50).astype(np.uint16).tofile(folder / f"{split}.bin")
    if request.param == "said":
        (folder / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": 50}))
    return folder


@pytest.mark.usefixtures("stopped")
def test_a_run_that_goes_on_in_nanogpts_folder_says_what_comes_to_lie_there(data, tmp_path, capsys):
    out = tmp_path / "out"
    words = [*WORDS, "--init_from=resume", f"--dataset={data}", f"--out_dir={out}", "--dry-run"]

    assert main(["train", *words]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "note: ckpt.pt in " in said
    assert "is read, and stays as it is; log.jsonl, config.json and checkpoints/ of this run come" in said
    assert main(["train", *words, "--nanogpt_ckpt=True"]) == 0
    assert "is written over at each save (--nanogpt_ckpt)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("what", ["ckpt", "own", "resumed"])
def test_data_with_more_tokens_than_the_checkpoint_knows_are_refused_first(
    what, data, larger, tmp_path, capsys
):
    out = tmp_path / "out"
    assert main(["train", *WORDS, "--nanogpt_ckpt=True", f"--dataset={data}", f"--out_dir={out}"]) == 0
    before = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    capsys.readouterr()
    new = f"--out_dir={tmp_path / 'new'}"
    (tmp_path / "config.py").write_text("max_iters = 20\n")
    words = {
        "ckpt": [f"--init_from={out / 'ckpt.pt'}", new],
        "own": [f"--init_from={out}", new],
        "resumed": ["--init_from=resume", f"--out_dir={out}"],
    }

    assert main(["train", str(tmp_path / "config.py"), *words[what], f"--dataset={larger}"]) == 2

    said, err = capsys.readouterr()
    assert "the checkpoint's model knows 32 tokens, but " in err
    assert (said, err.count("\n")) == ("", 1)
    assert not (tmp_path / "new").exists()
    assert {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()} == before


def test_a_run_of_our_own_is_told_from_nanogpt_s(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "ckpt.pt").write_bytes(b"")
    settings = resolve(None, ["--init_from=resume", f"--out_dir={tmp_path}"]).settings

    assert start_of(settings) == Start("nanogpt", tmp_path / "ckpt.pt")  # ended before its first checkpoint
    write(tmp_path / "checkpoints", State(7, {"model": {}}))
    assert start_of(settings) == Start("own", tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--init_from=resume", "--out_dir=nowhere"], "there is no run in nowhere to resume"),
        (["--init_from=gpt2-xl"], "gpt2-xl is not fetched from a network"),
        (["--init_from=scrach"], "init_from is 'scrach'; expected scratch, resume"),
    ],
    ids=["resume", "gpt2-xl", "typo"],
)
def test_what_is_nothing_to_start_from_is_a_wrong_call(words, said):
    with pytest.raises(UsageError, match=said):
        start_of(resolve(None, words).settings)


def test_a_folder_that_holds_nothing_to_go_on_from_is_said(tmp_path):
    with pytest.raises(UnplateauError, match="holds nothing to go on from"):
        start_of(resolve(None, [f"--init_from={tmp_path}"]).settings)
