"""A remedy's changes in the words of the user's own config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import in_own_words
from ..run import Run


def own_patch(run: Run, patch: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """``patch`` under the keys of the trainer's config; a setting that it has no word for keeps its name.

    >>> from ..run import Fact
    >>> own_patch(Run("r", facts={"config_dialect": Fact("nanogpt")}), {"floor_lr": (1e-4, 0.0)})
    {'min_lr': (0.0001, 0.0)}
    """
    dialect = str(run.get("config_dialect", ""))
    out: dict[str, tuple[Any, Any]] = {}
    for name, (old, new) in patch.items():
        # one at a time: several canonical settings may share a key
        told = in_own_words(dialect, {name: new}) or {name: new}
        was = in_own_words(dialect, {name: old}) if old is not None else {}
        out |= {key: (was.get(key, old), value) for key, value in told.items()}
    return out
