"""In which settings runs differ: of their configs, and of their data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .config import in_own_words
from .outlook import SETTINGS
from .run import Run

#: what is known of the text, and of how it was cut into tokens and splits
TEXT = (
    "dataset",
    "tokenizer",
    "vocab_size",
    "bytes_per_token",
    "train_tokens",
    "unique_tokens",
    "val_tokens",
)
#: facts of SETTINGS that a run met with, or that are counted from its data: nobody set them
MET = frozenset(
    {
        *("bigram_entropy", "unigram_entropy", "duplicate_share", "near_looked_for", "order_divergence"),
        *(
            "order_divergence_chance",
            "val_contiguous",
            "val_divergence",
            "val_divergence_chance",
            "val_documents",
        ),
        *("val_renumbered", "val_renumbered_chance", "val_offset", "random_share"),
        *("val_gap", "val_gap_error", "val_overlap", "source_tokens", "final_quantised_loss", "loss_scale"),
        *("resumed_after", "resumed_at", "schedule_before", "skipped_steps", "step_unit", "init_from"),
        *("eval_modes_equal", "char_level"),
        # what the newest checkpoint shows: a run that went further has another
        *("weights_step", "weights_still", "weights_moved", "weights_unclear", "weights_counted"),
        *("optimizer_steps", "optimizer_saved"),
    }
)
MADE = (*sorted(SETTINGS - MET - set(TEXT)), "eval_iters", "seed")


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting in which runs differ. ``values``: one a run, None where it is not known."""

    name: str  # in the trainer's own words where all runs are of one trainer
    values: tuple[Any, ...]
    canonical: str


def differing(runs: Sequence[Run], names: Sequence[str] = (*MADE, *TEXT)) -> tuple[Setting, ...]:
    """Those of ``names`` that are known of two runs or more, and not the same in all that know them."""
    found = []
    for name in names:
        values = tuple(run.get(name) for run in runs)
        known = [value for value in values if value is not None]
        if any(value != known[0] for value in known):
            found.append(Setting(*_named(runs, name, values), name))
    return tuple(found)


def _named(runs: Sequence[Run], name: str, values: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """The trainer's own key and values, where all have one trainer and it has one key for it."""
    dialects = {str(run.get("config_dialect", "")) for run in runs}
    dialect = dialects.pop() if len(dialects) == 1 else ""
    told = [in_own_words(dialect, {name: value}) if value is not None else {} for value in values]
    keys = {key for one in told for key in one}
    if len(keys) != 1 or len({one.get(key) for one in told for key in keys}) < 2:
        return name, values
    key = keys.pop()
    return key, tuple(one.get(key) for one in told)


def in_words(run: Run) -> Mapping[str, Any]:
    """The settings of ``run`` under the keys of its own config, and under ours."""
    dialect = str(run.get("config_dialect", ""))
    ours = {name: run.get(name) for name in MADE if run.get(name) is not None}
    own = {
        key: value
        for name, value in ours.items()
        for key, value in in_own_words(dialect, {name: value}).items()
    }
    return {**ours, **own}
