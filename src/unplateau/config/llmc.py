"""llm.c: the flags of train_gpt2cu."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..run import Fact
from ._dialect import Dialect, Facts, Settings, as_kind, told, total, value_of

FROM_OWN = {
    "-b": "batch_size",
    "-t": "block_size",
    "-d": "tokens_per_step",
    "-l": "peak_lr",
    "-u": "warmup_steps",
    "-x": "max_steps",
    "-c": "weight_decay",
    "-v": "eval_interval",
    "-m": "eval_iters",
    "-i": "dataset",
    "-o": "out_dir",
    "-e": "init_from",
    "-q": "",
    "-k": "",
    "-s": "",
    "-n": "",
    "-z": "",
    "-r": "",
    "-h": "",
    "-y": "",
    "-j": "",
    "-sl": "",
    "-sg": "",
}
TO_OWN = {**{name: key for key, name in FROM_OWN.items() if name}, "schedule": "-k"}
ASSUMED = "assumed: llm.c's default"
#: train_gpt2.cu, error_usage and main
DEFAULTS: dict[str, Any] = {
    "batch_size": 4,
    "block_size": 1024,
    "peak_lr": 3e-4,
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "eval_interval": 20,
    "eval_iters": 20,
    "beta1": 0.9,
    "beta2": 0.95,
    "grad_clip": 1.0,
    "optimizer": "adamw",
    "dropout": 0.0,
}
WIDTHS = {
    6: 384,
    12: 768,
    24: 1024,
    36: 1280,
    48: 1600,
    60: 1920,
    72: 2880,
    84: 3456,
}  # of -e d12 and its like
HEADS = {384: 6, 768: 12, 1024: 16, 1280: 20, 1600: 25, 1920: 30, 2880: 30, 3456: 48}
VOCAB = 50257  # GPT-2's; the padding of llm.c is not trained


def complete(facts: Facts, settings: Settings) -> Facts:
    """Defaults, the model by its depth, the schedule, and the accumulation that the total batch needs."""
    facts = dict(facts)
    for name, value in DEFAULTS.items():
        facts.setdefault(name, told(name, value, ASSUMED))
    facts = _model(facts, settings)
    share = as_kind("floor_lr", settings.value("-q"))
    source = settings.source("-q") if share is not None else ASSUMED
    facts["floor_lr"] = told(
        "floor_lr",
        (1.0 if share is None and "-q" in settings.found else share or 0.0) * facts["peak_lr"].value,
        source,
    )
    name = settings.value("-k") or "cosine"
    facts["schedule"] = Fact(str(name), "", settings.source("-k") if "-k" in settings.found else ASSUMED)
    if "tokens_per_step" in facts:
        micro = facts["batch_size"].value * facts["block_size"].value
        if facts["tokens_per_step"].value % micro == 0:
            steps = facts["tokens_per_step"].value // micro
            facts["gradient_accumulation_steps"] = told(
                "gradient_accumulation_steps", steps, settings.source("-d")
            )
    return facts


def _model(facts: Facts, settings: Settings) -> Facts:
    match = re.fullmatch(r"d(\d{1,3})", str(settings.value("-e") or ""))
    width = WIDTHS.get(int(match[1])) if match else None
    if match is None or width is None:
        return facts
    source = settings.source("-e")
    shape = {
        "n_layer": int(match[1]),
        "n_embd": width,
        "n_head": HEADS[width],
        "vocab_size": VOCAB,
        "bias": True,
    }
    facts |= {name: told(name, value, source) for name, value in shape.items()}
    fixed = {"architecture": "gpt2", "tied": True, "init_from": "scratch"}
    return {**facts, **{name: Fact(value, "", source) for name, value in fixed.items()}}


def spell(wanted: Mapping[str, Any], facts: Facts, settings: Settings) -> dict[str, dict[str, Any]]:
    """A batch in tokens, a floor as a share of the peak, a shape by its depth."""
    del settings
    out: dict[str, dict[str, Any]] = {}
    tokens = total(wanted, facts, tokens=True)
    if tokens and "gradient_accumulation_steps" in wanted:
        out["gradient_accumulation_steps"] = {"-d": tokens}
    for name, key in (("batch_size", "-b"), ("block_size", "-t")):
        if tokens and name in wanted:
            out[name] = {key: wanted[name], "-d": tokens}
    peak, floor = (value_of(name, wanted, facts) for name in ("peak_lr", "floor_lr"))
    if peak and floor is not None and {"peak_lr", "floor_lr"} & set(wanted):
        out["floor_lr"] = {"-q": floor / peak}
        out["peak_lr"] = {"-l": peak} | ({"-q": floor / peak} if floor else {})
    depth, width, heads = (value_of(name, wanted, facts) for name in ("n_layer", "n_embd", "n_head"))
    if depth in WIDTHS and WIDTHS[depth] == width and HEADS[width] == heads:
        out |= {name: {"-e": f"d{depth}"} for name in ("n_layer", "n_embd", "n_head") if name in wanted}
    return out


DIALECT = Dialect("llmc", FROM_OWN, complete, spell=spell)
