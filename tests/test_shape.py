"""Parameters of known models, counted; FLOPs and memory against published formulas and cards."""

import pytest

from unplateau.devices import CARDS, find
from unplateau.shape import Shape

SEED = Shape(n_layer=12, n_embd=384, n_head=12, vocab_size=50304, block_size=1024)


def gpt2(layers, heads, width):
    return Shape(n_layer=layers, n_head=heads, n_embd=width, vocab_size=50257, block_size=1024, bias=True)


def llama(**values):
    return Shape(gated=True, learned_positions=False, tied=False, block_size=4096, **values)


# totals that the models' own cards and code print
PRINTED = {
    "GPT-2 124M": (gpt2(12, 12, 768), 124_439_808),
    "GPT-2 355M": (gpt2(24, 16, 1024), 354_823_168),
    "GPT-2 774M": (gpt2(36, 20, 1280), 774_030_080),
    "GPT-2 1.5B": (gpt2(48, 25, 1600), 1_557_611_200),
    "Llama 2 7B": (
        llama(n_layer=32, n_embd=4096, n_head=32, vocab_size=32000, mlp_hidden=11008),
        6_738_415_616,
    ),
    "Mistral 7B": (
        llama(n_layer=32, n_embd=4096, n_head=32, n_kv_head=8, vocab_size=32000, mlp_hidden=14336),
        7_241_732_096,
    ),
}


@pytest.mark.parametrize(("shape", "printed"), PRINTED.values(), ids=PRINTED)
def test_counts_what_the_model_prints(shape, printed):
    assert shape.params_total == printed


def test_qwen2_has_biases_on_query_key_and_value_alone():
    facts = {
        "architecture": "qwen2",
        "n_layer": 24,
        "n_embd": 896,
        "n_head": 14,
        "n_kv_head": 2,
        "mlp_hidden": 4864,
        "vocab_size": 151936,
        "tied": True,
    }

    assert Shape.of(facts).params == 494_032_768  # Qwen2-0.5B


def test_the_reference_run_is_not_125m():
    assert SEED.params == 40_560_000
    assert round(SEED.params_non_embedding / 1e6, 2) == 21.24
    assert SEED.params_total == SEED.params + 1024 * 384


def test_flops_are_nanogpts():
    # nanoGPT's estimate_mfu: 6 N + 12 L H Q T, N without positions
    assert SEED.flops_per_token == 6 * 40_560_000 + 12 * 12 * 12 * 32 * 1024


def test_an_untied_table_is_looked_up_for_nothing():
    tied, untied = (
        Shape(n_layer=2, n_embd=8, n_head=2, vocab_size=100, block_size=4, tied=t) for t in (True, False)
    )

    assert untied.params == tied.params + 800
    assert untied.flops_per_token == tied.flops_per_token


def test_memory_grows_with_the_batch_and_with_wider_numbers():
    small, large = SEED.memory(1, "float16"), SEED.memory(16, "float16")

    assert 16 * SEED.params_total < small < large < SEED.memory(16, "float32")
    assert SEED.memory(16, "float16", flash=False) > large


@pytest.mark.parametrize(
    "known", [{}, {"n_layer": 0}, {"architecture": "mamba"}, {"n_embd": -4}, {"vocab_size": "x"}]
)
def test_an_unknown_shape_is_none(known):
    told = {"architecture": "gpt2", "n_layer": 2, "n_embd": 8, "vocab_size": 10, **known}

    assert (Shape.of(told) is None) is bool(known)


@pytest.mark.parametrize("card", CARDS, ids=lambda c: c.name)
def test_every_card_is_found_by_its_name(card):
    assert find(f"NVIDIA {card.name}") == card
    assert card.peak("float16") >= card.peak("float32") > 1e12


@pytest.mark.parametrize(
    ("name", "card"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100 80GB"),
        ("NVIDIA A100-PCIE-40GB", "A100 40GB"),
        ("Tesla V100-SXM2-32GB", "V100 32GB"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("Tesla T4", "T4"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX 4070 Ti Super"),
        ("125M-single-parquet-4070", "RTX 4070"),
        ("NVIDIA GB200", "B200"),
    ],
)
def test_cards_are_told_apart(name, card):
    assert find(name).name == card


@pytest.mark.parametrize("name", ["", "run-14070", "model_v100b", "4090x", "a1000 steps", "t40"])
def test_other_numbers_are_no_card(name):
    assert find(name) is None
