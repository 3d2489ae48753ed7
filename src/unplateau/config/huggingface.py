"""Hugging Face Transformers: a model's config.json, TrainingArguments, and YAML of trainers built on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..run import Fact
from ._dialect import Dialect, Facts, Settings, as_kind, told, value_of

FROM_OWN = {
    # a model's config.json, of GPT-2's and of Llama's kind
    "num_hidden_layers": "n_layer",
    "hidden_size": "n_embd",
    "num_attention_heads": "n_head",
    "num_key_value_heads": "n_kv_head",
    "intermediate_size": "mlp_hidden",
    "n_layer": "n_layer",
    "n_embd": "n_embd",
    "n_head": "n_head",
    "n_inner": "mlp_hidden",
    "head_dim": "head_dim",
    "vocab_size": "vocab_size",
    "tie_word_embeddings": "tied",
    "model_type": "architecture",
    "resid_pdrop": "dropout",
    "attention_dropout": "dropout",
    # TrainingArguments and what trainers built on them add
    "per_device_train_batch_size": "batch_size",
    "micro_batch_size": "batch_size",
    "train_batch_size": "batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "world_size": "world_size",
    "block_size": "block_size",
    "max_seq_length": "block_size",
    "max_length": "block_size",
    "cutoff_len": "block_size",
    "sequence_len": "block_size",
    "learning_rate": "peak_lr",
    "warmup_steps": "warmup_steps",
    "max_steps": "max_steps",
    "num_train_epochs": "epochs_planned",
    "num_epochs": "epochs_planned",
    "optim": "optimizer",
    "adam_beta1": "beta1",
    "adam_beta2": "beta2",
    "weight_decay": "weight_decay",
    "max_grad_norm": "grad_clip",
    "label_smoothing_factor": "label_smoothing",
    "torch_compile": "compile",
    "torch_dtype": "dtype",
    "eval_steps": "eval_interval",
    "logging_steps": "log_interval",
    "seed": "seed",
    "run_name": "run_name",
    "output_dir": "out_dir",
    "dataset_name": "dataset",
    "dataset": "dataset",
    "tokenizer_name": "tokenizer",
    "resume_from_checkpoint": "init_from",
    "model_name_or_path": "init_from",
    "lr_scheduler_type": "",
    "warmup_ratio": "",
    "bf16": "",
    "fp16": "",
    "n_positions": "",
    "max_position_embeddings": "",
    "lr_scheduler_kwargs.min_lr": "",
    "lr_scheduler_kwargs.min_lr_rate": "",
    "lr_scheduler_kwargs.num_decay_steps": "",
}
TO_OWN = {
    **{name: key for key, name in reversed(FROM_OWN.items()) if name},
    "schedule": "lr_scheduler_type",
    "block_size": "max_seq_length",
    "init_from": "model_name_or_path",
    "floor_lr": "lr_scheduler_kwargs.min_lr",
}
SCHEDULES = {
    "linear": "linear",
    "polynomial": "linear",
    "cosine": "cosine",
    "cosine_with_min_lr": "cosine",
    "constant": "constant",
    "constant_with_warmup": "constant",
    "inverse_sqrt": "inverse_sqrt",
    "warmup_stable_decay": "wsd",
}
WRITTEN = {"cosine": "cosine_with_min_lr", "constant": "constant_with_warmup", "wsd": "warmup_stable_decay"}
#: Transformers' TrainingArguments, what it takes where the arguments are silent
DEFAULTS: dict[str, Any] = {
    "peak_lr": 5e-5,
    "weight_decay": 0.0,
    "beta1": 0.9,
    "beta2": 0.999,
    "grad_clip": 1.0,
    "gradient_accumulation_steps": 1,
    "warmup_steps": 0,
    "label_smoothing": 0.0,
}
ASSUMED = "assumed: Transformers' default"
TRAINING = ("learning_rate", "per_device_train_batch_size", "lr_scheduler_type", "num_train_epochs")
TIED = {
    "gpt2": True,
    "gemma": True,
    "llama": False,
    "mistral": False,
    "qwen2": False,
}  # config classes' defaults


def complete(facts: Facts, settings: Settings) -> Facts:
    """Defaults of TrainingArguments, ratios as steps, and what a model type implies."""
    facts = {n: f for n, f in facts.items() if not (n == "max_steps" and f.value < 1)}
    facts = _model(dict(facts), settings)
    if any(key in settings.found for key in TRAINING):
        for name, value in DEFAULTS.items():
            facts.setdefault(name, told(name, value, ASSUMED))
        facts = _schedule(facts, settings)
        facts = _precision(facts, settings)
        facts = _devices(facts)
    return facts


def _model(facts: Facts, settings: Settings) -> Facts:
    kind = str(facts["architecture"].value) if "architecture" in facts else ""
    if kind == "gpt2":
        facts["bias"] = Fact(True, "", settings.source("model_type"))
        positions = as_kind("block_size", settings.value("n_positions"))
        if positions:
            facts.setdefault("block_size", told("block_size", positions, settings.source("n_positions")))
    if kind in TIED:
        facts.setdefault("tied", Fact(TIED[kind], "", f"{ASSUMED} for {kind}"))
    return facts


def _schedule(facts: Facts, settings: Settings) -> Facts:
    own = settings.value("lr_scheduler_type")
    source = settings.source("lr_scheduler_type") if own else ASSUMED
    own = str(own or "linear").removeprefix("SchedulerType.").lower()
    name = SCHEDULES.get(own, own)
    facts["schedule"] = Fact(name, "", source)
    ratio, steps = as_kind("peak_lr", settings.value("warmup_ratio")), facts.get("max_steps")
    if ratio and not facts["warmup_steps"].value:
        # warmup_steps wins where both are given; without a number of steps the ratio says none
        del facts["warmup_steps"]
        if steps is not None:
            facts["warmup_steps"] = told(
                "warmup_steps", int(ratio * steps.value), settings.source("warmup_ratio")
            )
    if name in {"linear", "cosine", "wsd"}:
        facts = _floor(facts, settings)
    if own == "constant":
        facts["warmup_steps"] = Fact(0, "steps", f"{source}: constant has no warmup")
    return facts


def _floor(facts: Facts, settings: Settings) -> Facts:
    least = as_kind("floor_lr", settings.value("lr_scheduler_kwargs.min_lr"))
    share = as_kind("floor_lr", settings.value("lr_scheduler_kwargs.min_lr_rate"))
    if least is None and share is not None:
        least = share * facts["peak_lr"].value
    source = settings.source("lr_scheduler_kwargs.min_lr", "lr_scheduler_kwargs.min_lr_rate")
    facts["floor_lr"] = Fact(least or 0.0, "", ASSUMED if least is None else source)
    decay = as_kind("max_steps", settings.value("lr_scheduler_kwargs.num_decay_steps"))
    if decay and "max_steps" in facts:
        start = max(0, facts["max_steps"].value - decay)
        facts["decay_start"] = told(
            "decay_start", start, settings.source("lr_scheduler_kwargs.num_decay_steps")
        )
    return facts


def _precision(facts: Facts, settings: Settings) -> Facts:
    for key, dtype in (("bf16", "bfloat16"), ("fp16", "float16")):
        if as_kind("bias", settings.value(key)):
            return {**facts, "dtype": Fact(dtype, "", settings.source(key))}
    return facts


def _devices(facts: Facts) -> Facts:
    # the fact counts micro-batches over all devices, Transformers over one
    accumulation, devices = facts["gradient_accumulation_steps"], facts.get("world_size")
    if devices is None:
        source = f"{accumulation.source}; assumed: one device"
        return {**facts, "gradient_accumulation_steps": Fact(accumulation.value, "", source)}
    product = accumulation.value * devices.value
    return {**facts, "gradient_accumulation_steps": Fact(product, "", f"{accumulation.source} x world size")}


def spell(wanted: Mapping[str, Any], facts: Facts, settings: Settings) -> dict[str, dict[str, Any]]:
    """Precisions as switches, micro-batches of one device, a floor that only some schedules have, positions."""
    out: dict[str, dict[str, Any]] = {}
    if "dtype" in wanted and ({"bf16", "fp16", *TRAINING} & set(settings.found) or not settings.found):
        switches = {
            key: wanted["dtype"] == dtype for key, dtype in (("bf16", "bfloat16"), ("fp16", "float16"))
        }
        now = facts["dtype"].value if "dtype" in facts and not settings.found else ""
        on_now = {"bf16": now == "bfloat16", "fp16": now == "float16"}
        out["dtype"] = {key: on for key, on in switches.items() if on or key in settings.found or on_now[key]}
    count, devices = wanted.get("gradient_accumulation_steps"), value_of("world_size", wanted, facts) or 1
    if count is not None and count % devices == 0:
        out["gradient_accumulation_steps"] = {"gradient_accumulation_steps": count // devices}
    if "floor_lr" in wanted:
        out["floor_lr"] = _spelled_floor(wanted, facts, settings)
    if "block_size" in wanted and "n_positions" in settings.found:
        out["block_size"] = {"n_positions": wanted["block_size"]}
    start, steps = wanted.get("decay_start"), value_of("max_steps", wanted, facts)
    if start is not None and steps:
        out["decay_start"] = {"lr_scheduler_kwargs.num_decay_steps": steps - start}
    return out


def _spelled_floor(wanted: Mapping[str, Any], facts: Facts, settings: Settings) -> dict[str, Any]:
    floor, peak = wanted["floor_lr"], value_of("peak_lr", wanted, facts)
    own: dict[str, Any] = {"lr_scheduler_kwargs.min_lr": floor}
    if "lr_scheduler_kwargs.min_lr_rate" in settings.found and peak:
        own = {"lr_scheduler_kwargs.min_lr_rate": floor / peak}
    kind = str(settings.value("lr_scheduler_type") or "")
    return own | ({"lr_scheduler_type": WRITTEN["cosine"]} if kind.endswith("cosine") and floor else {})


def write_schedule(value: Any) -> Any:
    """Transformers' name for a schedule with a floor or a warmup of its own."""
    return WRITTEN.get(str(value), value)


DIALECT = Dialect(
    "huggingface",
    FROM_OWN,
    complete,
    {"schedule": write_schedule},
    spell,
    signs=(
        "model_type",
        "per_device_train_batch_size",
        "num_train_epochs",
        "lr_scheduler_type",
        "transformers_version",
    ),
)
