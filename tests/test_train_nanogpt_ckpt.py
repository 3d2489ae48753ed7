"""nanoGPT's ckpt.pt there and back: weights, Adam's moments, and no code of the file run.

The file's layout and the weights of a seed were compared with nanoGPT's own, commit 3adf61e, by
``benchmarks/nanogpt_same.py --nanogpt DIR``. Seen red: the ends of the MLP's branches not drawn narrower, the table
drawn once, parameters numbered without groups, the second moment lost.
"""

import pickle
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from unplateau.checkpoint import read_checkpoint
from unplateau.errors import UnreadableError, UsageError
from unplateau.shape import Shape
from unplateau.train.gpt2_names import TABLE, ours, theirs
from unplateau.train.models import model_of
from unplateau.train.nanogpt_ckpt import Ckpt, moments_of, read_ckpt, set_moments, write_ckpt
from unplateau.train.settings import Settings

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = {"n_layer": 2, "n_head": 2, "n_embd": 16, "vocab_size": 31, "block_size": 8}
#: sums of the magnitudes of nanoGPT's weights after torch.manual_seed(1337), printed by the same command
NANOGPT = {
    "transformer.wte.weight": 8.201786212,
    "transformer.wpe.weight": 2.039972469,
    "transformer.h.0.attn.c_attn.weight": 12.086562954,
    "transformer.h.1.mlp.c_proj.weight": 8.194343585,
}


def text(seed):
    both = torch.randint(TINY["vocab_size"], (4, 9), generator=torch.Generator().manual_seed(seed))
    return both[:, :-1], both[:, 1:].flatten()


def adamw(model):
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95))


def gpt2(**changes):
    torch.manual_seed(1337)
    return model_of(Settings(architecture="gpt2", **{**TINY, **changes}))


def stepped(model, optimizer, steps):
    for seed in steps:
        x, y = text(seed)
        optimizer.zero_grad()
        F.cross_entropy(model(x).flatten(0, 1), y).backward()
        optimizer.step()
    return model


def saved(model, optimizer, **changes):
    kept = {"step": 5, "best_val_loss": 3.25, "lr": 1e-2, "config": {"max_iters": 9}, "dropout": 0.0}
    weights = {name: p.detach() for name, p in model.named_parameters()}
    shape = Shape(**TINY, bias="norm.bias" in weights)
    return Ckpt(shape=shape, weights=weights, moments=moments_of(model, optimizer), **{**kept, **changes})


@pytest.fixture
def run(tmp_path):
    """A model, its optimiser after five steps, and the ckpt.pt of both."""
    model = gpt2(bias=True)
    optimizer = adamw(model)
    stepped(model, optimizer, range(5))
    write_ckpt(tmp_path / "ckpt.pt", saved(model, optimizer))
    return model, optimizer, tmp_path / "ckpt.pt"


def test_a_seed_gives_the_weights_that_nanogpt_draws():
    weights = {theirs(name): p for name, p in gpt2(bias=True).named_parameters()}

    sums = {name: weights[name].abs().sum(dtype=torch.float64).item() for name in NANOGPT}
    assert sums == pytest.approx(NANOGPT, rel=1e-6)


def test_every_name_has_its_counterpart():
    names = [name for name, _ in gpt2(bias=True).named_parameters()]

    assert [ours(theirs(name)) for name in names] == names
    assert len({theirs(name) for name in names}) == len(names) == 28
    assert len(TABLE) == len(set(dict(TABLE).values()))


def test_a_run_goes_on_as_if_it_had_not_been_saved(run):
    model, optimizer, path = run
    ckpt = read_ckpt(path)
    other = gpt2(bias=True)
    other.load_state_dict(ckpt.weights)
    again = adamw(other)
    set_moments(other, again, ckpt.moments)
    stepped(model, optimizer, range(5, 9))
    stepped(other, again, range(5, 9))

    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), other.parameters(), strict=True))


def test_what_stands_beside_the_weights_is_kept(run):
    ckpt = read_ckpt(run[2])

    assert (ckpt.step, ckpt.best_val_loss, ckpt.lr, ckpt.betas, ckpt.weight_decay) == (
        5,
        3.25,
        1e-2,
        (0.9, 0.95),
        0.1,
    )
    assert ckpt.shape == Shape(**TINY, bias=True)
    assert ckpt.config == {"max_iters": 9}


