"""How much a run of our own trainer evaluates: ``evaluations/plan.json`` of its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import UnreadableError, why
from .run import Fact
from .source import Source

LIMIT = 1 << 20  # bytes of a plan
SPLIT = "val"


def read_plan(path: Path) -> dict[str, Fact]:
    """``eval_tokens``: what one evaluation reads of val; nothing where there is no val.

    Raises ``UnreadableError`` for a file that is no plan.
    """
    import msgspec

    try:
        parts = msgspec.json.decode(Source(path).text(LIMIT))["parts"]
        tokens = sum(_tokens(part) for part in parts if part["split"] == SPLIT)
    except (msgspec.DecodeError, RecursionError, KeyError, TypeError, ValueError) as error:
        raise UnreadableError(f"{path.name} is no plan of evaluations: {why(error)}") from None
    return {"eval_tokens": Fact(tokens, "tokens", f"{path.parent.name}/{path.name}")} if tokens else {}


def _tokens(part: Any) -> int:
    """Of the windows of one part."""
    windows, length = part["windows"], part["block_size"]
    if type(windows) is not int or type(length) is not int or windows < 1 or length < 1:
        raise ValueError(f"{windows!r} windows of {length!r} tokens")
    return windows * length
