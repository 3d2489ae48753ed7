"""Findings and forecast as the summary of a Weights & Biases run.

Nothing is opened and nothing is sent from here: the values are handed to a run that the user opened, which sends them where it
sends its own; with ``WANDB_MODE=offline`` that is a folder.
"""

from __future__ import annotations

from typing import Any

from ..diagnosis import Diagnosis
from ..errors import UsageError
from ..futures import Forecast
from ..given import kind
from ._findings import shown
from ._shown import Shown


def write(found: Diagnosis, run: Any = None, ahead: Forecast | None = None) -> str:
    """Set ``unplateau/...`` in the summary of ``run``, else of the open run; where they went, in words.

    Raises ``UsageError`` where wandb is missing, or no run is open.
    """
    if run is None:
        try:
            import wandb
        except ImportError:
            raise UsageError("wandb is not installed: pip install wandb") from None
        run = wandb.run
    if run is None:
        raise UsageError("no run of W&B is open; call wandb.init first, or give run=")
    if not hasattr(getattr(run, "summary", None), "update"):
        raise UsageError(f"run= wants a run of W&B, as wandb.init gives it; found {kind(run)}")
    return put(shown(found, ahead), run)


def put(told: Shown, run: Any) -> str:
    """Set the summary of ``run``; where it went, in words."""
    run.summary.update(dict(told.summary))
    return f"the summary of W&B run {getattr(run, 'name', None) or getattr(run, 'id', '')}"
