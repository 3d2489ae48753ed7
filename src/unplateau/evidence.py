"""What probes told of a run, as kept in files: ``evidence/PROBE.json``, read by the diagnosis.

{"schema": "unplateau.evidence/1", "probe", "question", "date", "version", "checkpoint": {"step", "sha256"} or null,
"arms": [{"name", "patch", "steps", "run", "loss": EST or null}], "outcome": str,
"told": [{"cause", "fact", "log_odds", "contrast": EST, "effect": EST or null}]}. ``log_odds`` is the natural logarithm of
how many times likelier the contrast is with the cause than without it.
"""

from __future__ import annotations

from dataclasses import dataclass

from .estimate import Estimate

SCHEMA = "unplateau.evidence/1"
FOLDER = "evidence"


@dataclass(frozen=True, slots=True)
class Told:
    """What a probe told of one cause."""

    cause: str
    fact: str
    log_odds: float
    probe: str
    source: str  # the file
    effect: Estimate | None = None
