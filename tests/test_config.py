"""Configs in eight trainers' words: what is read, what is assumed, what is never run or kept."""

import contextlib
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import unplateau.config
from unplateau.config import DIALECTS, dialect, in_own_words, parse, read_config, read_echo, read_merged
from unplateau.config._dialect import COUNTS, as_kind
from unplateau.errors import UnplateauError, UnreadableError
from unplateau.facts import VOCABULARY

SEED = Path(unplateau.config.__file__).parents[1] / "examples" / "reference-run" / "config.py"


def values(facts):
    return {name: fact.value for name, fact in facts.items()}


def read(text, name):
    return read_config(text, name=name)


class TestNanoGPT:
    def test_reads_the_reference_run_and_says_where(self):
        facts = read_config(SEED)

        assert facts["n_embd"].value == 384
        assert facts["n_embd"].source == "config.py:18"
        assert facts["schedule"].value == "cosine"
        assert facts["warmup_steps"].unit == "steps"

    def test_what_the_config_leaves_out_is_nanogpts_default_and_says_so(self):
        facts = read_config(SEED)

        assert (facts["grad_clip"].value, facts["grad_clip"].source) == (1.0, "assumed: nanoGPT's default")
        assert facts["beta1"].value == 0.9
        assert facts["vocab_size"].source.startswith("assumed: nanoGPT's default")

    def test_claims_of_comments_and_names_are_kept_apart_from_facts(self):
        claims = read_config(SEED)["claims"].value

        assert ["~125M parameters", "config.py:15"] in claims
        assert any("125M in the name" in text for text, _ in claims)

    def test_without_decay_there_is_no_warmup_and_no_floor(self):
        facts = values(read("decay_lr = False\nlearning_rate = 1e-3\nwarmup_iters = 100", "config.py"))

        assert (facts["schedule"], facts["warmup_steps"]) == ("constant", 0)
        assert "floor_lr" not in facts
        assert "decay_end" not in facts

    def test_code_is_skipped_and_named_and_its_names_are_unknown(self):
        text = "import os\nbatch_size = int(os.environ['B'])\nif True:\n    n_layer = 2\nn_head = 4 * 2\n"
        facts = read(text, "config.py")

        assert facts["config_skipped"].value == ["config.py:2", "config.py:3"]
        assert "batch_size" not in facts
        assert "n_layer" not in facts
        assert facts["n_head"].value == 8

    def test_a_name_that_code_changed_is_no_longer_known(self):
        facts = read("n_layer = 2\nn_layer += 1\nn_head = n_layer\nn_embd = 64", "config.py")

        assert "n_layer" not in facts
        assert "n_head" not in facts

    def test_an_echo_holds_and_overrides_lack_quotes(self):
        echo = "n_layer = 2\nout_dir = 'out'\nmax_iters = 100\nout_dir = out/ckpt  \nmax_iters = 200  \n"
        facts = read_echo(echo, "log line 1")

        assert facts["out_dir"].value == "out/ckpt"
        assert (facts["max_steps"].value, facts["max_steps"].source) == (200, "log line 1")

    def test_a_log_without_settings_repeats_none(self):
        assert read_echo("some = words\nand other lines", "log line 1") == {}

    def test_the_header_overrides_the_file_and_the_difference_is_told(self, tmp_path):
        file = tmp_path / "config.py"
        file.write_text("learning_rate = 1e-3\nn_layer = 4\ndecay_lr = True\n")

        facts = read_merged(file, "learning_rate = 0.002\ndecay_lr = False\n", "log line 3")

        assert facts["peak_lr"].value == 0.002
        assert facts["n_layer"].source == "config.py:2"
        assert ["peak_lr", 0.001, "config.py:1", 0.002, "log line 3"] in facts["config_overridden"].value

    def test_a_dataset_of_characters_has_no_default_vocabulary(self):
        assert "vocab_size" not in read("dataset = 'shakespeare_char'\nn_layer = 6", "config.py")

    def test_a_pretrained_start_has_that_models_shape(self):
        facts = values(read("init_from = 'gpt2-xl'\nlearning_rate = 3e-5", "config.py"))

        assert (facts["n_layer"], facts["n_embd"], facts["vocab_size"], facts["bias"]) == (
            48,
            1600,
            50257,
            True,
        )

    def test_on_a_cpu_dtype_is_not_used(self):
        assert read("device = 'cpu'\ndtype = 'float16'", "config.py")["dtype"].value == "float32"


