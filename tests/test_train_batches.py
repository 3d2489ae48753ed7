"""The order of the data: each window once a pass, the same from any step and on any number of devices; nanoGPT's, to the bit."""

import tracemalloc
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unplateau.errors import UsageError
from unplateau.tokens import Shard
from unplateau.train.batches import Mixture, NanoGPT, Permutation, batches_of, documents_of
from unplateau.train.blend import Blend, shares_of
from unplateau.train.data import Stream, open_corpus
from unplateau.train.order import Windows, keys, shuffled, unshuffled
from unplateau.train.settings import Settings


def stream(tokens, split="train"):
    data = np.arange(tokens) % 50_000
    shard = Shard(None, "raw", data.astype(np.uint16))
    return Stream(split, (shard,), np.array([0, tokens]), 50_304, 50_256)


def told(batch_size=4, block_size=8, seed=1, **more):
    return Settings(batch_size=batch_size, block_size=block_size, seed=seed, **more)


# --- the permutation


@given(n=st.integers(1, 3000), key=st.integers(0, 2**64 - 1))
@settings(max_examples=60, deadline=None)
def test_a_permutation_visits_every_place_once_and_can_be_undone(n, key):
    places, key_N = np.arange(n), np.full(n, key, np.uint64)
    where = shuffled(places, n, key_N)

    assert sorted(where.tolist()) == places.tolist()
    assert unshuffled(where, n, key_N).tolist() == places.tolist()


def test_all_orders_of_four_windows_are_equally_frequent():
    rounds = 12_000
    orders = shuffled(np.tile(np.arange(4), rounds), 4, np.repeat(keys(3, np.arange(rounds)), 4))
    counts = np.unique(orders.reshape(rounds, 4), axis=0, return_counts=True)[1]

    assert len(counts) == 24
    assert ((counts - rounds / 24) ** 2 / (rounds / 24)).sum() < 50  # chi square, 23 degrees: 1 in 1,000


@given(
    tokens=st.integers(10, 4000), length=st.integers(1, 64), seed=st.integers(0, 99), passed=st.integers(0, 5)
)
@settings(max_examples=60, deadline=None)
def test_a_pass_shows_windows_side_by_side_each_once(tokens, length, seed, passed):
    if tokens <= length:
        return
    windows = Windows(tokens, length, seed)
    starts = np.sort(windows.starts(np.arange(windows.count) + passed * windows.count))

    assert (np.diff(starts) == length).all()
    assert starts[0] >= 0
    assert starts[-1] + length + 1 <= tokens  # its last target is there
    assert windows.count >= tokens // length - 1


def test_every_pass_has_its_own_order_and_borders():
    windows = Windows(10_000, 100, key=5)
    passes = windows.starts(np.arange(20 * windows.count)).reshape(20, -1)

    assert len({tuple(p - p.min()) for p in passes}) == 20
    assert len(set(passes.min(1))) > 10  # offsets


def test_no_token_is_left_out_for_good():
    windows = Windows(1_049, 100, key=5)
    shown = np.zeros(1_049, bool)
    for start in windows.starts(np.arange(3000 * windows.count)):
        shown[start : start + 100] = True

    assert shown[:-1].all()  # the last token is a target only


@given(
    tokens=st.integers(3, 500), length=st.integers(1, 40), seed=st.integers(0, 999), draws=st.integers(0, 120)
)
@settings(max_examples=150, deadline=None)
def test_unique_tokens_are_those_of_a_brute_count(tokens, length, seed, draws):
    if tokens <= length:
        return
    windows = Windows(tokens, length, seed)
    shown = np.zeros(tokens, bool)
    for start in windows.starts(np.arange(draws)):
        shown[start : start + length] = True

    assert windows.unique(draws) == shown.sum()


def test_unique_tokens_are_exact_where_a_pass_begins_more_than_a_window_earlier():
    far = 0
    for seed in range(40):
        windows = Windows(5 * 40 + 39, 40, seed)  # 4 windows, 79 offsets
        far += abs(int(np.diff(windows.offsets(np.arange(2)))[0])) > 40
        shown = np.zeros(239, bool)
        for draws, start in enumerate(windows.starts(np.arange(12))):
            assert windows.unique(draws) == shown.sum()
            shown[start : start + 40] = True

    assert far > 3


