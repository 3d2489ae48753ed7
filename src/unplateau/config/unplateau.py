"""unplateau's own config.json: the words of VOCABULARY themselves, and settings of the trainer that are no facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..facts import VOCABULARY
from ._dialect import Dialect, Facts, Settings, told, total

#: what no setting says: it follows from others, or is measured
MEASURED = ("eval_windows", "eval_error", "eval_text_error")
FROM_OWN = {name: name for name in VOCABULARY if not name.startswith("config_") and name not in MEASURED}
TO_OWN = dict(FROM_OWN)
#: of the trainer alone: what a run does for its user, not what its loss follows from; and where settings came from
APART = (
    *("schema", "positions", "document_mask", "ema", "eval_only"),
    *("checkpoint_interval", "keep_every", "nanogpt_ckpt", "huggingface", "on_nan", "log_style"),
    *("tensorboard", "wandb", "wandb_project", "trackio", "parallel"),
    *("attention", "matmul", "inspect"),
)
ORIGIN = "origin."  # the start of the keys that say where each setting came from


def complete(facts: Facts, settings: Settings) -> Facts:
    """Whether evaluations read the same windows each time; what is no fact is not left over."""
    if (sampling := settings.value("sampling")) is not None:
        drawn = sampling == "nanogpt" and settings.value("eval_iters")
        facts["eval_windows"] = told(
            "eval_windows", "drawn" if drawn else "fixed", settings.source("sampling")
        )
    for key in [key for key in settings.found if key in APART or key.startswith(ORIGIN)]:
        del settings.found[key]
    return facts


def spell(wanted: Mapping[str, Any], facts: Facts, settings: Settings) -> dict[str, dict[str, Any]]:
    """What a run's own file repeats of the batch follows it."""
    tokens = total(wanted, facts, tokens=True)
    if not tokens or "tokens_per_step" not in settings.found:
        return {}
    parts = [name for name in ("batch_size", "gradient_accumulation_steps", "block_size") if name in wanted]
    return {name: {name: wanted[name], "tokens_per_step": tokens} for name in parts}


DIALECT = Dialect(
    "unplateau",
    FROM_OWN,
    complete,
    spell=spell,
    signs=("peak_lr", "floor_lr", "warmup_steps", "decay_end", "tokens_per_step"),
)