class TestHuggingFace:
    def test_a_gpt2_model(self):
        model = {
            "model_type": "gpt2",
            "n_layer": 12,
            "n_embd": 768,
            "n_head": 12,
            "vocab_size": 50257,
            "n_positions": 1024,
        }
        facts = values(read(json.dumps(model), "config.json"))

        assert (facts["architecture"], facts["tied"], facts["bias"], facts["block_size"]) == (
            "gpt2",
            True,
            True,
            1024,
        )
        assert "peak_lr" not in facts  # a model's config says nothing of training

    def test_a_llama_model(self):
        model = {
            "model_type": "llama",
            "num_hidden_layers": 22,
            "hidden_size": 2048,
            "num_attention_heads": 32,
            "num_key_value_heads": 4,
            "intermediate_size": 5632,
            "vocab_size": 32000,
            "max_position_embeddings": 2048,
        }
        facts = values(read(json.dumps(model), "config.json"))

        assert (facts["n_kv_head"], facts["mlp_hidden"], facts["tied"]) == (4, 5632, False)
        assert "block_size" not in facts  # what the model could take is not what it was trained on

    def test_training_arguments_with_a_ratio_of_warmup(self):
        args = {
            "learning_rate": 2e-4,
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 8,
            "world_size": 2,
            "max_steps": 1000,
            "warmup_ratio": 0.03,
            "lr_scheduler_type": "cosine",
            "bf16": True,
        }
        facts = read(json.dumps(args), "training_args.json")

        assert facts["warmup_steps"].value == 30
        assert facts["gradient_accumulation_steps"].value == 16
        assert facts["dtype"].value == "bfloat16"
        assert facts["floor_lr"].source == "assumed: Transformers' default"

    def test_no_number_of_steps_is_no_number_of_steps(self):
        facts = read(json.dumps({"max_steps": -1, "num_train_epochs": 3, "learning_rate": 1e-5}), "args.json")

        assert "max_steps" not in facts
        assert facts["epochs_planned"].value == 3
        assert "one device" in facts["gradient_accumulation_steps"].source


LITGPT = """
model_name: pythia-160m  # ~160M parameters
train:
  global_batch_size: 512
  micro_batch_size: 4
  max_tokens: 3000000000
  max_seq_length: 2048
  lr_warmup_steps: 2000
  min_lr: 4e-5
  max_norm: 1.0
optimizer:
  class_path: torch.optim.AdamW
  init_args:
    lr: 4e-4
    betas: [0.9, 0.95]
"""
TITAN = """
[model]
name = "llama3"
flavor = "debugmodel"
[optimizer]
lr = 8e-4
[lr_scheduler]
warmup_steps = 2
decay_ratio = 0.8
min_lr_factor = 0.1
[training]
local_batch_size = 8
seq_len = 2048
steps = 10
max_norm = 1.0
"""
LLMC = "./train_gpt2cu -i 'dev/train_*.bin' -o log124M -e d12 -b 64 -t 1024 -d 524288 -l 0.0006 -q 0.1 -u 700 -x 18865 -c 0.1\n"
NANOCHAT = "torchrun -m scripts.base_train -- --depth=20 --device-batch-size=32 --total-batch-size=524288 --run=dummy\n"
MEGATRON = (
    "--num-layers 24 --hidden-size 1024 --num-attention-heads 16 --seq-length 1024 \\\n"
    " --global-batch-size 64 --micro-batch-size 8 --lr 0.00015 --min-lr 1.0e-5 --lr-decay-style cosine \\\n"
    " --train-iters 500000 --lr-decay-iters 320000 --lr-warmup-fraction .01 --clip-grad 1.0 --fp16\n"
)


