"""Reference classes: what they were fitted to they know, what lies elsewhere they refuse, and they accuse nobody.

Each was seen red once:
- without the scope (``outside`` returning ""): test_a_model_of_another_size_has_no_price_and_is_told_of_which_it_was_measured;
- with ``weighed`` of a priced finding in ``by_class``: test_a_price_leaves_probability_and_verdict_as_they_were;
- with the effects of classes in the budget's: test_no_row_and_no_sum_of_the_budget_holds_such_a_price;
- with ``_won`` returning the exposure itself: test_a_remedy_that_goes_half_way_wins_half;
- with the second view for undecided causes too: test_a_run_stands_above_sound_ones_for_no_cause_that_is_only_not_excluded...
"""

import json
import sys
from dataclasses import replace
from math import exp, log
from pathlib import Path

import numpy as np
import pytest

from unplateau.curve import Curve
from unplateau.derive import changed, derive
from unplateau.diagnosis import diagnose
from unplateau.exposure import EXPOSURES, copies, regularised, shrinkage
from unplateau.fix import choose, expectation, expected
from unplateau.hypotheses import Finding, Remedy
from unplateau.reference import FEWEST, FILE, SOUND, TEXTS, Class, by_class, classes
from unplateau.report.json import diagnosis
from unplateau.report.text import text
from unplateau.run import Fact, Run
from unplateau.state import state_of

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SETTINGS = {
    "n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 96, "block_size": 32, "batch_size": 20,
    "gradient_accumulation_steps": 1, "max_steps": 1200, "schedule": "cosine", "peak_lr": 6e-3, "floor_lr": 0.0,
    "warmup_steps": 100, "decay_end": 1200, "dropout": 0.0, "weight_decay": 0.1, "optimizer": "adamw",
    "architecture": "gpt2", "bias": False, "tied": True, "init_from": "scratch", "config_dialect": "nanogpt", "char_level": True,
}  # fmt: skip
PLANTED = {
    "lr-too-high": {"peak_lr": 6e-2},
    "lr-too-low": {"peak_lr": 2e-4},
    "over-regularised": {"dropout": 0.4},
    "batch-too-small": {"batch_size": 2},
    "batch-too-large": {"batch_size": 160, "max_steps": 160, "decay_end": 160, "warmup_steps": 20},
    "duplicates": {"duplicate_share": 0.8},
    "short-context": {"block_size": 4, "batch_size": 160},
}


def run_with(**over: object) -> Run:
    """A small run of characters that comes to 2.5 nats."""
    each = int(over.get("max_steps", SETTINGS["max_steps"])) // 20
    step = np.arange(21) * each
    loss = 2.4 + 2.2 * (1 + step / each) ** -1.0 + np.random.default_rng(3).normal(0, 0.004, len(step))
    series = {name: Curve(step, loss, "nats") for name in ("val_loss", "train_loss")}
    facts = {name: Fact(value, "", "config.py:1") for name, value in {**SETTINGS, **over}.items()}
    return derive(Run("demo", "nanogpt", series, facts))


def finding(cause: str, verdict: str = "supported", **more: object) -> Finding:
    return Finding(cause, verdict, probability=0.9, **more)


def priced(cause: str, run: Run, **more: object) -> Finding:
    return by_class(finding(cause, **more), run, state_of(run))


@pytest.mark.parametrize("cause", PLANTED)
def test_a_cause_in_a_run_like_the_planted_ones_has_a_price_that_says_where_it_comes_from(cause):
    run = run_with(**PLANTED[cause], char_level=False)  # bytes of a token are not known: no second view
    found, one = priced(cause, run), classes()[cause]

    level = state_of(run).level.value
    ratio = float(np.dot(one.slope, EXPOSURES[cause](run)))
    assert found.effect.value == pytest.approx(level * (1 - exp(-ratio)))
    assert found.effect.low < found.effect.value < found.effect.high < level
    assert found.basis == f"from {one.runs} planted runs, left out by text"
    assert not found.unpriced


