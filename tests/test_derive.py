"""Facts that follow from facts, the contradictions among them, and what a change of a setting undoes."""

import json
from pathlib import Path

import numpy as np
import pytest

import unplateau
from unplateau.contradictions import contradictions
from unplateau.curve import Curve
from unplateau.derive import DERIVED, RULES, changed, derive
from unplateau.errors import UnreadableError
from unplateau.facts import VOCABULARY
from unplateau.manifest import count_bins, facts_of, read_manifest
from unplateau.reading import read_runs
from unplateau.run import Fact, Run

SEED = Path(unplateau.__file__).parent / "examples" / "reference-run"


@pytest.fixture(scope="module")
def seed():
    (run,) = read_runs(SEED)
    return run


def facts(**values):
    return {name: Fact(value, "", "config.py:1") for name, value in values.items()}


class TestTheReferenceRun:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("tokens_per_step", 524_288),
            ("steps_done", 14_800),
            ("planned_end", 20_000),
            ("tokens_seen", 14_800 * 524_288),
            ("params", 40_560_000),
            ("params_non_embedding", 21_243_264),
            ("params_total", 40_953_216),
            ("eval_tokens", 200 * 16 * 1024),
            ("warmup_tokens", 262_144_000),
            ("grad_clip", 1.0),
            ("n_embd", 384),
        ],
    )
    def test_is_counted_exactly(self, seed, name, value):
        assert seed.get(name) == value

    @pytest.mark.parametrize(
        ("name", "value", "within"),
        [
            ("tokens_per_param", 191.3, 0.1),
            ("step_seconds", 3.909, 0.002),
            ("hours_so_far", 16.07, 0.01),
            ("hours_left", 5.647, 0.01),
            ("lr_share", 0.249, 0.001),
            ("mfu", 0.69, 0.01),  # nanoGPT's 12.9 % of an A100's 312 TFLOP/s, of the 58.3 of a 4070
        ],
    )
    def test_is_counted_closely(self, seed, name, value, within):
        assert seed.get(name) == pytest.approx(value, abs=within)

    def test_has_its_learning_rate(self, seed):
        assert f"{seed.schedule(14_500):.2e}" == "2.65e-04"

    def test_says_where_a_fact_came_from(self, seed):
        assert seed.source("n_embd") == "config.py:18"
        assert seed.source("grad_clip") == "assumed: nanoGPT's default"
        assert seed.source("tokens_per_step") == "counted"
        assert "a claim of the run's name" in seed.source("mfu")

    def test_invents_no_epochs(self, seed):
        assert "passes" not in seed.facts
        assert "unique_tokens" not in seed.facts

    def test_is_not_125m(self, seed):
        told = contradictions(seed)

        assert [c.source for c in told] == ["config.py:15", "config.py:10"]
        assert told[0].fact == "the config says ~125M parameters; counted from the shape it is 40.6M"

    def test_derive_is_the_same_twice(self, seed):
        again = derive(seed)

        assert again.facts == seed.facts
        assert again.schedule == seed.schedule

    def test_a_change_is_counted_anew(self, seed):
        other = changed(seed, {"batch_size": 32, "n_embd": 768, "floor_lr": 0.0, "decay_end": 14_800})

        assert other.get("tokens_per_step") == 2 * 524_288
        assert other.get("params") == 123_587_328
        assert other.get("lr_now") == 0.0
        assert seed.get("tokens_per_step") == 524_288


def test_a_logged_size_is_of_the_run_that_logged_it():
    shape = {"architecture": "gpt2", "n_layer": 2, "n_embd": 64, "vocab_size": 86, "block_size": 48}
    run = derive(Run("r", facts=facts(**shape, params_total=108_000, params_logged=105_000)))

    assert run.get("params") == 108_000 - 48 * 64
    assert (
        changed(run, {"n_embd": 128}).get("params_total")
        == 86 * 128 + 2 * (12 * 128**2 + 256) + 128 + 48 * 128
    )


def test_every_derived_fact_is_a_word_and_has_a_rule():
    assert set(VOCABULARY) >= DERIVED
    assert len(RULES) == len(set(RULES))


