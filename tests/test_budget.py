"""The budget adds up, effects are differences of forecasts, and what no law prices is said so."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import unplateau
from planted import PLANTED
from synthetic import healthy_run, with_values
from test_hypotheses_contract import damaged_runs
from test_report import schema
from unplateau.budget import (
    FLOOR,
    as_planned,
    budget,
    change,
    effects_of,
    gain,
    outlook_of,
    parts_of,
    why_unpriced,
)
from unplateau.cost import FILLS, cost_of, shape_of
from unplateau.curve import Curve
from unplateau.derive import changed, derive
from unplateau.diagnosis import diagnose, rank
from unplateau.estimate import Estimate
from unplateau.hypotheses import Finding, Hypothesis, Plan
from unplateau.hypotheses._wider import wider
from unplateau.laws import DRAWS
from unplateau.outlook import outlook
from unplateau.plugins import discover
from unplateau.reading import read_runs
from unplateau.report.json import diagnosis, dumps
from unplateau.report.text import text
from unplateau.run import Fact, Run
from unplateau.state import state_of

REFERENCE = Path(unplateau.__file__).parent / "examples" / "reference-run"
CAUSES = discover("hypotheses")
NOISE = np.random.default_rng(0).normal(0, 0.01, DRAWS)


@pytest.fixture(scope="module")
def reference():
    return diagnose(read_runs(REFERENCE / "train.log", config=REFERENCE / "config.py")[0])


@dataclass(frozen=True)
class Passes:
    """A law as simple as can be: ``nats`` where the unique tokens are those of the run, nothing where they differ."""

    run: Run
    nats: float
    parameters: ClassVar = {}

    def price(self, other, _step):
        same = other.get("unique_tokens") == self.run.get("unique_tokens")
        return np.zeros(DRAWS) if same else -(self.nats + NOISE)

    def parts(self, _run):
        return {"repetition": self.nats + NOISE}


@dataclass(frozen=True)
class Width:
    """Half of the price goes where the text is fresh: two causes that overlap."""

    run: Run
    nats: float
    parameters: ClassVar = {}

    def price(self, other, _step):
        if other.get("n_embd") == self.run.get("n_embd"):
            return np.zeros(DRAWS)
        fresh = other.get("unique_tokens") != self.run.get("unique_tokens")
        return -(self.nats + NOISE) * (0.5 if fresh else 1.0)


def an_outlook(**laws):
    """A healthy run, its trend, and laws by hand."""
    run = healthy_run(0, unique_tokens=10**9)
    known = outlook(run, laws=[discover("laws")["power"]])
    return replace(known, fitted={**known.fitted, **{n: law(run) for n, law in laws.items()}})


def fresh(run):
    return changed(run, {"unique_tokens": int(run.get("tokens_seen"))})


def wide(run):
    return changed(run, {"n_embd": 2 * run.get("n_embd"), "n_head": 2 * run.get("n_head")})


def a_cause(name, without):
    return Hypothesis(name, f"{name}.", (), lambda run: Finding(name, "undecided"), without)  # noqa: ARG005


class TestTheBudget:
    def test_adds_up_exactly_to_the_last_evaluation(self, reference):
        found = reference.budget
        total = sum(row.nats.value for row in found.rows) + found.unexplained.value

        assert len(found.rows) >= 2
        assert found.loss == reference.run.series["val_loss"].finite.last
        assert total == pytest.approx(found.loss, abs=1e-9)

    def test_shows_what_one_run_cannot_tell_apart_as_one_row(self, reference):
        first = reference.budget.rows[0]

        assert first.name == "irreducible + capacity"
        assert "one run" in first.note

    def test_takes_what_another_law_explains_out_of_the_floor(self):
        known = an_outlook(repetition=lambda run: Passes(run, 0.2))
        parts, bare = parts_of(known), parts_of(an_outlook())

        assert parts["repetition"].mean() == pytest.approx(0.2, abs=0.01)
        assert parts[FLOOR].mean() == pytest.approx(bare[FLOOR].mean() - parts["repetition"].mean())
        assert sum(parts.values()) == pytest.approx(known.level)  # draw for draw

    def test_is_unexplained_where_no_law_fits(self):
        run = healthy_run(0)
        found = budget(run, state_of(run), None, {})

        assert found.rows == ()
        assert found.unexplained.value == found.loss

    @pytest.mark.parametrize(
        "values",
        [[3.0, 2.9, 2.8], [np.nan] * 30, [3.0] * 10 + [np.nan] * 10, [1e300] * 30],
        ids=["three points", "nan", "lost", "huge"],
    )
    def test_states_no_forecast_of_a_curve_that_is_too_short_or_broken(self, values):
        run = Run("odd", "table", {"val_loss": Curve(np.arange(len(values)) * 500, values, "nats")})
        found = diagnose(run.with_facts(max_steps=Fact(10**6)))

        assert found.outlook is None
        assert as_planned(found.outlook) is None
        assert all(f.effect is None for f in found.findings)

    def test_is_unexplained_where_the_law_would_have_a_floor_below_zero(self):
        step = np.arange(1, 41) * 500
        straight = Curve(step, 10.0 - 1.5 * np.log(step / 500), "nats")  # no power law levels off like this
        found = diagnose(Run("straight", "table", {"val_loss": straight}).with_facts(max_steps=Fact(10**6)))

        assert found.budget.rows == ()
        assert found.planned is None

    def test_states_none_for_a_loss_of_an_unknown_unit(self):
        run = healthy_run(0)
        run = replace(run, series={n: replace_unit(c) for n, c in run.series.items()})

        assert outlook_of(run, state_of(run)) is None


def replace_unit(curve):
    return Curve(curve.step, curve.value, "")


class TestEffects:
    def test_are_the_forecast_of_the_run_less_that_of_the_run_without_the_cause(self):
        known = an_outlook(size=lambda run: Width(run, 0.3))
        step = known.run.get("steps_done")
        other = wide(known.run)

        assert change(known, other) == pytest.approx(known.loss(known.run, step) - known.loss(other, step))
        assert change(known, other).mean() == pytest.approx(0.3, abs=0.01)

    def test_overlap_where_two_causes_share_a_price(self):
        known = an_outlook(size=lambda run: Width(run, 0.3), repetition=lambda run: Passes(run, 0.2))
        causes = {"capacity": a_cause("capacity", wide), "repetition": a_cause("repetition", fresh)}
        found = budget(known.run, state_of(known.run), known, causes)

        assert found.effects["capacity"].value == pytest.approx(0.3, abs=0.01)
        assert found.effects["repetition"].value == pytest.approx(0.2, abs=0.01)
        assert found.together.value == pytest.approx(0.35, abs=0.01)
        alone = sum(effect.value for effect in found.effects.values())
        assert found.overlap.value == pytest.approx(alone - found.together.value)

    def test_do_not_hang_on_the_order_of_the_causes(self):
        known = an_outlook(size=lambda run: Width(run, 0.3), repetition=lambda run: Passes(run, 0.2))
        causes = {"capacity": a_cause("capacity", wide), "repetition": a_cause("repetition", fresh)}
        backwards = dict(reversed(causes.items()))

        assert effects_of(known, causes)[1] == pytest.approx(effects_of(known, backwards)[1])

    def test_are_none_where_no_law_prices_the_cause(self):
        known = an_outlook()
        other = changed(known.run, {"dropout": 0.3})

        assert change(known, other) is None
        assert why_unpriced(known, other) == "needs a probe (no law prices dropout)"

    def test_say_what_the_law_lacks_that_would_price_the_cause(self):
        known = outlook(healthy_run(0))
        other = changed(known.run, {"unique_tokens": 10**9})

        assert change(known, other) is None
        assert "unique" in why_unpriced(known, other)

    def test_are_none_where_a_run_differs_in_nothing_that_a_law_sees(self):
        known = an_outlook(size=lambda run: Width(run, 0.3))

        assert change(known, replace(known.run, name="another")) is None

    def test_do_not_charge_for_micro_batches_cut_another_way(self):
        known = an_outlook(size=lambda run: Width(run, 0.3))
        cut = {"batch_size": 6, "gradient_accumulation_steps": 80}

        assert change(known, changed(wide(known.run), cut)) is not None
        assert change(known, changed(wide(known.run), {**cut, "batch_size": 12})) is None


class TestRanking:
    def test_goes_by_nats_recoverable_times_how_sure(self):
        def priced(cause, probability, nats):
            effect = Estimate(nats, nats - 0.01, nats + 0.01, "nats")
            return Finding(cause, "supported", (), probability, effect, stake=0.0)

        surer, dearer = priced("surer", 0.9, 0.05), priced("dearer", 0.75, 0.1)

        assert sorted([surer, dearer], key=rank) == [dearer, surer]

    def test_goes_by_a_rough_stake_only_where_no_law_prices(self):
        effect = Estimate(0.05, 0.04, 0.06, "nats")
        priced = Finding("priced", "supported", (), 0.9, effect, stake=9.0)
        rough = Finding("rough", "supported", (), 0.9, stake=0.1)

        assert sorted([priced, rough], key=rank) == [rough, priced]


class TestNothingRaises:
    @given(run=damaged_runs())
    @settings(
        max_examples=100,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    def test_on_damaged_curves_and_facts_and_what_is_said_adds_up(self, run):
        found = diagnose(run).budget
        if found is not None:
            total = sum(row.nats.value for row in found.rows) + found.unexplained.value

            assert total == pytest.approx(found.loss, rel=1e-6, abs=1e-6)

    @pytest.mark.parametrize("way", [w for ways in PLANTED.values() for w in ways], ids=lambda w: w.__name__)
    def test_on_planted_faults(self, way):
        found = diagnose(way(4))

        assert text(found).count("\n") <= 60
        schema("diagnosis").validate(json.loads(dumps(diagnosis(found))))


class TestTheReferenceRun:
    def test_says_it_all_on_a_screen_and_a_half(self, reference):
        said = text(reference)

        assert said.count("\n") <= 60
        assert "As planned it ends at step 20,000 with 3." in said
        assert "runner-up   capacity" in said
        for word in (
            "BUDGET",
            "irreducible + capacity",
            "unexplained",
            "= val_loss",
            "n_embd = 768",
            "of 12 GiB",
        ):
            assert word in said
        first, second, third = (
            said.index(f"\n  {n}") for n in ("lr-not-annealed:", "capacity, if", "repetition, if")
        )
        assert first < second < third

    def test_has_its_remedies_in_the_order_of_the_issue(self, reference):
        from unplateau.report.remedies import chosen

        ordered = [f.cause for f in chosen(reference)]

        assert ordered[:3] == ["lr-not-annealed", "capacity", "repetition"]
        assert reference.findings[0].cause == "lr-not-annealed"

    def test_prices_them(self, reference):
        of = {f.cause: f for f in reference.findings}

        assert of["lr-not-annealed"].remedy.gain.value > 0
        assert of["capacity"].remedy.gain.value > 0.05
        assert of["repetition"].verdict == "refuted"
        assert of["repetition"].remedy.condition.startswith("if ")
        assert "n_embd" in of["capacity"].remedy.patch

    def test_can_be_widened_on_its_card_of_12_gib(self, reference):
        settings = wider(reference.run)
        other = changed(reference.run, settings)

        assert settings["n_embd"] == 768
        assert settings["batch_size"] < 16
        assert other.get("tokens_per_step") == reference.run.get("tokens_per_step")
        assert other.get("memory_needed") <= FILLS * reference.run.get("gpu_memory")
        assert other.get("n_embd") % other.get("n_head") == 0

    def test_reaches_its_planned_end_below_where_it_is(self, reference):
        step, loss = as_planned(reference.outlook)

        assert step == 20_000
        assert loss.low < reference.budget.loss
        assert 3.2 < loss.value < 3.6


class TestCosts:
    def test_hours_are_those_that_were_logged(self, reference):
        run = reference.run
        cost = cost_of(run, run, 14_800, 20_000)

        assert cost.tokens == 5_200 * 524_288
        assert cost.flops == pytest.approx(3.0e8 * cost.tokens, rel=0.01)
        assert cost.hours.value == pytest.approx(run.get("hours_left"))
        assert cost.hours.low < cost.hours.value < cost.hours.high

    def test_a_wider_model_takes_as_many_hours_more_as_it_has_flops_or_fewer(self, reference):
        run = reference.run
        other = changed(run, wider(run))
        ratio = shape_of(other).flops_per_token / shape_of(run).flops_per_token
        now, then = (cost_of(run, r, 0, 1_000).hours for r in (run, other))

        assert then.value == pytest.approx(ratio * now.value)
        assert then.high - then.low > ratio * (now.high - now.low)

    def test_what_is_not_known_is_not_stated(self):
        run = Run("bare", series={"val_loss": Curve([0, 500], [10.0, 5.0], "nats")})
        cost = cost_of(run, run, 0, 500)

        assert (cost.steps, cost.tokens, cost.hours, cost.memory) == (500, None, None, None)
        assert str(cost) == "500 steps"


class TestCounterfactuals:
    @pytest.mark.parametrize("kind", ["cosine", "constant", "linear", "inverse_sqrt", "logged"])
    def test_an_annealed_run_ends_at_a_rate_of_zero_and_begins_as_it_did(self, kind):
        run = healthy_run(
            2, done=0.6, extras=kind == "logged", **({} if kind == "logged" else {"schedule": kind})
        )
        if kind == "logged":
            run = derive(replace(run, facts={n: f for n, f in run.facts.items() if n != "schedule"}))
        other = CAUSES["lr-not-annealed"].without(run)
        step = run.get("steps_done")

        assert other.schedule(step) == pytest.approx(0.0, abs=1e-12)
        assert other.schedule(step // 2) == pytest.approx(run.schedule(step // 2), rel=0.01)
        assert other.get("steps_done") == step

    def test_a_run_that_ended_on_a_floor_is_annealed_by_its_own_decay(self):
        run = healthy_run(2, floor_lr=4e-4)
        other = CAUSES["lr-not-annealed"].without(run)

        assert (other.get("schedule"), other.get("floor_lr")) == (run.get("schedule"), 0.0)
        assert other.schedule(run.get("steps_done")) == 0.0

    @pytest.mark.parametrize(("low", "falls"), [(0.05, False), (0.5, True)])
    def test_a_rate_that_was_raised_again_decays_once(self, low, falls):
        """A first decay that was done is stretched to the end; one that was not falls on."""

        def twice(step, lr):
            down = 1 - (1 - low) * step / (step[-1] * 0.6)
            return lr.max() * np.where(step > step[-1] * 0.6, 1.0, np.maximum(down, low))

        run = with_values(healthy_run(3, extras=True), lr=twice)
        run = derive(replace(run, facts={n: f for n, f in run.facts.items() if n != "schedule"}))
        other, end = CAUSES["lr-rewarmed"].without(run), run.get("steps_done")

        assert other.series["lr"].value[-1] <= 0.06 * run.schedule.peak
        middle = other.schedule(end // 2) / run.schedule(end // 2)
        assert middle == pytest.approx(1.0, rel=0.02) if falls else middle > 1.5
        assert (np.diff(other.series["lr"].value) <= 0).all()

    @pytest.mark.parametrize(
        "cause", ["lr-not-annealed", "lr-exhausted", "lr-rewarmed", "capacity", "repetition"]
    )
    def test_stay_what_they_are_when_counted_anew(self, cause):
        run = healthy_run(3, done=0.7, extras=True)
        if cause == "lr-rewarmed":
            run = with_values(run, lr=lambda step, lr: np.where(step > step[-1] * 0.8, lr.max(), lr * 0.5))
        if cause == "lr-exhausted":
            run = changed(run, {"decay_end": int(run.get("steps_done") * 0.5), "floor_lr": 0.0})
        other = CAUSES[cause].without(run)
        again = derive(other)

        assert other is not None
        assert again.schedule == other.schedule
        assert again.get("params") == other.get("params")
        assert again.get("passes") == other.get("passes")

    def test_a_model_that_is_large_enough_has_twenty_tokens_per_parameter(self, reference):
        other = CAUSES["capacity"].without(reference.run)

        assert other.get("tokens_per_param") == pytest.approx(20.0, rel=0.1)
        assert other.get("tokens_per_param") < 20.0
        assert other.get("n_layer") > 12

    def test_without_a_card_twice_the_width_is_told_and_no_more(self):
        run = healthy_run(0)

        assert wider(run) == {"n_embd": 1536, "n_head": 24}

    def test_on_a_small_card_the_width_is_what_it_holds(self, reference):
        run = reference.run.with_facts(gpu_memory=Fact(2 << 30, "bytes"))

        assert 384 < wider(run).get("n_embd", 384) < 768 or wider(run) == {}

    def test_fresh_text_is_priced_for_a_number_of_passes_that_is_supposed(self):
        known = an_outlook()
        known = replace(known, refused={"repetition": "asks for unique_tokens"})
        seen = known.run.get("tokens_seen")
        given = changed(known.run, {"unique_tokens": seen // 20})
        few = changed(known.run, {"unique_tokens": seen // 2})
        many, less = (gain(known, Plan(fresh(g), known.run.get("steps_done"), given=g)) for g in (given, few))

        assert many.value > less.value > -0.01
