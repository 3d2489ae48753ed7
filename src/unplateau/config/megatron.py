"""Megatron-LM: arguments of pretrain_gpt.py, as flags of a shell script, as YAML or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..run import Fact
from ._dialect import Dialect, Facts, Settings, as_kind, told, total, value_of

FROM_OWN = {
    "num_layers": "n_layer",
    "hidden_size": "n_embd",
    "num_attention_heads": "n_head",
    "num_query_groups": "n_kv_head",
    "ffn_hidden_size": "mlp_hidden",
    "padded_vocab_size": "vocab_size",
    "vocab_size": "vocab_size",
    "seq_length": "block_size",
    "micro_batch_size": "batch_size",
    "world_size": "world_size",
    "train_iters": "max_steps",
    "lr": "peak_lr",
    "min_lr": "floor_lr",
    "lr_warmup_iters": "warmup_steps",
    "lr_decay_iters": "decay_end",
    "weight_decay": "weight_decay",
    "adam_beta1": "beta1",
    "adam_beta2": "beta2",
    "clip_grad": "grad_clip",
    "hidden_dropout": "dropout",
    "eval_interval": "eval_interval",
    "eval_iters": "eval_iters",
    "log_interval": "log_interval",
    "seed": "seed",
    "optimizer": "optimizer",
    "save": "out_dir",
    "load": "init_from",
    "data_path": "dataset",
    "tokenizer_type": "tokenizer",
    "wandb_exp_name": "run_name",
    "lr_decay_style": "",
    "lr_warmup_fraction": "",
    "lr_wsd_decay_iters": "",
    "lr_wsd_decay_style": "",
    "global_batch_size": "",
    "bf16": "",
    "fp16": "",
    "swiglu": "",
    "untie_embeddings_and_output_weights": "",
    "disable_bias_linear": "",
    "position_embedding_type": "",
    "use_rotary_position_embeddings": "",
    "normalization": "",
}
TO_OWN = {**{name: key for key, name in reversed(FROM_OWN.items()) if name}, "schedule": "lr_decay_style"}
SCHEDULES = {"inverse-square-root": "inverse_sqrt", "WSD": "wsd"}
ASSUMED = "assumed: Megatron-LM's default"


def complete(facts: Facts, settings: Settings) -> Facts:
    """The global batch, the schedule, and the architecture that the switches say."""
    facts = dict(facts)
    total, source = (
        as_kind("batch_size", settings.value("global_batch_size")),
        settings.source("global_batch_size"),
    )
    if total and "block_size" in facts:
        facts["tokens_per_step"] = told("tokens_per_step", total * facts["block_size"].value, source)
    if total and "batch_size" in facts and total % facts["batch_size"].value == 0:
        count = total // facts["batch_size"].value
        facts["gradient_accumulation_steps"] = told("gradient_accumulation_steps", count, source)
    for key, dtype in (("bf16", "bfloat16"), ("fp16", "float16")):
        if as_kind("bias", settings.value(key)):
            facts["dtype"] = Fact(dtype, "", settings.source(key))
    return _architecture(_schedule(facts, settings), settings)


def _schedule(facts: Facts, settings: Settings) -> Facts:
    if "peak_lr" not in facts:
        return facts
    style = settings.value("lr_decay_style")
    source = settings.source("lr_decay_style") if style else ASSUMED
    name = SCHEDULES.get(str(style), str(style or "linear"))
    facts["schedule"] = Fact(name, "", source)
    facts.setdefault("floor_lr", told("floor_lr", 0.0, ASSUMED))
    end = facts.get("decay_end") or facts.get("max_steps")
    share, decay = (
        as_kind("floor_lr", settings.value("lr_warmup_fraction")),
        as_kind("max_steps", settings.value("lr_wsd_decay_iters")),
    )
    if share is not None and end is not None:
        facts.setdefault(
            "warmup_steps",
            told("warmup_steps", int(share * end.value), settings.source("lr_warmup_fraction")),
        )
    if name == "wsd" and decay and end is not None:
        facts["decay_start"] = told(
            "decay_start", max(0, end.value - decay), settings.source("lr_wsd_decay_iters")
        )
    return facts


def _architecture(facts: Facts, settings: Settings) -> Facts:
    def on(key: str) -> bool:
        return bool(as_kind("bias", settings.value(key)))

    if "n_layer" not in facts:
        return facts
    gated = on("swiglu")
    source = settings.source("swiglu") if gated else ASSUMED
    rotary = settings.value("position_embedding_type") == "rope" or on("use_rotary_position_embeddings")
    if gated == rotary:  # mixtures of the two are no family that Shape counts
        facts["architecture"] = Fact("llama" if gated else "gpt2", "", source)
        facts["bias"] = Fact(
            not on("disable_bias_linear") and not gated, "", settings.source("disable_bias_linear")
        )
    facts["tied"] = Fact(
        not on("untie_embeddings_and_output_weights"),
        "",
        settings.source("untie_embeddings_and_output_weights"),
    )
    return facts


def spell(wanted: Mapping[str, Any], facts: Facts, settings: Settings) -> dict[str, dict[str, Any]]:
    """A batch over all devices, precisions as switches, the start of a decay as its length, a warm-up that is a share."""
    out: dict[str, dict[str, Any]] = {}
    rows = total(wanted, facts)
    if rows and {"batch_size", "gradient_accumulation_steps"} & set(wanted):
        out["gradient_accumulation_steps"] = {"global_batch_size": rows}
        if "batch_size" in wanted:
            out["batch_size"] = {"micro_batch_size": wanted["batch_size"], "global_batch_size": rows}
    if "dtype" in wanted:
        switches = {
            key: wanted["dtype"] == dtype for key, dtype in (("bf16", "bfloat16"), ("fp16", "float16"))
        }
        out["dtype"] = {key: on for key, on in switches.items() if on or key in settings.found}
    start = wanted.get("decay_start")
    end = value_of("decay_end", wanted, facts) or value_of("max_steps", wanted, facts)
    if start is not None and end:
        out["decay_start"] = {"lr_wsd_decay_iters": end - start}
    if "warmup_steps" in wanted and "lr_warmup_fraction" in settings.found and end:
        share = (wanted["warmup_steps"] + 0.5) / end  # it takes the whole part of the product
        out["warmup_steps"] = {"lr_warmup_fraction": share}
    return out


def write_schedule(value: Any) -> Any:
    """Megatron-LM's name for a schedule."""
    return {told: word for word, told in SCHEDULES.items()}.get(str(value), value)


DIALECT = Dialect(
    "megatron",
    FROM_OWN,
    complete,
    {"schedule": write_schedule},
    spell,
    signs=("train_iters", "clip_grad", "num_layers", "lr_decay_style", "seq_length"),
)
