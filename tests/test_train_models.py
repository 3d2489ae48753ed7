"""The contract of every decoder: a new file in train/models is held to it without a new test.

Each of these was seen red once: attention that is not causal, a mask that looks one token ahead, documents joined by
"or" in place of "and", scores that are not divided by the root of D, rotation with a wrong sign and with a wrong
table, rotary positions left out, ALiBi's distance left out, dropout of attention in evaluation.
"""

from copy import deepcopy
from math import log

import pytest
import torch
import torch.nn.functional as F

from unplateau.errors import UsageError
from unplateau.plugins import discover
from unplateau.train.attention import Rotary, explicit, rotate, sdpa, seen
from unplateau.train.models import fused, model_kind, model_of
from unplateau.train.settings import Settings

pytestmark = pytest.mark.usefixtures("one_thread")
MODELS = discover("models")
TINY = {"n_layer": 2, "n_head": 4, "n_embd": 32, "vocab_size": 61, "block_size": 16}
PLACES = ("learned", "rope", "alibi", "none")


def settings(kind, **changes):
    return Settings(**{**TINY, "architecture": kind.name, **changes})


def built(kind, **changes):
    torch.manual_seed(0)
    return model_of(settings(kind, **changes), changes.pop("attend", sdpa))


def tokens(rows=2, length=16):
    return torch.randint(TINY["vocab_size"], (rows, length), generator=torch.Generator().manual_seed(5))


def loss_of(model, seed=5):
    text = torch.randint(TINY["vocab_size"], (8, 17), generator=torch.Generator().manual_seed(seed))
    return F.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())


def trained(kind, steps=3, **changes):
    """A model whose zeros have been left: matrices that end a branch may start at zero."""
    model = built(kind, **changes)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for step in range(steps):
        optimizer.zero_grad()
        loss_of(model, step).backward()
        optimizer.step()
    return model


def changed(text, where):
    other = text.clone()
    other[:, where] = (other[:, where] + 1) % TINY["vocab_size"]
    return other


def has(kind, places):
    try:
        kind.shape(settings(kind, positions=places))
    except UsageError:
        return False
    return True


VARIANTS = {
    "plain": {},
    "untied": {"tied": False},
    "wide MLP": {"mlp_hidden": 48},
    "biases": {"bias": True},
    **{places: {"positions": places} for places in PLACES},
    "grouped queries": {"n_kv_head": 2},
}


def variants():
    for name, kind in MODELS.items():
        for variant, changes in VARIANTS.items():
            if "positions" in changes and not has(kind, changes["positions"]):
                continue
            if "n_kv_head" in changes and name == "gpt2":
                continue
            yield pytest.param(kind, changes, id=f"{name} {variant}")


every_variant = pytest.mark.parametrize(("kind", "changes"), list(variants()))
every_model = pytest.mark.parametrize("kind", MODELS.values(), ids=MODELS)


def test_the_three_architectures_are_there():
    assert {"gpt2", "llama", "modern"} <= set(MODELS)


@every_variant
def test_it_has_the_parameters_that_its_shape_counts(kind, changes):
    shape = kind.shape(settings(kind, **changes))

    assert sum(p.numel() for p in built(kind, **changes).parameters()) == shape.params_total


@every_variant
def test_it_starts_at_the_loss_of_a_uniform_guess(kind, changes):
    assert loss_of(built(kind, **changes)).item() == pytest.approx(log(TINY["vocab_size"]), abs=0.1)


@every_variant
def test_it_never_sees_the_future(kind, changes):
    model, text = trained(kind, **changes), tokens()
    before, after = model(text), model(changed(text, slice(10, None)))

    torch.testing.assert_close(before[:, :10], after[:, :10])
    assert not torch.allclose(before[:, 10:], after[:, 10:])


@every_variant
def test_it_sees_the_past(kind, changes):
    model, text = trained(kind, **changes), tokens()

    assert not torch.allclose(model(text)[:, -1], model(changed(text, 14))[:, -1])


@every_variant
def test_it_knows_places_where_it_has_positions(kind, changes):
    """One layer without positions sees the earlier tokens as a heap: their order changes nothing."""
    model, text = trained(kind, steps=10, **{**changes, "n_layer": 1}), tokens()
    swapped = text.clone()
    swapped[:, [3, 9]] = text[:, [9, 3]]
    same = torch.allclose(model(text)[:, -1], model(swapped)[:, -1], rtol=0, atol=2e-6)

    assert same == (changes.get("positions") == "none")


@every_variant
@pytest.mark.parametrize("attend", [sdpa, explicit])
def test_no_token_sees_another_document(kind, changes, attend):
    model, text = trained(kind, **changes), tokens()
    for block in model.blocks:
        block.attention.attend = attend
    document = torch.tensor([[0] * 7 + [1] * 9, [3] * 11 + [2] * 5])
    before, after = model(text, document), model(changed(text, slice(0, 7)), document)

    torch.testing.assert_close(before[0, 7:], after[0, 7:])
    assert not torch.allclose(before[1, 7:11], after[1, 7:11])  # there the change is of the same document
    torch.testing.assert_close(before[1, 11:], after[1, 11:])


@every_variant
def test_gradients_reach_every_parameter(kind, changes):
    model = trained(kind, **changes)
    model.zero_grad()
    loss_of(model).backward()

    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@every_variant