def test_sound_runs_are_a_second_view_and_where_the_two_disagree_the_interval_is_wider():
    alone, both = (
        priced("over-regularised", run_with(dropout=0.2, char_level=known)) for known in (False, True)
    )
    level = priced("noisy-data", run_with(dropout=0.2)).effect

    assert both.basis == "from 14 planted runs and 60 sound ones, left out by text"
    assert alone.effect.value < both.effect.value < level.value
    assert both.effect.high - both.effect.low > alone.effect.high - alone.effect.low


def test_a_run_stands_above_sound_ones_for_no_cause_that_is_only_not_excluded_nor_for_one_that_cost_it_tokens():
    assert "sound" not in priced("over-regularised", run_with(dropout=0.2), verdict="undecided").basis
    assert "sound" not in priced("batch-too-small", run_with(batch_size=2)).basis


def test_noise_is_priced_by_how_far_the_loss_stands_above_that_of_sound_runs():
    found = priced("noisy-data", run_with())
    sound = classes()[SOUND]

    assert found.basis == f"from {sound.runs} sound runs, left out by text"
    assert 0.3 < found.effect.value < 0.8  # such models come to 1.6 to 2.1 nats of a character
    assert priced("noisy-data", run_with(char_level=False)).effect is None  # bytes of a token are not known


def test_a_model_of_another_size_has_no_price_and_is_told_of_which_it_was_measured():
    found = priced("over-regularised", run_with(dropout=0.4, n_embd=768, n_layer=12, n_head=12))

    assert found.effect is None
    assert found.remedy is None
    assert not found.basis
    assert "measured on runs of up to 105k parameters" in found.unpriced


def test_longer_training_and_more_of_the_cause_than_was_planted_have_no_price():
    assert "up to 1.28M tokens" in priced("lr-too-high", run_with(peak_lr=6e-2, batch_size=200)).unpriced
    assert "no planted run had as much of it" in priced("over-regularised", run_with(dropout=0.9)).unpriced


def test_too_few_planted_runs_are_said_to_be_too_few():
    found = priced("frozen-parameters", run_with())

    assert classes()["frozen-parameters"].runs < FEWEST
    assert found.effect is None
    assert "3 planted runs are too few" in found.unpriced


def test_what_cost_from_a_nat_to_the_whole_run_has_no_price():
    found = priced("instability", run_with())

    assert found.effect is None
    assert "nothing to go by" in found.unpriced


def test_a_price_leaves_probability_and_verdict_as_they_were():
    small = by_class(
        replace(finding("over-regularised"), probability=0.86),
        run := run_with(dropout=0.01, char_level=False),
        state_of(run),
    )

    assert small.effect.low < 0 < small.effect.high < 0.3  # may cost nothing
    assert (small.verdict, small.probability) == ("supported", 0.86)


def test_what_a_law_or_a_probe_priced_and_what_is_refuted_stay_as_they_are():
    run = run_with(dropout=0.4)
    known = priced("over-regularised", run)
    measured = replace(known, basis="", effect=replace(known.effect, high=1.0))

    assert by_class(measured, run, state_of(run)) is measured
    assert priced("over-regularised", run, verdict="refuted").effect is None


def test_nothing_of_the_cause_is_no_price():
    assert priced("lr-too-high", run_with()).effect is None


def test_a_remedy_that_goes_half_way_wins_half():
    run = run_with(batch_size=1)  # 32 tokens a step; four times as many are still few
    patch = {"gradient_accumulation_steps": (1, 4)}
    found = priced("batch-too-small", run, remedy=Remedy(patch, "", ""))

    level, slope = state_of(run).level.value, classes()["batch-too-small"].slope[0]
    assert found.remedy.gain.value == pytest.approx(level * (1 - exp(-slope * log(4))))
    assert found.remedy.gain.value < found.effect.value
    assert found.remedy.basis == found.basis


def test_the_exposure_is_what_the_settings_say():
    assert regularised(run_with(dropout=0.3)) == (0.3, 0.0)
    decayed = run_with(weight_decay=2.0)
    assert regularised(decayed)[1] == pytest.approx(0.95 * shrinkage(decayed))
    assert shrinkage(decayed) == pytest.approx(2.0 * 6e-3 * 1200 * 0.5, rel=0.05)  # a cosine is half its peak
    assert copies(run_with(duplicate_share=0.5)) == (pytest.approx(log(2)),)
    assert regularised(changed(decayed, {"label_smoothing": 0.1})) is None


