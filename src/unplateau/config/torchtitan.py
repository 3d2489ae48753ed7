"""torchtitan: TOML with tables [model], [optimizer], [lr_scheduler], [training]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..run import Fact
from ._dialect import Dialect, Facts, Settings, as_kind, told, total, value_of

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


def spell(wanted: Mapping[str, Any], facts: Facts, settings: Settings) -> dict[str, dict[str, Any]]:
    """A batch over all devices, a floor as a share of the peak, a decay as a share of the steps."""
    out: dict[str, dict[str, Any]] = {}
    rows = total(wanted, facts)
    if rows and {"batch_size", "gradient_accumulation_steps"} & set(wanted):
        out["gradient_accumulation_steps"] = {"training.global_batch_size": rows}
        if "batch_size" in wanted:
            key = "training.local_batch_size"
            key = "training.batch_size" if "training.batch_size" in settings.found else key
            out["batch_size"] = {key: wanted["batch_size"], "training.global_batch_size": rows}
    peak, floor = (value_of(name, wanted, facts) for name in ("peak_lr", "floor_lr"))
    if peak and floor is not None and {"peak_lr", "floor_lr"} & set(wanted):
        old = "lr_scheduler.lr_min" in settings.found
        share = {"lr_scheduler.lr_min" if old else "lr_scheduler.min_lr_factor": floor / peak}
        out["floor_lr"] = share
        out["peak_lr"] = {"optimizer.lr": peak} | (share if floor else {})
    return out | _spelled_schedule(wanted, facts)


def _spelled_schedule(wanted: Mapping[str, Any], facts: Facts) -> dict[str, dict[str, Any]]:
    names = ("schedule", "decay_start", "decay_form", "max_steps")
    kind, start, form, steps = (value_of(name, wanted, facts) for name in names)
    if not set(names) & set(wanted) or not kind:
        return {}
    own: dict[str, Any] = {}
    if kind == "wsd" and start is not None and steps and start < steps:
        words = {told: word for word, told in FORMS.items()}
        own = {"lr_scheduler.decay_ratio": (steps - start) / steps}
        own |= {"lr_scheduler.decay_type": words.get(form, "linear")} if form else {}
    elif kind in ("linear", "cosine") and "schedule" in wanted:
        own = {"lr_scheduler.decay_type": kind}
    out = {name: own for name in names[:3] if name in wanted and own}
    return out | ({"max_steps": {"training.steps": steps, **own}} if "max_steps" in wanted else {})


DIALECT = Dialect(
    "torchtitan",
    FROM_OWN,
    complete,
    spell=spell,
    signs=("training.seq_len", "job.dump_folder", "model.flavor"),
)
