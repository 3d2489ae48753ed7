"""Settings: what people write, and what becomes of it."""

import json
from pathlib import Path

import pytest

from unplateau.errors import UnreadableError, UsageError
from unplateau.train.configure import describe, resolve, split_words
from unplateau.train.datasets import folders
from unplateau.train.settings import DEFAULTS, TYPES, Settings

#: nanoGPT's config/train_shakespeare_char.py and finetune_shakespeare.py, their settings
SHAKESPEARE = """
out_dir = 'out-shakespeare-char'
eval_interval = 250 # keep frequent because we'll overfit
eval_iters = 200
always_save_checkpoint = False
wandb_log = False
wandb_project = 'shakespeare-char'
dataset = 'shakespeare_char'
gradient_accumulation_steps = 1
batch_size = 64
block_size = 256
n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.2
learning_rate = 1e-3
max_iters = 5000
lr_decay_iters = 5000
min_lr = 1e-4
beta2 = 0.99
warmup_iters = 100
"""
FINETUNE = """
import time
wandb_run_name = 'ft-' + str(time.time())
batch_size = 1
gradient_accumulation_steps = 5 * 8
learning_rate = 3e-5
decay_lr = False
"""


def config(tmp_path, text, name="config.py"):
    path = tmp_path / name
    path.write_text(text)
    return path


class TestNanoGPT:
    def test_its_config_is_taken_in_its_own_words(self, tmp_path):
        found = resolve(config(tmp_path, SHAKESPEARE))

        s = found.settings
        assert (s.peak_lr, s.floor_lr, s.max_steps, s.decay_end, s.warmup_steps) == (
            1e-3,
            1e-4,
            5000,
            5000,
            100,
        )
        assert (s.n_layer, s.dropout, s.eval_iters, s.beta2) == (6, 0.2, 200, 0.99)
        assert found.origin["peak_lr"] == "config.py:16"

    def test_what_its_config_leaves_out_is_what_train_py_takes(self, tmp_path):
        found = resolve(config(tmp_path, SHAKESPEARE))

        s = found.settings
        assert (s.architecture, s.optimizer, s.schedule, s.weight_decay) == ("gpt2", "adamw", "cosine", 0.1)
        assert s.sampling == "permutation"
        assert found.origin["weight_decay"] == "preset nanogpt"

    def test_overrides_hold_over_the_file(self, tmp_path):
        path = config(tmp_path, SHAKESPEARE)
        found = resolve(path, ["--max_iters=10", "--compile=False", "--device=cpu", "--wandb_log=True"])

        s = found.settings
        assert (s.max_steps, s.compile, s.device, s.wandb) == (10, "off", "cpu", True)
        assert found.origin["max_steps"] == "--max_iters"

    def test_a_constant_rate_has_no_warmup_as_in_train_py(self, tmp_path):
        s = resolve(config(tmp_path, FINETUNE)).settings

        assert (s.schedule, s.warmup_steps, s.floor_lr) == ("constant", 0, 0.0)

    def test_code_is_not_run_and_said(self, tmp_path):
        found = resolve(config(tmp_path, FINETUNE))

        assert found.settings.gradient_accumulation_steps == 40
        assert any("config.py:3: run_name is set by code" in note for note in found.notes)

    def test_code_that_sets_what_matters_is_refused_unless_the_value_is_given(self, tmp_path):
        path = config(tmp_path, "import os\nlearning_rate = 1e-3\nbatch_size = int(os.environ['B'])\n")

        with pytest.raises(UsageError, match=r"config\.py:3 sets batch_size by code"):
            resolve(path)
        assert resolve(path, ["--batch_size=3"]).settings.batch_size == 3

    def test_a_name_to_reckon_with_is_no_unknown_key(self, tmp_path):
        path = config(
            tmp_path, "gpus = 4\n_note = 'x'\ngradient_accumulation_steps = 5 * gpus\nmax_iters = 9\n"
        )

        assert resolve(path).settings.gradient_accumulation_steps == 20

    def test_its_data_is_found_beside_the_folder_of_configs(self, tmp_path, monkeypatch):
        (tmp_path / "repo/config").mkdir(parents=True)
        (tmp_path / "repo/data/shakespeare_char").mkdir(parents=True)
        path = config(tmp_path / "repo/config", SHAKESPEARE)
        monkeypatch.chdir(tmp_path)

        found = resolve(path).settings.dataset

        assert Path(found) == (tmp_path / "repo/data/shakespeare_char").resolve()
        assert folders(found) == [(Path(found), 1.0)]

    def test_the_working_folder_comes_before_the_config_s(self, tmp_path, monkeypatch):
        for folder in ("repo/config", "repo/data/shakespeare_char", "here/data/shakespeare_char"):
            (tmp_path / folder).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "here")

        found = resolve(config(tmp_path / "repo/config", SHAKESPEARE)).settings.dataset

        assert Path(found) == (tmp_path / "here/data/shakespeare_char").resolve()


