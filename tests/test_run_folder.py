"""What a diagnosis takes from a run's folder of ours: how much is evaluated, on which windows, with which errors.

Mutations that turned these red: ``_of_fixed`` left out of ``eval_noise`` (scatter of the weights was called noise of the
evaluation), ``stays`` set to 0 in ``val_mismatch`` (a val of few documents was accused), ``anew`` set to True in ``state``.
"""

import json

import numpy as np
import pytest

from unplateau.diagnosis import diagnose
from unplateau.reading import read_runs

CONFIG = {
    "schema": "unplateau.config/1",
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 64,
    "vocab_size": 97,
    "block_size": 64,
    "architecture": "gpt2",
    "batch_size": 12,
    "gradient_accumulation_steps": 1,
    "tokens_per_step": 768,
    "sampling": "permutation",
    "max_steps": 2000,
    "schedule": "cosine",
    "peak_lr": 1e-3,
    "floor_lr": 1e-4,
    "warmup_steps": 100,
    "decay_end": 2000,
    "eval_interval": 100,
    "optimizer": "adamw",
    "dropout": 0.0,
}
PLAN = {
    "schema": "unplateau.evaluations/1",
    "parts": [
        {"split": "val", "source": 0, "block_size": 64, "windows": 300},
        {"split": "train", "source": 0, "block_size": 64, "windows": 150},
    ],
}


