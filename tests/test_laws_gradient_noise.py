"""The gradient-noise law: what it reads from norms, what it prices, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unplateau.curve import Curve
from unplateau.derive import changed
from unplateau.estimate import Estimate
from unplateau.laws.gradient_noise import LAW
from unplateau.run import Run


def without_series(run: Run, *names: str) -> Run:
    return replace(run, series={n: c for n, c in run.series.items() if n not in names})


def batch(run: Run, times: float) -> Run:
    return changed(run, {"gradient_accumulation_steps": int(times * run.get("gradient_accumulation_steps"))})


def test_norms_give_back_the_noise_that_was_planted():
    ratios = []
    for seed in range(20):
        world = LAW.world(seed)
        ratios.append(LAW.fit([world.run]).parameters["B_crit"].value / world.parameters["B_crit"])

    assert 0.7 < np.exp(np.mean(np.log(ratios))) < 1.4


def test_a_larger_batch_wins_at_equal_steps_and_loses_at_equal_tokens():
    run = LAW.world(0).run
    fit = LAW.fit([run])
    slope = fit.slope * np.log(2)

    equal_steps = fit.price(batch(run, 2), 6000)
    equal_tokens = equal_steps - slope  # half the steps, as the trend prices them

    assert (equal_steps < 0).all()
    assert equal_tokens.mean() > 0


def test_no_batch_wins_more_than_no_noise_at_all():
    run = LAW.world(1).run
    fit = LAW.fit([run])

    wins = -np.array([fit.of_batch(fit.batch * times) for times in (2, 4, 1e9, 1e12)]).mean(axis=1)

    assert 0 < wins[0] < wins[1] < wins[2]
    assert wins[3] == pytest.approx(wins[2], rel=1e-3)


def test_a_logged_scale_is_as_good_as_norms():
    run = without_series(LAW.world(2).run, "micro_grad_norm", "grad_norm")
    steps = np.arange(10, 6001, 10)
    noisy = 2e5 * np.random.default_rng(0).lognormal(0, 0.5, len(steps))
    run = replace(run, series={**run.series, "gradient_noise_scale": Curve(steps, noisy, "tokens")})

    found = LAW.fit([run]).parameters["B_crit"]

    assert not found.excludes(2e5)
    assert found.high / found.low > 3  # within a factor of 2 both ways: no sharper than the theory


def test_only_the_end_of_the_log_counts():
    world = LAW.world(3)
    series = dict(world.run.series)
    for name in ("micro_grad_norm", "grad_norm"):
        curve = series[name]
        early = curve.step < 0.7 * curve.step[-1]
        series[name] = Curve(curve.step, np.where(early, 100.0, curve.value))

    before, after = (
        LAW.fit([run]).parameters["B_crit"] for run in (world.run, replace(world.run, series=series))
    )

    assert before == after


@pytest.mark.parametrize("absent", ["micro_grad_norm", "grad_norm"])
def test_refuses_to_guess_and_says_what_to_log(absent):
    run = without_series(LAW.world(0).run, absent)

    with pytest.raises(ValueError, match="log grad_norm and micro_grad_norm"):
        LAW.fit([run])


def test_refuses_norms_that_can_not_be_of_one_gradient():
    run = LAW.world(0).run
    clipped = Curve(run.series["grad_norm"].step, np.full(len(run.series["grad_norm"]), 1e3))

    with pytest.raises(ValueError, match="no shorter"):
        LAW.fit([replace(run, series={**run.series, "grad_norm": clipped})])


def test_refuses_steps_of_one_micro_batch():
    run = changed(LAW.world(0).run, {"gradient_accumulation_steps": 1})

    with pytest.raises(ValueError, match="two sizes of batch"):
        LAW.fit([run])


def test_a_curve_that_does_not_fall_gives_no_price_to_noise():
    run = LAW.world(0).run
    val = run.series["val_loss"]
    rising = Curve(val.step, 3.0 + 0.05 * np.log2(val.step), "nats")
    run = replace(run, series={**run.series, "val_loss": rising})

    price = Estimate.of(LAW.fit([run]).price(batch(run, 4), 6000), "nats")

    assert price.value == pytest.approx(0.0, abs=1e-6)
