"""Optimisers. Seen red once each: queries, keys and values made orthogonal as one; Newton-Schulz on the Gram matrix in
bfloat16, which blows up on steep spectra; tables that decay; a momentum that a saved state lacks."""

import copy

import pytest
import torch

from unplateau.errors import UsageError
from unplateau.train.models import model_of
from unplateau.train.optimizers import muon, optimizer_of, set_rate
from unplateau.train.settings import Settings

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = {"n_layer": 2, "n_head": 2, "n_embd": 16, "vocab_size": 31, "block_size": 8}


def settings(**changes):
    return Settings(**{**TINY, **changes})


def built(**changes):
    torch.manual_seed(0)
    model = model_of(settings(**changes))
    return model, optimizer_of(settings(**changes), model)


def run(model, optimizer, steps, first=0, rate=0.01):
    for step in range(first, first + steps):
        text = torch.randint(31, (4, 9), generator=torch.Generator().manual_seed(step))
        logits = model(text[:, :-1])
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten()).backward()
        set_rate(optimizer, rate)
        optimizer.step()
        optimizer.zero_grad()
    return {name: w.detach().clone() for name, w in model.named_parameters()}


@pytest.mark.parametrize("rows", [32, 8])
@pytest.mark.parametrize("number", [torch.float32, torch.bfloat16])
def test_newton_schulz_gives_singular_values_near_one_also_of_steep_spectra(rows, number):
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(3, n, rows))[0] for n in (rows, 32))
    sizes = torch.logspace(0, -6, rows)

    found = muon.orthogonal(((left * sizes) @ right.mT).to(number)).float()

    inner = torch.einsum("kir,kij,kjr->kr", left, found, right)
    large = inner[:, sizes > 0.02]
    assert torch.linalg.matrix_norm(found, 2).max() < 1.3
    assert large.min() > 0.6
    assert large.max() < 1.3


def test_muon_is_what_one_matrix_after_another_gives(monkeypatch):
    monkeypatch.setattr(muon, "number_format", lambda _: torch.float32)
    model, optimizer = built(optimizer="muon", architecture="gpt2", weight_decay=0.5)  # no matrix of it is 0
    before = {name: w.detach().clone() for name, w in model.named_parameters()}
    after = run(model, optimizer, 1, rate=0.1)
    model, _ = built(optimizer="muon", architecture="gpt2")
    text = torch.randint(31, (4, 9), generator=torch.Generator().manual_seed(0))
    torch.nn.functional.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten()).backward()

    for name, weight in model.blocks.named_parameters(prefix="blocks"):
        if weight.ndim < 2:
            continue
        assert weight.grad.norm() > 0, name
        pieces = weight.grad.split(16) if "qkv" in name else [weight.grad]
        turned = [one_by_one(0.0975 * g) for g in pieces]  # Nesterov's first: .05 + .95 x .05 of it
        torch.testing.assert_close(after[name], before[name] * 0.99 - 0.1 * torch.cat(turned), msg=name)


def one_by_one(gradient):
    rows, columns = gradient.shape
    x = gradient / (gradient.norm() + 1e-7)
    for _ in range(5):
        g = x @ x.T
        x = 3.4445 * x + (-4.7750 * g + 2.0315 * g @ g) @ x
    return x * max(1, rows / columns) ** 0.5


@pytest.mark.parametrize("name", ["muon", "adamw"])
@pytest.mark.parametrize("architecture", ["gpt2", "modern"])
def test_a_saved_state_goes_on_to_the_bit(name, architecture):
    straight = run(*built(optimizer=name, architecture=architecture), 6)
    model, optimizer = built(optimizer=name, architecture=architecture)
    run(model, optimizer, 3)
    weights, state = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    model, optimizer = built(optimizer=name, architecture=architecture)
    model.load_state_dict(weights)
    optimizer.load_state_dict(state)

    resumed = run(model, optimizer, 3, first=3)

    assert all(torch.equal(resumed[n], straight[n]) for n in straight)


def test_fused_adamw_takes_the_steps_of_nanogpts():
    model, optimizer = built(optimizer="adamw", architecture="gpt2")
    fused = run(model, optimizer, 5)
    model, _ = built(optimizer="adamw", architecture="gpt2")
    weights = list(model.parameters())
    groups = [
        {"params": [w for w in weights if w.dim() >= 2], "weight_decay": 0.1},
        {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0},
    ]
    plain = run(model, torch.optim.AdamW(groups, betas=(0.9, 0.95)), 5)

    assert all(group["fused"] for group in optimizer.param_groups)
    for name, weight in plain.items():
        torch.testing.assert_close(fused[name], weight, rtol=0, atol=2e-6, msg=name)


def test_with_muon_matrices_alone_decay_and_each_weight_is_in_one_group():
    model, optimizer = built(optimizer="muon", tied=False)
    groups = {group["name"]: group for group in optimizer.param_groups}
    weights = [w for group in groups.values() for w in group["params"]]

    assert set(groups) == {"matrices", "embedding", "head"}
    assert {id(w) for w in weights} == {id(w) for w in model.parameters()}
    assert len(weights) == len(list(model.parameters()))
    assert [name for name, group in groups.items() if group["weight_decay"]] == ["matrices"]


def test_the_schedule_is_multiplied_by_a_groups_scale():
    _, optimizer = built(optimizer="muon")
    set_rate(optimizer, 0.02)

    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert rates["matrices"] == 0.02
    assert rates["embedding"] == pytest.approx(0.02 * muon.SCALES["embedding"])


def test_a_weight_without_gradient_stays():
    model, optimizer = built(optimizer="muon")
    frozen = model.blocks[0].mlp.up.weight.requires_grad_(requires_grad=False)
    before = frozen.clone()
    run(model, optimizer, 2)

    assert torch.equal(frozen, before)


def test_an_optimiser_that_is_not_known_is_refused_by_name():
    with pytest.raises(UsageError, match="'lion' is not known; expected one of adamw, muon"):
        built(optimizer="lion")
