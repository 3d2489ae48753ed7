"""Candidates that are verified in parts give the clusters of all at once.

Seen red once: ``apart`` cut at ``most`` whatever hangs together
(test_pairs_in_parts_are_compared_and_hold_as_all_at_once).
"""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unplateau.prepare._copies import apart
from unplateau.prepare.dedup import join, verified

numbers = st.integers(0, 30)
candidates = st.sets(st.tuples(numbers, numbers).filter(lambda p: p[0] < p[1]), max_size=60)


def as_pairs(found):
    return np.array(sorted(found), np.int64).reshape(-1, 2)


@given(candidates, st.integers(1, 9), st.integers(0, 5))
def test_pairs_in_parts_are_compared_and_hold_as_all_at_once(found, most, seed):
    alike = np.random.default_rng(seed).random((31, 31))
    pairs = as_pairs(found)

    whole, compared = verified(pairs, lambda a, b: alike[a, b], 0.4)
    parts = [verified(part, lambda a, b: alike[a, b], 0.4) for part in apart(pairs, most)]

    assert as_pairs(map(tuple, whole.tolist())).tolist() == sorted(
        p for part, _ in parts for p in part.tolist()
    )
    assert sum(count for _, count in parts) == compared
    root = np.arange(31)
    assert (join(root, [whole]).cluster == join(root, [part for part, _ in parts]).cluster).all()


@given(candidates, st.integers(1, 9))
def test_parts_hold_each_pair_once_and_share_no_document(found, most):
    parts = list(apart(as_pairs(found), most))

    assert sorted(p for part in parts for p in part.tolist()) == as_pairs(found).tolist()
    for one, other in itertools.combinations(parts, 2):
        assert not set(one.ravel().tolist()) & set(other.ravel().tolist())
    assert all(len(part) >= most for part in parts[:-1])
