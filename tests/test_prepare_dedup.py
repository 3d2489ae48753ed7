"""Duplicates: hashes that don't depend on company, candidates at the rate that theory gives, clusters without order.

Seen red once:
- hashing words by their place in the block (``* DOWN[start]`` taken out of _minhash.word_hashes):
  test_a_text_has_the_same_hashes_in_any_company;
- ``root`` not asked for in ``candidates``: test_exact_copies_are_not_compared;
- ``>=`` made ``>= .3 *`` the threshold in ``verified``: test_no_pair_below_the_threshold_is_joined;
- the last bins not filled (``_permute`` taken out): test_two_texts_agree_in_a_bin_as_often_as_they_are_alike.
"""

import itertools
import random
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unplateau.prepare import _minhash
from unplateau.prepare.dedup import (
    BANDS,
    THRESHOLD,
    Signatures,
    all_candidates,
    clusters,
    comparer,
    exact_copies,
    grams,
    jaccard,
    join,
    signatures,
    verified,
    words,
)

VOCABULARY = [f"w{i}" for i in range(3000)]


def text_of(rng, length):
    return " ".join(rng.choices(VOCABULARY, k=length))


def changed(rng, text, times):
    split = text.split(" ")
    for _ in range(times):
        split[rng.randrange(len(split))] = rng.choice(VOCABULARY)
    return " ".join(split)


def corpus(seed, count=60):
    """Texts, copies that differ in case and space only, and near copies of them."""
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        kind = rng.random()
        if texts and kind < 0.15:
            texts.append(rng.choice(texts).upper().replace(" ", "\n  "))
        elif texts and kind < 0.5:
            one = rng.choice(texts)
            texts.append(changed(rng, one, rng.randrange(1, 1 + len(one.split()) // 25)))
        else:
            texts.append(text_of(rng, rng.randrange(25, 200)))
    return texts


def found(texts, cuts=()):
    edges = [0, *sorted(cuts), len(texts)]
    pieces = [signatures(texts[a:b]) for a, b in itertools.pairwise(edges)]
    return clusters(pieces, comparer(texts.__getitem__))


def same(a, b):
    return (
        np.array_equal(a.cluster, b.cluster)
        and np.array_equal(a.exact, b.exact)
        and np.array_equal(a.near, b.near)
        and a.histogram == b.histogram
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=8), st.lists(st.text(max_size=40), max_size=8))
def test_a_text_has_the_same_hashes_in_any_company(one, other):
    alone, together = signatures(other), signatures(one + other)

    assert np.array_equal(together.exact[len(one) :], alone.exact)
    assert np.array_equal(together.bands[len(one) :], alone.bands)


def test_a_text_longer_than_a_block_has_the_same_hashes_in_any_company():
    rng = random.Random(3)
    long = text_of(rng, 60_000)
    assert len(long) > 2 * _minhash.BLOCK
    texts = ["before it", long, "x" * (2 * _minhash.BLOCK + 5), long + " end", text_of(rng, 90)]
    alone = [signatures([text]) for text in texts]

    together = signatures(texts)

    assert np.array_equal(together.bands, np.concatenate([one.bands for one in alone]))
    assert (together.bands[1] == together.bands[3]).sum() > BANDS / 2


def test_hashes_are_the_same_in_another_process():
    code = (
        "from unplateau.prepare.dedup import signatures\n"
        "s = signatures(['To be or not to be, that', '到底 ça va', ''])\n"
        "print(s.exact.tolist(), s.bands.tolist())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            text=True,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    here = signatures(["To be or not to be, that", "到底 ça va", ""])

    assert runs == {f"{here.exact.tolist()} {here.bands.tolist()}\n"}


@given(st.text(max_size=60))
def test_case_and_white_space_make_no_difference(text):
    folded = " ".join(words(text))
    spaced = "\t" + text.replace(" ", " \n ") + "  "

    one, *others = signatures([text, folded, spaced]).exact.tolist()

    assert others == [one, one]


def test_lone_surrogates_and_empty_texts_have_hashes():
    one = signatures(["\ud800 bad", "", "  \n"])

    assert one.exact.shape == (3, 2)
    assert one.exact[1].tolist() == one.exact[2].tolist()
    assert not one.bands[1:].any()


def test_signatures_of_nothing_are_empty():
    none = signatures([])

    assert none.exact.shape == (0, 2)
    assert none.bands.shape == (0, BANDS)
    assert len(clusters([none], jaccard).cluster) == len(clusters([], jaccard).cluster) == 0


def test_signatures_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match="shape"):
        Signatures(np.zeros((3, 2), np.uint64), np.zeros((2, BANDS), np.uint64))


@given(st.lists(st.sampled_from("ab"), max_size=12), st.lists(st.sampled_from("ab"), max_size=12))
def test_jaccard_is_that_of_the_sets_of_five_words(a, b):
    def naive(split):
        return {tuple(split[i : i + 5]) for i in range(max(1, len(split) - 4))} if split else set()

    one, other = naive(a), naive(b)
    expected = len(one & other) / len(one | other) if one | other else 1.0

    assert grams(" ".join(a)) == one
    assert jaccard(" ".join(a), " ".join(b)) == expected


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=30), min_size=2, max_size=2))
def test_comparing_hashes_is_comparing_grams(pair):
    texts = [" ".join(split) for split in pair]

    assert comparer(texts.__getitem__)(0, 1) == jaccard(*texts)
    assert comparer(texts.__getitem__)(1, 1) == 1


