"""What every probe promises; a new file in probes/ is held to it without a new test.

That a real run with a cause, and a healthy one, give contrasts of their own side is in test_probes_training.py and
test_probes_looking.py.

Seen red: a flag of the cooldown spelt ``--decay_ends``: test_the_trainer_takes_the_words_of_its_arms; a prediction of width
about a cause that it does not tell: test_stays_within_its_budget_and_says_what_each_cause_predicts.
"""

import json
from itertools import pairwise, product

import numpy as np
import pytest

from probed_runs import STEP, own_run
from unplateau.plugins import discover
from unplateau.probe.information import expected, log_odds
from unplateau.probe.site import suppose, where
from unplateau.probe.words import words_of
from unplateau.probes import Arm, Site
from unplateau.reading import read_runs
from unplateau.run import Run
from unplateau.train.configure import resolve

PROBES = discover("probes")
#: settings of small runs, so that each probe has something to do in one of them
RUNS = {
    "plain": {},
    "dropout": {"dropout": 0.2},
    "half": {"dtype": "bfloat16", "gradient_accumulation_steps": 2, "tokens_per_step": 512},
    "drawn": {"sampling": "nanogpt", "eval_iters": 20},
    "constant": {"schedule": "constant", "warmup_steps": 0},
}
BUDGETS = (20_000, 100_000, 400_000)  # tokens
TELLS = 0.5  # log odds that a contrast on one side gives at least
OFFSETS = (-0.4, 0.0, 0.4)  # nats by which an arm may end off the others


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Small own runs, and the reference run as if its checkpoint and its data were here."""
    found = {}
    for name, settings in RUNS.items():
        path = own_run(tmp_path_factory.mktemp(name), **settings)
        (run,) = read_runs(path)
        found[name] = where(run, path)
    from unplateau.cli import logs

    reference = type(path)(logs.__file__).parent.parent / "examples" / "reference-run"
    (run,) = read_runs(reference)
    found["reference"] = suppose(where(run, reference, data=path.parent / "data"))
    return found


def trials(probe, places):
    """Every trial that the probe lays out for some run and some budget, with where it is."""
    for place in places.values():
        for tokens in (10**9,) if place.supposed else BUDGETS:
            trial = probe.design(place.run, place.site(tokens))
            if trial is not None:
                yield place, tokens, trial


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
class TestEveryProbe:
    def test_tells_of_causes_that_there_are(self, probe):
        assert probe.tells
        assert set(probe.tells) <= set(discover("hypotheses"))
        assert 0 < len(probe.question) < 160

    def test_lays_out_nothing_for_a_run_of_which_nothing_is_known(self, probe):
        assert probe.design(Run("empty"), Site()) is None
        assert probe.design(Run("empty"), Site(tokens=10**9)) is None

    def test_lays_out_nothing_without_a_budget(self, probe, places):
        assert all(probe.design(place.run, place.site(0)) is None for place in places.values())

    def test_stays_within_its_budget_and_says_what_each_cause_predicts(self, probe, places):
        found = list(trials(probe, places))

        assert found, "no run of this suite has anything for it to do"
        for _, tokens, trial in found:
            assert trial.probe == probe.name
            assert 0 < trial.tokens <= tokens
            assert trial.noise > 0
            causes = [p.cause for p in trial.predictions]
            assert causes
            assert len(causes) == len(set(causes))
            assert set(causes) <= set(probe.tells)
            assert all(p.words and min(p.if_so.sd, p.if_not.sd) > 0 for p in trial.predictions)
            assert not trial.question.endswith("?")

    def test_every_cause_that_it_tells_is_predicted_somewhere(self, probe, places):
        told = {p.cause for _, _, trial in trials(probe, places) for p in trial.predictions}

        assert told == set(probe.tells)

    def test_a_larger_budget_tells_no_less(self, probe, places):
        for place in places.values():
            laid_out = [probe.design(place.run, place.site(tokens)) for tokens in BUDGETS]
            told = [sum(expected(p, 0.3, t.noise) for p in t.predictions) for t in laid_out if t is not None]
            assert all(b >= 0.7 * a for a, b in pairwise(told)), told

    def test_the_trainer_takes_the_words_of_its_arms(self, probe, places, tmp_path):
        resolved = 0
        for place, _, trial in trials(probe, places):
            names = [arm.name for arm in trial.arms]
            assert len(names) == len(set(names))
            for arm in trial.arms:
                if place.supposed and arm.start:
                    continue
                settings = resolve(*split(words_of(place, arm, tmp_path / arm.name))).settings
                assert settings.out_dir == str(tmp_path / arm.name)
                assert settings.log_style == "none"
                assert settings.eval_only == (arm.steps == 0)
                assert arm.steps == 0 or settings.max_steps == arm.start + arm.steps
                assert arm.start in (0, place.step)
                told = {name: getattr(settings, name) for name in arm.patch}
                assert told == {name: new for name, (_, new) in arm.patch.items()}
                resolved += 1
        assert resolved

    def test_reads_what_differs_between_its_arms_as_for_and_as_against(self, probe, places, tmp_path):
        laid_out = list(trials(probe, places))
        small = [t for p, _, t in laid_out if p.step == STEP] or [t for _, _, t in laid_out]
        trial = max(small, key=lambda t: t.arms[0].steps <= 200)
        if len(trial.arms) == 1:
            pytest.skip("one arm that looks: test_probes_looking.py has what it sees")
        predicted, odds = {p.cause: p for p in trial.predictions}, {cause: [] for cause in probe.tells}
        for number, offsets in enumerate(product(OFFSETS, repeat=len(trial.arms))):
            folders = {
                arm.name: made_up(tmp_path / str(number) / arm.name, arm, offset)
                for arm, offset in zip(trial.arms, offsets, strict=True)
            }
            for reading in probe.read(trial, folders):
                odds[reading.cause].append(log_odds(predicted[reading.cause], reading.contrast))
                assert any(c.isdigit() for c in reading.fact)
        read = {cause: found for cause, found in odds.items() if found}  # some want more than losses
        assert read
        for cause, found in read.items():
            assert max(found) > TELLS, cause
            assert min(found) < -TELLS, cause


def split(words):
    """A config's path, where the words begin with one, and the rest."""
    from pathlib import Path

    return (None, words) if words[0].startswith("--") else (Path(words[0]), words[1:])


def made_up(folder, arm: Arm, offset):
    """The folder of an arm whose losses all lie ``offset`` above those of an arm as it is."""
    rng = np.random.default_rng(0)
    (folder / "evaluations").mkdir(parents=True)
    windows, end = 3.0 + rng.normal(0, 0.2, 100) + offset, arm.start + arm.steps
    rows = [
        {"step": arm.start + i, "batch_loss": 3.0 + offset + 0.01 * rng.normal()} for i in range(arm.steps)
    ]
    rows.append({"step": end, "val_loss": float(windows.mean()), "val_loss_error": 0.02})
    np.savez(folder / "evaluations" / f"{end:08d}.npz", val=windows)
    (folder / "evaluations" / "plan.json").write_text(
        json.dumps({"parts": [{"split": "val", "data": "one"}]})
    )
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.json").write_text("{}")
    return folder
