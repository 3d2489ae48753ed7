"""Hugging Face folders: what ``transformers`` loads with equal logits, and GPT-2's weights from a local folder.

``gpt2`` is written as GPT2LMHeadModel, ``llama`` as LlamaForCausalLM, ``modern`` as NanoChatForCausalLM. Nothing
is fetched, and nothing that is read is executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..durable import write_durably
from ..errors import UnreadableError, UsageError, printable, why
from ..shape import Shape
from .attention import ROTARY_BASE
from .check import TRANSFORMERS
from .gpt2_names import ours, theirs
from .models import sizes
from .models.llama import EPSILON as LLAMA_EPSILON
from .models.modern import EPSILON as MODERN_EPSILON
from .torch_file import load_torch

Weights = Mapping[str, Tensor]

#: weights of GPT-2 that OpenAI's code keeps as (in, out)
TRANSPOSED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
#: GELUs of a GPT-2 that ``gpt2`` stands for: by erf, and OpenAI's tanh of nearly the same value (see read_gpt2)
GELUS = ("gelu", "gelu_new", "gelu_pytorch_tanh")
#: settings of a GPT-2 that ``gpt2`` lacks, and the value that means so
PLAIN = {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False}
#: ours, theirs: outside blocks, and of a block's weights that are not fused
OUTSIDE = {"embed.": "model.embed_tokens.", "norm.": "model.norm.", "unembed.": "lm_head."}
INSIDE = {
    "attention.out.": "self_attn.o_proj.",
    "attention_norm.": "input_layernorm.",
    "mlp_norm.": "post_attention_layernorm.",
    "mlp.up.": "mlp.fc1.",
}
DOWN = {"llama": "mlp.down_proj.", "modern": "mlp.fc2."}


# --- writing


def export(
    folder: Path,
    architecture: str,
    shape: Shape,
    weights: Weights,
    *,
    positions: str = "",
    eot: int | None = None,
) -> None:
    """Write ``config.json`` and ``model.safetensors``; ``eot`` is the token that ends a document.

    Raises ``UsageError`` for a model that ``transformers`` doesn't have, ``UnplateauError`` where it can't be written.
    """
    import msgspec
    from safetensors.torch import save

    config = {**_config(architecture, shape, positions), "bos_token_id": eot, "eos_token_id": eot}
    renamed = _gpt2(weights, shape) if architecture == "gpt2" else _llama(weights, shape, architecture)
    tensors = {name: w.detach().cpu().contiguous() for name, w in renamed.items()}
    kind = str(tensors[next(iter(tensors))].dtype).removeprefix("torch.")
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / "model.safetensors", save(tensors, metadata={"format": "pt"}))
    text = msgspec.json.format(msgspec.json.encode({**config, "dtype": kind, "torch_dtype": kind}), indent=2)
    write_durably(folder / "config.json", text + b"\n")


def _config(architecture: str, shape: Shape, positions: str) -> dict[str, Any]:
    if positions and positions != TRANSFORMERS.get(architecture, positions):
        raise UsageError(f"transformers has no {architecture} with positions {positions!r}")
    if architecture == "gpt2":
        return _gpt2_config(shape)
    common = {
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.n_embd,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.n_layer,
        "num_attention_heads": shape.n_head,
        "num_key_value_heads": shape.n_kv_head or shape.n_head,
        "head_dim": shape.head_width,
        "max_position_embeddings": shape.block_size,
        "tie_word_embeddings": shape.tied,
        "rope_theta": ROTARY_BASE,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROTARY_BASE},
        "attention_bias": False,
        "attention_dropout": 0.0,
    }
    if architecture == "llama":
        more = {"model_type": "llama", "hidden_act": "silu", "mlp_bias": False, "rms_norm_eps": LLAMA_EPSILON}
        return {"architectures": ["LlamaForCausalLM"], **more, **common}
    if architecture == "modern":
        more = {"model_type": "nanochat", "hidden_act": "relu2", "rms_norm_eps": MODERN_EPSILON}
        return {"architectures": ["NanoChatForCausalLM"], "final_logit_softcapping": None, **more, **common}
    raise UsageError(f"transformers has no {printable(architecture)!r}; it can have gpt2, llama and modern")


def _gpt2_config(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu",
        "vocab_size": shape.vocab_size,
        "n_positions": shape.block_size,
        "n_embd": shape.n_embd,
        "n_layer": shape.n_layer,
        "n_head": shape.n_head,
        "n_inner": shape.hidden,
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": shape.tied,
        **{f"{part}_pdrop": 0.0 for part in ("attn", "embd", "resid")},
    }


def _gpt2(weights: Weights, shape: Shape) -> dict[str, Tensor]:
    """GPT-2's names, matrices as (in, out); biases that the model lacks are zero."""
    found: dict[str, Tensor] = {}
    for name in sizes("gpt2", shape):
        other, weight = str(theirs(name)), weights[name]
        found[other] = weight.t() if other.endswith(TRANSPOSED) else weight
        if (
            name.endswith("weight")
            and not shape.bias
            and not name.startswith(("embed", "positions", "unembed"))
        ):
            bias = f"{other.removesuffix('weight')}bias"
            found[bias] = torch.zeros(weight.shape[0], dtype=weight.dtype)
    return found