def test_an_empty_run_has_nothing():
    assert derive(Run("empty")).facts == {}
    assert contradictions(derive(Run("empty"))) == ()


@pytest.mark.parametrize("name", sorted(VOCABULARY))
@pytest.mark.parametrize("value", [0, -1, 1, 0.0, "x", 10**18, None, [], True])
def test_an_odd_fact_does_not_crash(name, value):
    told = facts(
        batch_size=2, gradient_accumulation_steps=1, block_size=8, n_layer=1, n_embd=8, vocab_size=10
    )
    told |= facts(
        architecture="gpt2", max_steps=10, schedule="cosine", peak_lr=1e-3, decay_end=10, dtype="float16"
    )
    lists = {"claims": [], "config_overridden": []}
    value = lists.get(name, value)
    if name in TYPED and not isinstance(value, int | float):
        return  # readers and dialects give numbers as numbers
    run = Run(
        "odd", series={"val_loss": Curve([0, 5], [2.0, 1.0], "nats")}, facts={**told, name: Fact(value)}
    )

    contradictions(derive(run))


TYPED = frozenset(VOCABULARY) - {
    "architecture",
    "dtype",
    "gpu",
    "run_name",
    "out_dir",
    "schedule",
    "init_from",
}


def test_logged_tokens_are_better_than_steps_times_batch():
    run = Run("r", series={"tokens": Curve([10], [1234.0])}, facts=facts(tokens_per_step=10))

    assert derive(run).get("tokens_seen") == 1234.0


def test_epochs_tell_the_planned_end():
    run = Run("r", series={"epoch": Curve([100, 200], [0.5, 1.0])}, facts=facts(epochs_planned=3))

    assert derive(run).get("planned_end") == 600


def test_steps_with_an_evaluation_do_not_count_as_the_time_of_a_step():
    step = np.arange(0, 1000, 50)
    evaluated = step % 200 != 0  # most of them: the median over all would be of those
    times = np.where(evaluated, 5000.0, 1000.0)
    series = {
        "step_ms": Curve(step, times),
        "val_loss": Curve(step[evaluated], np.ones(evaluated.sum()), "nats"),
    }

    assert derive(Run("r", "nanogpt", series)).get("step_seconds") == 1.0


def test_a_logged_mfu_of_nanogpt_is_of_an_a100_and_says_so():
    run = derive(Run("r", "nanogpt", {"mfu": Curve([1, 2], [0.2, 0.2])}))

    assert run.get("mfu") == 0.2
    assert "A100" in run.source("mfu")
    assert derive(Run("r", "nanogpt", {"mfu": Curve([1], [0.2])}, facts(device="cpu"))).get("mfu") is None


def test_passes_need_the_size_of_the_data():
    run = Run(
        "r", series={"val_loss": Curve([0, 100], [2, 1])}, facts=facts(tokens_per_step=10, unique_tokens=500)
    )

    assert derive(run).get("passes") == 2.0