class TestOthers:
    def test_litgpt_tells_steps_by_tokens(self):
        facts = read(LITGPT, "config.yaml")

        assert facts["config_dialect"].value == "litgpt"
        assert facts["tokens_per_step"].value == 512 * 2048
        assert facts["max_steps"].value == 3_000_000_000 // (512 * 2048)
        assert (facts["peak_lr"].value, facts["beta2"].value, facts["grad_clip"].value) == (4e-4, 0.95, 1.0)
        assert facts["peak_lr"].source == "config.yaml:14"
        assert facts["claims"].value == [["~160M parameters", "config.yaml:2"]]

    def test_torchtitan_decays_over_a_share_of_its_steps(self):
        facts = values(read(TITAN, "train.toml"))

        assert facts["config_dialect"] == "torchtitan"
        assert (facts["schedule"], facts["decay_start"], facts["floor_lr"]) == ("wsd", 2, pytest.approx(8e-5))

    def test_llmc_flags(self):
        facts = values(read(LLMC, "run.sh"))

        assert facts["config_dialect"] == "llmc"
        assert (facts["n_embd"], facts["tokens_per_step"], facts["gradient_accumulation_steps"]) == (
            768,
            524288,
            8,
        )
        assert facts["floor_lr"] == pytest.approx(6e-5)

    def test_a_depth_of_nanochat_is_a_shape(self):
        facts = values(read(NANOCHAT, "speedrun.sh"))

        assert facts["config_dialect"] == "nanochat"
        assert (facts["n_layer"], facts["n_embd"], facts["n_head"]) == (20, 1280, 10)

    def test_megatron_flags(self):
        facts = values(read(MEGATRON, "pretrain.sh"))

        assert facts["config_dialect"] == "megatron"
        assert (facts["warmup_steps"], facts["decay_end"], facts["dtype"]) == (3200, 320_000, "float16")
        assert facts["tokens_per_step"] == 64 * 1024


@pytest.mark.parametrize("name", DIALECTS)
class TestEveryDialect:
    def test_translates_into_the_vocabulary_and_back(self, name):
        module = __import__(f"unplateau.config.{name}", fromlist=["TO_OWN"])

        assert {fact for fact in module.FROM_OWN.values() if fact} <= set(VOCABULARY)
        assert set(module.TO_OWN) <= set(VOCABULARY)
        for fact, own in module.TO_OWN.items():
            assert module.DIALECT.from_own.get(own, "") in {fact, ""}, own

    def test_writes_a_changed_rate_in_its_own_words(self, name):
        own = in_own_words(name, {"peak_lr": 3e-4})

        assert list(own.values()) == [3e-4]
        assert dialect(name).from_own[next(iter(own))] == "peak_lr"


class TestSecrets:
    @pytest.mark.parametrize("name", ["a.yaml", "a.json", "config.py", "run.sh"])
    def test_are_never_kept(self, name):
        secrets = {
            "wandb_api_key": "hunter2",
            "hub_token": "hunter2",
            "db_password": "hunter2",
            "learning_rate": 1e-3,
        }
        text = {
            "a.yaml": yaml.safe_dump(secrets),
            "a.json": json.dumps(secrets),
            "config.py": "\n".join(f"{k} = {v!r}" for k, v in secrets.items()),
            "run.sh": " ".join(f"--{k}={v}" for k, v in secrets.items()) + " --num_train_epochs=1",
        }[name]

        facts = read(text, name)

        assert "peak_lr" in facts
        assert "hunter2" not in repr(facts)
        assert "hunter2" not in repr(parse(text, name))


