"""A patch in eight trainers' words: what is written is read back as exactly the facts that were wanted.

Each guard was seen red once:
- megatron's batch over all devices left out of its ``spell``:
  test_a_batch_can_be_said_to_every_trainer_that_has_micro_batches[megatron];
- the floor of torchtitan not held where the peak changes: test_what_was_not_asked_for_stays[torchtitan];
- ``sayable`` always true: test_what_a_trainer_has_no_word_for_is_named.
"""

import json
from math import isclose

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unplateau.config import DIALECTS, in_own_words, parse, read_config
from unplateau.config.edit import edited
from unplateau.config.spelling import spelled

OWN = {
    "schema": "unplateau.config/1",
    "out_dir": "out",
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 32,
    "batch_size": 4,
    "block_size": 16,
    "gradient_accumulation_steps": 2,
    "tokens_per_step": 128,
    "max_steps": 100,
    "schedule": "wsd",
    "peak_lr": 1e-3,
    "floor_lr": 1e-4,
    "warmup_steps": 10,
    "decay_start": 80,
    "decay_end": 100,
    "dropout": 0.1,
    "weight_decay": 0.1,
    "dtype": "float32",
    "origin": {"n_layer": "--n_layer"},
}
TEXTS = {
    "nanogpt": (
        "config.py",
        (
            "out_dir = 'out'\nn_layer = 2; n_head = 2\nn_embd = 16 * n_head\nbatch_size = 4\nblock_size = 16\n"
            "learning_rate = 1e-3\nmin_lr = learning_rate / 10\nmax_iters = 100\nlr_decay_iters = max_iters\n"
            "warmup_iters = 10\ndtype = 'float16'\ndropout = 0.1\n"
        ),
    ),
    "huggingface": (
        "args.json",
        (
            '{"output_dir": "out", "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "world_size": 2,\n'
            ' "learning_rate": 1e-3, "lr_scheduler_type": "cosine", "warmup_ratio": 0.1, "max_steps": 100, "fp16": true,\n'
            ' "max_seq_length": 16, "weight_decay": 0.1}'
        ),
    ),
    "litgpt": (
        "config.yaml",
        (
            "out_dir: out\nmodel_config:\n  n_layer: 2\n  n_head: 2\n  n_embd: 32\ntrain:\n  global_batch_size: 8  # all\n"
            "  micro_batch_size: 4\n  max_seq_length: 16\n  max_tokens: 12800\n  lr_warmup_steps: 10\n  min_lr: 1e-4\n"
            "optimizer:\n  init_args:\n    lr: 1e-3\n    betas:\n      - 0.9\n      - 0.95\nprecision: 16-mixed\n"
        ),
    ),
    "torchtitan": (
        "config.toml",
        (
            '[job]\ndump_folder = "out"\n[training]\nlocal_batch_size = 4\nglobal_batch_size = 8\nseq_len = 16\nsteps = 100\n'
            '[optimizer]\nlr = 1e-3\n[lr_scheduler]\nwarmup_steps = 10\ndecay_ratio = 0.2\ndecay_type = "linear"\n'
            "min_lr_factor = 0.1\n"
        ),
    ),
    "llmc": (
        "run.sh",
        "./train_gpt2cu -i data -o out -b 4 -t 16 -d 128 -l 1e-3 -u 10 -x 100 -q 0.1 -c 0.1 -e d12\n",
    ),
    "nanochat": (
        "run.sh",
        (
            "python -m scripts.base_train --depth=12 --device-batch-size=4 --max-seq-len=16 --total-batch-size=128 \\\n"
            "  --num-iterations=100 --matrix-lr=0.02 --warmdown-ratio=0.2 --warmup-ratio=0.1 --final-lr-frac=0.1\n"
        ),
    ),
    "megatron": (
        "run.sh",
        (
            "torchrun pretrain_gpt.py --num-layers 2 --hidden-size 32 --num-attention-heads 2 --seq-length 16 \\\n"
            "  --micro-batch-size 4 --global-batch-size 8 --train-iters 100 --lr 1e-3 --min-lr 1e-4 --fp16 \\\n"
            "  --lr-decay-style cosine --lr-warmup-fraction 0.1 --save out --clip-grad 5.0\n"
        ),
    ),
    "unplateau": ("config.json", json.dumps(OWN, indent=1)),
}
#: values that no text has yet, which any trainer might be told
WANTED = {
    "peak_lr": st.sampled_from([3e-4, 0.00123, 1e-05]),
    "floor_lr": st.sampled_from([0.0, 2e-5]),
    "warmup_steps": st.sampled_from([3, 20]),
    "max_steps": st.sampled_from([150, 1000]),
    "batch_size": st.sampled_from([2, 8]),
    "gradient_accumulation_steps": st.sampled_from([4, 16]),
    "block_size": st.sampled_from([32, 256]),
    "dtype": st.just("bfloat16"),
    "dropout": st.just(0.0),
    "grad_clip": st.just(0.5),
    "weight_decay": st.just(0.01),
    "beta2": st.just(0.99),
    "label_smoothing": st.just(0.05),
}
VALUE = {
    "peak_lr": 3e-4,
    "floor_lr": 2e-5,
    "dtype": "bfloat16",
    "warmup_steps": 20,
    "max_steps": 200,
    "batch_size": 2,
    "block_size": 64,
    "gradient_accumulation_steps": 4,
}
FOLLOWS = {  # what is counted from others, and names of places and files
    *(
        "tokens_per_step",
        "config_dialect",
        "config_unread",
        "claims",
        "decay_start",
        "gradient_accumulation_steps",
    ),
    *("max_steps", "epochs_planned", "warmup_steps", "floor_lr"),
}


