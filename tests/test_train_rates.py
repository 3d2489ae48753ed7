"""Learning rates of runs. Seen red once each: a schedule that rises again where it was made longer; a peak that is
held though another was given; a run made longer that rose when it was resumed once more; one that stayed at 0; and of
the doctor: the schedule of config.json taken for what a run did; the rate let rise after its log; any log that differs
taken for a run made longer; the log kept for a schedule that somebody asks about."""

from dataclasses import asdict, replace
from itertools import pairwise

import pytest

from unplateau.curve import Curve
from unplateau.derive import changed, derive
from unplateau.errors import UsageError
from unplateau.run import Fact, Run
from unplateau.train.rates import ends, going_on, own_peak, schedule_of
from unplateau.train.settings import Settings


def settings(**changes):
    return Settings(**{"peak_lr": 0.01, "warmup_steps": 10, "decay_end": 100, "max_steps": 100, **changes})


@pytest.mark.parametrize("kind", ["linear", "cosine", "wsd"])
@pytest.mark.parametrize("floor", [0.0, 0.001])
def test_a_schedule_that_is_made_longer_goes_on_where_it_was_and_never_rises(kind, floor):
    was = settings(schedule=kind, floor_lr=floor, decay_start=50)
    lr = going_on(asdict(was), settings(schedule=kind, floor_lr=floor, decay_start=150, decay_end=200), 80)
    after = [lr(step) for step in range(80, 220)]

    assert [lr(step) for step in range(81)] == [schedule_of(was)(step) for step in range(81)]
    assert all(later <= earlier for earlier, later in pairwise(after))
    assert after[-1] == pytest.approx(floor)
    assert lr(160) > schedule_of(was)(160)


def test_more_steps_at_the_end_of_a_schedule_that_stays_go_on_at_its_floor():
    was = settings(floor_lr=0.001)
    lr = going_on(asdict(was), settings(floor_lr=0.001, max_steps=200), 100)

    assert {lr(step) for step in range(100, 200)} == {0.001}


def test_another_peak_or_schedule_is_obeyed():
    was = asdict(settings())

    assert going_on(was, settings(peak_lr=0.02, decay_end=200), 80)(80) > 0.01
    assert going_on(was, settings(schedule="constant"), 80)(80) == 0.01


def test_in_the_warmup_a_longer_schedule_is_just_that():
    lr = going_on(asdict(settings()), settings(decay_end=200), 5)

    assert lr(10) == 0.01


def test_a_run_that_has_ended_at_zero_is_not_made_longer():
    with pytest.raises(UsageError, match="has come down to 0 by step 100"):
        going_on(asdict(settings()), settings(decay_end=200), 100)


@pytest.mark.parametrize("kind", ["linear", "cosine", "wsd", "inverse_sqrt", "constant"])
@pytest.mark.parametrize("floor", [0.0, 0.001])
@pytest.mark.parametrize("at", [40, 80, 99, 100])
def test_a_run_that_is_made_longer_twice_never_rises_again(kind, floor, at):
    told = {"schedule": kind, "floor_lr": floor, "decay_end": 0}
    plans = [settings(**told, max_steps=n) for n in (100, 200, 300)]
    plans = [replace(one, **ends(one)) for one in plans]
    lr, rates, was = schedule_of(plans[0]), [], None
    if not lr(at):
        with pytest.raises(UsageError, match="come down to 0"):
            going_on(asdict(plans[0]), plans[1], at, lr(at))
        return
    for step in range(300):
        if step in (at, at + 7, at + 60, at + 90):  # made longer, resumed, made longer again, resumed
            was, now = plans[(step > at) + (step > at + 60)], plans[1 + (step >= at + 60)]
            lr = going_on(asdict(was), now, step, lr(step))
        rates.append(lr(step))

    assert all(later <= earlier for earlier, later in pairwise(rates[10:]))
    assert lr(300) == pytest.approx(schedule_of(plans[2])(300))


def test_a_hold_at_zero_that_was_planned_goes_on_and_an_evaluation_asks_for_no_rate():
    held = settings(max_steps=200)

    assert going_on(asdict(held), held, 150, 0.0)(150) == 0
    assert going_on(asdict(settings()), settings(max_steps=200, eval_only=True), 100, 0.0)(100) == 0
    with pytest.raises(UsageError, match="more steps would learn nothing"):
        going_on(asdict(settings()), held, 100, 0.0)


def test_wsd_holds_its_floor_after_its_end_and_decays_in_its_last_fifth():
    found = settings(schedule="wsd", **{"decay_end": 0} | ends(settings(schedule="wsd", decay_end=0)))
    lr = schedule_of(found)

    assert (found.decay_start, lr(80), lr(100), lr(150)) == (80, 0.01, 0.0, 0.0)


def test_adamws_own_peak_falls_with_the_width_and_muons_does_not():
    wide, narrow = ({"n_embd": width, "n_head": 2} for width in (512, 128))

    assert own_peak(Settings(optimizer="adamw", **narrow)) == 4 * own_peak(
        Settings(optimizer="adamw", **wide)
    )
    assert own_peak(Settings(optimizer="muon", **narrow)) == own_peak(Settings(optimizer="muon", **wide))


def logged(now, rates, last):
    """A run of ours as it is read: its config.json as it stands now, and the rates of its log."""
    steps = list(range(0, last + 1, 4))
    facts = {name: Fact(value, "", "config.json") for name, value in asdict(now).items()}
    lr = Curve(steps, [rates(step) for step in steps])
    return derive(Run("run", "", {"lr": lr}, facts | {"config_dialect": Fact("unplateau")}))


@pytest.mark.parametrize("kind", ["linear", "cosine", "wsd"])
@pytest.mark.parametrize("last", [88, 160])
def test_the_doctor_knows_what_a_run_that_was_made_longer_did_and_will_do(kind, last):
    was = settings(schedule=kind, floor_lr=1e-4, decay_start=50)
    longer = settings(schedule=kind, floor_lr=1e-4, decay_start=150, decay_end=200, max_steps=200)
    lr = going_on(asdict(was), longer, 80)
    run = logged(longer, lr, last)

    assert [run.schedule(s) for s in range(0, 220, 4)] == pytest.approx([lr(s) for s in range(0, 220, 4)])


OTHER = {
    "half": lambda now, step: 0.5 * now(step),
    "higher where it decays": lambda now, step: now(step) if step < 50 else 1.2 * now(50),
    "lower, and rising": lambda now, step: now(step) if step < 50 else step * 1e-6,
}


@pytest.mark.parametrize("other", OTHER.values(), ids=OTHER)
def test_a_log_that_differs_in_another_way_is_no_run_made_longer(other):
    now = schedule_of(settings())
    run = logged(settings(), lambda step: other(now, step), 80)

    assert run.schedule == now


def test_a_schedule_that_is_asked_about_is_not_the_logged_one():
    longer = settings(decay_end=200, max_steps=200)
    run = logged(longer, going_on(asdict(settings()), longer, 80), 120)
    asked = changed(run, {"floor_lr": 0.002})

    assert asked.schedule == schedule_of(replace(longer, floor_lr=0.002))
