"""Which of a run's processes this one is."""

from __future__ import annotations

import os
import sys


def first(rank: int | None = None) -> bool:
    """Whether this process is the first of its run: by ``rank``, by torch where it knows, else by torchrun's word."""
    if rank is not None:
        return rank == 0
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return bool(distributed.get_rank() == 0)
    return os.environ.get("RANK", "0") == "0" or os.environ.get("WORLD_SIZE", "1") == "1"