class TestContradictions:
    def told(self, series=None, **values):
        return [c.fact for c in contradictions(derive(Run("r", "nanogpt", series or {}, facts(**values))))]

    def test_a_decay_that_ends_after_the_run(self):
        plan = {"schedule": "cosine", "peak_lr": 1e-3, "floor_lr": 0.0, "max_steps": 1000}

        (late,) = self.told(**plan, decay_end=10_000)
        (early,) = self.told(**plan, decay_end=100)

        assert late == (
            "the decay ends at step 10,000, after the run's planned end at 1,000, where it is still 98% of its peak"
        )
        assert "before the run's planned end" in early
        assert self.told(**plan, decay_end=1000) == []

    def test_a_floor_above_the_peak(self):
        assert "above its peak" in self.told(peak_lr=1e-4, floor_lr=1e-3)[0]

    def test_a_logged_rate_that_is_not_the_configured_one(self):
        plan = {"schedule": "cosine", "peak_lr": 1e-3, "floor_lr": 0.0, "decay_end": 1000, "max_steps": 1000}
        lr = derive(Run("r", facts=facts(**plan))).schedule
        step = np.arange(0, 1000, 10)
        as_planned = Curve(step, [lr(int(s)) for s in step])

        assert self.told({"lr": as_planned}, **plan) == []
        assert self.told({"lr": Curve(step[1:], as_planned.value[:-1])}, **plan) != []
        assert (
            "differs from the configured cosine" in self.told({"lr": as_planned.scaled(0.9, "")}, **plan)[0]
        )

    def test_a_rate_logged_a_step_late_is_no_contradiction(self):
        plan = {"schedule": "linear", "peak_lr": 1e-3, "floor_lr": 0.0, "decay_end": 1000, "max_steps": 1000}
        plan["warmup_steps"] = 10
        lr = derive(Run("r", facts=facts(**plan))).schedule
        step = np.arange(1, 1000)

        assert self.told({"lr": Curve(step, [lr(int(s) - 1) for s in step])}, **plan) == []

    def test_tokens_per_step_as_logged_and_as_counted(self):
        sizes = {"batch_size": 4, "gradient_accumulation_steps": 2, "block_size": 8}

        assert "4 x 2 x 8 = 64" in self.told(**sizes, tokens_per_step=128)[0]
        assert self.told(**sizes, tokens_per_step=64) == []

    def test_parameters_as_logged_and_as_counted(self):
        shape = {"n_layer": 12, "n_embd": 384, "n_head": 12, "vocab_size": 50304, "block_size": 1024}

        assert self.told(**shape, architecture="gpt2", params_logged=40_560_000) == []
        assert "the log prints 124M" in self.told(**shape, architecture="gpt2", params_logged=124_000_000)[0]

    def test_a_first_loss_that_is_not_the_vocabularys(self):
        series = {"val_loss": Curve([0], [4.2], "nats")}

        assert "ln(50,304) = 10.83" in self.told(series, vocab_size=50304, init_from="scratch")[0]
        assert self.told(series, vocab_size=65) == []
        assert self.told(series, vocab_size=50304, init_from="gpt2") == []

    def test_what_the_log_overrides(self):
        rows = [["peak_lr", 1e-3, "config.py:3", 6e-4, "log line 2"]]

        assert (
            "peak_lr is 0.001 in config.py:3, but log line 2 says 0.0006"
            in self.told(config_overridden=rows)[0]
        )

    def test_a_size_that_is_rounded_is_no_contradiction(self):
        assert (
            self.told(params_total=124_439_808, claims=[["124M in the name gpt2-124M", "config.py:1"]]) == []
        )
        assert self.told(params_total=124_439_808, claims=[["350M in the name x", "config.py:1"]]) != []


class TestManifest:
    def test_tells_what_it_knows_and_ignores_the_rest(self):
        facts = facts_of(
            {"unique_tokens": 10, "train_tokens": -3, "colour": "red", "val_tokens": "x"}, "manifest.json"
        )

        assert {name: fact.value for name, fact in facts.items()} == {"unique_tokens": 10}

    def test_sizes_of_files_are_tokens(self, tmp_path):
        (tmp_path / "train.bin").write_bytes(bytes(2000))
        (tmp_path / "val.bin").write_bytes(bytes(31))

        told = read_manifest(tmp_path)

        assert told["train_tokens"] == Fact(1000, "tokens", "counted: train.bin")
        assert told["val_tokens"].value == 15
        assert count_bins(tmp_path / "nothing") == {}

    @pytest.mark.parametrize("text", ["", "[]", "{", "3", "[" * 100_000])
    def test_what_is_none_is_refused_in_one_line(self, tmp_path, text):
        (tmp_path / "manifest.json").write_text(text)

        with pytest.raises(UnreadableError) as error:
            read_manifest(tmp_path)

        assert "\n" not in str(error.value)

    def test_a_folder_of_neither_is_refused(self, tmp_path):
        with pytest.raises(UnreadableError, match=r"neither manifest\.json nor train\.bin"):
            read_manifest(tmp_path)

    def test_splits_are_read(self, tmp_path):
        text = {"splits": {"train": {"tokens": 9, "unique_tokens": 8}, "val": {"tokens": 3}}}
        (tmp_path / "manifest.json").write_text(json.dumps(text))

        assert {n: f.value for n, f in read_manifest(tmp_path).items()} == {
            "train_tokens": 9,
            "unique_tokens": 8,
            "val_tokens": 3,
        }
