"""Models of another width: how wide a card allows, and how large the tokens ask for."""

from __future__ import annotations

from typing import Any

from ..cost import fits, shape_of
from ..run import Fact, Run

DOUBLE = 2  # times the width: four times the weights of the blocks; more is a plan, not a remedy
LARGEST = 64  # times the width; no counterfactual is asked about a larger model


def wider(run: Run) -> dict[str, Any]:
    """Settings of the widest model, up to twice the width, that trains on the run's card; the batch stays as large.

    Where a micro-batch does not fit, half of it is tried, with twice the accumulation. Where card or shape is not
    known, twice the width; empty where not even the width is.
    """
    width = run.get("n_embd")
    if not width:
        return {}
    card, dtype, batch = run.get("gpu_memory"), run.get("dtype"), run.get("batch_size")
    if shape_of(run) is None or not card or not dtype or not batch or not run.get("block_size"):
        return resized(run, DOUBLE * width)
    for wide in range(DOUBLE * width, width, -head_of(run)):
        for micro, accumulation in micro_batches(run):
            settings = {**resized(run, wide), **micro_batch(run, micro, accumulation)}
            shape = shape_of(changed_shape(run, settings))
            if shape is not None and fits(shape, micro, dtype, card):
                return settings
    return {}


def micro_batches(run: Run) -> list[tuple[int, int | None]]:
    """Sequences of one micro-batch and the accumulation with which a step stays as large: halves, while they divide."""
    batch, accumulation = int(run.get("batch_size")), run.get("gradient_accumulation_steps")
    found = [(batch, accumulation)]
    while accumulation and batch % 2 == 0:
        batch, accumulation = batch // 2, accumulation * 2
        found.append((batch, accumulation))
    return found


def micro_batch(run: Run, micro: int, accumulation: int | None) -> dict[str, Any]:
    """The settings that change for such a micro-batch."""
    if micro == run.get("batch_size"):
        return {}
    return {"batch_size": micro, "gradient_accumulation_steps": accumulation}


def head_of(run: Run) -> int:
    """Width that one head more adds."""
    width, heads = int(run.get("n_embd")), run.get("n_head")
    return width // int(heads) if heads and 0 < heads <= width and width % heads == 0 else width


def resized(run: Run, width: int, layers: int | None = None) -> dict[str, Any]:
    """The settings of a model of ``width``: heads as wide as they were, the MLP in proportion."""
    old, heads = int(run.get("n_embd")), run.get("n_head")
    settings: dict[str, Any] = {"n_embd": width}
    if heads and width // head_of(run):
        settings["n_head"] = max(1, round(heads * width / old))
        if run.get("n_kv_head"):
            settings["n_kv_head"] = max(1, round(run.get("n_kv_head") * width / old))
    if run.get("mlp_hidden"):
        settings["mlp_hidden"] = round(run.get("mlp_hidden") * width / old)
    if layers is not None and layers != run.get("n_layer"):
        settings["n_layer"] = layers
    return settings


def sized(run: Run, params: float) -> dict[str, Any] | None:
    """Settings of the smallest model of at least ``params``, as deep for its width as the run's; None where unknown."""
    shape = shape_of(run)
    if shape is None:
        return None
    for wide in range(shape.n_embd, LARGEST * shape.n_embd, head_of(run)):
        settings = resized(run, wide, max(1, round(shape.n_layer * wide / shape.n_embd)))
        grown = shape_of(changed_shape(run, settings))
        if grown is not None and grown.params >= params:
            return settings
    return None


def changed_shape(run: Run, settings: dict[str, Any]) -> Run:
    """``run`` with another shape, without counting anything else anew."""
    return run.with_facts(**{name: Fact(value) for name, value in settings.items()})
