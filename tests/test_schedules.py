"""The contract of every schedule, and the schedule that a run's facts or logged rates tell."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unplateau.curve import Curve
from unplateau.planned import schedule_of
from unplateau.plugins import discover
from unplateau.run import Fact
from unplateau.schedules.cosine import Cosine
from unplateau.schedules.recorded import Recorded

SCHEDULES = discover("schedules")


@st.composite
def settings(draw):
    """One value for each word that schedules use; a word means the same in all of them."""
    steps = draw(st.integers(10, 100_000))
    peak = draw(st.floats(1e-6, 1.0))
    at = sorted(draw(st.sets(st.integers(0, steps - 1), max_size=5)) | {steps})
    return {
        "peak": peak,
        "floor": peak * draw(st.floats(0.0, 1.0)),
        "warmup": draw(st.integers(0, steps // 4)),
        "decay": draw(st.integers(1, steps // 2)),
        "steps": steps,
        "form": draw(st.sampled_from(["linear", "1-sqrt", "cosine"])),
        "at": tuple(at),
        "lr": tuple(peak * draw(st.floats(0.0, 1.0)) for _ in at),
    }


@pytest.mark.parametrize("kind", SCHEDULES.values(), ids=SCHEDULES)
@given(values=settings(), where=st.floats(0.0, 1.2))
def test_stays_between_zero_and_its_peak_and_ends_on_its_floor(kind, values, where):
    schedule = kind(**{f.name: values[f.name] for f in fields(kind)})

    assert 0 <= schedule(int(where * values["steps"])) <= schedule.peak * (1 + 1e-12)
    if hasattr(schedule, "floor"):  # the constant and the inverse root have none
        assert schedule(schedule.steps) == pytest.approx(schedule.floor, abs=1e-15)


def facts(**values):
    return {name: Fact(value) for name, value in values.items()}


def test_the_reference_run_is_at_27_percent_of_its_peak_at_step_14_500():
    lr = schedule_of(
        facts(schedule="cosine", peak_lr=1e-3, floor_lr=1e-4, warmup_steps=500, decay_end=20_000), {}
    )

    assert lr(14_500) == pytest.approx(2.65e-4, abs=5e-7)
    assert lr == Cosine(1e-3, 1e-4, 500, 20_000)


@pytest.mark.parametrize("name", ["cosine", "linear", "wsd", "constant", "inverse_sqrt"])
@pytest.mark.parametrize(
    "odd",
    [
        {"floor_lr": 5e-3},
        {"decay_end": 10**9},
        {"decay_end": 1, "warmup_steps": 500},
        {"warmup_steps": 20_000},
        {"decay_start": 30_000},
        {"decay_start": 0, "decay_end": 1},
    ],
)
def test_a_configured_oddity_does_not_crash(name, odd):
    told = {
        "peak_lr": 1e-3,
        "floor_lr": 1e-4,
        "warmup_steps": 10,
        "decay_start": 900,
        "decay_end": 1_000,
        **odd,
    }
    lr = schedule_of(facts(schedule=name, **told), {})

    assert all(np.isfinite(lr(step)) and lr(step) >= 0 for step in (0, 1, 10, 999, 1_000, 1_001, 10**7))


def test_a_schedule_without_its_end_is_not_guessed():
    assert schedule_of(facts(schedule="cosine", peak_lr=1e-3), {}) is None
    assert schedule_of(facts(schedule="the-trainers-own", peak_lr=1e-3, decay_end=100), {}) is None
    assert schedule_of(facts(peak_lr=1e-3, decay_end=100), {}) is None


def test_logged_rates_stand_in_for_a_configuration():
    logged = Curve([0, 100, 200], [0.0, 1e-3, 5e-4])

    lr = schedule_of({}, {"lr": logged})

    assert lr == Recorded((0, 100, 200), (0.0, 1e-3, 5e-4))
    assert schedule_of({}, {"lr": Curve([0, 1], [1e-3, 1e-3])}) is None


def test_a_long_log_keeps_its_last_rate():
    steps = np.arange(100_000)
    lr = schedule_of({}, {"lr": Curve(steps, np.linspace(1.0, 0.0, 100_000))})

    assert lr.steps == 99_999
    assert lr(99_999) == 0.0
    assert lr(50_000) == pytest.approx(0.5, abs=1e-4)