def same(one, other):
    numbers = all(isinstance(x, int | float) for x in (one, other))
    return isclose(one, other, rel_tol=1e-9) if numbers else one == other


def mended(name, wanted):
    """The facts before and after, and what could not be said."""
    file, text = TEXTS[name]
    facts = read_config(text, name=file)
    said = spelled(name, wanted, facts, parse(text, file)[0])
    sayable = {setting: value for setting, value in wanted.items() if setting not in said.unsaid}
    own = spelled(name, sayable, facts, parse(text, file)[0]).own
    return facts, read_config(edited(text, file, own), name=file), sayable


patches = st.fixed_dictionaries({}, optional=WANTED).filter(bool)


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=40)
@given(wanted=patches)
def test_what_is_written_is_read_back(name, wanted):
    before, after, sayable = mended(name, wanted)

    assert after["config_dialect"].value == name == before["config_dialect"].value
    assert {s: after[s].value for s in sayable if not same(after[s].value, sayable[s])} == {}


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("setting", WANTED)
def test_what_was_not_asked_for_stays(name, setting):
    value = VALUE.get(setting, 0.5)
    before, after, sayable = mended(name, {setting: value})

    # a trainer that has shares of the steps, or the run in tokens, moves what hangs on them
    moved = {"max_steps", "batch_size", "block_size", "gradient_accumulation_steps"} & set(sayable)
    free = FOLLOWS if moved else {"config_unread", "config_skipped", "claims", "tokens_per_step"}
    kept = set(before) - free - {setting}
    assert {n: after[n].value for n in kept if not same(after[n].value, before[n].value)} == {}


@pytest.mark.parametrize("name", DIALECTS)
def test_every_word_that_a_dialect_has_is_one_that_it_reads(name):
    file, text = TEXTS[name]
    facts = read_config(text, name=file)

    said = spelled(name, {"peak_lr": 1e-4, "warmup_steps": 5}, facts)

    assert said.unsaid == ()
    assert in_own_words(name, {"peak_lr": 1e-4}).items() <= said.own.items()


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "nanochat"])
def test_a_batch_can_be_said_to_every_trainer_that_has_micro_batches(name):
    file, text = TEXTS[name]
    wanted = {"batch_size": 2, "gradient_accumulation_steps": 4}

    before, after, sayable = mended(name, wanted)

    assert sayable == wanted
    assert before["block_size"].value == after["block_size"].value
    assert spelled(name, wanted, read_config(text, name=file)).unsaid == ()


def test_what_a_trainer_has_no_word_for_is_named():
    facts = read_config(TEXTS["nanogpt"][1], name="config.py")

    assert spelled("nanogpt", {"schedule": "wsd", "label_smoothing": 0.0}, facts).unsaid == (
        "label_smoothing",
        "schedule",
    )
    assert spelled("llmc", {"n_embd": 1000}, facts).unsaid == ("n_embd",)


def test_a_decay_that_ends_with_the_run_needs_no_word():
    facts = read_config(TEXTS["huggingface"][1], name="args.json")

    assert spelled("huggingface", {"max_steps": 200, "decay_end": 200}, facts).own == {"max_steps": 200}
    assert spelled("huggingface", {"decay_end": 200}, facts).unsaid == ("decay_end",)