def _llama(weights: Weights, shape: Shape, architecture: str) -> dict[str, Tensor]:
    """Llama's names; fused matrices taken apart."""
    found: dict[str, Tensor] = {}
    inside = {**INSIDE, "mlp.down.": DOWN[architecture]}
    for name in sizes(architecture, shape):
        part, _, kind = name.rpartition(".")
        if not name.startswith("blocks."):
            found[OUTSIDE[f"{part}."] + kind] = weights[name]
            continue
        _, number, part = part.split(".", 2)
        for other, weight in _apart(f"{part}.", weights[name], shape, architecture):
            found[f"model.layers.{number}.{inside.get(other, other)}{kind}"] = weight
    return found


def _apart(part: str, weight: Tensor, shape: Shape, architecture: str) -> list[tuple[str, Tensor]]:
    if part == "mlp.gate_up.":
        gate, up = weight.chunk(2)
        return [("mlp.gate_proj.", gate), ("mlp.up_proj.", up)]
    if part != "attention.qkv.":
        return [(part, weight)]
    keys = (shape.n_kv_head or shape.n_head) * shape.head_width
    q, k, v = torch.split(weight, [weight.shape[0] - 2 * keys, keys, keys])
    if architecture == "modern":
        q, k = _mirrored(q, shape), _mirrored(k, shape)
    return [("self_attn.q_proj.", q), ("self_attn.k_proj.", k), ("self_attn.v_proj.", v)]


def _mirrored(weight: Tensor, shape: Shape) -> Tensor:
    """NanoChat turns the other way: with the halves of each head exchanged, the products are the same."""
    heads = weight.view(-1, 2, shape.head_width // 2, weight.shape[1])
    return heads.flip(1).reshape(weight.shape)


# --- reading


def read_gpt2(folder: Path) -> tuple[Shape, dict[str, Tensor]]:
    """The shape and the weights (our names) of a GPT-2 in a Hugging Face folder; tensors are mapped from the file.

    OpenAI's weights were trained with the GELU of a tanh; ``gpt2`` has the exact one, as nanoGPT, whose largest
    difference is 5e-4 (Hendrycks & Gimpel 2016). Raises ``UnreadableError`` where the folder holds no such model.
    """
    config = _json(folder / "config.json")
    if config.get("model_type") != "gpt2":
        raise UnreadableError(f"{folder.name} holds a {config.get('model_type')!r}; expected a gpt2")
    shape = _gpt2_shape(config, folder.name)
    tensors = _tensors(folder)
    named = {
        ours(n if n.startswith(("transformer.", "lm_head.")) else f"transformer.{n}"): n for n in tensors
    }
    weights: dict[str, Tensor] = {}
    for name, size in sizes("gpt2", shape).items():
        source = named.get(name)
        weight = tensors[source] if source is not None else torch.empty(0)
        weight = weight.t() if str(theirs(name)).endswith(TRANSPOSED) and weight.ndim == 2 else weight
        if tuple(weight.shape) != size:
            found = "missing" if source is None else tuple(weight.shape)
            raise UnreadableError(
                f"{folder.name}: {theirs(name)} is {found}; its config.json makes it {size}"
            )
        weights[name] = weight
    return shape, weights


def _gpt2_shape(config: Mapping[str, Any], name: str) -> Shape:
    if config.get("activation_function", "gelu_new") not in GELUS:
        raise UnreadableError(
            f"{name}: activation_function is {config['activation_function']!r}; expected a GELU"
        )
    for key, value in PLAIN.items():
        if config.get(key, value) != value:
            raise UnreadableError(f"{name}: {key} is {config[key]!r}; expected {value}")
    counts: dict[str, Any] = {key: config.get(key) for key in ("n_layer", "n_embd", "n_head", "vocab_size")}
    counts["block_size"] = config.get("n_positions", config.get("n_ctx"))
    for key, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UnreadableError(f"{name}: config.json says {key} is {value!r}; expected a count")
    inner = config.get("n_inner")
    tied = config.get("tie_word_embeddings", True) is not False
    return Shape(**counts, mlp_hidden=inner if isinstance(inner, int) else None, bias=True, tied=tied)


def _json(path: Path) -> dict[str, Any]:
    import msgspec

    try:
        found = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise UnreadableError(f"can't read {path.name}: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError(f"{path.name} is not JSON: {why(error)}") from None
    if not isinstance(found, dict):
        raise UnreadableError(f"{path.name} is no JSON object")
    return found


def _tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of the folder: safetensors, in one file or several, or torch.save's pytorch_model.bin."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found: dict[str, Tensor] = {}
    try:
        for name in _files(folder):
            path = folder / name
            found |= load_file(path) if path.suffix == ".safetensors" else load_torch(path)
    except OSError as error:
        raise UnreadableError(f"can't read the weights in {folder.name}: {error.strerror or error}") from None
    except (SafetensorError, ValueError) as error:
        raise UnreadableError(f"the weights in {folder.name} are damaged: {why(error)}") from None
    return found


def _files(folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return [name]
    if not index.is_file():
        raise UnreadableError(f"{folder.name} holds no model.safetensors and no pytorch_model.bin")
    places = _json(index).get("weight_map")
    names = sorted({str(name) for name in places.values()}) if isinstance(places, dict) else []
    if any(Path(name).name != name for name in names):
        raise UnreadableError(f"{folder.name}: {index.name} names files of other folders")
    return names
