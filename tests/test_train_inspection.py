"""A close look at a model: what it measures of windows, context, targets and tensors. Seen red: with the cheap model reading
the windows that it judges, with the two contexts compared at different tokens, with the mask left in the unmasked model, and
with weight decay counted as movement."""

import json

import numpy as np
import pytest
import torch

from small_runs import SMALL, write_text
from unplateau.errors import UsageError
from unplateau.train import session
from unplateau.train.configure import resolve
from unplateau.train.data import open_corpus
from unplateau.train.foreseen import difficulty, windows_of
from unplateau.train.loop import train

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = (
    *SMALL,
    *("--max_steps=60", "--eval_interval=0", "--warmup_steps=5", "--peak_lr=1e-2"),
    *("--architecture=gpt2", "--optimizer=adamw", "--inspect=all", "--eval_tokens=1600"),
)


def look(folder, *words):
    train(resolve(None, [*WORDS, f"--dataset={folder}", f"--out_dir={folder / 'out'}", *words]))
    return json.loads((folder / "out/evaluations/inspect.json").read_text())


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return look(write_text(tmp_path_factory.mktemp("healthy")))


def test_windows_are_told_with_what_a_cheap_model_makes_of_them(seen):
    assert seen["step"] == 60
    assert {split: len(one["loss"]) for split, one in seen["windows"].items()} == {"train": 100, "val": 100}
    assert np.shape(seen["windows"]["val"]["cheap"]) == (100, 5)
    gap = [np.mean(seen["windows"][split]["cheap"], 0)[2] for split in ("val", "train")]
    assert abs(gap[0] - gap[1]) < 0.15  # both are unseen by it, and alike


def test_the_cheap_model_finds_another_text_harder_and_repeated_text_no_easier_than_it_is(tmp_path):
    rng = np.random.default_rng(0)
    (np.arange(6_000) % 32).astype(np.uint16).tofile(tmp_path / "train.bin")
    rng.integers(0, 32, 3_000).astype(np.uint16).tofile(tmp_path / "val.bin")

    found = difficulty(*windows_of(open_corpus(tmp_path, 32), 16, 50))

    assert found["val"][:, 2].mean() > found["train"][:, 2].mean() + 1
    assert found["val"][:, 2].mean() > np.log(32) - 0.1  # nobody foresees chance, not even who has read it


def test_the_cheap_model_reads_no_document_that_it_judges(tmp_path):
    rng = np.random.default_rng(0)
    alphabets = [rng.permutation(32)[:8] for _ in range(32)]  # each document has letters of its own
    for split, some in (("train", alphabets[:16]), ("val", alphabets[16:])):
        text = np.concatenate([letters[rng.integers(0, 8, 5_000)] for letters in some])
        text.astype(np.uint16).tofile(tmp_path / f"{split}.bin")
    judged, read = windows_of(open_corpus(tmp_path, 32), 16, 500)

    documents = [set((one.starts // 5_000).tolist()) for one in (judged["train"], read)]

    assert documents == [set(range(0, 16, 2)), set(range(1, 16, 2))]
    found = difficulty(judged, read)
    assert found["train"][:, 1].mean() > np.log(
        32
    )  # of its own documents it would know which 8 letters they have


def test_a_sound_model_guesses_the_next_token_best_and_knows_nothing_of_the_future(seen):
    targets = seen["targets"]

    assert all(targets[name]["better"] > 0.3 for name in ("own", "previous", "two", "shuffled"))
    assert targets["next"] == {"loss": targets["next"]["loss"], "better": 0.0, "error": 0.0}
    assert targets["unmasked"]["better"] > -0.01
    assert targets["future"] == 0.0


def test_a_model_that_was_trained_without_its_mask_is_better_without_it(tmp_path, monkeypatch):
    def everywhere(q, k, v, *, dropout=0.0, mask=None):  # noqa: ARG001
        return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    monkeypatch.setattr(session, "use", lambda _: everywhere)
    folder, more = write_text(tmp_path), ("--inspect=", "--max_steps=250")
    train(resolve(None, [*WORDS, f"--dataset={folder}", f"--out_dir={folder / 'leak'}", *more]))
    monkeypatch.undo()

    words = ("--eval_only", f"--init_from={folder / 'leak/checkpoints/last'}")
    targets = look(folder, *words)["targets"]

    assert targets["unmasked"]["better"] < -0.02


def test_context_is_compared_at_the_same_tokens(seen):
    context = seen["context"]

    assert context["tokens"] == 100 * 4  # the last quarter of each window
    assert abs(context["gain"]) < 0.05  # one token before is all that this text needs
    assert [(p["from"], p["to"]) for p in context["positions"]] == [(0, 1), (1, 2), (2, 4), (4, 8), (8, 16)]


def test_tensors_that_learn_have_gradients_and_move(seen):
    assert sum(t["parameters"] for t in seen["tensors"]) == 32 * 16 + 16 * 16 + 12 * 16 * 16 + 3 * 16
    assert all(t["gradient"] > 0 and t["moved"] > 1e-3 and t["taught"] for t in seen["tensors"])


def test_tensors_that_no_gradient_reaches_stand_still_though_they_decay(tmp_path, monkeypatch):
    build = session.optimizer_of

    def frozen(settings, model):
        for name, weight in model.named_parameters():
            if "mlp" in name:
                weight.register_hook(torch.zeros_like)
        return build(settings, model)

    monkeypatch.setattr(session, "optimizer_of", frozen)
    told = look(write_text(tmp_path), "--weight_decay=0.5")["tensors"]

    still = {t["name"] for t in told if t["moved"] < 1e-5}
    assert still == {t["name"] for t in told if "mlp" in t["name"]}
    assert {t["name"] for t in told if not t["taught"]} == still


def test_one_batch_is_learnt_by_heart(tmp_path):
    folder = write_text(tmp_path)
    words = [*WORDS, f"--dataset={folder}", f"--out_dir={folder / 'out'}", "--sampling=one", "--inspect="]

    train(resolve(None, [*words, "--max_steps=150", "--log_interval=1"]))

    rows = [json.loads(line) for line in (folder / "out/log.jsonl").read_text().splitlines()]
    batch = [row["batch_loss"] for row in rows if "batch_loss" in row]
    assert batch[-1] < 0.25 * batch[0]
    assert {row["unique_tokens"] for row in rows[1:]} == {64}


def test_a_word_that_is_nothing_to_look_at_is_refused_before_anything_is_built():
    with pytest.raises(UsageError, match="windows, context, targets, tensors, all"):
        resolve(None, ["--inspect=windows,weights"])