def test_the_file_has_nanogpts_layout(run):
    data = torch.load(run[2], weights_only=True)

    assert set(data) == {"model", "optimizer", "model_args", "iter_num", "best_val_loss", "config"}
    assert data["model_args"] == {**TINY, "bias": True, "dropout": 0.0}
    assert data["model"]["lm_head.weight"].data_ptr() == data["model"]["transformer.wte.weight"].data_ptr()
    assert [len(group["params"]) for group in data["optimizer"]["param_groups"]] == [10, 18]
    shapes = [tuple(data["optimizer"]["state"][n]["exp_avg"].shape) for n in (0, 1, 2, 10)]
    assert shapes == [(31, 16), (8, 16), (48, 16), (16,)]  # wte, wpe, c_attn; then ln_1
    assert read_checkpoint(run[2])["checkpoint_step"].value == 5


def test_a_file_of_a_compiled_model_of_an_old_version_is_read(run):
    data = torch.load(run[2], weights_only=True)
    data["model"] = {f"_orig_mod.{name}": w for name, w in data["model"].items()}
    data["model"]["_orig_mod.transformer.h.0.attn.bias"] = torch.ones(1, 1, 8, 8).tril()
    torch.save(data, run[2])

    assert torch.equal(read_ckpt(run[2]).weights["embed.weight"], run[0].embed.weight)


def test_a_run_without_moments_is_written_and_read(run, tmp_path):
    write_ckpt(tmp_path / "fresh.pt", replace(read_ckpt(run[2]), moments={}))

    assert read_ckpt(tmp_path / "fresh.pt").moments == {}


class Evil:
    def __reduce__(self):
        return (print, ("code of a checkpoint was run",))


def test_code_in_a_checkpoint_is_not_run(tmp_path, capsys):
    torch.save({"model": Evil(), "model_args": {}}, tmp_path / "ckpt.pt")

    with pytest.raises(UnreadableError, match="would run code, or is damaged"):
        read_ckpt(tmp_path / "ckpt.pt")
    assert capsys.readouterr().out == ""


def damaged(data, harm):
    data["model"] = dict(data["model"])
    if harm == "another width":
        data["model_args"]["n_embd"] = 32
    elif harm == "a weight lost":
        del data["model"]["transformer.ln_f.weight"]
    elif harm == "no count":
        data["model_args"]["n_layer"] = "two"
    elif harm == "more layers":
        data["model_args"]["n_layer"] = 1
    elif harm == "moments lost":
        del data["optimizer"]["state"][3]
    elif harm == "moments of another":
        data["optimizer"]["state"][0]["exp_avg"] = torch.zeros(3)
    return data


@pytest.mark.parametrize(
    ("harm", "words"),
    {
        "another width": r"transformer.wte.weight is \(31, 16\); its model_args make it \(31, 32\)",
        "a weight lost": "transformer.ln_f.weight is missing",
        "no count": "n_layer is 'two'; expected a count",
        "more layers": "holds transformer.h.1.attn.c_proj.bias, which its model_args do not make",
        "moments lost": "moments of transformer.h.0.attn.c_proj.weight are missing",
        "moments of another": "moments of transformer.wte.weight have another shape",
    }.items(),
)
def test_a_file_that_does_not_fit_itself_is_told_in_one_line(run, harm, words):
    torch.save(damaged(torch.load(run[2], weights_only=True), harm), run[2])

    with pytest.raises(UnreadableError, match=words):
        read_ckpt(run[2])


@pytest.mark.parametrize("harm", ["moments lost", "moments of another"])
def test_moments_that_do_not_fit_are_left_out_where_the_model_is_only_looked_at(run, harm):
    assert read_ckpt(run[2], going_on=False).moments
    torch.save(damaged(torch.load(run[2], weights_only=True), harm), run[2])

    found = read_ckpt(run[2], going_on=False)

    assert found.moments == {}
    assert found.weights


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text", pickle.dumps([1, 2]), None])
def test_what_is_no_checkpoint_is_told_in_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "ckpt.pt").write_bytes(content)

    with pytest.raises(UnreadableError, match=r"ckpt\.pt") as told:
        read_ckpt(tmp_path / "ckpt.pt")
    assert "\n" not in str(told.value)


def test_half_a_file_is_told_in_one_line(run):
    whole = run[2].read_bytes()
    run[2].write_bytes(whole[: len(whole) // 2])

    with pytest.raises(UnreadableError, match=r"ckpt\.pt"):
        read_ckpt(run[2])


@pytest.mark.parametrize("changes", [{"tied": False}, {"positions": "none"}, {"mlp_hidden": 24}])
def test_a_model_that_nanogpt_has_not_is_refused(tmp_path, changes):
    model = gpt2(**changes)
    shape = type(model).shape(Settings(architecture="gpt2", **{**TINY, **changes}))
    ckpt = replace(saved(model, adamw(model)), shape=shape)

    with pytest.raises(UsageError, match="holds gpt2 alone"):
        write_ckpt(tmp_path / "ckpt.pt", ckpt)
    assert list(tmp_path.iterdir()) == []
