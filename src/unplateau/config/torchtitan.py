"""torchtitan: TOML with tables [model], [optimizer], [lr_scheduler], [training]."""

from __future__ import annotations

from ..run import Fact
from ._dialect import Dialect, Facts, Settings, as_kind, told

FROM_OWN = {
    "training.local_batch_size": "batch_size",
    "training.batch_size": "batch_size",
    "training.seq_len": "block_size",
    "training.steps": "max_steps",
    "training.max_norm": "grad_clip",
    "training.dataset": "dataset",
    "training.compile": "compile",
    "compile.enable": "compile",
    "training.seed": "seed",
    "debug.seed": "seed",
    "training.mixed_precision_param": "dtype",
    "optimizer.name": "optimizer",
    "optimizer.lr": "peak_lr",
    "optimizer.beta1": "beta1",
    "optimizer.beta2": "beta2",
    "optimizer.weight_decay": "weight_decay",
    "lr_scheduler.warmup_steps": "warmup_steps",
    "training.warmup_steps": "warmup_steps",
    "metrics.log_freq": "log_interval",
    "validation.freq": "eval_interval",
    "validation.steps": "eval_iters",
    "job.dump_folder": "out_dir",
    "job.description": "run_name",
    "checkpoint.initial_load_path": "init_from",
    "lr_scheduler.decay_ratio": "",
    "lr_scheduler.decay_type": "",
    "lr_scheduler.min_lr_factor": "",
    "lr_scheduler.lr_min": "",
    "training.global_batch_size": "",
    "model.name": "",
    "model.flavor": "",
}
TO_OWN = {
    **{name: key for key, name in reversed(FROM_OWN.items()) if name},
    "dtype": "training.mixed_precision_param",
}
ASSUMED = "assumed: torchtitan's default"
FORMS = {"linear": "linear", "sqrt": "1-sqrt", "cosine": "cosine"}


def complete(facts: Facts, settings: Settings) -> Facts:
    """The global batch, and a decay that is given as a share of the steps."""
    facts = dict(facts)
    total = as_kind("batch_size", settings.value("training.global_batch_size"))
    block, micro = facts.get("block_size"), facts.get("batch_size")
    source = settings.source("training.global_batch_size")
    if total and block is not None:
        facts["tokens_per_step"] = told("tokens_per_step", total * block.value, source)
    if total and micro is not None and total % micro.value == 0:
        facts["gradient_accumulation_steps"] = told(
            "gradient_accumulation_steps", total // micro.value, source
        )
    return _schedule(facts, settings)


def _schedule(facts: Facts, settings: Settings) -> Facts:
    if "peak_lr" not in facts or "max_steps" not in facts:
        return facts
    peak, steps = facts["peak_lr"].value, facts["max_steps"].value
    share = as_kind("floor_lr", settings.value("lr_scheduler.min_lr_factor", "lr_scheduler.lr_min"))
    source = (
        settings.source("lr_scheduler.min_lr_factor", "lr_scheduler.lr_min") if share is not None else ASSUMED
    )
    facts["floor_lr"] = told("floor_lr", (share or 0.0) * peak, source)
    ratio = as_kind("floor_lr", settings.value("lr_scheduler.decay_ratio"))
    form = str(settings.value("lr_scheduler.decay_type") or "linear")
    source = (
        settings.source("lr_scheduler.decay_type") if "lr_scheduler.decay_type" in settings.found else ASSUMED
    )
    if ratio is None and form != "sqrt":
        return {**facts, "schedule": Fact(form, "", source)}
    start = steps - round(min(1.0, 1.0 if ratio is None else ratio) * steps)
    facts["decay_start"] = told("decay_start", start, settings.source("lr_scheduler.decay_ratio"))
    return {
        **facts,
        "schedule": Fact("wsd", "", source),
        "decay_form": Fact(FORMS.get(form, form), "", source),
    }


DIALECT = Dialect(
    "torchtitan", FROM_OWN, complete, signs=("training.seq_len", "job.dump_folder", "model.flavor")
)
