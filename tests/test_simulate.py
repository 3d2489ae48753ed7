"""Simulated runs: what is written is read back, the truth is beside it, and nothing is overwritten."""

from __future__ import annotations

import json
import os
from importlib.resources import files

import jsonschema
import numpy as np
import pytest

from unplateau.cli import main
from unplateau.diagnosis import READINGS, diagnose
from unplateau.errors import UnplateauError, UsageError
from unplateau.plugins import discover
from unplateau.reading import read_runs
from unplateau.simulate import DIALECTS, HEALTHY, PLANTERS, REFUSED, simulate
from unplateau.simulate.world import Loss, series_of
from unplateau.simulate.write import write

SHORT = 600  # steps; enough for a log
CAUSES = sorted(PLANTERS)
EACH_DIALECT = pytest.mark.parametrize("dialect", DIALECTS)
EACH_CAUSE = pytest.mark.parametrize("cause", CAUSES)
#: the decimals that each dialect prints of a series: absolute, or of its own size
PRINTED = {
    "nanogpt": {"val_loss": 5e-5, "train_loss": 5e-5, "batch_loss": 5e-5},
    "hf": {"val_loss": 1e-9, "batch_loss": 5e-5, "grad_norm": 5e-5, "lr": 1e-15},
    "jsonl": dict.fromkeys(("val_loss", "train_loss", "batch_loss", "grad_norm", "lr", "tokens"), 0.0),
}
RELATIVE = 1e-5  # of jsonl's six digits
#: settings that a dialect has no word for, or that it calls by another
UNSAID = {
    "nanogpt": {"vocab_size"},
    "hf": {"eval_iters", "bias", "decay_end", "decay_form", "dropout", "init_from", "optimizer"},
    "jsonl": set(),
}


def made(cause, severity=0.7, seed=1, dialect="nanogpt", steps=SHORT):
    if cause in DIALECTS[dialect].refused:
        pytest.skip(DIALECTS[dialect].refused[cause])
    return simulate(cause, severity, seed, dialect=dialect, steps=steps)


def read_back(simulation, folder):
    write(simulation, folder)
    (run,) = read_runs(folder / "run")
    return run


def test_every_cause_is_planted_or_refused_with_a_reason():
    assert set(PLANTERS) | set(REFUSED) == set(discover("hypotheses"))
    assert not set(PLANTERS) & set(REFUSED)


@EACH_DIALECT
@pytest.mark.parametrize("seed", range(6))
def test_the_readers_read_back_what_was_simulated(dialect, seed, tmp_path):
    simulation = made(HEALTHY, seed=seed, dialect=dialect)
    run = read_back(simulation, tmp_path / "out")
    truth = series_of(simulation.plan, averaged=dialect == "hf")

    for name, slack in PRINTED[dialect].items():
        meant, seen = truth[name], run.series[name]
        later = meant.step > 0 if dialect == "hf" else meant.step >= 0
        assert seen.step.tolist() == meant.step[later].tolist(), name
        np.testing.assert_allclose(
            seen.value, meant.value[later], atol=slack * 1.001, rtol=RELATIVE if not slack else 0
        )


