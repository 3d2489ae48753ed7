"""From settings to a shape that can be built, or one line of why not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import UsageError
from ...shape import Shape
from ..settings import Settings


def shape_of(settings: Settings, positions: Sequence[str], **family: Any) -> Shape:
    """The shape that ``settings`` ask for, of an architecture that has ``positions`` (its own first) and ``family``.

    Raises ``UsageError`` for widths that can't be built.

    >>> settings = Settings(n_layer=2, n_embd=64, n_head=4, vocab_size=65)
    >>> shape_of(settings, ("rope",), norm_weights=0).params
    102464
    """
    place = settings.positions or positions[0]
    if place not in positions:
        raise UsageError(
            f"{settings.architecture} has no positions {place!r}; it has {', '.join(positions)} (--positions)"
        )
    told = {
        "n_layer": settings.n_layer,
        "n_embd": settings.n_embd,
        "n_head": settings.n_head,
        "vocab_size": settings.vocab_size,
        "block_size": settings.block_size,
        "n_kv_head": settings.n_kv_head or None,
        "mlp_hidden": settings.mlp_hidden or None,
        "tied": settings.tied,
        "learned_positions": place == "learned",
    }
    shape = Shape(**{**told, **family})
    _check(shape, place)
    return shape


def _check(shape: Shape, positions: str) -> None:
    for name in ("n_layer", "n_embd", "n_head", "vocab_size", "block_size"):
        if getattr(shape, name) < 1:
            raise UsageError(f"{name} is {getattr(shape, name)}; a model needs at least 1")
    keys = shape.n_kv_head or shape.n_head
    if shape.n_embd % shape.n_head:
        raise UsageError(f"n_embd {shape.n_embd} is no multiple of n_head {shape.n_head}")
    if shape.n_head % keys:
        raise UsageError(f"n_head {shape.n_head} is no multiple of n_kv_head {keys}")
    if positions == "rope" and shape.head_width % 2:
        raise UsageError(
            f"a head of width {shape.head_width} (n_embd {shape.n_embd} / n_head {shape.n_head}) can't be "
            "rotated: rope needs an even one"
        )
