"""What is minimised and what is logged. Seen red once each: the smoothed loss logged as plain, the z-loss's square left out."""

import pytest
import torch
import torch.nn.functional as F

from unplateau.train.losses import loss_of
from unplateau.train.settings import Settings

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def guess():
    draw = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(2, 5, 11, generator=draw)
    return logits.requires_grad_(), torch.randint(11, (2, 5), generator=draw)


def plain_of(logits, targets, **options):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), **options)


def test_without_additions_the_objective_is_the_plain_loss_to_the_bit(guess):
    found = loss_of(*guess, Settings())

    assert found.objective.item() == found.plain.item() == plain_of(*guess).item()
    assert found.z is None
    assert not found.plain.requires_grad


def test_label_smoothing_is_torchs_and_the_logged_loss_stays_plain(guess):
    found = loss_of(*guess, Settings(label_smoothing=0.1))

    torch.testing.assert_close(found.objective, plain_of(*guess, label_smoothing=0.1))
    torch.testing.assert_close(found.plain, plain_of(*guess))
    assert found.objective > found.plain


def test_the_z_loss_is_told_apart_and_pulls_the_normaliser_to_zero(guess):
    logits, targets = guess
    found = loss_of(logits, targets, Settings(z_loss=0.01))
    log_z = logits.logsumexp(-1)

    torch.testing.assert_close(found.z, log_z.square().mean())
    torch.testing.assert_close(found.objective, plain_of(logits, targets) + 0.01 * found.z)
    found.objective.backward()
    moved = (logits - 10 * logits.grad).logsumexp(-1).square().mean()
    assert moved < found.z


def test_half_precision_is_summed_in_float32(guess):
    logits, targets = guess

    assert loss_of(logits.half(), targets, Settings()).plain.dtype == torch.float32