def test_a_text_shorter_than_a_window_is_refused():
    with pytest.raises(UsageError, match="8 tokens hold no window of block_size 8"):
        Windows(8, 8, 0)
    assert Windows(9, 8, 0).starts(np.arange(3)).tolist() == [0, 0, 0]


# --- batches


def test_a_batch_is_a_pure_function_of_the_seed_and_its_number():
    asked = [700, 3, 4, 3000, 3]
    one, fresh = Permutation(stream(5000), told()), [Permutation(stream(5000), told()) for _ in asked]
    other = Permutation(stream(5000), told(seed=2))

    for micro, another in zip(asked, fresh, strict=True):
        assert one.at(micro).x.equal(another.at(micro).x)
        assert not one.at(micro).x.equal(other.at(micro).x)


def test_targets_are_the_next_tokens():
    batch = Permutation(stream(5000), told()).at(7)

    assert batch.x[:, 1:].equal(batch.y[:, :-1])
    assert (batch.x[:, 0].numpy() == batch.starts % 50_000).all()
    assert batch.y[:, -1].tolist() == (batch.starts + 8).tolist()
    assert batch.x.dtype == torch.int64
    assert batch.y.is_contiguous()


@pytest.mark.parametrize("world", [1, 2, 4])
def test_any_number_of_devices_sees_the_same_windows(world):
    alone = Permutation(stream(5000), told())
    ranks = [Permutation(stream(5000), told()) for _ in range(world)]
    micros = range(8 * 20, 8 * 22)  # two steps of 8 micro-batches

    together = [ranks[m % world].at(m).starts.tolist() for m in micros]
    assert together == [alone.at(m).starts.tolist() for m in micros]


def test_a_pass_is_exact_where_a_batch_straddles_it():
    batches = Permutation(stream(100), told(batch_size=3))  # 11 windows
    seen = np.concatenate([batches.at(m).starts for m in range(11)])

    for passed in seen.reshape(3, 11):
        assert len(set(passed)) == 11
    assert batches.epoch(11) == 3.0
    assert batches.epoch(1) == pytest.approx(3 / 11)
    assert batches.unique(2) == 48


def test_ten_billion_tokens_take_no_more_memory_than_ten_thousand():
    windows = Windows(10**10, 1024, key=1)
    tracemalloc.start()
    starts = windows.starts(np.arange(10**9, 10**9 + 4096))
    windows.unique(3 * 10**7)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(set(starts)) == 4096
    assert peak < 4 << 20  # bytes; all windows would take 78 MB


def test_documents_of_a_batch_are_named(tmp_path):
    from test_train_data import LENGTHS, write

    train = open_corpus(write(tmp_path, shard_tokens=200)).train
    batches = Permutation(train, told(document_mask=True))
    batch = batches.at(2)
    truth = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    expected = np.stack([truth[s : s + 8] for s in batch.starts])

    assert batch.document_BT.tolist() == expected.tolist()
    assert documents_of(batch, batches.streams) == {0: np.unique(expected).tolist()}
    assert documents_of(Permutation(stream(100), told()).at(0), (stream(100),)) == {}


# --- mixtures


@given(
    weights=st.lists(st.floats(0.001, 100), min_size=1, max_size=5),
    first=st.integers(0, 5000),
    seed=st.integers(0, 9),
)
@settings(max_examples=40, deadline=None)
def test_weights_are_exact_in_every_block_and_draws_are_numbered_by_source(weights, first, seed):
    blend = Blend(shares_of(weights), seed)
    source, number = blend.draws(0, 4 * blend.block)
    part = first % (2 * blend.block)

    assert np.bincount(source[: blend.block], minlength=len(weights)).tolist() == list(blend.shares)
    assert np.abs(np.array(blend.shares) / blend.block - np.array(weights) / sum(weights)).max() < 1 / 512
    assert min(blend.shares) > 0
    for index in range(len(weights)):
        assert number[source == index].tolist() == list(range(4 * blend.shares[index]))
    assert blend.counts(part) == tuple(np.bincount(source[:part], minlength=len(weights)))
    again = blend.draws(part, 2 * blend.block)
    assert again[0].tolist() == source[part : part + 2 * blend.block].tolist()
    assert again[1].tolist() == number[part : part + 2 * blend.block].tolist()


