"""The probes that train, on runs of seconds: arms within their budget, rates as promised, and contrasts of the right side.

Seen red:
- ``cooled`` with ``--decay_start=0``: test_the_rate_of_a_branch_is_as_promised, the rate is low from the first step;
- arms that evaluate without ``--eval_tokens``: test_arms_with_other_rates_and_batches_are_compared_on_the_same_windows;
- ``steps_for`` without the cost of evaluations: test_a_trial_stays_within_its_budget_and_the_trainer_takes_its_words;
- half the batch at the run's own steps: test_arms_of_the_batch_are_equal_in_tokens_or_in_steps;
- a loss that is no number taken as missing: test_an_arm_that_loses_its_way_counts_as_a_uniform_guess.
"""

from dataclasses import replace
from math import log

import pytest

from small_runs import SMALL, rows, write_text
from unplateau.derive import changed
from unplateau.probes import (
    Site,
    batch_size,
    cooldown,
    learning_rate,
    precision,
    regularisation,
)
from unplateau.probes._arms import LEAST_STEPS, cooled, steady
from unplateau.probes._ends import end_difference
from unplateau.probes._paired import loss_at, losses_of
from unplateau.reading import read_runs
from unplateau.run import Run
from unplateau.train.configure import resolve
from unplateau.train.loop import train

pytestmark = pytest.mark.usefixtures("one_thread")
PROBES = {p.PROBE.name: p.PROBE for p in (cooldown, learning_rate, batch_size, regularisation, precision)}
WORDS = (
    *SMALL,
    *("--architecture=gpt2", "--optimizer=adamw", "--schedule=constant", "--peak_lr=0.01", "--n_embd=8"),
    *(
        "--max_steps=200",
        "--warmup_steps=5",
        "--eval_interval=100",
        "--eval_tokens=1600",
        "--log_interval=20",
    ),
)
#: settings of a run in which each probe has something to do
OPEN = {"dropout": 0.3, "dtype": "bfloat16"}


class Place:
    """A run of 200 steps, its checkpoint, and folders for arms."""

    def __init__(self, folder, *words):
        self.folder, self.words = write_text(folder), (*WORDS, *words)
        self.out = folder / "out"
        self.trained(self.words, self.out)
        (self.run,) = read_runs(self.out)
        self.checkpoint = self.out / "checkpoints/00000200"

    def trained(self, words, out):
        train(resolve(None, [*words, f"--dataset={self.folder}", f"--out_dir={out}"]))

    def site(self, share=1.0):
        return Site(200, self.checkpoint, self.folder, round(share * self.run.get("tokens_seen")))

    def read(self, probe, share=1.0, run=None):
        trial = probe.design(run or self.run, self.site(share))
        folders = {arm.name: self.folder / probe.name / arm.name for arm in trial.arms}
        for arm in trial.arms:
            self.trained(self.words_of(arm), folders[arm.name])
        return {one.cause: one for one in probe.read(trial, folders)}, folders, trial

    def words_of(self, arm):
        begun = [f"--init_from={self.checkpoint}"] if arm.start else []
        return [*self.words, *begun, *(f"--{k}={new}" for k, (_, new) in arm.patch.items()), *arm.words]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("hot"))


@pytest.mark.parametrize("share", [0.4, 1.0, 5.0])
@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_a_trial_stays_within_its_budget_and_the_trainer_takes_its_words(place, probe, share):
    run, site = changed(place.run, OPEN), place.site(share)

    trial = probe.design(run, site)

    assert trial is not None
    assert trial.tokens <= site.tokens
    assert {p.cause for p in trial.predictions} == set(probe.tells)
    for arm in trial.arms:
        assert arm.steps >= LEAST_STEPS
        settings = resolve(None, place.words_of(arm)).settings
        assert settings.max_steps == arm.start + arm.steps
        assert all(getattr(settings, name) == new for name, (_, new) in arm.patch.items())


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_nothing_is_laid_out_where_facts_a_checkpoint_or_the_budget_are_missing(place, probe):
    run, site = changed(place.run, OPEN), place.site()

    assert probe.design(run, site) is not None
    assert probe.design(Run("empty"), site) is None
    assert probe.design(run, replace(site, tokens=500)) is None
    assert probe.design(run, Site(tokens=site.tokens)) is None


