"""Hugging Face folders: ``transformers`` gives the same logits; a GPT-2 folder is read back to the bit.

``transformers`` is no requirement of ours: where it is missing, the layout is tested alone.
"""

import json
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file, save_file

from unplateau.errors import UnreadableError, UsageError
from unplateau.train.huggingface import export, read_gpt2
from unplateau.train.models import model_kind, model_of
from unplateau.train.settings import Settings

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = {"n_layer": 2, "n_head": 4, "n_embd": 32, "vocab_size": 61, "block_size": 16}
MODELS = {
    "gpt2": {},
    "gpt2 with biases": {"bias": True},
    "gpt2 untied": {"tied": False},
    "llama": {},
    "llama with grouped queries, untied": {"n_kv_head": 2, "tied": False, "mlp_hidden": 48},
    "modern": {},
    "modern with grouped queries, untied": {"n_kv_head": 2, "tied": False},
}
with_transformers = pytest.mark.skipif(
    find_spec("transformers") is None, reason="transformers is not installed (pip install transformers)"
)


def settings(name, changes):
    return Settings(architecture=name.split()[0], **TINY, **changes)


def written(name, folder, **more):
    """A model whose weights are far from their first values, and its folder."""
    chosen = settings(name, MODELS[name])
    torch.manual_seed(0)
    model = model_of(chosen).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) / p.shape[-1] ** 0.5)
    shape = model_kind(chosen.architecture).shape(chosen)
    export(folder, chosen.architecture, shape, dict(model.named_parameters()), **more)
    return model, shape


def tokens():
    return torch.randint(TINY["vocab_size"], (3, 16), generator=torch.Generator().manual_seed(1))


@with_transformers
@pytest.mark.filterwarnings("ignore")  # of transformers' own
@pytest.mark.parametrize("name", MODELS)
def test_transformers_gives_the_same_logits(name, tmp_path):
    from transformers import AutoModelForCausalLM

    model, _ = written(name, tmp_path)
    other, told = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)

    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    torch.testing.assert_close(other.eval()(tokens()).logits, model(tokens()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("gpt2")])
def test_a_gpt2_comes_back_to_the_bit(name, tmp_path):
    model, shape = written(name, tmp_path)
    found, weights = read_gpt2(tmp_path)
    again = model_kind("gpt2")(found).eval()
    again.load_state_dict(weights)

    assert torch.equal(again(tokens()), model(tokens()))
    assert (found.n_layer, found.tied, found.bias) == (shape.n_layer, shape.tied, True)


def test_the_config_tells_all_that_a_model_is_built_from(tmp_path):
    written("modern with grouped queries, untied", tmp_path, eot=60)
    config = json.loads((tmp_path / "config.json").read_text())

    assert config["architectures"] == ["NanoChatForCausalLM"]
    assert (config["hidden_size"], config["num_key_value_heads"], config["eos_token_id"]) == (32, 2, 60)
    assert config["final_logit_softcapping"] is None
    assert config["dtype"] == "float32"


def test_fused_matrices_are_taken_apart(tmp_path):
    model, _ = written("llama with grouped queries, untied", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    apart = [tensors[f"model.layers.1.self_attn.{part}_proj.weight"] for part in "qkv"]

    assert [tuple(part.shape) for part in apart] == [(32, 32), (16, 32), (16, 32)]
    assert torch.equal(torch.cat(apart), model.blocks[1].attention.qkv.weight)
    assert len(tensors) == 2 * 9 + 3


def test_weights_without_the_prefix_and_in_several_files_are_read(tmp_path):
    model, _ = written("gpt2 with biases", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    places = {}
    for number, part in enumerate((sorted(tensors)[::2], sorted(tensors)[1::2])):
        save_file(
            {n.removeprefix("transformer."): tensors[n] for n in part}, tmp_path / f"{number}.safetensors"
        )
        places |= dict.fromkeys(part, f"{number}.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))

    assert torch.equal(read_gpt2(tmp_path)[1]["embed.weight"], model.embed.weight)


def test_torch_files_are_read_too(tmp_path):
    model, _ = written("gpt2 with biases", tmp_path)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()

    assert torch.equal(read_gpt2(tmp_path)[1]["norm.bias"], model.norm.bias)


def spoiled(folder, harm):
    config = json.loads((folder / "config.json").read_text())
    if harm == "weights cut":
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
    elif harm == "no weights":
        (folder / "model.safetensors").unlink()
    elif harm == "no config":
        (folder / "config.json").unlink()
        return
    elif harm == "files elsewhere":
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../secret.safetensors"}}')
    else:
        config |= harm
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("weights cut", "weights in .* are damaged"),
        ("no weights", "holds no model.safetensors"),
        ("no config", "can't read config.json"),
        ("files elsewhere", "names files of other folders"),
        ({"n_embd": 64}, r"transformer.wte.weight is \(61, 32\); its config.json makes it \(61, 64\)"),
        ({"n_layer": 3}, "transformer.h.2.ln_1.weight is missing"),
        ({"n_head": True}, "n_head is True; expected a count"),
        ({"model_type": "bert"}, "holds a 'bert'; expected a gpt2"),
        ({"activation_function": "relu"}, "activation_function is 'relu'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
    ],
    ids=str,
)
def test_a_folder_that_can_not_be_read_is_told_in_one_line(tmp_path, harm, words):
    written("gpt2 with biases", tmp_path)
    spoiled(tmp_path, harm)

    with pytest.raises(UnreadableError, match=words) as told:
        read_gpt2(tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["gpt2", "llama", "modern"])
def test_positions_that_transformers_lacks_are_refused(tmp_path, name):
    chosen = settings(name, {"positions": "alibi"})
    model, shape = model_of(chosen), model_kind(name).shape(chosen)

    with pytest.raises(UsageError, match=f"no {name} with positions 'alibi'"):
        export(tmp_path, name, shape, dict(model.named_parameters()), positions="alibi")
    assert list(tmp_path.iterdir()) == []