class TestOwn:
    def test_toml_is_taken_with_or_without_tables(self, tmp_path):
        found = resolve(config(tmp_path, "seed = 3\n[model]\nn_layer = 2\n", "run.toml"))

        assert (found.settings.n_layer, found.settings.seed) == (2, 3)
        assert found.origin["n_layer"] == "run.toml:3"
        assert found.settings.architecture == DEFAULTS["architecture"]

    def test_a_python_config_in_our_own_words_is_ours(self, tmp_path):
        assert resolve(config(tmp_path, "max_steps = 9\nn_layer = 2\n")).settings.architecture == "modern"
        assert resolve(config(tmp_path, "max_iters = 9\nn_layer = 2\n")).settings.architecture == "gpt2"

    def test_a_preset_can_be_named(self):
        assert resolve(None, ["--preset=nanogpt"]).settings.architecture == "gpt2"

    def test_the_default_s_warmup_is_a_tenth_of_a_short_run(self):
        assert resolve(None, ["--max_steps=50"]).settings.warmup_steps == 5
        assert resolve(None, ["--max_steps=50", "--warmup_steps=40"]).settings.warmup_steps == 40

    def test_every_setting_is_shown_with_its_origin(self):
        rows = describe(resolve(None, ["--n_layer", "2", "--bias"]))

        assert [name for name, _, _ in rows] == list(TYPES)
        assert ("n_layer", "2", "--n_layer") in rows
        assert ("bias", "True", "--bias") in rows
        assert ("run_name", "''", "default") in rows

    def test_a_run_s_folder_as_config_means_that_this_run_goes_on(self, tmp_path):
        folder = tmp_path / "moved"
        folder.mkdir()
        config(
            folder,
            '{"schema": "x", "n_layer": 2, "out_dir": "old", "origin": {"n_layer": "a.py:1"}}',
            "config.json",
        )

        found = resolve(folder, ["--max_steps=7"]).settings

        assert (found.n_layer, found.out_dir, found.init_from, found.max_steps) == (
            2,
            str(folder),
            "resume",
            7,
        )

    def test_what_was_chosen_for_a_machine_is_chosen_anew(self, tmp_path):
        told = '{"schema": "x", "device": "cuda", "dtype": "bfloat16", "compile": true, "origin": {"device": "ORIGIN"}}'

        for origin, device in (("this machine", "auto"), ("--device", "cuda")):
            config(tmp_path, told.replace("ORIGIN", origin), "config.json")
            found = resolve(tmp_path).settings
            assert (found.device, found.dtype, found.compile) == (device, "bfloat16", "on")

    @pytest.mark.parametrize(
        ("origin", "words", "end"),
        [
            ("max_steps", ["--max_iters=400"], 0),
            ("max_steps", ["--max_iters=200"], 300),
            ("max_steps", ["--max_iters=400", "--lr_decay_iters=350"], 350),
            ("--lr_decay_iters", ["--max_iters=400"], 300),
            ("max_steps", [], 300),
        ],
    )
    def test_a_decay_whose_end_nobody_set_ends_with_a_run_that_is_made_longer(
        self, tmp_path, origin, words, end
    ):
        told = {"schema": "x", "max_steps": 300, "decay_end": 300, "origin": {"decay_end": origin}}
        config(tmp_path, json.dumps(told), "config.json")

        found = resolve(tmp_path, words)

        assert found.settings.decay_end == end
        told = "the schedule ends with the run, now at step 400 (it was 300)"
        assert list(found.notes) == ([] if end else [told])

    def test_words_and_files_on_a_command_line_are_told_apart(self):
        words = ["a.py", "--log-style", "nanogpt", "--tensorboard", "b.toml", "--lr_decay_iters=3"]

        plain, settings = split_words(words)

        assert plain == ["a.py", "b.toml"]
        assert settings == ["--log-style", "nanogpt", "--tensorboard", "--lr_decay_iters=3"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--learning_rte=1e-3"], "there is no setting --learning_rte; did you mean --learning_rate?"),
            (["--n_layer=two"], "--n_layer is 'two'; expected a whole number"),
            (["--n_layer=2.5"], "--n_layer is '2.5'; expected a whole number"),
            (["--max_iters=ten"], "--max_iters is 'ten'; expected a whole number"),
            (["--peak_lr=nan"], "--peak_lr is 'nan'; expected a number"),
            (["--dtype=int8"], "--dtype is 'int8'; expected auto, float32, bfloat16 or float16"),
            (["--bias=maybe"], "--bias is 'maybe'; expected True or False"),
            (["--seed"], "--seed has no value: write --seed=VALUE"),
            (["seed=3"], "found 'seed=3'; expected --key=value"),
            (["--preset=fast"], "--preset is 'fast'; expected modern or nanogpt"),
            (["--max_iters=3", "--max_steps=4"], "--max_steps and --max_iters are the same setting"),
            (["--max_iters=-3"], "--max_iters is -3; expected 0 or more"),
            (["--learning-rate=-1"], "--learning-rate is -1; expected 0 or more"),
            (["--n_embd=100", "--n_head=3"], "--n_head is 3; expected a divisor of n_embd, which is 100"),
            (["--n_embd=100"], "n_head is 6; expected a divisor of n_embd, which is 100"),
            (
                ["--n_head=4", "--n_embd=64", "--n_kv_head=3"],
                "--n_kv_head is 3; expected a divisor of n_head",
            ),
            (["--dropout=1.5"], "--dropout is 1.5; expected at least 0 and below 1"),
            (["--batch_size=0"], "--batch_size is 0; expected 1 or more"),
            (
                ["--schedule=cosin"],
                "--schedule is 'cosin'; expected constant, cosine, inverse_sqrt, linear or",
            ),
            (["--optimizer=sgd"], "--optimizer is 'sgd'; expected adamw or muon"),
            (
                ["--schedule=wsd", "--max_iters=100", "--decay_start=100"],
                "--decay_start is 100; expected a step before the decay ends, at max_iters 100",
            ),
            (["--nanogpt_ckpt"], "--nanogpt_ckpt is True; expected False, or gpt2 with adamw"),
            (["--dataset=a=x,b=1"], "a weight is a number above 0"),
            (["--dataset=a,b"], "want weights"),
        ],
        ids=lambda v: " ".join(v) if isinstance(v, list) else "",
    )
    def test_what_cannot_be_is_refused_in_one_line(self, words, said):
        with pytest.raises(UsageError) as caught:
            resolve(None, words)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_file_s_own_word_is_said_once_with_its_place(self, tmp_path):
        path = config(tmp_path, "max_iters = -3\nlearning_rate = 'x'\n")

        with pytest.raises(UsageError, match=r"^config\.py:2: learning_rate is 'x'; expected a number$"):
            resolve(path)
        with pytest.raises(UsageError, match=r"^config\.py:1: max_iters is -3; expected 0 or more$"):
            resolve(config(tmp_path, "max_iters = -3\n"))
        path.write_text("max_iters = 3\nmax_steps = 4\n")
        with pytest.raises(UsageError, match=r"^config\.py:2: max_steps and config\.py:1: max_iters are the"):
            resolve(path)

    def test_an_unknown_key_in_a_file_is_refused_with_its_place(self, tmp_path):
        with pytest.raises(
            UsageError, match=r"config.py:2: there is no setting n_layers; did you mean n_layer\?"
        ):
            resolve(config(tmp_path, "max_iters = 3\nn_layers = 4\n"))

    def test_a_file_that_is_not_there_or_no_config_is_unreadable(self, tmp_path):
        with pytest.raises(UnreadableError, match=r"there is no .*none\.py; expected a config"):
            resolve(tmp_path / "none.py")
        with pytest.raises(UnreadableError, match=r"holds no config\.json"):
            resolve(tmp_path)

    def test_no_data_and_missing_data_are_told_apart(self):
        with pytest.raises(UsageError, match="no data: give --dataset"):
            folders("")
        with pytest.raises(UnreadableError, match="there is no data folder nowhere"):
            folders("nowhere")


def test_the_defaults_make_a_run_together():
    assert resolve(None).settings == Settings()


def test_every_setting_is_a_word_of_the_vocabulary_or_known_to_be_none():
    from unplateau.config.unplateau import APART
    from unplateau.facts import VOCABULARY

    assert {name for name in TYPES if name not in VOCABULARY} == set(APART) - {"schema"}