def test_what_a_run_does_not_have_is_not_taken_away(place):
    assert regularisation.PROBE.design(place.run, place.site()) is None
    assert precision.PROBE.design(place.run, place.site()) is None


def test_the_rate_of_a_branch_is_as_promised(place, tmp_path):
    both = (*place.words, f"--init_from={place.checkpoint}", "--log_interval=1")
    place.trained((*both, *cooled(0.004, 200, 10)), tmp_path / "down")
    place.trained((*both, *steady(0.004, 200, 10)), tmp_path / "hold")

    down, hold = (
        [row["lr"] for row in rows(tmp_path / name) if "batch_loss" in row] for name in ("down", "hold")
    )
    assert down == pytest.approx([0.004 * (1 - k / 10) for k in range(10)])
    assert hold == [0.004] * 10


def test_a_cooldown_wins_where_the_rate_is_high(place):
    found, _, trial = place.read(cooldown.PROBE)
    told = found["lr-not-annealed"]

    assert trial.arms[1].steps == 30  # 15 % of the steps, whatever the budget
    assert told.contrast.low > 0
    assert told.effect is not None
    assert "nats lower" in told.fact


def test_a_lower_rate_wins_where_the_peak_is_too_high_and_a_higher_one_where_it_is_too_low(tmp_path):
    for name, peak, cause in (("high", 1.0, "lr-too-high"), ("low", 1e-4, "lr-too-low")):
        (tmp_path / name).mkdir()
        place = Place(tmp_path / name, f"--peak_lr={peak}")

        found, _, _ = place.read(learning_rate.PROBE)

        assert found.pop(cause).contrast.low > 0.005
        assert next(iter(found.values())).contrast.high < 0


def test_an_arm_that_loses_its_way_counts_as_a_uniform_guess(place, tmp_path):
    trial = learning_rate.PROBE.design(changed(place.run, {"peak_lr": 1e4}), place.site())
    words = {arm.name: place.words_of(arm) for arm in trial.arms}

    place.trained(words["branch-triple"], tmp_path / "lost")
    place.trained((*words["branch"], "--peak_lr=0.001"), tmp_path / "sound")

    assert losses_of(tmp_path / "lost").evaluated == {}
    gap = end_difference(tmp_path / "lost", tmp_path / "sound")
    assert gap.value == pytest.approx(log(32) - loss_at(tmp_path / "sound").value)


def test_arms_of_the_batch_are_equal_in_tokens_or_in_steps(place):
    found, _, trial = place.read(batch_size.PROBE)

    size = {arm.name: resolve(None, place.words_of(arm)).settings.tokens_per_step for arm in trial.arms}
    same, double, half = (arm.steps for arm in trial.arms)
    assert (size["double"], double) == (2 * size["as-it-is"], same)
    assert size["half"] * half == size["as-it-is"] * same
    assert 0.2 < found["batch-too-small"].contrast.value < 1.5
    assert found["batch-too-large"].contrast.high < 0.05


def test_a_run_held_back_by_dropout_learns_more_without_it(tmp_path):
    place = Place(tmp_path, "--dropout=0.5", "--n_embd=16")

    found, _, _ = place.read(regularisation.PROBE)

    assert found["over-regularised"].contrast.low > 0.02


def test_bfloat16_that_does_no_harm_is_as_good_as_float32(tmp_path):
    place = Place(tmp_path, "--dtype=bfloat16", "--peak_lr=0.003")

    found, _, _ = place.read(precision.PROBE)

    assert abs(found["precision"].contrast.value) < 0.01


@pytest.mark.parametrize("probe", [learning_rate.PROBE, batch_size.PROBE], ids=lambda p: p.name)
def test_arms_with_other_rates_and_batches_are_compared_on_the_same_windows(place, probe):
    trial = probe.design(place.run, place.site())

    plans = []
    for arm in trial.arms:
        words = [word for word in place.words_of(arm) if word != "--eval_tokens=1600"]  # the run's own
        place.trained(words, out := place.folder / "plans" / probe.name / arm.name)
        plans.append(losses_of(out).plan)

    assert plans[0]
    assert plans.count(plans[0]) == len(plans) == len(trial.arms)
