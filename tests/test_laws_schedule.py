"""What the schedule law says of runs whose future we know, and of runs that no law should be sure of.

Mutations that went red here: a measured cooldown not given to the fit; its sign turned; both branches cooled; one whose
length nobody told used all the same; its effect counted beside that of the law that was fitted to it; a rate that died
early refused as before, or its young curve fitted all the same; what the prior says not scaled to the loss.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synthetic import healthy_run
from unplateau.curve import Curve
from unplateau.derive import changed, derive
from unplateau.diagnosis import diagnose
from unplateau.estimate import Estimate
from unplateau.evidence import Told
from unplateau.heard import effect_of
from unplateau.hypotheses import Finding
from unplateau.laws._annealing import Path, corners_of, released
from unplateau.laws._cooled import branches
from unplateau.laws.schedule import LAW, known, observed, pace_of, prior, without_spikes
from unplateau.outlook import outlook
from unplateau.run import Fact, Run
from unplateau.schedules._branched import Branched
from unplateau.schedules.constant import Constant
from unplateau.schedules.cosine import Cosine
from unplateau.schedules.linear import Linear
from unplateau.schedules.recorded import Recorded
from unplateau.schedules.wsd import WSD

ONE = np.array([1.0])


def constant_run(steps=20_000, **losses):
    """A run at a constant rate on a power law in steps, as logged so far."""
    at = np.arange(200, steps + 1, 200)
    loss = 2.8 + 0.35 * (at / 1e4) ** -0.5 + np.random.default_rng(0).normal(0, 0.002, len(at))
    facts = {"warmup_steps": Fact(100), "optimizer": Fact("adamw"), "steps_done": Fact(steps)}
    return Run(
        "constant", "nanogpt", {"val_loss": Curve(at, loss, "nats")} | losses, facts, Constant(1e-3, 100)
    )


def told(step, value, unit="nats"):
    return constant_run(val_loss=Curve(step, value, unit))


def cooled(run, share=0.2):
    steps = int(run.get("steps_done") * (1 + share))
    return replace(run, schedule=WSD(1e-3, 0.0, 100, int(steps - run.get("steps_done")), steps)), steps


class TestPath:
    def test_counts_full_rate_steps(self):
        path = Path.of(Linear(peak=1e-3, floor=0.0, warmup=0, steps=1000), 1000)

        assert path.progress(1.0)[-1] == pytest.approx(500, rel=0.01)
        assert path.progress(0.5)[-1] == pytest.approx(667, rel=0.01)  # the integral of the root

    def test_sees_a_jump_where_it_is(self):
        path = Path.of(Recorded((0, 100, 7999, 8000, 20_000), (0.0, 1.0, 1.0, 0.1, 0.1)), 20_000)

        assert path.eta_at([7999, 8000]).tolist() == [1.0, 0.1]

    def test_looks_inside_a_branch(self):
        before = Recorded((0, 10, 500, 501), (0.0, 1.0, 1.0, 0.3))

        assert {500, 501, 700} <= set(corners_of(Branched(before, Constant(0.3), branch=700)))

    def test_annealing_lets_go_of_all_of_it_in_the_end_and_of_nothing_at_a_constant_rate(self):
        drop = Path.of(Recorded((0, 5000, 5001, 10**6), (1.0, 1.0, 0.0001, 0.0001)), 10**6)
        flat = Path.of(Constant(1e-3, 100), 10_000)

        assert released(drop, [10**6], 0.1, 100 * ONE, ONE)[0, 0, 0] == pytest.approx(1.0, abs=0.02)
        assert released(flat, [10_000], 0.7, ONE, ONE)[0, 0, 0] == 0.0

    def test_a_rate_that_is_raised_takes_back_what_was_let_go(self):
        at = np.array([9_000, 20_000])
        path = Path.of(Recorded((0, 4000, 4001, 9000, 9001, 20_000), (1.0, 1.0, 0.1, 0.1, 1.0, 1.0)), 20_000)
        down, up = released(path, at, 0.7, ONE, ONE)[0, 0]

        assert down > 0.8
        assert up == pytest.approx(0.0, abs=0.01)


class TestForecasts:
    def test_more_steps_win_less_than_a_cooldown_to_the_same_step(self):
        run = constant_run()
        law = LAW.fit([run])
        other, end = cooled(run)
        more, cool = law.price(run, end).mean(), law.price(other, end).mean()

        assert cool < more - 0.05
        assert -0.4 < cool < more < 0.0

    def test_a_later_step_of_one_plan_is_no_worse(self):
        run = healthy_run(3, done=0.6)
        law = LAW.fit([run])
        end = run.get("planned_end")
        prices = [law.price(run, int(end * share)).mean() for share in (0.6, 0.7, 0.8, 0.9, 1.0)]

        assert prices == sorted(prices, reverse=True)

    def test_an_interval_grows_with_the_distance(self):
        run = constant_run()
        law = LAW.fit([run])
        spread = [
            np.ptp(np.quantile(law.price(run, step), (0.05, 0.95)))
            for step in (20_000, 25_000, 50_000, 200_000)
        ]

        assert spread[0] == 0.0
        assert spread == sorted(spread)

    def test_parts_add_up_to_the_level_draw_for_draw(self):
        law = LAW.fit([healthy_run(1)])

        assert sum(law.parts(law.run).values()) == pytest.approx(law.level, abs=1e-9)

    def test_a_spike_moves_nothing(self):
        run = constant_run()
        value = run.series["val_loss"].value.copy()
        value[50] += 2.0
        spiked = replace(run, series={"val_loss": Curve(run.series["val_loss"].step, value, "nats")})

        assert LAW.fit([spiked]).level.mean() == pytest.approx(LAW.fit([run]).level.mean(), abs=0.003)

    def test_a_sibling_under_another_schedule_sharpens_the_cooldown(self):
        run = constant_run()
        other, end = cooled(run)
        at = np.arange(run.get("steps_done") - 4000, end, 200)
        truth = LAW.fit([run])
        values = truth.level.mean() + np.array([truth.price(other, int(s)).mean() for s in at])
        sibling = replace(
            other,
            series={"val_loss": Curve(at, values, "nats")},
            facts={**run.facts, "steps_done": Fact(end)},
        )
        alone, together = (np.std(LAW.fit(runs).price(other, end)) for runs in ([run], [run, sibling]))

        assert together < 0.6 * alone


def ramped(steps=20_000):
    """A run whose batch was a quarter of its size until half-way, and whose loss follows its tokens; and the truth at twice its steps."""
    at = np.arange(100, steps + 1, 100)
    tokens = np.where(at < steps / 2, at / 4, at - steps * 3 / 8) * 1e5
    loss = 2.8 + 0.35 * (tokens / 1e9) ** -0.5
    run = constant_run(val_loss=Curve(at, loss, "nats"), tokens=Curve(at, tokens, "tokens"))
    return run, float(2.8 + 0.35 * ((tokens[-1] + steps * 1e5) / 1e9) ** -0.5)


class TestBatch:
    def test_a_batch_that_grew_is_counted_in_tokens(self):
        run, truth = ramped()
        blind = replace(run, series={"val_loss": run.series["val_loss"]})
        error, without = (
            abs(float((law.level + law.price(law.run, 40_000)).mean()) - truth)
            for law in (LAW.fit([r]) for r in (run, blind))
        )

        assert error < 0.01
        assert error < without / 2

    def test_a_batch_that_stays_needs_no_pace(self):
        at = np.arange(100, 5001, 100)

        assert pace_of(constant_run(tokens=Curve(at, at * 524_288.0, "tokens"))) is None


class TestARunThatLeavesTheLaw:
    def test_stands_where_it_was_logged_and_goes_nobody_knows_where(self):
        run = constant_run()
        step, value = run.series["val_loss"].step, run.series["val_loss"].value
        rising = replace(
            run, series={"val_loss": Curve(step, value + np.maximum(0, step - 12_000) / 5e4, "nats")}
        )
        law, sound = LAW.fit([rising]), LAW.fit([run])
        ends = [Estimate.of(f.level + f.price(f.run, 30_000), "nats") for f in (law, sound)]

        assert law.level.mean() == pytest.approx(rising.series["val_loss"].value[-4:].mean(), abs=0.03)
        assert sound.lost == 0.0
        assert law.lost > 0.02
        assert ends[0].high - ends[0].low > 5 * (ends[1].high - ends[1].low)


class TestARateThatDiedEarly:
    """The loss stood still over most of the log; what stretching the schedule wins is asked."""

    @staticmethod
    def won(alive, level=3.26):
        at = np.arange(200, 4001, 200)
        seen = level + 0.3 * np.exp(-at / 100) + np.random.default_rng(1).normal(0, 0.002, len(at))
        run = replace(told(at, seen), schedule=WSD(1e-3, 0.0, 0, 100, alive))
        found = LAW.fit([run.with_facts(steps_done=Fact(4000))])
        longer = replace(run, schedule=WSD(1e-3, 0.0, 0, 100, 4000))
        return Estimate.of(-found.price(longer, 4000), "nats")

    def test_has_a_price_where_its_curve_is_too_young_to_tell_one(self):
        early, earlier = self.won(380), self.won(200)

        assert 0.1 < early.value < earlier.value
        assert early.low > 0.05
        assert early.high > 2 * early.value

    def test_is_priced_in_shares_of_the_loss_there(self):
        assert self.won(300, level=6.52).value == pytest.approx(2 * self.won(300).value, rel=0.1)


class TestWhatItRefuses:
    @pytest.mark.parametrize(
        ("run", "said"),
        [
            (replace(constant_run(), schedule=None), "the schedule is not known"),
            (told([1, 2, 3], [3.0, 2.9, 2.8]), "points"),
            (told(np.arange(1, 40), np.arange(39.0), "bits per byte"), "bits per byte"),
            (told(np.arange(1, 4000, 40), np.full(100, 3.0)), "never moves"),
            (told(np.arange(1, 4000, 40), 0.1 + 1 / np.arange(5, 105)), "text"),
            (told(np.arange(9000, 20_000, 200), np.linspace(3.2, 3.1, 55)), "times as far"),
        ],
        ids=[
            "no schedule",
            "three points",
            "another unit",
            "a constant curve",
            "no text",
            "a log that begins late",
        ],
    )
    def test_says_why_in_one_line(self, run, said):
        with pytest.raises(ValueError, match=said) as error:
            LAW.fit([run])

        assert "\n" not in str(error.value)

    def test_an_unfinished_warm_up_has_no_law(self):
        with pytest.raises(ValueError, match="points"):
            observed(healthy_run(2, done=0.03))


class TestPrior:
    def test_the_peak_of_another_optimiser_says_nothing(self):
        assert prior(3e-4, "muon").B == prior(3e-2, "muon").B
        assert prior(3e-4, "adamw").B[0] < prior(1e-3, "adamw").B[0] == pytest.approx(known()["B"][0])

    def test_a_peak_outside_the_range_seen_is_no_further_extrapolated(self):
        assert prior(1.0).B == prior(known()["B"][4]).B

    def test_its_constants_hold_what_six_studies_found(self):
        told = known()

        assert 0.35 < np.exp(told["a"][0]) < 0.65  # LogNormal(ln .477, .12) in SCIENCE.md section 2
        assert 0.1 < told["B"][0] < 0.3  # .258 there
        assert told["B"][1] == pytest.approx(0.303, abs=0.2)


def test_spikes_alone_are_taken_out():
    t = np.arange(100)
    falling = Curve(t, 4 - np.log1p(t) / 4)

    assert len(without_spikes(falling, 0.01)) == 100


def test_a_changed_floor_is_priced():
    run = derive(healthy_run(4))
    lower = changed(run, {"floor_lr": 0.0})
    gain = Estimate.of(-LAW.fit([run]).price(lower, run.get("steps_done")), "nats")

    assert isinstance(run.schedule, Cosine)
    assert -0.02 < gain.value < 0.1


class TestMeasuredCooldowns:
    """Two branches of 1,000 steps from step 20,000, held and cooled: what the probe ``cooldown`` tells."""

    WON = Estimate(0.05, 0.047, 0.053, "nats/token")

    def probed(self, won=WON, **other):
        told = {"step": 20_000, "steps": 1_000, "effect": won, "contrast": won} | other
        one = Told("lr-not-annealed", "x", 4.0, "cooldown", "evidence/cooldown.json", **told)
        return replace(constant_run(), probed=(one,))

    def gain(self, run):
        """Of a cooldown over the next fifth of the steps, against the level of now."""
        other, end = cooled(run)
        return Estimate.of(-LAW.fit([run]).price(other, end), "nats")

    def test_sharpen_what_annealing_brings(self):
        before, after = self.gain(constant_run()), self.gain(self.probed())

        assert after.high - after.low < 0.6 * (before.high - before.low)
        assert before.low < after.value < before.high

    def test_move_it_to_where_they_say(self):
        little, much = (
            self.gain(self.probed(Estimate(x, x - 0.003, x + 0.003, "nats"))) for x in (0.01, 0.12)
        )

        assert little.high < much.low

    def test_are_met_by_the_law(self):
        fitted = LAW.fit([self.probed()])
        (one,) = fitted.heard
        seen = branches(fitted.run, one)
        ends = [fitted.posterior.loss(p, seen.step)[:, 0].mean() for p in (seen.against, seen.path)]

        assert ends[0] - ends[1] == pytest.approx(0.05, abs=0.01)

    def test_are_believed_to_a_quarter_however_well_they_were_measured(self):
        """Arms of 30 steps tell a cooldown of 120 no better (six demos, docs/LOG.md)."""
        exact, rough = (
            branches(run, *LAW.fit([run]).heard).noise
            for run in (self.probed(Estimate(0.05, x, y, "nats")) for x, y in ((0.05, 0.05), (0.0, 0.1)))
        )

        assert exact == pytest.approx(0.25 * 0.05)
        assert rough == pytest.approx(np.hypot(exact, 0.05 / 1.645), rel=0.01)

    @pytest.mark.parametrize("lacks", [{"step": None}, {"steps": None}, {"steps": 0}, {"contrast": None}])
    def test_that_lack_where_they_were_say_nothing(self, lacks):
        assert LAW.fit([self.probed(**lacks)]).heard == ()
        assert self.gain(self.probed(**lacks)) == self.gain(constant_run())

    def test_of_a_rate_that_is_not_in_nats_say_nothing(self):
        assert LAW.fit([self.probed(replace(self.WON, unit="bits"))]).heard == ()

    def test_count_once_where_the_law_was_fitted_to_them(self):
        run = self.probed()
        priced = Finding("lr-not-annealed", "supported", effect=Estimate(0.1, 0.08, 0.12, "nats"))

        assert effect_of(priced, run.probed, outlook(run)) == priced.effect
        assert effect_of(priced, run.probed, outlook(constant_run())) != priced.effect

    def test_are_named_in_the_budget(self):
        run = self.probed().with_facts(schedule=Fact("constant"), peak_lr=Fact(1e-3))
        rows = {row.name: row.note for row in diagnose(run).budget.rows}

        assert rows["not annealed"] == "with evidence/cooldown.json"
