"""Which windows are evaluated and what they say: no bias, honest errors, fixed, nested, and no more than nanoGPT reads."""

import json
from itertools import pairwise

import numpy as np
import pytest

from test_train_data import write
from unplateau.errors import UnreadableError
from unplateau.tokens import Shard
from unplateau.train import ngrams
from unplateau.train.chosen import FOLDER, PLAN, dealt, parts_of
from unplateau.train.data import Stream, open_corpus
from unplateau.train.settings import Settings
from unplateau.train.survey import Survey

LENGTH = 16


def text(tokens=40_000, seed=0):
    """Easy and hard pieces: a walk on a ring whose steps are sure in some places, and not in others."""
    rng = np.random.default_rng(seed)
    hard = np.repeat(rng.random(tokens // 50 + 1), 50)[:tokens]
    steps = np.where(rng.random(tokens) < hard, rng.integers(0, 30, tokens), 1)
    return np.cumsum(steps) % 30, hard


def stream(tokens, split="train"):
    return Stream(
        split, (Shard(None, "raw", tokens.astype(np.uint16)),), np.array([0, len(tokens)]), 30, None
    )


def network(survey, hard, seed=0):
    """What a network could lose on each window of the whole split, by its start: how hard it is, and chance."""
    starts = np.arange(survey.windows) * LENGTH
    mean = np.array([hard[s : s + LENGTH].mean() for s in starts])
    return 1 + 2 * mean + 0.1 * np.random.default_rng(seed).standard_normal(len(starts))


def test_the_cheap_model_never_uses_the_token_itself():
    noise = np.random.default_rng(0).integers(0, 30, 20_000)

    assert ngrams.losses(noise, 30)[:, 1000:].mean(1).min() > np.log(30) - 0.05  # collisions


def test_the_cheap_model_learns_what_follows_what():
    tokens, hard = text()
    loss = ngrams.losses(tokens, 30)

    assert loss[1][hard < 0.2].mean() < loss[1][hard > 0.8].mean() - 1
    assert loss[0].mean() == pytest.approx(np.log(30), abs=0.01)


def test_a_larger_sample_holds_every_smaller_and_the_largest_is_all():
    survey = Survey(stream(text()[0]), LENGTH)
    samples = [set(survey.sample(n).starts) for n in (10, 100, 1000, survey.windows)]

    assert all(a < b for a, b in pairwise(samples))
    assert sorted(samples[-1]) == list(range(0, survey.windows * LENGTH, LENGTH))
    assert survey.sample(10**9).whole


def test_the_estimate_is_unbiased_and_its_error_is_what_it_says():
    off, plain = [], []
    for seed in range(80):
        tokens, hard = text(30_000, seed)
        survey = Survey(stream(tokens), LENGTH)
        sample, losses = survey.sample(300), network(survey, hard, seed)
        found = sample.estimate(losses[sample.starts // LENGTH])
        off.append((found.loss - losses.mean()) / found.error)
        plain.append((losses[sample.starts // LENGTH].mean() - losses.mean()) / found.error)

    assert np.mean(off) == pytest.approx(0, abs=0.35)  # 3 standard errors of 80 draws
    assert np.std(off) == pytest.approx(1, abs=0.25)
    assert np.std(plain) > 1.5  # what the correction takes away


def test_all_of_a_split_leaves_no_sampling_error_but_that_of_other_text():
    tokens, hard = text()
    survey = Survey(stream(tokens), LENGTH)
    sample, losses = survey.sample(survey.windows), network(survey, hard)
    found = sample.estimate(losses)

    assert (found.loss, found.error) == (losses.mean(), 0.0)
    assert found.text_error > 0


def test_windows_of_one_document_do_not_count_as_many(tmp_path):
    numbered = open_corpus(write(tmp_path)).train  # 8 documents
    sample = Survey(numbered, 8).sample(10**6)
    by_document = np.random.default_rng(0).standard_normal(8)[sample.groups]

    assert sample.estimate(by_document).text_error > 3 * by_document.std() / len(by_document) ** 0.5


def test_the_estimate_of_a_difference_is_the_difference_of_the_estimates():
    tokens, hard = text()
    survey = Survey(stream(tokens), LENGTH)
    sample = survey.sample(300)
    before = network(survey, hard)[sample.starts // LENGTH]
    after = before - 0.05 + 0.01 * np.random.default_rng(1).standard_normal(300)
    change = sample.estimate(after - before)

    assert change.loss == pytest.approx(sample.estimate(after).loss - sample.estimate(before).loss, abs=1e-12)
    assert change.error < sample.estimate(after).error / 5


def test_losses_that_are_no_numbers_are_told_as_such():
    sample = Survey(stream(text()[0]), LENGTH).sample(100)

    assert np.isnan(sample.estimate(np.full(100, np.nan)).loss)


# --- how much, and where it is kept


def planned(folder, run=None, **more):
    settings = Settings(batch_size=2, block_size=8, **more)
    return parts_of(settings, [(open_corpus(folder), 1.0)], run)


def test_no_more_is_read_than_nanogpt_reads_and_what_one_split_leaves_goes_to_the_others():
    assert dealt(800, [100, 1000, 1000, 1000], [4, 2, 1, 1]) == [100, 350, 175, 175]
    assert dealt(800, [1000] * 4, [4, 2, 1, 1]) == [400, 200, 100, 100]
    assert dealt(8, [1000] * 4, [4, 2, 1, 1]) == [4, 2, 1, 1]
    assert dealt(800, [10, 10], [4, 2]) == [10, 10]


def test_a_small_split_is_read_whole(tmp_path):
    parts = planned(write(tmp_path))

    assert [(p.split, p.sample.whole) for p in parts] == [("val", True), ("train", True)]
    assert parts[0].in_words() == "val: all of its 1,000 tokens, in windows of 8"


def test_of_each_split_as_many_batches_are_read_as_nanogpts_eval_iters_say(tmp_path):
    folder = write(tmp_path, splits=("train", "val", "seen", "fresh"))
    read = {p.split: p.sample.count for p in planned(folder, eval_iters=9)}  # batches of 2 windows

    assert read == {"val": 18, "train": 18, "seen": 18, "fresh": 18}
    assert all(p.sample.whole for p in planned(folder, eval_iters=1000))


def test_tokens_that_are_asked_for_are_read(tmp_path):
    parts = planned(write(tmp_path), eval_tokens=160)

    assert [p.sample.tokens for p in parts] == [160, 160]
    assert parts[1].in_words() == "train: 160 of 1,000 tokens, the same each time"


def test_a_resumed_run_evaluates_the_same_windows(tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    first = planned(write(data), run)
    plan = run / FOLDER / PLAN
    told = json.loads(plan.read_text())
    told["parts"][0]["windows"] = 7  # as if another version had chosen
    plan.write_text(json.dumps(told))
    again = planned(data, run)

    assert [p.sample.count for p in first] == [124, 124]
    assert [p.sample.count for p in again] == [7, 124]


def test_a_plan_for_other_data_is_made_anew(tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    planned(write(data, splits=("train",)), run)

    assert [p.split for p in planned(write(data), run)] == ["val", "train"]
    assert [p.sample.tokens for p in planned(data, run, eval_tokens=80)] == [80, 80]
    assert [p.sample.count for p in planned(data, run, eval_iters=6)] == [12, 12]
    assert [p.sample.count for p in planned(data, run, eval_iters=7)] == [14, 14]
    shard = data / "train-00000.bin"
    shard.write_bytes(b"\1" + shard.read_bytes()[1:])
    assert [p.sample.whole for p in planned(data, run)] == [True, True]
    assert json.loads((run / FOLDER / PLAN).read_text())["parts"][0]["data"] == open_corpus(data).fingerprint


def test_the_windows_that_are_kept_are_those_of_the_plan_that_holds(tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    write(data)
    for iters in (6, 7):
        parts = planned(data, run, eval_iters=iters)
        with np.load(run / FOLDER / "windows.npz", allow_pickle=False) as kept:
            assert kept["val.starts"].tolist() == parts[0].sample.starts.tolist()


@pytest.mark.parametrize("damage", ["", "[]", '{"parts": [{}]}', '{"parts": 3}', '{"parts": [4]}'])
def test_a_damaged_plan_is_one_line(tmp_path, damage):
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    planned(write(data), run)
    (run / FOLDER / PLAN).write_text(damage)

    with pytest.raises(UnreadableError, match=r"plan\.json is damaged"):
        planned(data, run)
