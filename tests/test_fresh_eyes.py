"""What a reader who knows nothing of the program stumbled over: each test is one number that he could not believe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import unplateau
from synthetic import healthy_run, without_series
from test_causes_a import memorising
from unplateau.budget import Budget, happened, weighed
from unplateau.cost import Cost, checkpoint_of, cost_of
from unplateau.curve import Curve
from unplateau.derive import changed, derive
from unplateau.diagnosis import diagnose, examine
from unplateau.errors import UnreadableError
from unplateau.estimate import Estimate
from unplateau.hypotheses import Evidence, Finding, Plan, Remedy
from unplateau.hypotheses._say import cost_said
from unplateau.plugins import discover
from unplateau.reading import read_runs
from unplateau.report import causes
from unplateau.report.headline import headline
from unplateau.report.json import diagnosis
from unplateau.report.text import text
from unplateau.run import Fact, Run
from unplateau.simulate import simulate
from unplateau.simulate.write import write

CAUSES = discover("hypotheses")
SHAPE_OF_RATE = ("schedule", "peak_lr", "floor_lr", "warmup_steps", "decay_start", "decay_end")


def multiplied():
    """A run that logs what multiplies its learning rates, and not the rates."""
    run = healthy_run(0)
    lr = run.schedule
    steps = np.arange(0, run.get("steps_done") + 1, 100)
    share = Curve(steps, [lr(int(s)) / lr.peak for s in steps])
    facts = {name: fact for name, fact in run.facts.items() if name not in SHAPE_OF_RATE}
    bare = without_series(replace(run, facts=facts), "lr")
    return derive(replace(bare, series={**bare.series, "lrm": share}))


class TestAMultiplierIsNoRate:
    def test_causes_that_compare_rates_are_untestable(self):
        run = multiplied()

        verdicts = {name: examine(CAUSES[name], run).verdict for name in ("lr-too-high", "lr-too-low")}

        assert verdicts == {"lr-too-high": "untestable", "lr-too-low": "untestable"}

    def test_a_peak_that_is_told_is_a_rate(self):
        run = derive(multiplied().with_facts(peak_lr=Fact(0.5)))

        assert examine(CAUSES["lr-too-high"], run).verdict != "untestable"

    def test_the_rate_is_said_to_be_unknown(self):
        said = " ".join(text(diagnose(multiplied())).split())

        assert "learning rate unknown, now" in said
        assert "learning rate now unknown" not in said


def a_cause(effect, verdict="supported", chance=0.92):
    return Finding(
        "lr-rewarmed",
        verdict,
        (Evidence("the rate rose again", "for", "lr"),),
        probability=chance,
        effect=Estimate(*effect, "nats"),
        remedy=Remedy({}, "10 steps", "none", "resume from before"),
    )


class TestWhatCostsNothingIsNoCause:
    def test_it_is_said_that_it_happened_and_cost_nothing(self):
        finding = weighed(a_cause((-0.019, -0.032, -0.005)))

        assert happened(finding)
        assert finding.verdict == "undecided"
        assert finding.probability < 0.05
        assert finding.remedy is None
        assert "-0.019 nats (-0.032 to -0.005)" in finding.evidence[0].fact

    def test_no_cause_is_likelier_than_its_price_says_that_it_matters(self):
        finding = weighed(a_cause((0.017, 0.0, 0.034)))

        assert 0.5 < finding.probability < 0.75
        assert finding.verdict == "supported"

    def test_a_cause_that_costs_a_lot_stays_as_likely_as_it_was(self):
        assert weighed(a_cause((0.3, 0.2, 0.4))).probability == 0.92

    def test_what_hardly_matters_is_not_called_proved(self):
        finding = weighed(a_cause((0.005, -0.02, 0.03)))

        assert finding.verdict == "undecided"
        assert not happened(finding)

    def test_the_report_of_such_a_run_names_no_remedy_that_makes_it_worse(self, tmp_path):
        found = diagnosed(tmp_path, "lr-rewarmed", 0.3, 5, "hf")
        said = " ".join(text(found).split())

        rewarmed = next(f for f in found.findings if f.cause == "lr-rewarmed")
        assert rewarmed.verdict == "undecided"
        assert rewarmed.probability < 0.1
        assert "gain: -" not in said
        assert found.first is None or found.first.cause != "lr-rewarmed"


def diagnosed(folder, cause, severity, seed, dialect="nanogpt"):
    """A simulated run, written and read as a user would."""
    write(simulate(cause, severity, seed, dialect=dialect), folder / "made")
    return diagnose(read_runs(folder / "made" / "run")[0])


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return diagnosed(tmp_path_factory.mktemp("unit"), "metric-unit", 0.9, 7)


class TestANumberOfAnotherUnit:
    def test_the_unit_comes_before_anything_that_is_said_of_the_run(self, found):
        assert found.first.cause == "metric-unit"
        assert "Read it again with --unit perplexity" in headline(found)

    def test_there_is_no_budget_and_no_forecast_of_it(self, found):
        said = text(found)

        assert found.planned is None
        assert "BUDGET" not in said
        assert diagnosis(found)["budget"] is None
        assert "gain:" not in said

    def test_nothing_of_it_is_said_in_nats(self, found):
        first = " ".join(text(found).split("CAUSES")[0].split())

        assert "perplexity at step" in first
        assert "nats at step" not in first


def test_the_budget_of_the_json_is_the_one_that_the_text_prints():
    without_law = Budget(3.5, (), Estimate(3.5, 3.4, 3.6, "nats"), {})
    found = replace(diagnose(healthy_run(0)), budget=without_law)

    assert "BUDGET" not in text(found)
    assert diagnosis(found)["budget"] is None


NANOGPT = """\
step 0: train loss 10.9, val loss 10.9
iter 0: loss 10.9, time 100.00ms, mfu -100.00%
step 500: train loss 5.0, val loss 5.1
saving checkpoint to out
iter 500: loss 5.0, time 100.00ms, mfu 40.00%
step 1000: train loss 4.5, val loss 5.2
iter 1000: loss 4.5, time 100.00ms, mfu 40.00%
iter 1300: loss 4.4, time 100.00ms, mfu 40.00%
"""


class TestACheckpointIsOneThatWasSaved:
    def test_where_the_log_says_so(self, tmp_path):
        (tmp_path / "train.log").write_text(NANOGPT)
        run = read_runs(tmp_path / "train.log")[0]

        assert run.get("checkpoint_step") == 500
        assert checkpoint_of(run, 1300) == 500

    def test_else_at_the_last_evaluation_of_nanogpt(self, tmp_path):
        (tmp_path / "train.log").write_text(NANOGPT.replace("saving checkpoint to out\n", ""))
        run = read_runs(tmp_path / "train.log")[0]

        assert checkpoint_of(run, 1300) == 1000
        assert checkpoint_of(run, 999) == 500

    def test_else_nobody_knows_where(self):
        run = replace(healthy_run(0), format="table")

        assert checkpoint_of(run, 1000) is None
        assert cost_said(run, Plan(run, 2000, run.get("steps_done"))).endswith("from the last checkpoint")

    def test_a_remedy_goes_on_from_there(self, demo):
        said = " ".join(text(demo).split())

        assert "from the checkpoint of step 14,500" in said
        assert "from the checkpoint of step 14,800" not in said


@pytest.fixture(scope="module")
def demo():
    folder = Path(unplateau.__file__).parent / "examples" / "reference-run"
    return diagnose(read_runs(folder / "train.log", config=folder / "config.py")[0])


def test_a_rate_that_is_warming_up_is_not_high_for_want_of_annealing():
    step = np.arange(5)
    series = {
        "batch_loss": Curve(step, [0.4985, 0.507, 0.4823, 0.4619, 0.4728], "nats"),
        "lr": Curve(step, [5.9e-07, 1.18e-06, 1.76e-06, 2.35e-06, 2.94e-06]),
    }
    finding = examine(CAUSES["lr-not-annealed"], derive(Run("few", "nemo", series)))

    assert finding.verdict != "supported"
    assert finding.remedy is None


def test_the_end_of_the_schedule_and_of_the_plan_are_said_as_one():
    run = healthy_run(0, done=0.7)
    end = run.get("planned_end")
    run = changed(run, {"max_steps": end + 200, "decay_end": end})
    remedies = [examine(CAUSES[name], run).remedy for name in ("lr-not-annealed", "still-learning")]

    assert "200 more at its last rate to the planned end" in remedies[0].advice
    assert remedies[0].plan == remedies[1].plan


class TestStepsOutOfRange:
    @pytest.mark.parametrize("step", ["{}000000000000000000", "-{}"])
    def test_a_table_of_them_says_so(self, step, tmp_path):
        rows = [f"{step.format(i)},3.{i}" for i in range(1, 101)]
        (tmp_path / "big.csv").write_text("\n".join(["step,loss", *rows]) + "\n")

        with pytest.raises(UnreadableError, match=r"100 rows of .* have a step out of range"):
            read_runs(tmp_path / "big.csv")

    def test_some_of_them_are_left_out_with_a_word(self, tmp_path):
        rows = [f"{i},3.{100 - i}" for i in range(1, 50)]
        (tmp_path / "a.csv").write_text("\n".join(["step,loss", *rows, "1e30,2.0"]) + "\n")
        run = read_runs(tmp_path / "a.csv")[0]

        assert any("1 rows of a.csv have a step out of range" in w for w in run.warnings)


class TestARefutedCause:
    @pytest.mark.parametrize(("gain", "each", "told"), [(0.02, 190, 1), (0.004, 190, 0), (0.02, 5, 0)])
    def test_has_a_remedy_only_where_it_may_matter(self, gain, each, told, demo):
        finding = next(f for f in demo.findings if f.cause == "repetition")
        remedy = replace(finding.remedy, gain=Estimate(gain, gain - 0.02, gain + 0.005, "nats"))
        run = demo.run.with_facts(tokens_per_param=Fact(each))
        found = replace(demo, run=run, findings=(replace(finding, remedy=remedy),))

        assert text(found).count("repetition, if") == told

    def test_says_that_the_passes_are_an_example(self):
        finding = examine(CAUSES["repetition"], without_series(forgetful(healthy_run(0)), "epoch"))

        assert finding.verdict == "refuted"
        assert "say, 10 passes over one text" in finding.remedy.condition


def forgetful(run):
    """The run, its number of passes forgotten."""
    hidden = ("unique_tokens", "train_tokens", "passes")
    return derive(replace(run, facts={n: f for n, f in run.facts.items() if n not in hidden}))


def test_epochs_are_called_epochs_in_a_remedy_too():
    run = memorising(healthy_run(1), 1.0).with_facts(step_unit=Fact("epochs"))
    remedy = CAUSES["repetition"].test(run).remedy

    assert "is near epoch" in remedy.advice


def test_more_tokens_than_a_number_holds_are_not_told():
    run = healthy_run(0).with_facts(tokens_per_step=Fact(1e308))

    assert cost_of(run, run, 0, 1000).tokens is None


def test_one_step_is_no_steps():
    assert str(Cost(1)) == "1 step"


@pytest.mark.parametrize("name", sorted(CAUSES))
def test_the_page_of_a_cause_fits_a_terminal(name):
    listed = {cause.name: (cause, docs) for cause, docs in causes.known()}

    assert max(map(len, causes.page(*listed[name]).splitlines())) <= 80


def a_table(folder, rows):
    (folder / "a.csv").write_text("\n".join(["step,val_loss,lr", *rows]) + "\n")
    return diagnose(read_runs(folder / "a.csv")[0])


LOSS = [4 * i**-0.1 for i in range(1, 61)]


class TestNumbersThatCantBe:
    @pytest.mark.parametrize("rate", ["1e300", "-0.001"])
    def test_a_rate_that_no_optimiser_takes_accuses_nothing(self, rate, tmp_path):
        found = a_table(tmp_path, [f"{i * 100},{v:.4f},{rate}" for i, v in enumerate(LOSS)])

        assert any("no rate is, so none of them is used" in w for w in found.run.warnings)
        assert all(f.verdict == "untestable" for f in found.findings if f.cause == "lr-not-annealed")

    def test_rates_of_zero_are_said(self, tmp_path):
        found = a_table(tmp_path, [f"{i * 100},{v:.4f},0" for i, v in enumerate(LOSS)])

        assert any(w.startswith("every logged learning rate is 0") for w in found.run.warnings)

    def test_a_loss_below_zero_is_no_cross_entropy(self, tmp_path):
        found = a_table(tmp_path, [f"{i * 100},{v - 7:.4f},0.001" for i, v in enumerate(LOSS)])

        assert "no cross-entropy is below 0" in " ".join(text(found).split())
        assert found.budget is None or not found.budget.rows
        assert "nats at step" not in headline(found)

    def test_losses_beyond_any_are_not_a_log_too_short(self, tmp_path):
        found = a_table(tmp_path, [f"{i * 100},1e300,0.001" for i in range(59)])

        assert headline(found).startswith("No number of this log can be a loss: val_loss is 1e+300")
        assert "too short" not in headline(found)
        assert any("59 of 59 values of val_loss are beyond" in w for w in found.run.warnings)


class TestThePricesOfOneCause:
    def test_they_are_explained_where_they_stand(self, demo):
        said = " ".join(text(demo).split())

        assert "CAUSES (costs: against the same steps without it)" in said
        assert "WHAT TO DO (gain: the trend now less the loss afterwards)" in said
        assert "passes over one text (--unique-tokens N tells): train on fresh text" in said
        assert "(the trend: 3.5" in said

    def test_what_is_not_of_the_budget_does_not_stand_on_its_total(self, demo):
        total = next(row for row in text(demo).splitlines() if row.startswith("  = val_loss"))

        assert "cost" not in total
        assert "as the sum of what each costs alone" in " ".join(text(demo, verbose=True).split())

    def test_a_runner_up_with_the_higher_score_is_explained(self, demo):
        assert "undecided, so behind: " in " ".join(text(demo).split())
