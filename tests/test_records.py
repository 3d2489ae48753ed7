"""Where readers put points: whatever comes, steps rise, later records hold, and nothing raises."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unplateau.readers._records import STEP_LIMIT, Recorder, _measured

NAMES = ("val_loss", "batch_loss", "own")
STEPS = st.one_of(st.integers(-3, 12), st.sampled_from([STEP_LIMIT - 1, STEP_LIMIT, 10**18, -(10**18)]))
VALUES = st.one_of(st.floats(), st.just(math.nan))
RECORDS = st.lists(
    st.tuples(st.sampled_from([(NAMES[0],), NAMES[:2], NAMES[1:]]), STEPS, VALUES, VALUES), max_size=40
)


def filled(records, *, optional=(), at_once=False):
    rec = Recorder("demo", "table")
    for name in optional:
        rec.optional(name)
    for names, step, *values in records:
        if at_once:
            rec.rows(names, np.array([step]), [np.array([v]) for v in values[: len(names)]])
        else:
            rec.row(names, step, values[: len(names)])
    return rec


def points(run):
    """Steps and values; repr, so that a nan equals a nan."""
    return {
        name: dict(zip(c.step.tolist(), map(repr, c.value.tolist()), strict=True))
        for name, c in run.series.items()
    }


def is_step(step):
    return -1 < step < STEP_LIMIT


@given(records=RECORDS, optional=st.sets(st.sampled_from(NAMES)))
def test_the_last_record_of_a_step_holds(records, optional):
    wanted = {}
    kinds = dict.fromkeys(names for names, step, *_ in records if is_step(step))  # kept apart, in this order
    for kind in kinds:
        for names, step, *values in records:
            for name, value in zip(names, values, strict=False):
                if names == kind and is_step(step) and not (name in optional and math.isnan(value)):
                    wanted.setdefault(name, {})[step] = repr(value)

    run = filled(records, optional=optional).finish()

    assert points(run) == wanted
    assert all((np.diff(c.step) > 0).all() for c in run.series.values())


@given(records=RECORDS)
def test_many_at_once_are_the_same_as_one_by_one(records):
    one_by_one, at_once = filled(records).finish(), filled(records, at_once=True).finish()

    assert points(one_by_one) == points(at_once)
    assert set(one_by_one.warnings) == set(at_once.warnings)


@given(records=RECORDS)
def test_what_is_no_step_is_counted(records):
    run = filled(records).finish()

    dropped = sum(not is_step(step) for _, step, *_ in records)
    assert any(w.startswith(f"{dropped} records with an impossible step") for w in run.warnings) == bool(
        dropped
    )


@given(records=RECORDS)
def test_it_is_empty_until_a_point_comes(records):
    rec = filled(records)

    assert rec.empty == (not any(is_step(step) for _, step, *_ in records))
    assert rec.empty == (not rec.finish().series)


def test_columns_without_rows_are_no_series():
    rec = Recorder("demo", "table")
    rec.optional("val_loss")
    rec.rows(("val_loss", "lr"), np.array([], np.int64), [np.array([]), np.array([])])

    assert rec.empty
    assert not rec.finish().series


def test_nothing_measured_is_nothing():
    steps, nothing = _measured(np.array([], np.int64), np.array([]))
    assert len(steps) == len(nothing) == 0

    steps, nothing = _measured(np.arange(3), np.full(3, np.nan))
    assert len(steps) == len(nothing) == 0
