"""The settings of somebody's run, as the config.json of its folder: in their own words, without secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from ..errors import UsageError, printable

DEEPEST = 6  # levels of a nested configuration; deeper ones hold objects, not settings
CONFIG = "config.json"


def plain(config: Any) -> dict[str, Any]:
    """``config`` as JSON holds it: a mapping, a dataclass, argparse's namespace, or what has ``to_dict``.

    What is no number, flag or list is kept as its text; keys that look like secrets are left out. Raises ``UsageError``
    for what has no keys.

    >>> from argparse import Namespace
    >>> from pathlib import Path
    >>> plain(Namespace(lr=3e-4, betas=(0.9, 0.95), out=Path("run"), hub_token="hf_abc"))
    {'lr': 0.0003, 'betas': [0.9, 0.95], 'out': 'run'}
    """
    found = _keyed(config)
    if found is None:
        raise UsageError(
            f"config wants a mapping, a dataclass or a namespace of settings; found a {type(config).__name__}"
        )
    return dict(_pairs(found, DEEPEST))


def _keyed(value: Any) -> Mapping[Any, Any] | None:
    if isinstance(value, Mapping):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if callable(getattr(value, "to_dict", None)) and not isinstance(value, type):
        told = value.to_dict()
        return told if isinstance(told, Mapping) else None
    held = getattr(value, "__dict__", None)
    return held if type(value).__name__ in ("Namespace", "SimpleNamespace") else None


def _pairs(found: Mapping[Any, Any], levels: int) -> list[tuple[str, Any]]:
    from ..config._dialect import kept

    told = [(str(key), value) for key, value in found.items()]
    return [
        (key, _value(value, levels - 1))
        for key, value in told
        if not key.startswith("_") and kept(key, value)
    ]


def _value(value: Any, levels: int) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return value if abs(value) < float("inf") else str(value)
    if levels and isinstance(value, list | tuple | set | frozenset):
        return [_value(one, levels - 1) for one in value]
    if levels and (held := _keyed(value)) is not None:
        return dict(_pairs(held, levels))
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return _value(value.item(), 0)
    return str(getattr(value, "value", value))  # an enum by its value, what is left by its text


def document(settings: Mapping[str, Any]) -> bytes:
    """The bytes of config.json."""
    return json.dumps(settings, indent=1, allow_nan=False, default=str).encode() + b"\n"


def understood(settings: Mapping[str, Any]) -> str:
    """Empty where a trainer's words are found in ``settings``; else a line that says so."""
    from ..config import read_config
    from ..errors import UnreadableError

    try:
        read_config(document(settings).decode(), name=CONFIG)
    except UnreadableError:
        some = printable(", ".join(settings), 120) or "none"
        return (
            f"no setting is known by its name ({some}): the diagnosis goes by the log alone; with nanoGPT's names, "
            "learning_rate, max_iters, batch_size, block_size, n_layer, ..., it tests the settings too"
        )
    return ""
