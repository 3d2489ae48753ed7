"""One optimiser step. Seen red once each: a sum of micro-batches for their mean, a gradient norm after clipping, a step
that moves weights by a gradient that is no number, a scaler that is not restored."""

import json
from math import inf, isnan, nan

import pytest
import torch

from unplateau.train.batches import Batch
from unplateau.train.models import model_of
from unplateau.train.noise import NoiseScale
from unplateau.train.optimizers import optimizer_of
from unplateau.train.settings import Settings
from unplateau.train.step import Stepper

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = {"n_layer": 1, "n_head": 2, "n_embd": 16, "vocab_size": 31, "block_size": 8, "batch_size": 8}
CPU = torch.device("cpu")


def batches(size):
    """Micro-batches of ``size`` rows: four of 2 are one of 8."""

    def fetch(micro):
        draw = torch.Generator().manual_seed(micro * size // 8)
        rows = torch.randint(31, (8, 9), generator=draw)[micro * size % 8 :][:size]
        return Batch(rows[:, :-1], rows[:, 1:], None)

    return fetch


def stepper(sgd=False, **changes):
    settings = Settings(
        **{**TINY, "dtype": "float32", "optimizer": "adamw", "architecture": "gpt2", **changes}
    )
    torch.manual_seed(0)
    model = model_of(settings)
    optimizer = torch.optim.SGD(model.parameters()) if sgd else optimizer_of(settings, model)
    return Stepper(settings, model, optimizer, CPU)


def weights(of):
    return torch.cat([w.detach().flatten() for w in of.model.parameters()])


def damage(of, value=inf):
    """Let the next backward pass end in ``value``."""
    weight = of.model.blocks[0].mlp.up.weight
    handle = weight.register_hook(lambda gradient: torch.full_like(gradient, value))
    return handle.remove


def test_micro_batches_have_the_gradient_of_one_big_batch():
    whole = stepper(sgd=True, grad_clip=0.0)
    parts = stepper(sgd=True, grad_clip=0.0, batch_size=2, gradient_accumulation_steps=4)
    before = weights(whole)
    one, four = whole.take(0, batches(8), 1.0), parts.take(0, batches(2), 1.0)

    torch.testing.assert_close(weights(whole) - before, weights(parts) - before, rtol=0, atol=1e-6)
    assert (weights(whole) - before).norm() > 0.1
    assert one.row["batch_loss"] == pytest.approx(four.row["batch_loss"], abs=1e-6)
    assert one.row["grad_norm"] == pytest.approx(four.row["grad_norm"], abs=1e-6)


def test_the_norm_is_told_before_clipping_and_the_share_of_clipped_steps_since_the_last_row():
    one = stepper(sgd=True, grad_clip=1e-3)
    before = weights(one)
    first = one.take(0, batches(8), 1.0)
    moved = (weights(one) - before).norm()
    one.settings = Settings(**{**TINY, "grad_clip": 1e9})
    for step in (1, 2):
        one.take(step, batches(8), 1.0, told=False)
    one.settings = Settings(**{**TINY, "grad_clip": 1e-3})
    last = one.take(3, batches(8), 1.0)

    assert first.row["grad_norm"] > 0.1
    assert moved == pytest.approx(1e-3, rel=1e-3)
    assert (first.row["clip_fraction"], last.row["clip_fraction"]) == (1.0, pytest.approx(1 / 3))


def test_update_ratios_are_norms_of_moves_over_norms_of_weights():
    one = stepper(optimizer="muon")
    group = {g["name"]: g["params"] for g in one.optimizer.param_groups}["embedding"]
    before = group[0].detach().clone()
    row = one.take(0, batches(8), 0.01).row

    assert row["update_ratio_embedding"] == pytest.approx(
        float((group[0].detach() - before).norm() / before.norm()), rel=1e-5
    )
    assert set(row) >= {"update_ratio_matrices", "update_ratio_vectors", "lr"}


def test_what_is_not_asked_for_is_not_measured():
    assert stepper().take(0, batches(8), 0.01, told=False).row == {}


def test_smoothing_and_z_loss_leave_the_logged_loss_comparable():
    plain = stepper().take(0, batches(8), 0.01).row
    other = stepper(label_smoothing=0.1, z_loss=1e-3).take(0, batches(8), 0.01).row

    assert other["batch_loss"] == pytest.approx(plain["batch_loss"], abs=1e-6)
    assert other["grad_norm"] != plain["grad_norm"]
    assert other["z_loss"] > 1
    assert "z_loss" not in plain


# --- the noise scale


def test_the_noise_scale_of_a_planted_gradient_is_found():
    draw = torch.Generator().manual_seed(1)
    truth, spread, size = torch.ones(500) * 0.1, 2.0, 0.0  # |G|^2 = 5, trace of one token = 2000
    scale = NoiseScale(small=100, big=800)
    for _ in range(200):
        parts = truth + spread / 10 * torch.randn(8, 500, generator=draw)
        scale.add(parts[0].square().sum(), parts.mean(0).square().sum())
        size += 1

    assert size == 200
    assert scale.value() == pytest.approx(400, rel=0.2)


def test_the_noise_scale_is_told_where_there_are_micro_batches_alone():
    one = stepper(batch_size=2, gradient_accumulation_steps=4)
    rows = [one.take(step, batches(2), 0.0).row for step in range(5)]

    assert any("gradient_noise_scale" in row for row in rows)
    assert "gradient_noise_scale" not in stepper().take(0, batches(8), 0.0).row


def test_the_first_micro_batchs_norm_is_that_of_its_own_gradient():
    parts = stepper(batch_size=2, gradient_accumulation_steps=4)
    alone = stepper(batch_size=2)
    norm = alone.take(0, batches(2), 0.0).row["grad_norm"]
    parts.take(0, batches(2), 0.0)

    assert parts._small_norm2.sqrt().item() == pytest.approx(norm, rel=1e-5)


def test_a_step_that_overflows_does_not_stay_in_the_noise_scale():
    scale = NoiseScale(small=100, big=400)
    scale.add(torch.tensor(5.0), torch.tensor(2.0))
    scale.add(torch.tensor(nan), torch.tensor(inf))

    assert scale.value() == 400


# --- numbers that are none


@pytest.mark.parametrize("value", [inf, nan])
def test_a_gradient_that_is_no_number_leaves_the_weights_and_names_its_step(value):
    one = stepper(on_nan="skip")
    one.take(0, batches(8), 0.01)
    before, repair = weights(one), damage(one, value)
    bad = one.take(1, batches(8), 0.01, told=False)
    repair()

    assert (bad.bad, one.read[1][0].x.shape) == (1, (8, 8))
    assert isnan(bad.row["batch_loss"])
    assert torch.equal(weights(one), before)
    assert one.take(2, batches(8), 0.01).row["skipped_steps"] == 1
    assert not torch.equal(weights(one), before)


def test_on_a_card_it_is_seen_one_step_late():
    one = stepper()
    one._waits = False  # as with CUDA
    repair = damage(one)
    first = one.take(0, batches(8), 0.01, told=False)
    repair()

    assert first.bad is None
    assert one.take(1, batches(8), 0.01, told=False).bad == 0
    assert list(one.read) == [0, 1]


def test_float16_skips_a_step_that_overflows_halves_its_scale_and_goes_on():
    one = stepper(dtype="float16")
    scale = one.take(0, batches(8), 0.01).row["loss_scale"]
    before, repair = weights(one), damage(one)
    skipped = one.take(1, batches(8), 0.01)
    repair()
    after = weights(one)
    next_one = one.take(2, batches(8), 0.01)

    assert torch.equal(after, before)
    assert skipped.bad is None
    assert (skipped.row["skipped_steps"], skipped.row["loss_scale"]) == (1, scale / 2)
    assert next_one.row["skipped_steps"] == 1
    assert not torch.equal(weights(one), before)


def test_float16_gradients_are_those_of_float32_about():
    half, full = (stepper(dtype=kind).take(0, batches(8), 0.01).row for kind in ("float16", "float32"))

    assert half["grad_norm"] == pytest.approx(full["grad_norm"], rel=0.02)


# --- the average, and going on


def test_the_average_lags_behind_and_is_shown_for_a_while():
    one = stepper(ema=0.5)
    one.take(0, batches(8), 0.01)
    first = weights(one)
    one.take(1, batches(8), 0.01)
    last = weights(one)
    with one.average.shown():
        torch.testing.assert_close(weights(one), (first + last) / 2)

    assert torch.equal(weights(one), last)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_state_goes_on_to_the_bit_through_json(dtype):
    changes = {
        "dtype": dtype,
        "ema": 0.9,
        "batch_size": 2,
        "gradient_accumulation_steps": 4,
        "optimizer": "muon",
    }
    whole, first, second = (stepper(**changes) for _ in range(3))
    repairs = [damage(whole), damage(first)]
    for of, repair in zip((whole, first), repairs, strict=True):
        of.take(0, batches(2), 0.01, told=False)
        repair()
        of.take(1, batches(2), 0.01, told=False)
    state = first.state_dict()
    average = state.pop("average")
    second.load_state_dict({**json.loads(json.dumps(state)), "average": average})
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())

    for step in (2, 3):
        assert whole.take(step, batches(2), 0.01) == second.take(step, batches(2), 0.01)
    assert torch.equal(weights(whole), weights(second))
    assert all(torch.equal(a, second.average.weights[n]) for n, a in whole.average.weights.items())
