"""A remedy's changes in the words of the user's own config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import in_own_words
from ..config.spelling import SCHEDULE, sayable
from ..errors import printable
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


def in_a_line(run: Run, patch: Mapping[str, tuple[Any, Any]]) -> str:
    """``patch`` in the words of the user's config, with what stands there now.

    >>> in_a_line(Run("r"), {"dropout": (0.1, 0.0), "z_loss": (None, 1e-4)})
    'dropout = 0 (was 0.1), z_loss = 0.0001'
    """
    return ", ".join(
        f"{key} = {setting(new)}" + (f" (was {setting(old)})" if old is not None else "")
        for key, (old, new) in own_patch(run, patch).items()
    )


def setting(value: object) -> str:
    """A setting as one writes it in a config.

    >>> setting(1e-4), setting(None), setting(20000), setting("cosine")
    ('0.0001', 'unset', '20000', 'cosine')
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    return "unset" if value is None else printable(str(value), 60)
