"""LitGPT: YAML (config_hub, or hyperparameters.yaml beside a checkpoint)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..run import Fact
from ._dialect import Dialect, Facts, Settings, as_kind, told, total, value_of

MODEL = {
    "n_layer": "n_layer",
    "n_head": "n_head",
    "n_embd": "n_embd",
    "n_query_groups": "n_kv_head",
    "intermediate_size": "mlp_hidden",
    "block_size": "block_size",
    "padded_vocab_size": "vocab_size",
    "vocab_size": "vocab_size",
    "bias": "bias",
}
FROM_OWN = {
    "train.max_seq_length": "block_size",
    **{f"model_config.{key}": name for key, name in MODEL.items()},
    **MODEL,
    "train.micro_batch_size": "batch_size",
    "train.lr_warmup_steps": "warmup_steps",
    "train.max_steps": "max_steps",
    "train.epochs": "epochs_planned",
    "train.max_norm": "grad_clip",
    "train.min_lr": "floor_lr",
    "train.log_interval": "log_interval",
    "train.tie_embeddings": "tied",
    "eval.interval": "eval_interval",
    "eval.max_iters": "eval_iters",
    "optimizer.init_args.lr": "peak_lr",
    "optimizer.init_args.weight_decay": "weight_decay",
    "optimizer.class_path": "optimizer",
    "precision": "dtype",
    "seed": "seed",
    "out_dir": "out_dir",
    "data.class_path": "dataset",
    "data": "dataset",
    "model_name": "",
    "train.global_batch_size": "",
    "train.max_tokens": "",
    "optimizer.init_args.betas": "",
    "devices": "",
    "num_nodes": "",
    "model_config.name": "",
    "model_config.norm_class_name": "",
    "model_config.mlp_class_name": "",
}
TO_OWN = {
    **{name: key for key, name in reversed(FROM_OWN.items()) if name},
    "vocab_size": "model_config.padded_vocab_size",
}


def complete(facts: Facts, settings: Settings) -> Facts:
    """Steps and batches, which LitGPT gives as tokens and a global batch; its schedule is a cosine."""
    facts = _batch(dict(facts), settings)
    tokens, per_step = (
        as_kind("train_tokens", settings.value("train.max_tokens")),
        facts.get("tokens_per_step"),
    )
    if tokens and per_step is not None and "max_steps" not in facts:
        facts["max_steps"] = told("max_steps", tokens // per_step.value, settings.source("train.max_tokens"))
    if "peak_lr" in facts:
        facts["schedule"] = Fact("cosine", "", "assumed: LitGPT's only schedule")
    betas = settings.value("optimizer.init_args.betas")
    if isinstance(betas, list) and len(betas) == 2:
        for name, value in zip(("beta1", "beta2"), betas, strict=True):
            if (number := as_kind(name, value)) is not None:
                facts[name] = told(name, number, settings.source("optimizer.init_args.betas"))
    return _architecture(facts, settings)


def _batch(facts: Facts, settings: Settings) -> Facts:
    total = as_kind("batch_size", settings.value("train.global_batch_size"))
    if not total:
        return facts
    source = settings.source("train.global_batch_size")
    micro, block = facts.get("batch_size"), facts.get("block_size")
    if micro is not None and total % micro.value == 0:
        facts["gradient_accumulation_steps"] = told(
            "gradient_accumulation_steps", total // micro.value, source
        )
    if block is not None:
        facts["tokens_per_step"] = told("tokens_per_step", total * block.value, f"{source} x {block.source}")
    return facts


def _architecture(facts: Facts, settings: Settings) -> Facts:
    norm, mlp = settings.value("model_config.norm_class_name"), settings.value("model_config.mlp_class_name")
    name = str(settings.value("model_name", "model_config.name") or "").lower()
    if (norm == "RMSNorm" and mlp == "LLaMAMLP") or "llama" in name:
        facts["architecture"] = Fact(
            "llama", "", settings.source("model_config.norm_class_name", "model_name")
        )
        facts.setdefault("tied", Fact(False, "", "assumed: LitGPT's default"))
    return facts


def spell(wanted: Mapping[str, Any], facts: Facts, settings: Settings) -> dict[str, dict[str, Any]]:
    """A batch over all devices, a run in tokens, and both betas in one list."""
    out: dict[str, dict[str, Any]] = {}
    rows = total(wanted, facts)
    if rows and {"batch_size", "gradient_accumulation_steps"} & set(wanted):
        out["gradient_accumulation_steps"] = {"train.global_batch_size": rows}
        if "batch_size" in wanted:
            own = {"train.micro_batch_size": wanted["batch_size"], "train.global_batch_size": rows}
            out["batch_size"] = own
    block = value_of("block_size", wanted, facts)
    if "max_steps" in wanted and "train.max_steps" not in settings.found and rows and block:
        out["max_steps"] = {"train.max_tokens": wanted["max_steps"] * rows * block}
    betas = [value_of(name, wanted, facts) for name in ("beta1", "beta2")]
    if {"beta1", "beta2"} & set(wanted) and None not in betas:
        out |= {name: {"optimizer.init_args.betas": betas} for name in ("beta1", "beta2")}
    return out


def own_dtype(value: Any) -> Any:
    """LitGPT's word for a precision."""
    return {"bfloat16": "bf16-mixed", "float16": "16-mixed", "float32": "32-true"}.get(str(value), value)


DIALECT = Dialect(
    "litgpt",
    FROM_OWN,
    complete,
    {"dtype": own_dtype},
    spell,
    signs=("train.global_batch_size", "train.micro_batch_size", "train.lr_warmup_steps", "model_name"),
)