@EACH_DIALECT
@pytest.mark.parametrize("seed", range(6))
def test_the_facts_of_config_and_manifest_are_those_that_were_meant(dialect, seed, tmp_path):
    simulation = made(HEALTHY, seed=seed, dialect=dialect)
    run, plan = read_back(simulation, tmp_path / "out"), simulation.plan

    for name, value in (plan.settings | plan.data).items():
        if name not in UNSAID[dialect]:
            assert run.get(name) == value, name
    assert run.get("tokens_per_step") == plan.tokens_per_step
    assert run.get("params") == plan.shape.params
    assert (
        run.get("planned_end") == run.get("steps_done") == plan.steps
        or plan.steps % plan.settings["log_interval"]
    )
    lr = Loss(plan).rates
    assert run.schedule(plan.steps // 2) == pytest.approx(lr[plan.steps // 2], rel=1e-3)
    assert not [w for w in run.warnings if "can't be used" in w or "not used" in w]


@EACH_DIALECT
@EACH_CAUSE
def test_every_planted_run_is_read_and_diagnosed(dialect, cause, tmp_path):
    run = read_back(made(cause, dialect=dialect), tmp_path / "out")

    assert diagnose(run).findings
    assert not [w for w in run.warnings if "can't be used" in w or "no record" in w]


@EACH_DIALECT
@EACH_CAUSE
def test_without_severity_nothing_is_planted(dialect, cause):
    simulation = made(cause, severity=0.0, dialect=dialect)

    assert simulation.files == simulation.mended_files
    assert simulation.truth()["cost"] == 0.0


@EACH_CAUSE
def test_a_planted_run_differs_from_its_mended_twin(cause):
    simulation = made(cause, severity=1.0)

    assert simulation.files != simulation.mended_files


@EACH_DIALECT
@EACH_CAUSE
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(dialect, cause):
    once, again, other = (made(cause, seed=seed, dialect=dialect) for seed in (2, 2, 3))

    assert once.files == again.files
    assert once.truth() == again.truth()
    assert once.files != other.files


@EACH_CAUSE
def test_the_bytes_do_not_depend_on_what_was_simulated_before(cause):
    first = made(cause).files
    made(HEALTHY, seed=9)

    assert made(cause).files == first


TRADED = 0.02  # nats; a peak somewhat higher also learns somewhat faster
#: causes whose severity is a price in nats that only rises; the others are faults of the log, or trade one thing for another
PRICED = (
    "capacity",
    "short-context",
    "repetition",
    "noisy-data",
    "lr-too-high",
    "lr-too-low",
    "over-regularised",
)
PRICED = (*PRICED, "batch-too-small", "still-learning", "frozen-parameters")


@pytest.mark.parametrize("cause", PRICED)
@pytest.mark.parametrize("seed", range(4))
def test_a_severer_cause_costs_more(cause, seed):
    costs = [simulate(cause, severity, seed, steps=4000).truth()["cost"] for severity in (0.0, 0.3, 0.6, 1.0)]

    assert (np.diff(costs) > -TRADED).all()
    assert costs[-1] > 0.01


def test_a_constant_rate_costs_what_it_does_in_published_runs():
    costs = [simulate("lr-not-annealed", 1.0, seed).truth()["cost"] for seed in range(12)]

    assert 0.02 < np.median(costs) < 0.12  # .044 and .057 in mpl_curves: constant_24000 against cosine_24000


def test_sizes_lengths_and_vocabularies_vary_with_the_seed():
    plans = [simulate(HEALTHY, 0, seed, dialect="jsonl").plan for seed in range(40)]
    params = [plan.shape.params for plan in plans]

    assert min(params) < 6e7
    assert 5e8 < max(params) < 1.3e9
    for name in ("vocab_size", "schedule", "eval_interval", "eval_iters", "max_steps"):
        assert len({plan.settings[name] for plan in plans}) >= 3, name


@pytest.mark.parametrize("seed", range(20))
def test_a_sound_run_starts_at_an_even_guess_and_falls(seed):
    plan = simulate(HEALTHY, 0, seed).plan
    loss = Loss(plan)("val_loss", np.arange(0, plan.steps, max(1, plan.steps // 50)))

    assert 0.02 <= loss[0] - np.log(plan.settings["vocab_size"]) <= 0.1
    assert (np.diff(loss) < 0).all()
    assert loss[-1] > 1.3


def test_the_truth_lies_beside_the_run_and_not_in_it(tmp_path, capsys):
    out = tmp_path / "out"

    assert (
        main(["simulate", "--cause", "capacity", "--severity", "1", "--steps", "300", "--out", str(out)]) == 0
    )
    assert "costs +" in capsys.readouterr().out
    assert sorted(p.name for p in out.iterdir()) == ["mended", "run", "truth.json"]
    assert not [p for p in (out / "run").iterdir() if "capacity" in p.read_text("utf-8")]
    truth = json.loads((out / "truth.json").read_text("utf-8"))
    assert truth["cause"] == "capacity"
    assert truth["cost"] == pytest.approx(
        truth["run"]["final_loss"] - truth["mended"]["final_loss"], abs=2e-6
    )


def test_json_is_one_object_of_the_schema(tmp_path, capsys):
    assert main(["simulate", "--steps", "300", "--json", "--out", str(tmp_path / "out")]) == 0
    told = json.loads(capsys.readouterr().out)

    schema = files("unplateau").joinpath("schemas", "simulation-1.json").read_text("utf-8")
    jsonschema.Draft202012Validator(json.loads(schema)).validate(told)
    assert told["schema"] == "unplateau.simulation/1"
    assert told["cause"] == "healthy"
    assert set(told["paths"]) == {"run", "truth"}


def test_a_loss_that_is_lost_has_no_cost(tmp_path, capsys):
    args = ["simulate", "--cause", "precision", "--severity", "1", "--steps", "300", "--json"]

    assert main([*args, "--out", str(tmp_path / "out")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["cost"] is None
    assert told["run"]["final_loss"] is None
    assert told["mended"]["final_loss"] > 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--cause", "capacty"], "did you mean capacity"),
        (["--cause", "nonsense"], "known:"),
        (["--cause", "data-order"], "in the loader"),
        (["--cause", "eval-noise", "--dialect", "hf"], "same windows"),
        (["--cause", "capacity", "--severity", "1.5"], "from 0"),
        (["--cause", "capacity", "--severity", "nan"], "from 0"),
        (["--seed", "-1"], "--seed"),
        (["--steps", "3"], "--steps"),
        (["--dialect", "word"], "nanogpt, hf, jsonl"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_bad_wishes_are_refused_in_one_line_and_nothing_is_written(args, said, tmp_path, capsys):
    out = tmp_path / "out"

    assert main(["simulate", *args, "--out", str(out)]) == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1
    assert not out.exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")

    assert main(["simulate", "--steps", "300", "--out", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path, capsys):
    file = tmp_path / "out"
    file.write_text("mine")

    assert main(["simulate", "--steps", "300", "--out", str(file)]) == 2
    assert main(["simulate", "--steps", "300", "--out", str(file / "below")]) == 3
    assert capsys.readouterr().err.count("\n") == 2
    assert file.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UnplateauError, match="can't write"):
        write(simulate(HEALTHY, 0, 0, steps=300), tmp_path / "out")


def test_a_resume_with_a_longer_schedule_is_read_as_both_schedules(tmp_path):
    simulation = simulate("lr-rewarmed", 1.0, 4)
    run, plan = read_back(simulation, tmp_path / "out"), simulation.plan

    assert run.get("resumed_at") == [plan.resumed_at]
    assert run.schedule(plan.resumed_at) > 2 * run.schedule(plan.resumed_at - 1)
    assert run.get("steps_done") == plan.steps < run.get("planned_end")


@EACH_DIALECT
def test_sound_runs_are_not_accused(dialect, tmp_path):
    accused = []
    for seed in range(7):
        found = diagnose(read_back(simulate(HEALTHY, 0, seed, dialect=dialect), tmp_path / str(seed)))
        accused += [f.cause for f in found.findings if f.verdict == "supported" and f.cause not in READINGS]

    assert accused == []  # the contract of the causes counts a hundred more


def test_what_cannot_be_planted_is_a_wrong_call():
    with pytest.raises(UsageError, match="data-order"):
        simulate("data-order", 0.5, 0)
