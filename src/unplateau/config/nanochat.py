"""nanochat: flags of base_train, or the user_config of a checkpoint's meta.json; a depth tells the shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..run import Fact
from ._dialect import Dialect, Facts, Settings, as_kind, told, value_of

FROM_OWN = {
    "max_seq_len": "block_size",
    "device_batch_size": "batch_size",
    "total_batch_size": "tokens_per_step",
    "num_iterations": "max_steps",
    "matrix_lr": "peak_lr",
    "weight_decay": "weight_decay",
    "grad_clip": "grad_clip",
    "eval_every": "eval_interval",
    "eval_tokens": "eval_tokens",
    "vocab_size": "vocab_size",
    "n_layer": "n_layer",
    "n_head": "n_head",
    "n_kv_head": "n_kv_head",
    "n_embd": "n_embd",
    "run": "run_name",
    "adam_beta1": "beta1",
    "adam_beta2": "beta2",
    "depth": "",
    "aspect_ratio": "",
    "head_dim": "",
    "warmup_ratio": "",
    "warmdown_ratio": "",
    "final_lr_frac": "",
    "target_param_data_ratio": "",
    "target_flops": "",
    "embedding_lr": "",
    "unembedding_lr": "",
    "model_tag": "",
}
TO_OWN = {name: key for key, name in FROM_OWN.items() if name}
PREFIXES = ("user_config.", "model_config.")  # of a checkpoint's meta_*.json
ASPECT = 64  # width per layer (nanochat, base_train.py)
HEAD = 128  # width of a head
ASSUMED = "assumed: nanochat's default"
VOCAB = 65536  # of nanochat's own tokenizer


def complete(facts: Facts, settings: Settings) -> Facts:
    """The shape by the depth, and the trapezoid of the learning rate by its shares of the steps."""
    facts = {n: f for n, f in facts.items() if not (n == "max_steps" and f.value < 1)}
    facts["architecture"] = Fact("nanochat", "", ASSUMED)
    facts["tied"] = Fact(False, "", ASSUMED)
    facts["optimizer"] = Fact("muon", "", f"{ASSUMED}: Muon for matrices, AdamW for embeddings")
    depth = as_kind("n_layer", settings.value("depth"))
    if depth and "n_embd" not in facts:
        source = settings.source("depth")
        aspect = as_kind("n_layer", settings.value("aspect_ratio")) or ASPECT
        head = as_kind("n_layer", settings.value("head_dim")) or HEAD
        # later versions round the width up to whole heads; for depths that fit the two agree
        width = -(-depth * aspect // head) * head if depth * aspect > head else depth * aspect
        shape = {"n_layer": depth, "n_embd": width, "n_head": max(1, -(-width // head))}
        facts |= {name: told(name, value, source) for name, value in shape.items()}
        facts.setdefault("vocab_size", told("vocab_size", VOCAB, ASSUMED))
    return _schedule(facts, settings)


def _schedule(facts: Facts, settings: Settings) -> Facts:
    share = as_kind("floor_lr", settings.value("warmdown_ratio"))
    if share is None or "max_steps" not in facts or "peak_lr" not in facts:
        return facts
    steps, source = facts["max_steps"].value, settings.source("warmdown_ratio")
    facts["schedule"] = Fact("wsd", "", source)
    facts["decay_start"] = told("decay_start", max(0, steps - round(share * steps)), source)
    for name, key, whole in (
        ("warmup_steps", "warmup_ratio", steps),
        ("floor_lr", "final_lr_frac", facts["peak_lr"].value),
    ):
        part = as_kind("floor_lr", settings.value(key))
        if part is not None:
            value = round(part * whole) if name == "warmup_steps" else part * whole
            facts[name] = told(name, value, settings.source(key))
    return facts


def spell(wanted: Mapping[str, Any], facts: Facts, settings: Settings) -> dict[str, dict[str, Any]]:
    """A shape by its depth, and the learning rate by shares of the peak and of the steps."""
    out: dict[str, dict[str, Any]] = {}
    depth, width, steps = (value_of(name, wanted, facts) for name in ("n_layer", "n_embd", "max_steps"))
    if "depth" in settings.found and depth and width:
        aspect = as_kind("n_layer", settings.value("aspect_ratio")) or ASPECT
        own = (
            {"depth": depth} if depth * aspect == width else {"depth": depth, "aspect_ratio": width // depth}
        )
        out |= {name: own for name in ("n_layer", "n_embd", "n_head") if name in wanted}
    peak, floor = (value_of(name, wanted, facts) for name in ("peak_lr", "floor_lr"))
    if peak and floor is not None and "final_lr_frac" in settings.found:
        share = {"final_lr_frac": floor / peak}
        out |= {"floor_lr": share, "peak_lr": {"matrix_lr": peak, **share}}
    if steps:
        warm, start = (value_of(name, wanted, facts) for name in ("warmup_steps", "decay_start"))
        shares = (
            {"warmup_ratio": warm / steps} if warm is not None and "warmup_ratio" in settings.found else {}
        )
        shares |= {"warmdown_ratio": (steps - start) / steps} if start is not None and start < steps else {}
        out |= {name: shares for name in ("warmup_steps", "decay_start") if shares}
        out["max_steps"] = {"num_iterations": steps, **shares}
    return {name: own for name, own in out.items() if name in wanted}


DIALECT = Dialect(
    "nanochat",
    FROM_OWN,
    complete,
    spell=spell,
    signs=("depth", "device_batch_size", "embedding_lr", "matrix_lr", "target_param_data_ratio"),
)