def folder_of(place, scatter=0.0, below=0.0, plan=PLAN, evaluations=20, error=0.004, text=0.01, **settings):
    """A run's folder of 100 steps between evaluations, as the trainer leaves it."""
    (place / "evaluations").mkdir(parents=True)
    (place / "config.json").write_text(json.dumps(CONFIG | settings))
    (place / "evaluations" / "plan.json").write_text(plan if isinstance(plan, str) else json.dumps(plan))
    rng, lines = np.random.default_rng(0), []
    for step in range(0, 100 * evaluations + 1, 100):
        loss = 1.8 + 2.8 * (1 + step / 40) ** -0.5
        val = loss + scatter * rng.standard_normal()
        row = {"val_loss": val, "train_loss": val + below + 0.001 * rng.standard_normal()}
        errors = {"val_loss_error": error, "train_loss_error": 0.004}
        of_text = {"val_text_error": text, "train_text_error": 0.005}
        lines.append({"step": step, **row, **errors, **of_text, "lr": 1e-3, "tokens": 768 * step})
    (place / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return place


def found(place, cause):
    (run,) = read_runs(place)
    return next(f for f in diagnose(run).findings if f.cause == cause)


def said(finding):
    return " ".join(e.fact for e in finding.evidence)


def test_errors_and_windows_of_evaluations_are_facts_with_their_places(tmp_path):
    (run,) = read_runs(folder_of(tmp_path))
    told = {n: (run.get(n), run.source(n)) for n in ("eval_tokens", "eval_windows", "eval_error", "sampling")}

    assert run.warnings == ()
    assert told["eval_tokens"] == (19_200, "evaluations/plan.json")
    assert told["eval_windows"] == ("fixed", "config.json: sampling")
    assert told["eval_error"] == (0.004, "counted: val_loss_error as logged at step 2,000")
    assert told["sampling"] == ("permutation", "config.json: sampling")
    assert (run.get("eval_text_error"), run.get("eval_modes_equal")) == (0.01, True)
    assert not run.has("config_unread")


def test_what_the_folder_holds_is_not_asked_for(tmp_path):
    (run,) = read_runs(folder_of(tmp_path))
    asked = " ".join(ask for f in diagnose(run).findings for ask in f.missing)

    assert "eval_iters" not in asked
    assert "how batches are drawn" not in asked
    assert "dropout off" not in asked
    assert found(tmp_path, "data-order").verdict == "refuted"


def test_the_manifest_in_the_folder_tells_passes_unique_tokens_and_splits(tmp_path):
    split = {"tokens": 400_000, "unique_tokens": 384_000}
    manifest = {"splits": {"train": split, "val": {"tokens": 30_000, "documents": 9, "overlap": 0.0}}}
    (folder_of(tmp_path) / "manifest.json").write_text(json.dumps(manifest))
    (run,) = read_runs(tmp_path)

    assert (run.get("train_tokens"), run.get("unique_tokens")) == (400_000, 384_000)
    assert (run.get("val_tokens"), run.get("val_documents")) == (30_000, 9)
    assert run.get("passes") == 2000 * 768 / 384_000
    assert "1.54M tokens seen of 384k unique ones: each 4.0 times" in said(found(tmp_path, "repetition"))


def test_a_short_run_is_evaluated_at_its_end_whatever_the_interval(tmp_path):
    (run,) = read_runs(folder_of(tmp_path, eval_interval=5000))

    assert not [c.fact for c in diagnose(run).contradictions if "steps apart" in c.fact]


@pytest.mark.parametrize(("scale", "verdict"), [(9_000.0, "undecided"), (1_000.0, "refuted")])
def test_a_noise_scale_that_is_logged_is_used_and_not_asked_for(tmp_path, scale, verdict):
    log = folder_of(tmp_path) / "log.jsonl"
    steps = ({"step": s, "batch_loss": 2.5, "gradient_noise_scale": scale} for s in range(1, 2000, 50))
    log.write_text(log.read_text() + "".join(json.dumps(row) + "\n" for row in steps))
    finding = found(tmp_path, "batch-too-small")

    assert finding.verdict == verdict
    assert f"the gradient noise scale as logged is {scale:,.0f} tokens" in said(finding)
    assert not [ask for ask in finding.missing if "norms" in ask]


def test_what_the_weights_scatter_by_is_no_noise_of_evaluations_that_read_the_same_windows(tmp_path):
    fixed = found(folder_of(tmp_path / "fixed", scatter=0.08), "eval-noise")
    drawn = folder_of(tmp_path / "drawn", scatter=0.08, sampling="nanogpt", eval_iters=1)

    assert fixed.verdict == "refuted"
    assert "300 windows, 19,200 tokens: standard error 0.004 nats, measured over them" in said(fixed)
    assert "reads the same 300 windows" in said(fixed)
    assert found(drawn, "eval-noise").verdict != "refuted"


def test_evaluations_that_are_drawn_anew_have_the_size_that_eval_iters_says(tmp_path):
    (run,) = read_runs(folder_of(tmp_path, sampling="nanogpt", eval_iters=20))

    assert (run.get("eval_windows"), run.get("eval_tokens")) == ("drawn", 20 * 768)


def test_a_large_error_says_how_much_more_to_evaluate(tmp_path):
    finding = found(folder_of(tmp_path, error=0.1), "eval-noise")

    assert finding.verdict == "undecided"
    assert finding.remedy.patch == {"eval_tokens": (19_200, 19_200 * 400)}


def test_all_of_val_has_no_error_of_windows(tmp_path):
    assert "all of val, an error of 0 nats" in said(found(folder_of(tmp_path, error=0.0), "eval-noise"))


def test_two_evaluations_are_enough_to_know_their_error(tmp_path):
    assert found(folder_of(tmp_path, evaluations=2), "eval-noise").verdict == "refuted"


def test_few_evaluations_of_the_same_windows_are_as_noisy_as_they_look(tmp_path):
    (run,) = read_runs(folder_of(tmp_path, error=0.3, evaluations=6))

    assert diagnose(run).state.noise < 0.05  # not the .3 of windows that never change


@pytest.mark.parametrize(("text", "verdict"), [(0.002, "supported"), (0.06, "undecided")])
def test_a_val_of_few_documents_is_not_accused_of_being_easy(tmp_path, text, verdict):
    finding = found(folder_of(tmp_path, below=0.1, text=text), "val-mismatch")

    assert finding.verdict == verdict
    assert "val - train is -0.1" in said(finding)
    assert "val_text_error" in finding.evidence[0].source


@pytest.mark.parametrize("damage", ["", "[]", '{"parts": 3}', '{"parts": [{"split": "val", "windows": -1}]}'])
def test_a_damaged_plan_is_one_warning(tmp_path, damage):
    (run,) = read_runs(folder_of(tmp_path, plan=damage))

    assert [w.partition(":")[0] for w in run.warnings] == ["plan.json, found beside the log, can't be used"]
    assert not run.has("eval_tokens")