def test_a_mixture_reads_each_source_without_replacement_and_knows_its_passes():
    small, large = stream(1000), stream(40_000)
    batches = Mixture([small, large], [0.25, 0.75], told())
    seen = [batches.at(m) for m in range(200)]
    starts, sources = (np.concatenate([getattr(b, n) for b in seen]) for n in ("starts", "sources"))
    windows = batches.windows[0].count

    assert np.bincount(sources).tolist() == [200, 600]
    assert (np.bincount(sources.reshape(-1, 4)[:, 0]) > 0).all()
    assert len(set(starts[sources == 0][:windows])) == windows
    assert batches.epochs(200) == (200 / windows, 600 / batches.windows[1].count)
    shown = np.zeros((2, 40_000), bool)
    for start, source in zip(starts, sources, strict=True):
        shown[source, start : start + 8] = True
    assert batches.unique(200) == shown.sum()
    for batch in islice(seen, 5):
        assert batch.x[:, 0].tolist() == batch.starts.tolist()
    assert Mixture([small, large], [0.25, 0.75], told()).at(150).x.equal(seen[150].x)


# --- nanoGPT's


def get_batch(data, block_size, batch_size):
    """The arithmetic of train.py's get_batch, in its order."""
    ix = torch.randint(len(data) - block_size, (batch_size,))
    x = torch.stack([torch.from_numpy((data[i : i + block_size]).astype(np.int64)) for i in ix])
    y = torch.stack([torch.from_numpy((data[i + 1 : i + 1 + block_size]).astype(np.int64)) for i in ix])
    return x, y


def test_nanogpts_batches_are_those_of_train_py_to_the_bit():
    text = stream(3000)
    data = np.asarray(text.shards[0].tokens)
    torch.manual_seed(1337)
    expected = [get_batch(data, 8, 4) for _ in range(50)]
    torch.manual_seed(1337)
    batches = NanoGPT(text, told(sampling="nanogpt"))

    for micro, (x, y) in enumerate(expected):
        batch = batches.at(micro)
        assert batch.x.equal(x)
        assert batch.y.equal(y)


def test_a_batch_drawn_ahead_survives_a_resume():
    text = stream(3000)
    torch.manual_seed(7)
    batches = NanoGPT(text, told())
    batches.at(0)
    held = batches.at(1)  # drawn ahead, while step 0 computes
    state, generator = batches.state(), torch.get_rng_state()
    after = batches.at(2)

    torch.set_rng_state(generator)
    resumed = NanoGPT(text, told())
    resumed.restore(state)
    assert resumed.at(1).x.equal(held.x)
    assert resumed.at(2).x.equal(after.x)
    with pytest.raises(ValueError, match="can't be drawn again"):
        resumed.at(1)


def test_what_nanogpts_sampling_shows_is_told_as_expected():
    text = stream(2000)
    torch.manual_seed(0)
    batches, shown = NanoGPT(text, told()), np.zeros(2000, bool)
    for micro in range(60):
        for start in batches.at(micro).starts:
            shown[start : start + 8] = True

    assert batches.unique(60) == pytest.approx(shown.sum(), rel=0.05)
    assert batches.epoch(60) == 60 * 4 * 8 / 2000


def test_the_settings_choose_the_sampling(tmp_path):
    from test_train_data import write

    corpus = open_corpus(write(tmp_path))

    assert isinstance(batches_of(told(), [(corpus, 1.0)]), Permutation)
    assert isinstance(batches_of(told(sampling="nanogpt"), [(corpus, 1.0)]), NanoGPT)
    assert isinstance(batches_of(told(), [(corpus, 0.5), (corpus, 0.5)]), Mixture)
    with pytest.raises(UsageError, match="reads one data set"):
        batches_of(told(sampling="nanogpt"), [(corpus, 0.5), (corpus, 0.5)])
