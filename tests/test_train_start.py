"""What a run starts from: nanoGPT's ckpt.pt and GPT-2's weights; those of its own are tested with checkpoints.

Compared beside unmodified nanoGPT once, 2 layers of 64 with dropout .1: 40 steps, then 20 more with
--init_from=resume from the ckpt.pt that it had written; every logged loss was the same to its four decimals.
"""

import numpy as np
import pytest
import torch

from unplateau.errors import UnplateauError, UsageError
from unplateau.train.checkpoints import State, write
from unplateau.train.configure import resolve
from unplateau.train.data import open_data
from unplateau.train.huggingface import export
from unplateau.train.loop import train
from unplateau.train.nanogpt_ckpt import Ckpt, moments_of, write_ckpt
from unplateau.train.session import begin
from unplateau.train.settle import settled
from unplateau.train.start import Start, shaped, start_of

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


def session_of(data, *words):
    resolved = resolve(None, [*WORDS, f"--dataset={data}", *words])
    corpora, start = open_data(resolved.settings), start_of(resolved.settings)
    resolved = settled(shaped(resolved, start), corpora[0][0])
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
    words = ("--init_from=resume", f"--out_dir={tmp_path / 'out'}", "--n_layer=5", "--block_size=8")

    session, resolved = session_of(data, *words)

    assert (resolved.settings.n_layer, resolved.settings.block_size) == (2, 8)
    assert resolved.origin["n_layer"] == "ckpt.pt"
    assert session.model.state_dict()["positions.weight"].shape == (8, 16)
    session.take()


def test_gpt2_s_weights_begin_a_run_at_its_first_step(stopped, data, tmp_path):
    export(tmp_path / "gpt2", "gpt2", type(stopped.model).shape(stopped.settings), stopped.model.state_dict())

    session, resolved = session_of(data, f"--init_from={tmp_path / 'gpt2'}", "--n_layer=7")

    assert session.step == 0
    assert (resolved.settings.n_layer, resolved.settings.bias) == (2, True)
    assert torch.equal(session.model.state_dict()["embed.weight"], stopped.model.state_dict()["embed.weight"])


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