def test_roles_hold_every_parameter_once(kind, changes):
    model = built(kind, **changes)
    groups = model.groups()
    listed = [id(p) for group in groups.values() for p in group]

    assert sorted(listed) == sorted(map(id, model.parameters()))
    assert set(groups) <= {"matrices", "embedding", "head", "vectors"}
    assert all(p.ndim == 2 for p in groups["matrices"])
    assert [tuple(p.shape) for p in groups["embedding"]] == [(61, 32)]
    assert ("head" in groups) == (not changes.get("tied", True))


@every_variant
def test_fused_matrices_are_told_with_their_rows(kind, changes):
    model = built(kind, **changes)
    rows = {name: sizes for name, p in model.named_parameters() if (sizes := fused(model).get(p))}
    keys = 32 * changes.get("n_kv_head", 4) // 4

    assert rows["blocks.1.attention.qkv.weight"] == (32, keys, keys)
    assert all(sum(sizes) == model.get_parameter(name).shape[0] for name, sizes in rows.items())


@every_variant
def test_its_weights_can_be_saved_and_loaded(kind, changes):
    model, other = trained(kind, **changes), built(kind, **changes)
    other.load_state_dict(deepcopy(model.state_dict()))

    assert torch.equal(model(tokens()), other(tokens()))
    assert len(model.state_dict()) == len(list(model.parameters()))  # so that no tensor is saved twice


@every_variant
def test_it_is_built_without_memory_and_filled_later(kind, changes):
    with torch.device("meta"):
        model = kind(kind.shape(settings(kind, **changes)), positions=changes.get("positions", ""))
    assert all(p.is_meta for p in model.parameters())
    model = model.to_empty(device="cpu")
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    trainee = trained(kind, **changes)
    model.load_state_dict(trainee.state_dict())

    assert torch.equal(model(tokens()), trainee(tokens()))


@every_model
def test_dropout_is_for_training_alone(kind):
    model = trained(kind, dropout=0.5)

    assert not torch.equal(model(tokens()), model(tokens()))
    model.eval()
    assert torch.equal(model(tokens()), model(tokens()))


@every_variant
def test_forward_is_head_after_hidden(kind, changes):
    model = trained(kind, **changes)

    assert torch.equal(model(tokens()), model.head(model.hidden(tokens())))
    assert model.hidden(tokens()).shape == (2, 16, 32)


@every_model
def test_a_shorter_text_is_read_as_the_start_of_a_longer(kind):
    model = trained(kind)

    torch.testing.assert_close(model(tokens())[:, :5], model(tokens()[:, :5]))


@every_model
def test_it_trains_in_bfloat16(kind):
    model = trained(kind)
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(model)
    loss.backward()

    assert loss.item() == pytest.approx(loss_of(model).item(), abs=0.02)


@every_model
def test_the_compiler_takes_it_in_one_piece(kind):
    model = trained(kind)
    told = torch._dynamo.explain(model)(tokens())

    assert told.graph_count == 1
    assert told.break_reasons == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_embd": 30}, "n_embd 30 is no multiple of n_head 4"),
        ({"n_embd": 12}, "head of width 3"),
        ({"vocab_size": 0}, "vocab_size is 0"),
        ({"n_kv_head": 3}, "no multiple of n_kv_head 3"),
        ({"positions": "sideways"}, "no positions 'sideways'; it has rope, alibi, none"),
    ],
)
def test_what_can_not_be_built_is_told_in_one_line(changes, words):
    with pytest.raises(UsageError, match=words):
        model_of(settings(MODELS["modern"], **changes))


def test_an_unknown_architecture_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean llama"):
        model_kind("lamma")


# --- attention


def heads(seed, keys=4):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(3, 4, 12, 8), (3, keys, 12, 8), (3, keys, 12, 8)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize("keys", [4, 2, 1])
@pytest.mark.parametrize("alibi", [0, 4])
@pytest.mark.parametrize("documents", [False, True])
def test_attention_by_a_matrix_is_attention_by_kernels(keys, alibi, documents):
    document = torch.arange(36).view(3, 12) // 5 if documents else None
    mask = seen(torch.zeros(3, 12), document, alibi)

    torch.testing.assert_close(explicit(*heads(1, keys), mask=mask), sdpa(*heads(1, keys), mask=mask))


def test_alibi_takes_slope_times_distance_from_a_score():
    bias = seen(torch.zeros(1, 5), alibi_heads=2)

    assert bias.shape == (2, 5, 5)
    assert bias[0, 4].tolist() == [-0.25, -0.1875, -0.125, -0.0625, 0.0]  # slope 2^-4
    assert bias[1, 4, 0].item() == -4 / 256
    assert bias[0, 3, 4].item() == -torch.inf


def test_rotated_products_depend_on_the_distance_alone():
    rotary, (q, k, _) = Rotary(32, 8), heads(2)
    q, k = (rotate(x[:, :, :1].expand(3, 4, 32, 8).transpose(1, 2), *rotary(32)) for x in (q, k))
    product = torch.einsum("bihd,bjhd->bhij", q, k)

    torch.testing.assert_close(product[..., 3, 1], product[..., 30, 28])
    assert not torch.allclose(product[..., 3, 1], product[..., 3, 2])
    torch.testing.assert_close(q.norm(dim=-1)[:, 0], q.norm(dim=-1)[:, 31])
