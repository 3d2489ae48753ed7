"""unplateau's own config.json: the words of VOCABULARY themselves."""

from __future__ import annotations

from ..facts import VOCABULARY
from ._dialect import Dialect

FROM_OWN = {name: name for name in VOCABULARY if not name.startswith("config_")}
TO_OWN = dict(FROM_OWN)
DIALECT = Dialect(
    "unplateau", FROM_OWN, signs=("peak_lr", "floor_lr", "warmup_steps", "decay_end", "tokens_per_step")
)
