"""Forecasts: the futures of a run, what is refused, when a loss is reached, and what is kept for later.

What holds under any law that carries the trend is tested on every run; what only a law of the schedule can
price is tested where one is installed.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic import healthy_run, with_values
from unplateau import __version__, cli, stored
from unplateau.asked import asks_of, canonical
from unplateau.counterfactual import FARTHEST, variant
from unplateau.curve import Curve
from unplateau.derive import changed, derive
from unplateau.diagnosis import diagnose
from unplateau.errors import UnreadableError, UsageError
from unplateau.estimate import Estimate
from unplateau.futures import forecast
from unplateau.outlook import TRENDS, outlook
from unplateau.plugins import discover
from unplateau.reading import read_runs
from unplateau.report import forecast as words
from unplateau.report import json as as_json
from unplateau.run import Fact, Run

REFERENCE = files("unplateau") / "examples" / "reference-run"
PRICED = {name for law in discover("laws").values() for name in law.prices}
RATES = pytest.mark.skipif(
    not {"schedule", "floor_lr"} & PRICED, reason="no law of the schedule is installed"
)
SIZES = pytest.mark.skipif("n_embd" not in PRICED, reason="no law of the size is installed")


def half_done(seed=0, **config):
    """A cosine run of 10,000 steps, at its middle, with times of steps."""
    config = {"max_steps": 10_000, "config_dialect": "nanogpt", "gpu": "NVIDIA A100 80GB"} | config
    run = healthy_run(seed, done=0.5, **config)
    lines = np.arange(0, int(run.get("steps_done")) + 1, 10)
    series = {**run.series, "step_ms": Curve(lines, 400 + 10 * np.sin(lines), "ms")}
    return derive(replace(run, series=series))


def futures(run, *groups, **more):
    return forecast(run, asks_of(groups, run), **more).futures


def one_line(error):
    assert str(error)
    assert "\n" not in str(error)


def schema():
    found = json.loads(files("unplateau").joinpath("schemas", "forecast-1.json").read_text())
    return jsonschema.Draft202012Validator(found)


@pytest.fixture
def folder(tmp_path):
    """A copy of the reference run."""
    for name in ("train.log", "config.py"):
        (tmp_path / name).write_bytes((REFERENCE / name).read_bytes())
    return tmp_path


def said(capsys, *args):
    code = cli.main(["forecast", *map(str, args)])
    out = capsys.readouterr()
    return code, out.out, out.err


def refused(capsys, code, *args):
    """The one line of a refusal."""
    found, out, err = said(capsys, *args)
    assert (found, out, err.count("\n")) == (code, "", 1), (out, err)
    return err


class TestAsPlanned:
    def test_is_the_first_future_at_the_planned_end(self):
        first = futures(half_done())[0]

        assert (first.name, first.kind, first.patch, first.step) == ("as planned", "continue", {}, 10_000)

    def test_holds_the_loss_that_comes_in_worlds_of_its_law(self):
        law = next(discover("laws")[name] for name in TRENDS if name in discover("laws"))
        worlds = [law.world(seed) for seed in range(10)]
        gains = [futures(world.run, at=world.step)[0].gain for world in worlds]

        assert sum(not gain.excludes(-w.change) for gain, w in zip(gains, worlds, strict=True)) >= 7

    @pytest.mark.parametrize("seed", range(4))
    def test_is_near_the_loss_that_comes_in_other_worlds(self, seed):
        end = healthy_run(seed, max_steps=10_000).series["val_loss"].last

        assert futures(half_done(seed))[0].loss.value == pytest.approx(end, abs=0.1)

    def test_without_a_planned_end_is_twice_the_steps_so_far_and_says_so(self):
        run = healthy_run(0, done=0.5, max_steps=10_000, schedule="constant", floor_lr=None, decay_end=None)
        run = changed(run, {"max_steps": None})
        found = forecast(run)

        assert found.futures[0].step == 2 * found.last
        assert "twice the steps so far" in found.futures[0].notes[0]
        assert any("no end is planned" in line for line in found.assumes)

    def test_at_a_step_is_taken_there(self):
        assert futures(half_done(), at=7_000)[0].step == 7_000

    def test_past_the_planned_end_says_so(self):
        first = futures(half_done(), at=15_000)[0]

        assert first.step == 15_000
        assert "past its planned end 10,000" in first.notes[0]

    def test_of_a_finished_run_costs_nothing_and_gains_nothing(self):
        found = forecast(healthy_run(0, max_steps=6_000))

        assert found.futures[0].step == found.last == 6_000
        assert found.futures[0].cost.steps == 0
        assert found.futures[0].gain.value == pytest.approx(0, abs=1e-9)
        assert "at its end" in words.text(found)

    def test_at_the_last_step_of_a_run_that_is_under_way_is_not_its_end(self):
        text = words.text(forecast(half_done(), at=5_000))

        assert "at its end" not in text
        assert "5,000 steps are left to the planned end 10,000" in text

    def test_a_plan_that_nobody_has_is_not_called_one(self):
        run = healthy_run(0, done=0.5, max_steps=10_000, schedule="constant", floor_lr=None, decay_end=None)
        endless = words.text(forecast(changed(run, {"max_steps": None})))
        past = words.text(forecast(half_done(), at=15_000))

        assert "as planned" not in endless + past
        assert "\ngoing on as it is\n" in endless

    def test_is_less_sure_the_farther_it_looks(self):
        widths = [
            loss.high - loss.low
            for loss in (futures(half_done(), at=at)[0].loss for at in (5_100, 7_000, 9_900))
        ]

        assert widths == sorted(widths)


class TestCosts:
    def test_a_branch_pays_from_the_checkpoint_and_a_fresh_run_from_step_0(self):
        first = futures(half_done())[0]

        assert first.cost.steps == 5_000
        assert first.cost.tokens == 5_000 * 12 * 40 * 1024
        assert first.cost.hours.value == pytest.approx(5_000 * 0.4 / 3600, rel=0.05)
        assert first.cost.flops == pytest.approx(first.cost.tokens * 8.55e8, rel=0.05)
        assert first.cost.memory < first.cost.card == 80 << 30

    def test_what_is_not_known_is_null(self):
        val = half_done().series["val_loss"]
        run = derive(Run("bare", series={"val_loss": val}))
        cost = futures(run)[0].cost

        assert (cost.tokens, cost.flops, cost.hours, cost.memory) == (None, None, None, None)
        assert "?" in words.text(forecast(run))

    def test_the_gain_is_told_per_hour_and_per_token_where_no_hours_are_known(self):
        run = half_done()
        hourless = derive(replace(run, series={n: c for n, c in run.series.items() if n != "step_ms"}))

        assert futures(run)[0].rate.unit == "nats per hour"
        assert futures(hourless)[0].rate.unit == "nats per 1B tokens"

    def test_what_ends_lowest_is_told_with_how_sure_that_is_and_what_it_takes(self):
        run = half_done()
        alone, two = forecast(run, at=7_000), forecast(run, asks_of(["sooner: max_iters=7000"], run))
        (trade,) = two.lowest.trades

        assert alone.lowest is None
        assert (two.lowest.name, trade.name) == ("as planned", "sooner")
        assert trade.nats.value == pytest.approx(
            two.futures[1].loss.value - two.futures[0].loss.value, abs=1e-6
        )
        assert trade.hours == pytest.approx(3_000 * 0.4 / 3600, rel=0.05)
        assert "below sooner, for 20 min more" in words.text(two)

    def test_nothing_is_surer_than_99_percent(self):
        run = half_done()
        found = forecast(run, asks_of(["max_iters=5001"], run))

        assert 0.8 < found.lowest.probability <= 0.99
        assert "100%" not in words.text(found)

    def test_futures_that_are_the_same_are_said_to_be_and_none_of_them_is_lowest(self):
        run = half_done()
        found = forecast(run, asks_of(["n_embd=768", "batch_size=6,gradient_accumulation_steps=80"], run))

        assert found.lowest is None
        assert [f.kind for f in found.futures] == ["continue", "continue", "branch"]
        assert "changes nothing" in found.futures[1].notes[0]
        assert "no law tells its loss from that of 'as planned'" in found.futures[2].notes

    def test_a_micro_batch_that_does_not_fit_says_which_does(self):
        note = futures(half_done(gpu="RTX 3060", batch_size=24, gradient_accumulation_steps=20), at=7_000)[
            0
        ].notes[-1]

        assert re.search(r"the card has 12: with micro-batches of \d+, \d+ a step, it takes \d+\.\d", note)

    def test_micro_batches_cut_another_way_change_memory_and_nothing_else(self):
        first, cut = futures(half_done(), "batch_size=6,gradient_accumulation_steps=80")

        assert cut.loss == first.loss
        assert cut.cost.memory < first.cost.memory


class TestAsking:
    @pytest.mark.parametrize(
        ("dialect", "key", "name"),
        [
            ("nanogpt", "max_iters", "max_steps"),
            ("nanogpt", "min_lr", "floor_lr"),
            ("nanogpt", "lr_decay_iters", "decay_end"),
            ("nanogpt", "decay_lr", "schedule"),
            ("huggingface", "lr_scheduler_type", "schedule"),
            ("huggingface", "hidden_size", "n_embd"),
            ("huggingface", "num_hidden_layers", "n_layer"),
            ("litgpt", "train.max_steps", "max_steps"),
            ("", "max_iters", "max_steps"),
            ("", "n_embd", "n_embd"),
        ],
    )
    def test_a_key_is_understood_in_the_words_of_the_config(self, dialect, key, name):
        run = Run("demo", facts={"config_dialect": Fact(dialect)} if dialect else {})

        assert canonical(key, run) == name

    @pytest.mark.parametrize(
        ("group", "settings"),
        [
            ("a name: cooldown=2k, unique_tokens=1.5B", {"cooldown": 2000, "unique_tokens": 1_500_000_000}),
            ("floor=0", {"floor_lr": 0.0}),
            ("decay_lr=False", {"schedule": "constant"}),
            ("max_iters=1_000", {"max_steps": 1000}),
        ],
    )
    def test_values_are_read_as_people_write_them(self, group, settings):
        assert asks_of([group], half_done())[0].settings == settings

    def test_a_name_is_the_users_own_else_the_settings(self):
        named, plain = asks_of(["longer: horizon=9000", "horizon=8000"], half_done())

        assert (named.name, plain.name) == ("longer", "horizon=8000")

    @pytest.mark.parametrize(
        ("group", "line"),
        [
            ("coldown=100", "did you mean cooldown"),
            ("n_layers=3", "did you mean n_layer"),
            ("horizon=ten", "wants a whole number above 0; found 'ten'"),
            ("horizon=-1", "wants a whole number above 0"),
            ("horizon=nan", "wants a whole number above 0"),
            ("min_lr=-1e-4", "--set min_lr wants a number"),
            ("schedule=cosin", "wants one of constant, cosine"),
            ("init_from=gpt2", "wants one of resume, scratch"),
            ("horizon=9000,tokens=1B", "both say where the run ends"),
            ("min_lr=0,floor=0", "gives floor_lr twice"),
            ("horizon", "wants KEY=VALUE"),
            ("", "wants KEY=VALUE"),
            ("as planned: horizon=9000", "two futures are called"),
            ("steps_done=3", "is counted from other settings"),
            ("params=124M", "set n_layer or n_embd"),
            ("eval_interval=3", "no loss follows from it"),
            ("horizon=1e15", "no law holds at step 1e+15"),
            ("n_embd=770,n_head=12", "n_head = 12 does not divide n_embd = 770"),
            ("cooldown=100,max_iters=9000", "has max_steps as the run has it"),
            ("cooldown=100,floor=1e-3", "a floor of 0.001 is no cooldown"),
            ("floor=-1", "wants a number, 0 or above; found '-1'"),
            ("floor=nan", "wants a finite number"),
            ("floor=inf", "wants a finite number"),
            ("floor=ten", "wants a number; found"),
            ("floor=1e30", "wants a number from 0 to 1e18"),
            ("tokens=1e30", "wants a whole number from 1 to 1e18"),
            ("warmup_iters=-5", "wants a whole number, 0 or above"),
            ("bias=perhaps", "wants true or false"),
            ("floor=5", "a floor of 5 lies above the peak"),
            ("n_embd=1e9,n_head=1", "no law holds for"),
            ("n_layer=1e6", "no law holds for"),
            ("unique_tokens=1", "unique_tokens = 1 is less than one step reads"),
        ],
    )
    def test_what_can_t_be_meant_is_refused_in_one_line(self, group, line):
        run = half_done()
        with pytest.raises(UsageError) as error:
            [variant(run, ask, None) for ask in asks_of([group], run)]

        assert line in str(error.value)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("group", "words"),
        [
            ("learning_rate=3e-4", "no law prices peak_lr; a probe would tell: two branches"),
            ("dropout=0.1", "no law prices dropout; a probe would tell: a branch"),
            ("weight_decay=0", "no law prices weight_decay; a probe"),
            ("dtype=float32", "no law prices dtype; a probe"),
            ("optimizer=muon", "no law prices optimizer; a probe"),
            ("block_size=512", "no law prices block_size; a probe"),
        ],
    )
    def test_what_no_law_prices_is_refused_by_name_with_the_probe_that_would_tell(self, group, words):
        run = half_done()
        with pytest.raises(UsageError) as error:
            futures(run, group)

        assert words in str(error.value)
        assert error.value.exit_code == 2

    def test_more_heads_of_the_same_width_are_no_other_size(self):
        with pytest.raises(UsageError, match="no law prices n_head"):
            futures(half_done(), "n_head=24")

    def test_a_batch_of_another_size_is_priced_by_its_law_or_refused(self):
        with pytest.raises(UsageError, match=r"gradient_accumulation_steps|batch"):
            futures(half_done(), "gradient_accumulation_steps=80")

    def test_unique_tokens_that_nobody_knows_are_refused_by_name(self):
        with pytest.raises(UsageError, match="unique_tokens"):
            futures(half_done(), "unique_tokens=1B,dropout=0.3")


class TestAnything:
    """Whatever is asked, the answer is a forecast or one line."""

    KEYS = (
        *(
            "cooldown",
            "horizon",
            "tokens",
            "floor",
            "schedule",
            "max_iters",
            "lr_decay_iters",
            "decay_start",
            "decay_form",
        ),
        *(
            "n_embd",
            "n_head",
            "n_layer",
            "unique_tokens",
            "batch_size",
            "init_from",
            "warmup_steps",
            "n_kv_head",
        ),
    )
    VALUES = (
        "0",
        "1",
        "7",
        "4999",
        "5000",
        "5001",
        "9k",
        "320000",
        "1e9",
        "2.5B",
        "wsd",
        "cosine",
        "constant",
    )
    VALUES += ("inverse_sqrt", "1-sqrt", "resume", "scratch", "-1", "nan", "1e-4")
    RUNS = (
        half_done(),
        healthy_run(1, max_steps=6_000),
        derive(Run("bare", series={"val_loss": half_done().series["val_loss"]})),
        half_done(schedule="wsd", decay_start=8_000, config_dialect="huggingface"),
    )

    @given(st.text(max_size=40))
    def test_any_text_is_an_ask_or_a_usage_error(self, text):
        try:
            asks_of([text], self.RUNS[0])
        except UsageError as error:
            one_line(error)

    @settings(max_examples=80)
    @given(
        st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), min_size=1, max_size=3),
        st.sampled_from(RUNS),
        st.sampled_from((None, 5_000, 6_000, 8_000, 30_000)),
    )
    def test_any_settings_are_futures_or_an_error_in_one_line(self, pairs, run, at):
        group = ",".join(f"{key}={value}" for key, value in pairs.items())
        try:
            found = forecast(run, asks_of([group], run), at=at)
        except (UsageError, UnreadableError) as error:
            one_line(error)
            return
        schema().validate(json.loads(as_json.dumps(words.forecast(found))))
        assert max(map(len, words.text(found).splitlines())) <= 80
        assert all(f.loss.low >= 0 for f in found.futures)


class TestCounterfactuals:
    """From where each run starts, and its learning rate; whatever prices it."""

    def made(self, group, run=None, at=None):
        run = run or half_done()
        return variant(run, asks_of([group], run)[0], at)

    def test_a_cooldown_branches_from_now_and_comes_to_zero(self):
        run = half_done()
        made = self.made("cooldown=1000", run)
        lr = made.run.schedule

        assert (made.kind, made.step) == ("branch", 6_000)
        assert lr(5_000) == run.schedule(5_000)
        assert lr(5_500) == pytest.approx(run.schedule(5_000) / 2)
        assert lr(6_000) == 0
        assert [lr(s) for s in range(0, 5_000, 500)] == [run.schedule(s) for s in range(0, 5_000, 500)]

    def test_a_lower_floor_branches_with_the_past_as_it_was(self):
        run = half_done()
        made = self.made("min_lr=0", run)

        assert (made.kind, made.step) == ("branch", 10_000)
        assert made.run.schedule(2_000) == run.schedule(2_000)
        assert made.run.schedule(10_000) == 0

    def test_the_floor_of_a_finished_schedule_is_a_fresh_run(self):
        assert self.made("min_lr=0", healthy_run(0, max_steps=6_000)).kind == "fresh"

    def test_a_cooldown_comes_to_the_floor_that_it_is_given(self):
        run = half_done()
        made = self.made("cooldown=1000,floor=1e-5", run)

        assert (made.kind, made.step) == ("branch", 6_000)
        assert made.run.schedule(4_000) == run.schedule(4_000)
        assert made.run.schedule(5_500) == pytest.approx((run.schedule(5_000) + 1e-5) / 2)
        assert made.run.schedule(6_000) == made.run.get("floor_lr") == 1e-5
        assert set(made.patch) == {"cooldown", "floor_lr"}

    @pytest.mark.parametrize(
        ("group", "end"),
        [("horizon=4000", 4_000), (f"tokens={3_000 * 491_520}", 3_000), ("max_iters=300", 300)],
    )
    def test_an_end_that_the_log_is_past_is_one_of_a_fresh_run(self, group, end):
        made = self.made(group)

        assert (made.kind, made.step) == ("fresh", end)
        assert "ends before the last logged step, 5,000" in made.notes

    def test_an_end_before_all_losses_is_undecided(self):
        assert any("before the losses of this log" in note for note in self.made("horizon=20").notes)

    def test_a_longer_horizon_is_a_fresh_run_unless_it_is_to_resume(self):
        fresh, resumed = self.made("horizon=20000"), self.made("horizon=20000,init_from=resume")

        assert (fresh.kind, fresh.step) == ("fresh", 20_000)
        assert "would rise" in fresh.notes[0]
        assert resumed.kind == "branch"
        assert "raises the rate again" in resumed.notes[0]
        assert resumed.run.schedule(4_000) == half_done().schedule(4_000)

    def test_more_steps_at_the_floor_branch(self):
        made = self.made("max_iters=20000")

        assert (made.kind, made.step) == ("branch", 20_000)
        assert made.run.schedule(20_000) == half_done().schedule(10_000)

    def test_a_horizon_in_tokens_is_one_in_steps(self):
        assert self.made(f"tokens={20_000 * 12 * 40 * 1024}").step == 20_000

    def test_a_wsd_keeps_the_length_of_its_decay(self):
        run = half_done(schedule="wsd", decay_start=8_000)
        made = self.made("horizon=20000", run)

        assert made.kind == "branch"
        assert made.run.get("decay_start") == 18_000
        assert made.run.schedule(17_999) == run.schedule.peak

    def test_a_wider_model_keeps_its_heads_wide_and_is_a_fresh_run(self):
        made = self.made("n_embd=1536")

        assert (made.kind, made.step) == ("fresh", 10_000)
        assert made.patch == {"n_embd": (768, 1536), "n_head": (12, 24)}
        assert made.run.get("params") > 3 * half_done().get("params")
        assert "lower peak rate" in made.notes[0]

    def test_another_shape_can_t_start_from_the_checkpoint(self):
        with pytest.raises(UsageError, match="another shape has no checkpoint"):
            self.made("n_layer=24,init_from=resume")

    def test_fresh_text_is_a_branch_only_while_none_was_seen_twice(self):
        seen = half_done().get("tokens_seen")
        few, many = (half_done(unique_tokens=int(seen * share)) for share in (0.2, 2.0))

        assert self.made("unique_tokens=100B", few).kind == "fresh"
        assert (
            "the last checkpoint has learnt repeated text already"
            in self.made("unique_tokens=100B", few).notes
        )
        assert self.made("unique_tokens=100B", many).kind == "branch"

    def test_the_present_rate_is_kept_where_only_the_log_knows_it(self):
        run = half_done()
        lines = np.arange(0, 5_001, 100)
        lr = Curve(lines, [run.schedule(int(s)) for s in lines])
        bare = derive(Run("bare", series={"val_loss": run.series["val_loss"], "lr": lr}))

        made = self.made("horizon=9000", bare)

        assert made.kind == "branch"
        assert made.run.schedule(9_000) == lr.last
        with pytest.raises(UsageError, match="known from the log only"):
            self.made("floor=0", bare)

    def test_a_future_with_an_end_of_its_own_is_not_taken_elsewhere(self):
        assert self.made("horizon=20000", at=12_000).step == 20_000
        assert self.made("min_lr=0", at=9_000).step == 9_000

    def test_a_cooldown_of_an_unknown_or_spent_rate_is_refused(self):
        val = half_done().series["val_loss"]
        with pytest.raises(UsageError, match="rate is not known"):
            self.made("cooldown=100", derive(Run("bare", series={"val_loss": val})))
        with pytest.raises(UsageError, match="is 0 already"):
            self.made("cooldown=100", healthy_run(0, max_steps=6_000, floor_lr=0.0))

    def test_a_log_without_optimiser_steps_has_no_horizon_in_them(self):
        run = replace(half_done(), facts={**half_done().facts, "step_unit": Fact("records")})

        with pytest.raises(UsageError, match="records only"):
            self.made("horizon=9000", run)

    def test_a_law_that_sees_no_schedule_prices_none(self):
        run = half_done()
        power = outlook(run, laws=[discover("laws")["power"]])
        for group in ("cooldown=1000", "min_lr=0", "horizon=20000"):
            assert power.unpriced(self.made(group, run).run)


@RATES
class TestSchedules:
    """What a law of the schedule prices."""

    def test_a_cooldown_gains_on_a_high_rate(self):
        run = half_done(schedule="constant", floor_lr=None, decay_end=None)
        held, cooled = futures(run, "cooldown=1500", at=6_500)

        assert held.step == cooled.step
        assert cooled.loss.value < held.loss.value

    def test_a_high_rate_is_offered_a_cooldown_unasked(self):
        found = futures(half_done())

        assert [f.name for f in found][:2] == ["as planned", "cool down now"]
        assert found[1].kind == "branch"

    def test_a_run_that_ended_at_a_high_rate_is_offered_the_cooldown_that_diagnose_advises(self):
        run = healthy_run(0, max_steps=6_000, schedule="constant", floor_lr=None, decay_end=None)
        named = {f.name: f for f in futures(run)}
        (advised,) = [f.remedy for f in diagnose(run).findings if f.cause == "lr-not-annealed"]

        assert named["cool down now"].step == advised.plan.end == 6_900
        assert named["cool down now"].gain.value == pytest.approx(advised.gain.value, abs=1e-3)
        assert any("what diagnose advises for lr-not-annealed" in n for n in named["cool down now"].notes)

    def test_a_cooldown_from_an_older_checkpoint_is_the_one_that_diagnose_advises_and_costs_as_there(self):
        run = healthy_run(0, max_steps=6_000, schedule="constant", floor_lr=None, decay_end=None)
        run = derive(run.with_facts(checkpoint_step=Fact(5_500, "steps", "log line 9")))
        cooldowns = [f for f in futures(run) if f.name == "cool down now"]
        (advised,) = [f.remedy for f in diagnose(run).findings if f.cause == "lr-not-annealed"]

        assert len(cooldowns) == 1
        assert advised.plan.start == 5_500
        assert (cooldowns[0].step, cooldowns[0].cost.steps) == (advised.plan.end, advised.plan.end - 5_500)
        assert not any(f.name.startswith("mend lr-not-annealed") for f in futures(run))

    def test_what_diagnose_advises_is_said_at_the_plan_where_it_is_the_plan(self, folder):
        (run,) = read_runs(folder / "train.log", config=folder / "config.py")
        found = forecast(run)

        assert any("what diagnose advises" in note for note in found.futures[0].notes)
        assert found.lowest.name == "as planned"

    def test_futures_stand_side_by_side(self):
        found = futures(half_done(), "cool: cooldown=1000", "min_lr=0", "horizon=20000")

        assert [f.kind for f in found] == ["continue", "branch", "branch", "fresh"]
        assert len({f.loss.value for f in found}) == 4

    def test_a_longer_horizon_ends_lower(self):
        planned, longer = futures(half_done(), "horizon=20000")

        assert longer.loss.value < planned.loss.value
        assert longer.cost.steps == 20_000


@SIZES
def test_a_wider_model_ends_lower_and_costs_more():
    planned, wider = futures(half_done(), "n_embd=1536")

    assert wider.loss.value < planned.loss.value
    assert wider.kind == "fresh"
    assert wider.cost.flops > 5 * planned.cost.flops
    assert wider.cost.hours.high / wider.cost.hours.low > planned.cost.hours.high / planned.cost.hours.low


class TestReaching:
    def test_a_loss_that_is_reached_has_a_step_between_an_early_and_a_late_one(self):
        run = half_done()
        now = forecast(run).now.value
        reach = futures(run, until=now - 0.02)[0].reaches

        assert reach.verdict == "reached"
        assert 5_000 <= reach.earliest <= reach.step
        assert reach.latest is None or reach.latest >= reach.step

    def test_a_loss_below_the_laws_floor_is_never_reached(self):
        reach = futures(half_done(), until=0.5)[0].reaches

        assert (reach.verdict, reach.step) == ("never", None)
        assert reach.floor.low > 0.5

    def test_a_loss_that_is_there_already_says_since_when(self):
        run = half_done()
        reach = futures(run, until=5.0)[0].reaches

        assert reach.verdict == "already"
        assert reach.step < run.get("steps_done")

    def test_is_said_in_words(self):
        text = words.text(forecast(half_done(), until=0.5))

        assert "WHEN IT REACHES 0.5" in text
        assert "never under this law; the law's floor is" in text

    def test_a_planned_run_that_does_not_come_there_is_said_to_end_before(self):
        run = half_done()
        end = forecast(run).futures[0].loss
        text = " ".join(words.text(forecast(run, until=end.low - 0.03)).split())

        assert "as planned: not by its planned end at step 10,000" in text
        assert "if it went on at the rate it has there" in text

    def test_the_end_of_the_search_is_no_finding(self):
        reach = replace(futures(half_done(), until=1.0)[0].reaches, verdict="not-before", floor=None)
        said = words.reached(replace(reach, earliest=None, searched=80_000), futures(half_done())[0], 10_000)

        assert "not before" not in said
        assert "not by step 80,000 either, as far as was looked" in said


def val_only(steps, values, **facts):
    told = {name: Fact(value) for name, value in facts.items()}
    return derive(Run("odd.log", series={"val_loss": Curve(steps, values, "nats")}, facts=told))


class TestDamage:
    """A wide interval, or a named refusal; never a number that looks sure."""

    @pytest.mark.parametrize(
        ("run", "line"),
        [
            (lambda: Run("odd.log"), "it has no losses"),
            (lambda: val_only([100, 200, 300], [4.0, 3.8, 3.7]), "fewer than"),
            (lambda: val_only(range(100, 3100, 100), [3.5] * 30), "a loss that never moved"),
            (
                lambda: val_only(range(100, 3100, 100), [4.0] * 10 + [np.nan] * 20),
                "nan or infinite from step 1,100",
            ),
            (lambda: val_only(range(100, 3100, 100), [np.nan] * 30), "nan or infinite"),
            (lambda: val_only([0], [4.0]), "no forecast"),
            (lambda: val_only(range(9000, 9900, 10), 4 - np.arange(90) / 100), "give the log from its start"),
            (
                lambda: val_only(range(100, 3100, 100), [*(11 - 0.3 * np.arange(20)), *([10.0] * 10)]),
                "has diverged since",
            ),
        ],
    )
    def test_is_refused_with_its_reason(self, run, line):
        with pytest.raises(UnreadableError) as error:
            forecast(run())

        assert line in str(error.value)
        assert "\n" not in str(error.value)

    def test_single_lost_points_are_left_out(self):
        run = half_done()
        holed = with_values(run, val_loss=lambda step, v: np.where(step % 750 == 0, np.nan, v))

        assert futures(holed)[0].loss.value == pytest.approx(futures(run)[0].loss.value, abs=0.1)

    def test_an_unknown_schedule_widens_the_interval(self):
        run = half_done()
        bare = derive(Run("bare", series={"val_loss": run.series["val_loss"]}))
        found = forecast(bare, at=10_000)

        assert found.law == "power"
        assert found.futures[0].loss.high - found.futures[0].loss.low > 0.1
        assert any("the learning rate is not known" in line for line in found.assumes)

    def test_a_rewarmed_run_is_said_to_be_one(self):
        run = half_done()
        again = [
            [
                3000,
                {
                    "schedule": "cosine",
                    "peak_lr": 1e-3,
                    "floor_lr": 1e-5,
                    "decay_end": 3000,
                    "warmup_steps": 100,
                },
            ]
        ]
        rewarmed = derive(run.with_facts(schedule_before=Fact(again), peak_lr=Fact(1e-3)))

        assert any("raised again" in line for line in forecast(rewarmed).assumes)

    def test_five_runs_spliced_are_unsure_or_refused(self):
        parts = [healthy_run(seed, max_steps=6_000).series["val_loss"] for seed in range(5)]
        every = np.concatenate([part.step + i * 6_200 for i, part in enumerate(parts)])
        run = val_only(every, np.concatenate([part.value for part in parts]))
        try:
            loss = forecast(run).futures[0].loss
        except UnreadableError as error:
            assert "no forecast" in str(error)  # noqa: PT017
        else:
            assert loss.high - loss.low > 0.2

    @pytest.mark.parametrize("seed", range(6))
    def test_random_walks_get_no_sure_number(self, seed):
        rng = np.random.default_rng(seed)
        run = val_only(np.arange(1, 31) * 100, 4 + np.cumsum(rng.normal(0, 0.2, 30)))
        try:
            loss = forecast(run).futures[0].loss
        except UnreadableError:
            return
        assert loss.high - loss.low > 0.2
        assert loss.low >= 0

    def test_at_before_the_end_of_the_log_is_refused(self):
        with pytest.raises(UsageError, match="lies before the last logged step 5,000"):
            forecast(half_done(), at=100)

    @pytest.mark.parametrize("at", [FARTHEST * 5_000 + 1, 10**18])
    def test_at_beyond_any_law_is_refused(self, at):
        with pytest.raises(UsageError, match="no law holds at step"):
            forecast(half_done(), at=at)

    def test_the_change_is_the_loss_of_now_less_that_of_then_also_where_draws_are_below_zero(self):
        """Seen red where the loss of now kept its draws below zero and that of then did not: 5.5e-6 apart."""
        t = np.arange(1, 31)
        noise = np.random.default_rng(0).normal(0, 0.01, 30)
        found = forecast(val_only(t * 100, np.maximum(0.002 + t**-2.0 + noise, 1e-4)), at=20_000)
        first = found.futures[0]

        assert first.gain.value == pytest.approx(found.now.value - first.loss.value, abs=1e-9)

    def test_a_gain_that_may_be_none_is_said_in_plain_words(self):
        run = half_done()
        found = forecast(run, asks_of(["shorter: horizon=4900"], run))
        unsure = replace(found.futures[1], gain=Estimate(0.01, -0.01, 0.03, "nats"))
        text = " ".join(words.text(replace(found, futures=(found.futures[0], unsure))).split())

        assert "it may gain nothing, or lose: the interval holds 0" in text

    def test_no_loss_is_below_zero(self):
        tiny = val_only(np.arange(1, 31) * 100, 0.01 + 3 * np.arange(1, 31) ** -1.5)

        assert futures(tiny)[0].loss.low >= 0

    def test_a_law_below_zero_decides_nothing(self):
        t = np.arange(1, 31) * 100
        try:
            first = futures(val_only(t, 0.3 - 0.08 * np.log(t / 100)), at=20_000)[0]
        except UnreadableError as error:
            assert "below zero" in str(error)  # noqa: PT017
            return

        assert first.loss.low == 0
        assert first.loss.high >= 0.02
        assert any("undecided" in note for note in first.notes)

    def test_a_loss_in_other_units_is_said_in_them(self):
        val = half_done().series["val_loss"]
        bpb = derive(Run("bpb", series={"val_bpb": Curve(val.step, val.value / 3, "bits per byte")}))

        assert futures(bpb)[0].loss.unit == "bits per byte"


class TestJson:
    @pytest.mark.parametrize("groups", [(), ("longer: max_iters=20000",)])
    def test_keeps_to_its_schema(self, groups):
        run = half_done()
        found = forecast(run, asks_of(groups, run) if {"schedule", "max_steps"} & PRICED else (), until=2.9)
        told = json.loads(as_json.dumps(words.forecast(found)))

        schema().validate(told)
        assert list(told)[:2] == ["schema", "run"]
        assert told["futures"][0]["name"] == "as planned"

    def test_several_runs_come_as_a_list(self):
        told = json.loads(as_json.dumps(words.forecasts([forecast(half_done(seed)) for seed in (0, 1)])))

        schema().validate(told)
        assert [one["run"] for one in told["forecasts"]] == ["synthetic-0", "synthetic-1"]

    def test_the_schema_refuses_what_the_contract_does_not_allow(self):
        told = json.loads(as_json.dumps(words.forecast(forecast(half_done()))))
        told["futures"][0]["kind"] = "perhaps"

        assert not schema().is_valid(told)

    def test_a_schedule_that_the_trainer_has_not_is_in_no_words_of_its_own(self):
        run = half_done()
        told = words.forecast(
            forecast(run, asks_of(["schedule=linear", "decay_lr=False", "schedule=wsd"], run))
        )
        linear, constant, wsd = told["futures"][1:]

        assert linear["patch"] == {"schedule": ["cosine", "linear"]}
        assert constant["patch"] == {"decay_lr": [True, False]}
        assert set(wsd["patch"]) == {"schedule", "decay_start"}
        assert any("nanogpt has no setting for schedule = linear" in note for note in linear["notes"])
        assert any("nanogpt has no setting for schedule = wsd, decay_start" in note for note in wsd["notes"])
        assert not any("no setting" in note for note in constant["notes"])

    def test_patches_are_in_the_users_words(self):
        told = words.forecast(forecast(half_done(), asks_of(["max_iters=20000"], half_done())))

        assert told["futures"][1]["patch"] == {"max_iters": [10_000, 20_000]}


class TestVerb:
    def test_prints_a_table_that_fits_80_columns(self, folder, capsys):
        code, out, err = said(capsys, folder, "--until", "3.5", "--set", "longer: max_iters=40000")

        assert (code, err) == (0, "")
        assert max(map(len, out.splitlines())) <= 80
        assert "FUTURES" in out
        assert "its planned end" in out
        assert re.search(r"20,000 +3\.\d+ \(3\.\d+-3\.\d+\)", out)

    def test_one_future_that_is_refused_leaves_the_others(self, folder, capsys):
        code, out, err = said(
            capsys,
            folder,
            "--set",
            "longer: max_iters=30000",
            "--set",
            "dropout=0.3",
            "--set",
            "nonsense=3",
            "--json",
        )
        told = json.loads(out)
        schema().validate(told)

        assert (code, err.count("\n")) == (cli.USAGE, 1)
        assert "no law prices dropout" in err
        assert "no setting is called 'nonsense'" in err
        assert [f["name"] for f in told["futures"]] == ["as planned", "longer"]
        assert len(told["refused"]) == 2

    @pytest.mark.parametrize("step", ["20k", "2e4", "20_000", "20000"])
    def test_at_takes_numbers_as_set_does(self, folder, capsys, step):
        code, out, _ = said(capsys, folder, "--json", "--at", step, "--unique-tokens", "1.5B")

        assert code == 0
        assert json.loads(out)["futures"][0]["step"] == 20_000

    @pytest.mark.parametrize("option", ["--at", "--unique-tokens"])
    def test_a_number_that_is_none_is_refused_by_its_option(self, folder, capsys, option):
        assert f"{option} wants a whole number above 0" in refused(capsys, cli.USAGE, folder, option, "ten")

    @pytest.mark.parametrize(
        "args",
        [
            ("--at", "14801"),
            ("--set", "cooldown=1"),
            ("--set", "n_embd=3072"),
            ("--set", "horizon=900k"),
            ("--set", "n_layer=2000"),
            (
                "--set",
                "一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二三四五: cooldown=2000",
            ),
        ],
    )
    def test_columns_never_touch_and_fit_the_width(self, folder, capsys, args):
        code, out, _ = said(capsys, folder, *args)
        rows = re.findall(r"^ +[\d,]+ +\S+ \(.*", out, re.MULTILINE)

        assert (code, len(rows) > 0) == (0, True)
        for row in rows:
            assert re.fullmatch(
                r" +[\d,]+ +\S+ \(\S+-\S+\) +[+-]\S+ +[\d.]+[kMBT]? +\d\S* +\S+ (s|min|h|days) +\S+ of 12",
                row,
            ), row
        wide = [
            sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)
            for line in out.splitlines()
        ]
        assert max(wide) <= 80

    def test_prints_json_and_nothing_else(self, folder, capsys):
        code, out, err = said(capsys, folder, "--json", "--at", "18000")

        assert (code, err, out.count("\n")) == (0, "", 1)
        schema().validate(json.loads(out))
        assert json.loads(out)["futures"][0]["step"] == 18_000

    @pytest.mark.parametrize(
        "args",
        [
            ("--at", "100"),
            ("--at", "-5"),
            ("--at", "0"),
            ("--at", "1e18"),
            ("--at", str(10**18)),
            ("--until", "nan"),
            ("--until", "-3"),
            ("--set", "dropout=0"),
            ("--set", "learning_rate=1e-4"),
            ("--set", "nonsense"),
        ],
    )
    def test_a_wrong_question_is_a_usage_error(self, folder, capsys, args):
        refused(capsys, cli.USAGE, folder, *args)

    def test_a_log_that_can_t_be_forecast_is_unreadable(self, tmp_path, capsys):
        (tmp_path / "short.csv").write_text("step,val_loss\n1,4.0\n2,3.9\n3,3.8\n")

        assert "no forecast for short.csv" in refused(capsys, cli.UNREADABLE, tmp_path / "short.csv")

    def test_one_run_of_several_that_can_t_be_forecast_is_a_line(self, folder, tmp_path, capsys):
        (tmp_path / "short.csv").write_text("step,val_loss\n1,4.0\n2,3.9\n3,3.8\n")
        for name in ("a", "b"):
            (folder / name).mkdir()
            (folder / name / "train.log").write_bytes((REFERENCE / "train.log").read_bytes())
        (folder / "train.log").unlink()
        code, out, err = said(capsys, folder, "--json")

        schema().validate(json.loads(out))
        assert code == 0
        assert len(json.loads(out)["forecasts"]) == 2
        assert "short.csv" in err


class TestStored:
    def kept(self, folder):
        return json.loads((folder / "forecast.json").read_text())

    def test_a_forecast_is_kept_with_its_date_and_last_step(self, folder, capsys):
        code, _, err = said(capsys, folder, "--store")
        (one,) = self.kept(folder)["forecasts"]

        assert (code, "stored as number 1" in err) == (0, True)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", one["date"])
        assert (one["last_step"], one["version"]) == (14_800, __version__)
        schema().validate(
            {"schema": "unplateau.forecast/1"}
            | {k: v for k, v in one.items() if k not in ("date", "version")}
        )

    def test_an_earlier_one_stays(self, folder, capsys):
        said(capsys, folder, "--store")
        said(capsys, folder / "train.log", "--store", "--at", "18000")
        first, second = self.kept(folder)["forecasts"]

        assert (first["futures"][0]["step"], second["futures"][0]["step"]) == (20_000, 18_000)
        assert [one["run"] for one in stored.stored(folder / "forecast.json")] == ["train.log", "train.log"]

    def test_the_folder_is_read_as_before(self, folder, capsys):
        before = said(capsys, folder, "--json")
        said(capsys, folder, "--store")

        assert said(capsys, folder, "--json") == before

    @pytest.mark.parametrize(
        "text", ["{", "[]", '{"schema": "other"}', '{"schema": "unplateau.forecasts/1"}', "\x00\xff"]
    )
    def test_a_file_of_something_else_is_left_as_it_is(self, folder, capsys, text):
        (folder / "forecast.json").write_text(text)

        assert "left as it is" in refused(capsys, cli.UNREADABLE, folder, "--store")
        assert (folder / "forecast.json").read_text() == text

    def test_standard_input_has_no_folder(self, capsys):
        assert "--store needs" in refused(capsys, cli.USAGE, "-", "--store")

    def test_a_crash_while_writing_leaves_the_old_file_and_no_other(self, folder, monkeypatch):
        place = folder / "forecast.json"
        stored.store(place, [{"run": "a"}])

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(UnreadableError, match="can't store the forecast"):
            stored.store(place, [{"run": "b"}])

        assert [one["run"] for one in stored.stored(place)] == ["a"]
        assert {p.name for p in folder.iterdir()} == {"forecast.json", "train.log", "config.py"}

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
    def test_a_read_only_folder_is_one_line(self, folder, capsys):
        folder.chmod(0o500)
        try:
            assert "can't store the forecast" in refused(capsys, cli.UNREADABLE, folder, "--store")
        finally:
            folder.chmod(0o700)

    def test_a_folder_that_is_gone_is_one_line(self, tmp_path):
        with pytest.raises(UnreadableError, match="a folder that may be written to"):
            stored.store(Path(tmp_path) / "gone" / "forecast.json", [{}])
