"""Twins of half and of twice the width, from scratch, on a small part of the tokens, with a whole schedule each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..run import Run
from . import Arm, Normal, Prediction, Probe, Reading, Site, Trial
from ._arms import cost, fresh, measured, noise, peak_of, per_step, rounded, steps_for
from ._ends import end_difference, lower

NAME, CAUSE = "width", "capacity"
SAME, HALF, DOUBLE = "as-it-is", "half", "double"
WARMUP = 0.1  # of an arm's steps
ARMS = 3


def design(run: Run, site: Site) -> Trial | None:
    peak, block, widths = peak_of(run), int(run.get("block_size") or 0), _widths(run)
    steps = steps_for(run, site, ARMS, ARMS)
    if not peak or not steps or not run.has("peak_lr") or widths is None:
        return None
    words = (*measured(site, ARMS, block), *fresh(rounded(peak), steps, max(1, round(WARMUP * steps))))
    arms = tuple(Arm(name, steps, patch, 0, words) for name, patch in widths.items())
    tokens = cost(ARMS * steps * per_step(run), site, ARMS, block)
    return Trial(NAME, "what is twice the width worth", arms, PREDICTIONS, tokens, noise(site, ARMS, block))


def _widths(run: Run) -> dict[str, dict[str, tuple[Any, Any]]] | None:
    """The settings of each twin, key -> (old, new); None where the width is not known, or can't be halved."""
    width, heads = run.get("n_embd"), run.get("n_head")
    if not width or not heads or int(width) % (2 * int(heads)):
        return None
    found: dict[str, dict[str, tuple[Any, Any]]] = {SAME: {}}
    for name, wide in ((HALF, int(width) // 2), (DOUBLE, 2 * int(width))):
        new = {
            "n_embd": wide,
            "mlp_hidden": run.get("mlp_hidden") and round(run.get("mlp_hidden") * wide / width),
        }
        found[name] = {key: (run.get(key), value) for key, value in new.items() if value}
    return found


PREDICTIONS = (
    Prediction(
        CAUSE, Normal(0.1, 0.05), Normal(0.03, 0.03), "with it twice the width wins already on few tokens"
    ),
)


def read(trial: Trial, folders: Mapping[str, Path]) -> tuple[Reading, ...]:
    won = end_difference(folders[SAME], folders[DOUBLE])
    lost = end_difference(folders[SAME], folders[HALF])
    fact = f"{trial.arms[0].steps:,} steps from scratch at twice the width ended {lower(won.value)}, at half {lower(lost.value)}"
    return (Reading(CAUSE, won, fact),)


PROBE = Probe(NAME, (CAUSE,), "is the model too small?", design, read)
