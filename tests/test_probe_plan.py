"""What an experiment is expected to tell, which are chosen, and where a run can be probed: nothing is run here.

Seen red:
- ``together`` as a plain sum: test_two_experiments_on_one_cause_tell_no_more_than_is_unknown;
- ``log_odds`` without its limits: test_the_farther_a_contrast_is_the_less_it_speaks_for_the_other_side (it turns round);
- ``_fits`` of site.py returning at once: test_a_checkpoint_of_another_model_is_one_line;
- ``filled`` without its least of information: test_what_costs_next_to_nothing_is_taken_where_money_is_left (idle is taken);
- a frozen part refuted by a fall of the loss, as it was: test_a_partly_frozen_model_that_learns_is_asked_after;
- settings that a checkpoint was saved with not looked at: test_a_checkpoint_that_was_saved_with_other_settings_is_one_line;
- "no cause is open" said where no checkpoint lies: test_where_no_checkpoint_lies_that_is_the_reason_that_nothing_runs;
- ``import torch`` at the top of probe/words.py: test_a_plan_needs_no_torch.
"""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed_runs import STEP, own_run
from unplateau.cli import main
from unplateau.diagnosis import diagnose
from unplateau.errors import UnreadableError, UsageError
from unplateau.estimate import Estimate
from unplateau.probe.information import entropy, expected, log_odds, together
from unplateau.probe.pace import Pace, too_long
from unplateau.probe.plan import (
    RULED_OUT,
    SURE,
    Budget,
    Chosen,
    budget_of,
    filled,
    greedy,
    in_order,
    open_causes,
    plan,
)
from unplateau.probe.site import suppose, where
from unplateau.probe.words import resumed, words_of
from unplateau.probes import Arm, Normal, Prediction, Trial
from unplateau.reading import read_runs
from unplateau.run import Fact, Run

SD = st.floats(0.001, 1.0)
MEAN = st.floats(-1.0, 1.0)


def told(mean, sd, mean_not, sd_not):
    return Prediction("capacity", Normal(mean, sd), Normal(mean_not, sd_not), "")


class TestInformation:
    @given(MEAN, SD, MEAN, SD, st.floats(0.01, 0.99), st.floats(0, 1))
    def test_it_lies_between_nothing_and_all_that_is_unknown(self, m, s, n, t, chance, noise):
        assert 0 <= expected(told(m, s, n, t), chance, noise) <= entropy(chance) + 1e-12

    @pytest.mark.parametrize("chance", [0.02, 0.3, 0.9])
    def test_it_is_what_many_drawn_outcomes_tell_in_the_mean(self, chance):
        prediction, noise, rng = told(0.1, 0.05, 0.0, 0.03), 0.02, np.random.default_rng(0)
        so, no = (np.hypot(n.sd, noise) for n in (prediction.if_so, prediction.if_not))
        holds = rng.random(400_000) < chance
        x = np.where(holds, rng.normal(0.1, so, holds.size), rng.normal(0.0, no, holds.size))
        with_it = np.exp(-0.5 * ((x - 0.1) / so) ** 2) / so
        without = np.exp(-0.5 * (x / no) ** 2) / no
        after = chance * with_it / (chance * with_it + (1 - chance) * without)
        left = -np.mean(after * np.log(after + 1e-300) + (1 - after) * np.log1p(-after + 1e-16))

        assert expected(prediction, chance, noise) == pytest.approx(entropy(chance) - left, abs=0.003)

    def test_a_narrow_outcome_is_not_lost_between_the_points_of_a_wide_one(self):
        assert expected(told(0.0, 1e-4, 0.0, 1.0), 0.5, 0.0) > 0.6

    def test_noise_takes_information_away(self):
        found = [expected(told(0.1, 0.01, 0.0, 0.01), 0.5, noise) for noise in (0.0, 0.05, 0.5)]

        assert found == sorted(found, reverse=True)
        assert found[0] > 0.69
        assert found[2] < 0.02

    def test_two_experiments_on_one_cause_tell_no_more_than_is_unknown(self):
        assert together(0.5, [0.6, 0.6, 0.6]) < entropy(0.5)
        assert together(0.02, [entropy(0.02)] * 2) == pytest.approx(entropy(0.02))

    @given(MEAN, SD, MEAN, SD, st.lists(st.floats(-9, 9), min_size=2, max_size=2), st.floats(0, 0.5))
    def test_the_farther_a_contrast_is_the_less_it_speaks_for_the_other_side(self, m, s, n, t, at, half):
        prediction = told(m, s, n, t)
        near, far = sorted(at, key=lambda x: x * np.sign(m - n))
        odds = [log_odds(prediction, Estimate(x, x - half, x + half, "nats")) for x in (near, far)]

        assert odds[0] <= odds[1] + 1e-9

    def test_the_log_odds_are_those_of_two_normal_distributions(self):
        half = 1.645 * 0.04  # a standard error of .04
        found = log_odds(told(0.1, 0.03, 0.0, 0.03), Estimate(0.08, 0.08 - half, 0.08 + half, "nats"))

        assert found == pytest.approx((0.08**2 - 0.02**2) / (2 * 0.05**2))


