"""Splits: copies stay together, the order of documents doesn't matter, val is as large as it should be.

Seen red once:
- ``keys = cluster_keys(...)[names]`` made ``exact[names, 0]`` (the first copy's text):
  test_splits_do_not_depend_on_the_order_of_documents;
- ``held[inverse]`` shifted by a document: test_copies_never_stand_in_two_splits and five more;
- "seen" drawn as "split": test_seen_is_as_much_of_train_as_val_is_long (it is then a bit of train next to val).
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unplateau.errors import UsageError
from unplateau.prepare.split import (
    DROPPED,
    FRESH,
    LEAST,
    MOST,
    TRAIN,
    VAL,
    assign,
    cluster_keys,
    draw,
    val_size,
)


def corpus(seed, documents=400, copies=0.3):
    """Cluster numbers, hashes of the texts and tokens of documents, some of them copies of earlier ones."""
    rng = np.random.default_rng(seed)
    cluster = np.arange(documents)
    for i in range(1, documents):
        if rng.random() < copies:
            cluster[i] = cluster[rng.integers(i)]
    exact = rng.integers(1, 2**63, (documents, 2), dtype=np.uint64)
    same = rng.random(documents) < 0.5
    exact[same] = exact[cluster[same]]
    return cluster, exact, rng.integers(1, 2000, documents)


corpora = st.integers(0, 1000).map(corpus)


@given(corpora, st.integers(0, 5))
def test_copies_never_stand_in_two_splits(data, seed):
    split = assign(*data, seed=seed)

    for code in (TRAIN, VAL, FRESH):
        inside = set(data[0][split.part == code].tolist())
        assert inside.isdisjoint(data[0][split.part != code].tolist())


@given(corpora, st.randoms())
def test_splits_do_not_depend_on_the_order_of_documents(data, rng):
    cluster, exact, tokens = data
    order = list(range(len(tokens)))
    rng.shuffle(order)
    moved = cluster[order]
    names = {c: k for k, c in reversed(list(enumerate(moved.tolist())))}

    there = assign(np.array([names[c] for c in moved.tolist()]), exact[order], tokens[order])

    here = assign(cluster, exact, tokens)
    assert np.array_equal(there.part, here.part[order])
    assert np.array_equal(there.seen, here.seen[order])


@given(corpora)
def test_a_larger_val_holds_the_smaller(data):
    small, large = (assign(*data, val_tokens=size).part == VAL for size in (3000, 9000))

    assert not (small & ~large).any()
    assert large.sum() >= small.sum()


@given(corpora)
def test_every_document_has_one_place_and_the_counts_add_up(data):
    split = assign(*data)

    assert set(split.part.tolist()) <= {TRAIN, VAL, FRESH}
    assert sum(split.tokens[n] for n in ("train", "val", "fresh")) == data[2].sum()
    assert sum(split.documents[n] for n in ("train", "val", "fresh")) == len(data[2])
    assert split.as_dict()["splits"]["val"]["tokens"] == split.tokens["val"]


@given(corpora)
def test_seen_is_as_much_of_train_as_val_is_long(data):
    split = assign(*data)

    assert (split.part[split.seen] == TRAIN).all()
    assert split.tokens["val"] <= split.tokens["seen"] <= split.tokens["val"] + MOST * data[2].sum()
    by_draw = np.argsort(draw(cluster_keys(data[0], data[1]), 0, "split"))
    assert not split.seen[by_draw][~np.isin(split.part[by_draw], (VAL, FRESH))][: split.seen.sum()].all()


@given(corpora)
def test_val_and_fresh_have_what_was_asked_for_and_at_most_one_cluster_more(data):
    split = assign(*data)

    for name in ("val", "fresh"):
        assert split.target <= split.tokens[name] <= split.target + MOST * data[2].sum()


@given(corpora)
def test_dropped_documents_are_in_no_split_and_change_no_other(data):
    cluster, exact, tokens = data
    first = cluster == np.arange(len(cluster))

    split = assign(cluster, exact, tokens, keep=first)

    assert np.array_equal(split.part == DROPPED, ~first)
    assert sum(split.documents[n] for n in ("train", "val", "fresh")) == first.sum()
    assert not split.seen[~first].any()


def test_another_seed_draws_another_val():
    data = corpus(1)

    assert not np.array_equal(assign(*data, seed=0).part, assign(*data, seed=1).part)


def test_each_document_has_the_same_chance_of_val():
    data = corpus(2, documents=200, copies=0)
    data = (data[0], data[1], np.full(200, 100))
    times = sum((assign(*data, seed=seed, val_tokens=1000).part == VAL).astype(int) for seed in range(400))

    assert times.mean() == 20  # 10 of 200 documents, 400 times
    assert 0.6 < times.var() / (400 * 0.05 * 0.95) < 1.5  # binomial


@given(st.integers(0, 10**13))
def test_val_is_neither_too_small_nor_too_large(total):
    size = val_size(total)

    assert size <= total * MOST
    assert size >= min(LEAST, int(total * MOST))
    assert size <= max(1_000_000, LEAST)


def test_one_long_text_is_not_held_out_whole():
    tokens = np.array([1_000_000, 10, 10])
    split = assign(np.arange(3), np.array([[1, 0], [2, 0], [3, 0]], np.uint64), tokens)

    assert split.part[0] == TRAIN
    assert "cut long texts into documents" in " ".join(split.notes)


def test_of_a_corpus_of_many_documents_there_is_nothing_to_note():
    assert assign(np.arange(20000), corpus(3, 20000, 0)[1], np.full(20000, 5000)).notes == ()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_documents_are_split_without_a_crash(count):
    split = assign(np.arange(count), np.ones((count, 2), np.uint64), np.full(count, 7))

    assert split.tokens["train"] == 7 * count
    assert split.tokens["val"] == 0


def test_no_val_is_drawn_where_none_is_wanted():
    split = assign(*corpus(4), val_tokens=0)

    assert split.tokens["val"] == split.tokens["fresh"] == split.tokens["seen"] == 0
    assert split.notes == ()


@pytest.mark.parametrize("size", [-1, 10**9])
def test_a_val_that_leaves_no_train_is_refused(size):
    with pytest.raises(UsageError, match="expected 0 to"):
        assign(*corpus(5), val_tokens=size)
