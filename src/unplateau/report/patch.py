"""A remedy's changes in the words of the user's own config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import in_own_words
from ..config.spelling import SCHEDULE, sayable
from ..run import Run

#: settings of the learning rate: a trainer without a word for one can't do it
TRAINERS = (
    SCHEDULE,
    "decay_start",
    "decay_form",
    "decay_end",
    "floor_lr",
    "warmup_steps",
    "peak_lr",
    "max_steps",
)


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
        told = {} if name == SCHEDULE and not sayable(dialect, new) else in_own_words(dialect, {name: new})
        told = told or {name: new}
        was = in_own_words(dialect, {name: old}) if old is not None else {}
        out |= {key: (was.get(key, old), value) for key, value in told.items()}
    return out


def unsayable(run: Run, patch: Mapping[str, tuple[Any, Any]]) -> str:
    """What of ``patch`` the user's trainer has no setting for; empty where it has one for each, or is not known.

    >>> from ..run import Fact
    >>> unsayable(Run("r", facts={"config_dialect": Fact("nanogpt")}), {"schedule": ("cosine", "wsd")})
    'nanogpt has no setting for schedule = wsd: its code must be changed'
    """
    dialect = str(run.get("config_dialect", ""))
    if not in_own_words(dialect, {"max_steps": 1}):
        return ""
    unsaid = [
        f"{name} = {new}" if name == SCHEDULE else name
        for name, (_, new) in patch.items()
        if (name == SCHEDULE and not sayable(dialect, new))
        or (name in TRAINERS and not in_own_words(dialect, {name: new}))
    ]
    return f"{dialect} has no setting for {', '.join(unsaid)}: its code must be changed" if unsaid else ""