def chosen(probe, tokens, **nats):
    trial = Trial(probe, "", (Arm("a", 1),), (), tokens, 0.01)
    return Chosen(trial, tokens, nats, None)


class TestPlan:
    def test_what_tells_most_for_a_token_comes_first_and_the_budget_holds(self):
        offers = [chosen("dear", 900, capacity=0.3), chosen("cheap", 90, capacity=0.1, repetition=0.1)]
        found = greedy(offers, {"capacity": 0.5, "repetition": 0.5}, Budget(1_000))

        assert [c.trial.probe for c in found] == ["cheap", "dear"]
        assert [c.trial.probe for c in greedy(offers, {"capacity": 0.5, "repetition": 0.5}, Budget(950))] == [
            "cheap"
        ]

    def test_a_larger_one_takes_the_place_of_a_smaller_one_where_it_is_worth_it(self):
        offers = [chosen("one", 100, capacity=0.1), chosen("one", 400, capacity=0.4)]

        (found,) = greedy(offers, {"capacity": 0.5}, Budget(500))
        assert found.trial.tokens == 400

    def test_what_tells_nothing_is_left_out(self):
        assert greedy([chosen("one", 1, capacity=0.0)], {"capacity": 0.5}, Budget(500)) == ()

    def test_what_costs_next_to_nothing_is_taken_where_money_is_left(self):
        """Though it tells too little to be worth a part of the plan; and only where it tells anything."""
        offers = [
            *(chosen("arm", 600, capacity=0.3), chosen("look", 50, repetition=0.001)),
            *(chosen("dear", 60, noise=0.001), chosen("idle", 1, noise=0.0)),
        ]
        taken = greedy(offers, {"capacity": 0.5, "repetition": 0.02, "noise": 0.02}, Budget(1_000))

        assert [c.trial.probe for c in taken] == ["arm"]
        assert [c.trial.probe for c in filled(taken, offers, Budget(1_000))] == ["arm", "look"]
        assert [c.trial.probe for c in filled(taken, offers, Budget(640))] == ["arm"]

    def test_causes_in_front_are_asked_of_first(self):
        found = [chosen("look", 50, repetition=0.1), chosen("arm", 900, capacity=0.3)]

        order = in_order(found, {"capacity": 0.5, "repetition": 0.04})
        assert [c.trial.probe for c in order] == ["arm", "look"]

    def test_a_partly_frozen_model_that_learns_is_asked_after(self, tmp_path):
        """The log leaves it open, at the chance of what no log can show: a look that costs a thousandth is taken."""
        path = own_run(tmp_path)
        (run,) = read_runs(path)

        assert "gradients" in [
            c.trial.probe for c in plan(where(run, path), diagnose(run), budget_of(run)).chosen
        ]

    def test_a_slow_machine_is_told_of_after_the_first_arm_and_what_no_longer_fits_is_not_begun(self):
        pace = Pace()
        pace.took(0.0, 9.0)  # where no step times are logged nothing was expected

        assert pace.first(10.0) == ""
        assert pace.seconds(3.0) == 3.0
        pace.took(5.0, 20.0)
        assert "4.0 times what the logged speed gives: the rest takes some 40 s" in pace.first(10.0)
        assert too_long(pace.seconds(30.0), 60.0).startswith("it would take some 120 s here")
        pace.took(5.0, 20.0)
        assert pace.first(10.0) == ""

    def test_a_budget_too_small_is_one_line_with_the_least_that_would_do(self, tmp_path, capsys):
        run = own_run(tmp_path)

        assert main(["probe", str(run), "--plan", "--budget-tokens", "50"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "a budget of 50 tokens is too small" in line
        least = line.partition("--budget-tokens ")[2].split()[0]
        assert main(["probe", str(run), "--plan", "--budget-tokens", least]) == 0

    def test_a_budget_in_time_needs_step_times(self):
        assert budget_of(timed(), seconds=60).tokens == 60 * 25_600
        with pytest.raises(UsageError, match="no step times are logged"):
            budget_of(Run("r"), seconds=60)
        with pytest.raises(UsageError, match="give --budget-tokens"):
            budget_of(Run("r"))

    def test_what_a_probe_told_of_this_checkpoint_is_not_asked_again(self, tmp_path):
        from dataclasses import replace

        from unplateau.evidence import Told

        path = own_run(tmp_path)
        (run,) = read_runs(path)
        first = plan(where(run, path), diagnose(run), budget_of(run))
        name = first.chosen[0].trial.probe
        cause = next(iter(first.chosen[0].tells))
        run = replace(run, probed=(Told(cause, "said", 0.1, name, "evidence/x.json", step=STEP),))

        second = plan(where(run, path), diagnose(run), budget_of(run))
        assert name not in [c.trial.probe for c in second.chosen]
        again = plan(where(run, path), diagnose(run), budget_of(run), again=True)
        assert name in [c.trial.probe for c in again.chosen]

    def test_what_is_refuted_or_as_good_as_sure_is_not_open(self, tmp_path):
        (run,) = read_runs(own_run(tmp_path))
        found = diagnose(run)
        refuted = {f.cause for f in found.findings if f.verdict == "refuted"}

        assert refuted
        assert refuted.isdisjoint(open_causes(found))
        assert all(RULED_OUT <= chance <= SURE for chance in open_causes(found).values())

    def test_a_plan_needs_no_torch(self, tmp_path):
        code = (
            "import sys; from unplateau.cli import main\n"
            f"code = main(['probe', {str(own_run(tmp_path))!r}, '--plan', '--json'])\n"
            "print(code, 'unplateau.probe.plan' in sys.modules, 'torch' in sys.modules, file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)

        assert done.stderr.split()[-3:] == ["0", "True", "False"], done.stderr
        assert json.loads(done.stdout)["probes"]


def timed():
    return Run(
        "r", facts={"tokens_per_step": Fact(256), "step_seconds": Fact(0.01), "tokens_seen": Fact(1e6)}
    )


class TestWhere:
    def test_our_own_folder_has_its_newest_whole_checkpoint_and_keeps_its_evidence(self, tmp_path):
        path = own_run(tmp_path)
        (path / "checkpoints" / "00002000").mkdir()  # no list of hashes: half written
        (run,) = read_runs(path)
        found = where(run, path)

        assert (found.kind, found.step, found.root) == ("own", STEP, path)
        assert found.data == str(tmp_path / "data")

    def test_a_checkpoint_of_another_model_is_one_line(self, tmp_path):
        path = own_run(tmp_path)
        place = path / "checkpoints" / f"{STEP:08d}" / "state.json"
        told = json.loads(place.read_text())
        told["settings"]["n_embd"] = 96
        place.write_text(json.dumps(told))
        (run,) = read_runs(path)

        with pytest.raises(UnreadableError, match=r"has n_embd 96, but config\.json: n_embd says 64"):
            where(run, path)

    def test_data_are_found_by_the_runs_own_word_or_named(self, tmp_path):
        path = own_run(tmp_path)
        (run,) = read_runs(path)
        relative = run.with_facts(dataset=Fact("data"))
        gone = run.with_facts(dataset=Fact("elsewhere"))

        assert where(relative, path).data == str(tmp_path / "data")
        assert where(gone, path).data == ""
        assert where(gone, path, data=tmp_path / "data").data == str(tmp_path / "data")
        with pytest.raises(UnreadableError, match="holds no tokens"):
            where(run, path, data=tmp_path / "run")
        with pytest.raises(UsageError, match="give --data DIR"):
            words_of(where(gone, path), Arm("a", 5, start=STEP), tmp_path / "arm")

    def test_data_with_other_hashes_are_refused_before_anything_is_run(self, tmp_path):
        path = own_run(tmp_path)
        for folder, sha in ((path, "a" * 64), (tmp_path / "data", "b" * 64)):
            shards = [{"file": "train.bin", "tokens": 5_000, "sha256": sha}]
            (folder / "manifest.json").write_text(json.dumps({"splits": {"train": {"shards": shards}}}))
        (run,) = read_runs(path)

        with pytest.raises(UnreadableError, match="is not the data of this run"):
            where(run, path)

    def test_a_log_alone_is_planned_as_if_its_checkpoint_were_here(self, tmp_path):
        path = own_run(tmp_path)
        log_alone = tmp_path / "alone" / "night.jsonl"
        log_alone.parent.mkdir()
        log_alone.write_text((path / "log.jsonl").read_text())
        (run,) = read_runs(log_alone)
        found = suppose(where(run, log_alone))

        assert found.supposed
        assert found.step == STEP
        with pytest.raises(UsageError, match="holds no checkpoint"):
            words_of(where(run, log_alone, data=tmp_path / "data"), Arm("a", 5, start=STEP), tmp_path / "arm")

    def test_a_checkpoint_that_was_saved_with_other_settings_is_one_line(self, tmp_path, monkeypatch):
        (tmp_path / "ckpt.pt").touch()
        saved = {"checkpoint_step": Fact(600), "n_layer": Fact(2), "peak_lr": Fact(0.003)}
        monkeypatch.setattr("unplateau.probe.site.read_checkpoint", lambda _: saved)
        run = Run("r", facts={"peak_lr": Fact(0.01, "", "log line 1")})

        with pytest.raises(UnreadableError, match=r"with peak_lr 0\.003, but log line 1 says 0\.01"):
            where(run, tmp_path)
        assert where(run.with_facts(resumed_at=Fact([300])), tmp_path).step == 600

    def test_where_no_checkpoint_lies_that_is_the_reason_that_nothing_runs(self, tmp_path, capsys):
        path = own_run(tmp_path)
        shutil.rmtree(path / "checkpoints")

        assert main(["probe", str(path)]) == 2
        assert "holds no checkpoint to branch from" in capsys.readouterr().err

    def test_standard_input_has_no_checkpoint(self):
        from pathlib import Path

        with pytest.raises(UsageError, match="standard input"):
            where(Run("r"), Path("-"))


def test_an_arm_is_a_command_with_each_flag_once_and_its_folder_last(tmp_path):
    path = own_run(tmp_path)
    (run,) = read_runs(path)
    arm = Arm("down", 5, {"floor_lr": (1e-4, 0.0)}, STEP, ("--seed=3", "--log_interval=2"))
    found = words_of(where(run, path), arm, tmp_path / "arm")

    assert found[0] == f"--init_from={path}/checkpoints/{STEP:08d}"
    assert {"--floor_lr=0.0", "--max_steps=1005", "--log_interval=2", "--log_style=none"} <= set(found)
    assert found[-1] == f"--out_dir={tmp_path}/arm"
    names = [word.partition("=")[0] for word in found]
    assert len(names) == len(set(names))
    assert "--init_from=resume" in resumed(found)
    fresh = words_of(where(run, path), Arm("new", 5), tmp_path / "arm")
    assert fresh[:2] == (f"{path}/config.json", "--init_from=scratch")


@pytest.mark.parametrize(("share", "speaks"), [(0.0, -1), (0.004, -1), (0.075, 1), (0.45, 1), (1.0, 1)])
def test_a_small_part_that_stands_still_speaks_for_itself_and_gains_alone_do_not(share, speaks):
    """An embedding alone is 7 % of a small model, and cost it 1.5 nats; seen red with the .05 that stood for runs that learn."""
    from unplateau.probes.gradients import ERROR, PREDICTIONS

    found = log_odds(PREDICTIONS[0], Estimate(share, share - ERROR, share + ERROR, ""))
    assert found * speaks > 3
