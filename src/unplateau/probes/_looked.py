"""What the probes that look share: an arm that takes no step and looks closely, and what it wrote down.

The arm is one run of the trainer with ``eval_only`` and ``inspect``; its numbers stand in ``evaluations/inspect.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UnreadableError, printable, why
from ..estimate import Z90, Estimate
from ..run import Run
from . import Arm, Site
from ._paired import F64, UNIT

ARM = "look"
FILE, SCHEMA = "evaluations/inspect.json", "unplateau.inspection/1"
LIMIT = 64 << 20  # bytes; of the most windows it is a tenth
FORWARD = 3  # tokens evaluated cost as much as one trained on
EVALUATED = 4  # splits, at most, that the trainer evaluates besides
WINDOWS, TOKENS = 256, 65_536  # of a split: as many as are wanted, the more of the two
LEAST = 64  # windows of a split; fewer tell nothing
MOST = 1 << 20  # tokens of a split
MOST_WINDOWS = 1 << 15  # of a split


def block_of(run: Run) -> int:
    """The context in tokens; 0 where it is not known."""
    told = run.get("block_size")
    return int(told) if isinstance(told, int | float) and 1 <= told < 1 << 24 else 0


def tokens_for(run: Run, site: Site, passes: float, wanted: int = 0) -> int:
    """Tokens of a split that the budget pays for, where each is read ``passes`` times; 0 where that is too few.

    ``wanted`` is by default ``TOKENS`` or ``WINDOWS`` windows, the more.
    """
    block = block_of(run)
    if not block or site.checkpoint is None:
        return 0
    most = FORWARD * site.tokens / (passes + EVALUATED)
    tokens = int(min(wanted or max(TOKENS, WINDOWS * block), most, MOST, MOST_WINDOWS * block))
    tokens -= tokens % block
    return tokens if tokens >= LEAST * block else 0


def cost(tokens: int, passes: float) -> int:
    """In tokens trained on, of an arm that reads ``tokens`` of a split ``passes`` times."""
    return round(tokens * (passes + EVALUATED) / FORWARD)


def arm(site: Site, part: str, tokens: int) -> Arm:
    """The run as its checkpoint has it, looked at."""
    words = (
        *("--eval_only=True", "--sampling=permutation", "--eval_iters=0", f"--eval_tokens={tokens}"),
        *(f"--inspect={part}", "--checkpoint_interval=0"),
    )
    return Arm(ARM, 0, {}, site.step, words)


def looked(folder: Path, part: str) -> Any:
    """``part`` of what an arm wrote down. Raises ``UnreadableError`` where it is not there, or is damaged."""
    path = folder / FILE
    try:
        with path.open("rb") as file:
            told = json.loads(file.read(LIMIT))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnreadableError(
            f"can't read {path.name} of the arm {printable(folder.name)}: {reason}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{path.name} is damaged ({why(error)}): remove the arm's folder") from None
    if not isinstance(told, dict) or told.get("schema") != SCHEMA or told.get(part) is None:
        raise UnreadableError(
            f"{path.name} of the arm {printable(folder.name)} tells nothing of {part}: remove the arm's folder"
        )
    return told[part]


def number(row: Mapping[str, Any], name: str) -> float:
    """A number of a row, NaN where it is none."""
    value = row.get(name) if isinstance(row, dict) else None
    good = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if good else float("nan")  # type: ignore[arg-type]


def numbers(values: Any) -> F64:
    """An array of numbers, null as NaN. Raises ``UnreadableError`` for anything else."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UnreadableError(f"inspect.json is damaged ({why(error)}): remove the arm's folder") from None


def about(
    value: float, error: float, unit: str = UNIT, *, least: float = -inf, most: float = inf
) -> Estimate:
    """A value with the 90 % interval of a standard error; kept within what the contrast can mean.

    What lies further out tells no more, and two normals can't be told apart by their far tails.

    >>> print(about(0.2, 0.01))
    0.200 nats/token (0.184 to 0.216)
    >>> about(-0.3, 0.01, least=0.0).value
    0.0
    """
    value = min(max(value, least), most)
    return Estimate(value, value - Z90 * error, value + Z90 * error, unit)
