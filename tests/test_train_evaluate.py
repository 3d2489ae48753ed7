"""The loss that is told: that of the split, the same each time, for less than nanoGPT's; and nanoGPT's own, to the bit.

A correction of the wrong sign (``mean - slope @ shift`` in ``survey``) turns the reader's recomputation red.
"""

from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from small_runs import write_text
from test_train_batches import get_batch
from test_train_data import write
from unplateau.train import evaluate
from unplateau.train.batches import NanoGPT
from unplateau.train.data import open_corpus
from unplateau.train.evaluate import NanoGPTEstimate, evaluator_of
from unplateau.train.models.gpt2 import Gpt2
from unplateau.train.settings import Settings

pytestmark = pytest.mark.usefixtures("one_thread")
TOLD = {"batch_size": 4, "block_size": 8, "n_layer": 1, "n_head": 2, "n_embd": 16, "architecture": "gpt2"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return open_corpus(write(tmp_path_factory.mktemp("data"), splits=("train", "val", "seen", "fresh")))


def model_of(settings, dropout=0.0, seed=0):
    torch.manual_seed(seed)
    return Gpt2(Gpt2.shape(settings), dropout=dropout)


def told(**more):
    return Settings(**{**TOLD, "vocab_size": 97, **more})


def test_the_loss_is_that_of_all_tokens_of_the_split(corpus):
    model = model_of(told())
    found = evaluator_of(told(), [(corpus, 1.0)])(model)
    tokens = torch.from_numpy(corpus.splits["val"].window(0, 124 * 8 + 1))
    logits = model(tokens[:-1].view(124, 8))

    assert list(found.splits) == ["val", "train", "seen", "fresh"]
    expected = F.cross_entropy(logits.flatten(0, 1), tokens[1:]).item()
    assert found.splits["val"].loss == pytest.approx(expected, abs=1e-6)
    assert (found.splits["val"].error, found.splits["val"].tokens) == (0.0, 992)
    assert found.row()["val_loss"] == found.splits["val"].loss
    assert found.row()["fresh_loss_error"] == 0.0
    assert next(iter(found.row())) == "val_loss"  # a series' name comes first in a row of the log


def test_evaluating_changes_nothing_and_is_repeatable(corpus):
    model = model_of(told(), dropout=0.5)
    evaluator = evaluator_of(told(eval_tokens=400), [(corpus, 1.0)])
    generator = torch.get_rng_state()
    first, again = evaluator(model), evaluator(model)

    assert model.training
    assert torch.get_rng_state().equal(generator)
    assert all(p.grad is None for p in model.parameters())
    assert first.row() == again.row()
    assert first.splits["val"].error > 0


def test_chunks_and_batches_of_any_size_give_the_same(corpus, monkeypatch):
    model, evaluator = model_of(told()), evaluator_of(told(), [(corpus, 1.0)])
    whole = evaluator(model)
    monkeypatch.setattr(evaluate, "LOGITS", 4 * 97 * 5)
    monkeypatch.setattr(evaluate, "READ", {"cpu": 24})

    assert evaluator(model).row() == pytest.approx(whole.row(), abs=1e-6)


def test_a_card_that_is_too_small_gets_less_at_once(corpus, monkeypatch):
    model, evaluator = model_of(told()), evaluator_of(told(), [(corpus, 1.0)])
    expected, hidden, sizes = evaluator(model).row(), model.hidden, []

    def small(x, document=None):
        sizes.append(len(x))
        if len(x) > 10:
            raise torch.OutOfMemoryError
        return hidden(x, document)

    monkeypatch.setattr(model, "hidden", small)
    assert evaluator(model).row() == pytest.approx(expected, abs=1e-6)
    assert max(sizes) > 10
    monkeypatch.setattr(model, "hidden", lambda _x, document=None: small(torch.zeros(11), document))
    with pytest.raises(torch.OutOfMemoryError):
        evaluator(model)
    assert model.training


def test_a_change_is_told_far_better_than_a_level(corpus):
    settings = told(eval_tokens=400)
    evaluator, model = evaluator_of(settings, [(corpus, 1.0)]), model_of(settings)
    before = evaluator(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.002 * torch.randn_like(weight))
    after = evaluator(model)
    change = evaluator.change(before, after)["val"]

    assert change.loss == pytest.approx(after.splits["val"].loss - before.splits["val"].loss, abs=1e-9)
    assert 0 < change.error < after.splits["val"].error / 5


def test_the_losses_of_all_windows_are_kept(corpus, tmp_path):
    evaluator = evaluator_of(told(), [(corpus, 1.0)], tmp_path)
    found = evaluator(model_of(told()))
    found.save(tmp_path, 20)

    with np.load(tmp_path / "evaluations" / "00000020.npz", allow_pickle=False) as kept:
        assert {"fresh", "seen", "train", "val"} == {n for n in kept if "_" not in n}
        assert kept["val"].mean() == pytest.approx(found.splits["val"].loss, abs=1e-5)


def recomputed(folder, step, split):
    """What docs/train.md says of the loss that is told, from the files of a run's folder alone."""
    with (
        np.load(folder / "evaluations" / "windows.npz", allow_pickle=False) as windows,
        np.load(folder / "evaluations" / f"{step:08d}.npz", allow_pickle=False) as kept,
    ):
        losses, mean = kept[split].astype(float), kept[split].astype(float).mean()
        if f"{split}.control" not in windows:
            return mean
        control = windows[f"{split}.control"]
        slope, *_ = np.linalg.lstsq(control - control.mean(0), losses - mean, rcond=None)
        return mean + slope @ windows[f"{split}.shift"]


def test_a_reader_can_recompute_the_loss_that_is_told(tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    folder = write_text(data, train=40_000, val=1_600)
    evaluator = evaluator_of(told(eval_tokens=800), [(open_corpus(folder), 1.0)], run)
    found = evaluator(model_of(told(), seed=3))
    found.save(run, 20)
    row = found.row()

    assert recomputed(run, 20, "train") == pytest.approx(row["train_loss"], abs=1e-6)
    assert recomputed(run, 20, "val") == pytest.approx(row["val_loss"], abs=1e-6)
    with np.load(run / "evaluations" / "00000020.npz", allow_pickle=False) as kept:
        assert kept["mean_train"] == pytest.approx(kept["train"].mean(), abs=1e-6)
        assert abs(kept["mean_train"] - kept["loss_train"]) > 1e-5  # it was corrected
        assert (kept["loss_train"], kept["error_train"]) == (row["train_loss"], row["train_loss_error"])
        assert kept["text_error_val"] == row["val_text_error"] > 0


def test_a_mixture_is_evaluated_by_source_and_by_weight(corpus):
    evaluator = evaluator_of(told(), [(corpus, 0.75), (corpus, 0.25)])
    model = model_of(told())
    found = evaluator(model)

    assert [p.weight for p in evaluator.parts[:2]] == [0.75, 0.25]
    assert {"val", "val/0", "val/1"} <= set(found.splits)
    mixed = 0.75 * found.splits["val/0"].loss + 0.25 * found.splits["val/1"].loss
    assert found.splits["val"].loss == pytest.approx(mixed)
    assert "val/0_loss" not in found.row()
    assert evaluator.change(found, found)["val"].loss == 0.0


def test_documents_are_masked_as_in_training(corpus):
    settings = told(document_mask=True)
    model = model_of(settings)
    masked = evaluator_of(settings, [(corpus, 1.0)])(model).splits["val"].loss

    assert masked != evaluator_of(told(), [(corpus, 1.0)])(model).splits["val"].loss


def test_the_precision_is_that_of_training(corpus):
    model = model_of(told())
    context = partial(torch.autocast, "cpu", torch.bfloat16)
    found = evaluator_of(told(), [(corpus, 1.0)], context=context)(model).splits["val"].loss
    plain = evaluator_of(told(), [(corpus, 1.0)], context=nullcontext)(model).splits["val"].loss

    assert found != plain
    assert found == pytest.approx(plain, abs=0.01)


# --- nanoGPT's


def test_a_run_in_nanogpts_way_draws_its_batches_and_its_evaluations_as_train_py_does(corpus):
    """train.py's loop in its own order: a batch ahead, evaluations between steps, dropout from the same generator."""
    settings = told(sampling="nanogpt", eval_iters=3, gradient_accumulation_steps=2)
    texts = {name: np.asarray(corpus.splits[name].shards[0].tokens) for name in ("train", "val")}

    model = model_of(settings, dropout=0.2)
    theirs = []
    x, y = get_batch(texts["train"], 8, 4)
    for step in range(4):
        if step % 2 == 0:
            model.eval()
            for split in ("train", "val"):
                losses = torch.zeros(3)
                for k in range(3):
                    a, b = get_batch(texts[split], 8, 4)
                    with torch.no_grad():
                        losses[k] = F.cross_entropy(model(a).flatten(0, 1), b.flatten()).item()
                theirs.append(losses.mean().item())
            model.train()
        for _ in range(2):
            theirs.append(F.cross_entropy(model(x).flatten(0, 1), y.flatten()).item())
            x, y = get_batch(texts["train"], 8, 4)

    model, ours = model_of(settings, dropout=0.2), []
    batches, evaluator = NanoGPT(corpus.train, settings), evaluator_of(settings, [(corpus, 1.0)])
    batches.at(0)
    for step in range(4):
        if step % 2 == 0:
            splits = evaluator(model).splits
            ours += [splits["train"].loss, splits["val"].loss]
        for micro in (2 * step, 2 * step + 1):
            batch = batches.at(micro)
            ours.append(F.cross_entropy(model(batch.x).flatten(0, 1), batch.y.flatten()).item())
            batches.at(micro + 1)

    assert isinstance(evaluator, NanoGPTEstimate)
    assert ours == theirs


def test_nanogpts_estimate_has_the_error_of_independent_draws(corpus):
    settings = told(sampling="nanogpt", eval_iters=8)
    evaluator, model = evaluator_of(settings, [(corpus, 1.0)]), model_of(settings)
    first, second = evaluator(model), evaluator(model)
    change = evaluator.change(first, second)["val"]

    assert first.splits["val"].error == pytest.approx(first.losses["val"].std(ddof=1) / 8**0.5)
    assert change.error == pytest.approx(np.hypot(first.splits["val"].error, second.splits["val"].error))
    assert change.loss != 0
    assert evaluator.described()[0] == "train: 256 tokens drawn anew each time, as nanoGPT does"