@pytest.mark.parametrize("seed", range(5))
def test_comparing_hashes_of_long_texts_is_comparing_grams(seed):
    rng = random.Random(seed)
    one = text_of(rng, 3000)
    texts = [one, changed(rng, one, 20), changed(rng, one, 200), text_of(rng, 30), ""]
    compare = comparer(texts.__getitem__, texts=2)

    assert all(compare(a, b) == jaccard(texts[a], texts[b]) for a, b in itertools.product(range(5), repeat=2))


def bins_shared(pairs):
    """The share of the 112 bins in which the two texts of each pair agree."""
    sketches = []
    for side in zip(*pairs, strict=True):
        split = [words(text) for text in side]
        hashed = _minhash.word_hashes(" ".join(w for s in split for w in s).encode())
        sketches.append(_minhash.sketch(*_minhash.shingles(hashed, np.array([len(s) for s in split]))))
    return (sketches[0] == sketches[1]).mean(axis=1)


@pytest.mark.parametrize("length", [12, 40, 120, 600])
def test_two_texts_agree_in_a_bin_as_often_as_they_are_alike(length):
    rng = random.Random(length)
    texts = [text_of(rng, length) for _ in range(150)]
    pairs = [(one, changed(rng, one, max(1, length // 40))) for one in texts]
    truth = np.array([jaccard(*pair) for pair in pairs])

    wrong = bins_shared(pairs) - truth

    error = np.sqrt((truth * (1 - truth) / _minhash.BINS).mean() / len(pairs))
    assert abs(wrong.mean()) < 4 * error
    assert wrong.std() < 1.2 * np.sqrt((truth * (1 - truth) / _minhash.BINS).mean())


def planted(rng, count, lengths):
    """Pairs with a Jaccard similarity of .8 to 1, evenly spread as far as the length of the text allows."""
    while count:
        one = text_of(rng, rng.randrange(*lengths))
        other = changed(rng, one, rng.randrange(1, 2 + len(one.split()) // 40))
        if 0.8 <= jaccard(one, other) < 1:
            count -= 1
            yield one, other


@pytest.mark.parametrize("lengths", [(60, 200), (200, 700)], ids=["short", "long"])
def test_short_texts_are_found_at_the_rate_of_long_ones(lengths):
    pairs = list(planted(random.Random(5), 600, lengths))
    truth = np.array([jaccard(*pair) for pair in pairs])
    one, other = (signatures(side) for side in zip(*pairs, strict=True))
    hit = (one.bands == other.bands).any(axis=1)

    expected = 1 - (1 - truth**_minhash.ROWS) ** BANDS

    assert hit.mean() > expected.mean() - 3 * np.sqrt((expected * (1 - expected)).mean() / len(pairs))
    assert hit[truth >= 0.9].all()


@pytest.mark.parametrize("seed", range(5))
def test_no_pair_below_the_threshold_is_joined(seed):
    texts = corpus(seed)
    pieces = [signatures(texts)]
    pairs, compared = verified(all_candidates(pieces, exact_copies(pieces)), comparer(texts.__getitem__))

    assert compared >= len(pairs) > 5
    assert all(jaccard(texts[a], texts[b]) >= THRESHOLD for a, b in pairs.tolist())


def test_a_pair_that_only_shares_a_band_is_not_joined():
    texts = ["a b c d e f g", "h i j k l m n"]
    twins = Signatures(signatures(texts).exact, np.asfortranarray(np.ones((2, BANDS), np.uint64)))

    result = clusters([twins], comparer(texts.__getitem__))

    assert result.cluster.tolist() == [0, 1]
    assert (result.compared, result.confirmed) == (1, 0)


def test_exact_copies_are_not_compared():
    texts = ["To be or not to be"] * 50

    result = clusters([signatures(texts)], lambda _a, _b: pytest.fail("compared"))

    assert result.cluster.tolist() == [0] * 50
    assert result.exact.sum() == 49
    assert not result.near.any()
    assert result.histogram == {50: 1}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 5), st.lists(st.integers(0, 60), max_size=6))
def test_clusters_are_the_same_for_any_partition_into_pieces(seed, cuts):
    texts = corpus(seed)

    assert same(found(texts), found(texts, cuts))


@pytest.mark.parametrize("seed", range(4))
def test_clusters_are_the_same_whoever_verifies_which_pairs(seed):
    texts = corpus(seed)
    pieces, whole = [signatures(texts)], found(texts)
    root = exact_copies(pieces)
    pairs = all_candidates(pieces, root)
    shares = [verified(pairs[k::3], comparer(texts.__getitem__))[0] for k in (2, 0, 1)]

    assert same(whole, join(root, shares))


@pytest.mark.parametrize("seed", range(4))
def test_clusters_are_the_same_sets_when_the_documents_are_shuffled(seed):
    texts = corpus(seed)
    order = list(range(len(texts)))
    random.Random(seed).shuffle(order)
    there = found([texts[i] for i in order]).cluster

    def sets(cluster, name):
        return {frozenset(name[i] for i in np.flatnonzero(cluster == c)) for c in set(cluster.tolist())}

    assert sets(found(texts).cluster, range(len(texts))) == sets(there, order)


def test_a_cluster_bears_its_lowest_number_and_keeps_its_first():
    texts = corpus(1)
    result = found(texts)

    for number in range(len(texts)):
        assert result.cluster[number] == np.flatnonzero(result.cluster == result.cluster[number])[0]
    assert np.array_equal(result.first, result.cluster == np.arange(len(texts)))
    assert not (result.exact & result.near).any()
    assert sum(size * count for size, count in result.histogram.items()) == len(texts)
    told = result.as_dict()
    assert told["exact"] + told["near"] + sum(told["cluster_sizes"].values()) == told["documents"]


def test_a_band_that_all_share_costs_a_bounded_number_of_pairs():
    n = 2000
    crowd = Signatures(
        np.stack([np.arange(n), np.arange(n)], 1).astype(np.uint64), np.full((n, BANDS), 7, np.uint64)
    )

    pairs = all_candidates([crowd], exact_copies([crowd]))

    assert n - 1 <= len(pairs) <= 16 * n


def test_clustering_takes_less_than_120_bytes_a_document():
    n = 50_000
    rng = np.random.default_rng(0)
    exact, table = (rng.integers(1, 2**63, (k, n), dtype=np.uint64).T for k in (2, BANDS))
    exact[::20], table[1::9, 4] = exact[0], table[::9, 4][: len(table[1::9])]
    pieces = [Signatures(exact[i : i + 5000], table[i : i + 5000]) for i in range(0, n, 5000)]
    tracemalloc.start()

    result = clusters(pieces, lambda _a, _b: 0.9)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.near.sum() > 4000
    assert result.exact.sum() == n // 20 - 1
    assert peak < 120 * n


def test_texts_without_spaces_have_words():
    rng = random.Random(1)
    one = "".join(chr(rng.randrange(0x4E00, 0x9F00)) for _ in range(300))
    other = one[:100] + "\u3042" + one[101:]

    assert len(words(one)) == 300
    assert 0.9 < jaccard(one, other) < 1
    assert (signatures([one]).bands == signatures([other]).bands).any()