class TestBadInput:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("learning_rate = = 3", "config.py"),
            ("{", "config.json"),
            ("[1, 2]", "config.json"),
            ("a: b: c", "config.yaml"),
            ("!!python/object/apply:os.system ['true']", "config.yaml"),
            ("[training\nsteps = 1", "a.toml"),
            ("nothing = 'known'", "config.py"),
            ("", "config"),
            ("(" * 5000, "config.py"),
            ("x = " + "-" * 20_000 + "1", "config.py"),
            ("[" * 100_000, "config.json"),
            ("[" * 1_000_000, "config.yaml"),
            ("{a: " * 100_000, "config.yaml"),
            ("- " * 10_000, "config.yaml"),
            ("a\0b = 1", "config.py"),
        ],
    )
    def test_is_one_line(self, text, name):
        with pytest.raises(UnreadableError) as error:
            read(text, name)

        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 400

    def test_too_large_a_file_is_refused(self, tmp_path):
        file = tmp_path / "config.json"
        file.write_bytes(b" " * ((8 << 20) + 1))

        with pytest.raises(UnreadableError, match="larger than 8 MiB"):
            read_config(file)

    def test_a_huge_power_is_not_computed(self):
        facts = read("n_layer = 9 ** 9 ** 9 ** 9\nn_head = 10 ** 400\nbatch_size = 2 ** 10", "config.py")

        assert facts["batch_size"].value == 1024
        assert "n_layer" not in facts

    @pytest.mark.parametrize("leaf", ["{lr: 1}", "{}", "{api_key: x}"])
    def test_aliases_of_yaml_do_not_unfold_without_end(self, leaf):
        lines = ["train: {max_steps: 5}", f"a0: &a0 {leaf}"]
        lines += [f"a{i}: &a{i} {{x: *a{i - 1}, y: *a{i - 1}, z: *a{i - 1}}}" for i in range(1, 20)]

        assert read("\n".join(lines), "a.yaml")["max_steps"].value == 5

    @pytest.mark.parametrize(
        "text", ["__import__('os').mkdir('{}')", "open('{}', 'w')", "exec('import os; os.mkdir(\"{}\")')"]
    )
    def test_nothing_is_ever_run(self, tmp_path, text):
        target = tmp_path / "made"
        code = text.format(target)
        facts = read(f"learning_rate = 1e-3\nx = {code}\n{code}\ny = [{code} for _ in (1,)]", "config.py")

        assert facts["peak_lr"].value == 1e-3
        assert not target.exists()


KEYS = st.sampled_from(
    ["n_layer", "learning_rate", "train.max_steps", "bias", "decay_lr", "max_iters", "lr", "-b", "depth"]
)
ODD = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    *(st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=5), st.integers(), max_size=3)),
)


@settings(max_examples=150, deadline=None)
@given(data=st.dictionaries(KEYS, ODD, max_size=6), kind=st.sampled_from(["json", "yaml", "py", "sh"]))
def test_odd_values_are_read_or_refused_in_one_line(data, kind):
    if kind == "json":
        text = json.dumps(data)
    elif kind == "yaml":
        text = yaml.safe_dump(data)
    else:
        text = "\n".join(f"{'--' if kind == 'sh' else ''}{k}={v!r}" for k, v in data.items())
    try:
        facts = read(text, f"config.{kind}")
    except UnplateauError:
        return
    for name in COUNTS & set(facts):
        assert facts[name].value >= 1
    assert set(facts) <= set(VOCABULARY)


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=300), name=st.sampled_from(["a.py", "a.json", "a.yaml", "a.toml", "a.sh", "a"]))
def test_random_text_is_read_or_refused(text, name):
    try:
        assert set(read(text, name)) <= set(VOCABULARY)
    except UnplateauError as error:
        assert "\n" not in str(error)  # noqa: PT017 - it may raise or not


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="abcn_layer=0123456789.-+*/#'\"()[]{}, \n", max_size=200))
def test_text_like_python_is_read_or_refused(text):
    with contextlib.suppress(UnplateauError):
        read(text, "config.py")
    read_echo(text, "log line 1")


@given(name=st.sampled_from(sorted(VOCABULARY)), value=ODD)
def test_every_value_is_of_its_kind_or_none(name, value):
    seen = as_kind(name, value)

    assert seen is None or isinstance(seen, int | float | str | bool)
    assert seen == seen