# --- through the verbs


@pytest.fixture(scope="module")
def found():
    run = run_with(dropout=0.4)
    below = run.series["train_loss"]
    batch = Curve(
        np.arange(0, 1201, 20), np.interp(np.arange(0, 1201, 20), below.step, below.value) + 0.3, "nats"
    )
    return diagnose(replace(run, series={**run.series, "batch_loss": batch}))


def test_no_row_and_no_sum_of_the_budget_holds_such_a_price(found):
    mine = next(f for f in found.findings if f.cause == "over-regularised")

    assert mine.effect is not None
    assert mine.basis
    assert "over-regularised" not in found.budget.effects
    assert sum(row.nats.value for row in found.budget.rows) + found.budget.unexplained.value == pytest.approx(
        found.budget.loss
    )


def test_text_and_json_say_where_it_comes_from(found):
    said = " ".join(text(found).split())
    kept = next(f for f in diagnosis(found)["findings"] if f["cause"] == "over-regularised")

    assert "costs" in said
    assert "planted runs and 60 sound ones, left out by text" in said
    assert set(kept["effect"]) == {"value", "low", "high", "unit"}
    assert kept["basis"] == kept["remedy"]["basis"]
    assert kept["basis"] == "from 14 planted runs and 60 sound ones, left out by text"


def test_fix_stores_what_the_mended_run_is_to_come_to(found):
    choice = choose(found, ["over-regularised"])
    told = expected(found, choice)

    assert told.step == 1200
    assert told.loss.value == pytest.approx(found.state.level.value - told.gain.value)
    assert "no law: from" in expectation(told)


# --- the fit


def test_the_shipped_classes_are_whole():
    for name, one in classes().items():
        if not one.slope:
            continue
        assert min(one.runs - FEWEST, one.texts - TEXTS) >= 0, name
        assert len(one.slope) == len(one.gram) == len(one.most), name
        assert one.spread > 0, name
        assert one.t > 1.6, name
        assert one.params[0] <= one.params[1], name
    assert json.loads(FILE.read_text())[SOUND]["runs"] > 40


def test_the_fit_recovers_a_slope_and_its_spread_and_gives_none_for_a_few_runs():
    sys.path[:0] = [str(BENCHMARKS / "planted"), str(BENCHMARKS)]
    import reference as fit

    rng, run = np.random.default_rng(1), run_with()
    texts = ["a", "b", "c"]

    def row(n: int) -> object:
        x = 0.5 + n / 10
        y = 0.2 * x + rng.normal(0, 0.02)
        return fit.Row(f"r{n}", "lr-too-high", run, 2.0, 2.0 * (1 - exp(-y)), 0.0, texts[n % 3], "ours", (x,))

    rows = [row(n) for n in range(30)]
    one = fit.fitted(rows)

    assert one.slope[0] == pytest.approx(0.2, abs=0.01)
    assert one.spread == pytest.approx(0.02, rel=0.3)
    assert 0.8 <= np.mean(fit.held(rows, lambda r: r.text)) <= 1
    assert fit.fitted(rows[:4]).slope == ()
    odd = [replace(r, cost=2.0 * (1 - exp(-r.x[0]))) if r.text == "c" else r for r in rows]
    assert fit.kept(fit.fitted(odd), odd).slope == ()  # a text that nothing in the others foretells


def test_a_class_that_loses_more_than_the_loss_has_no_slope():
    sys.path[:0] = [str(BENCHMARKS / "planted"), str(BENCHMARKS)]
    import reference as fit

    rows = [
        fit.Row(f"r{n}", "instability", run_with(), 2.0, 3.0 * n, 0.0, "ab"[n % 2], "ours", (1.0,))
        for n in range(6)
    ]

    assert fit.fitted(rows) == Class(6, 2, costs=(0.0, 15.0))
