"""What was timed on this machine, kept in the user's cache folder. It may be lost at any time; then it is timed again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..durable import write_durably
from ..errors import UnplateauError

FILE = "timings.json"
SCHEMA = "unplateau.timings/1"
MANY = 200  # entries kept, the newest
LIMIT = 1 << 20  # bytes read of it


def place() -> Path:
    """``$XDG_CACHE_HOME/unplateau/timings.json``, of the user's ``.cache`` where that is not set."""
    told = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = told if told.is_absolute() else Path("~/.cache").expanduser()
    return base / "unplateau" / FILE


def read(key: str) -> dict[str, Any]:
    """What was written under ``key``; empty where nothing was, or the file is damaged."""
    found = _all().get(key)
    return dict(found) if isinstance(found, dict) else {}


def write(key: str, told: Mapping[str, Any]) -> None:
    """Keep ``told`` under ``key``; a folder that can't be written keeps nothing."""
    entries = {k: v for k, v in _all().items() if k != key} | {key: dict(told)}
    newest = dict(list(entries.items())[-MANY:])
    data = json.dumps({"schema": SCHEMA, "timings": newest}, indent=1).encode() + b"\n"
    with suppress(OSError, UnplateauError):
        place().parent.mkdir(parents=True, exist_ok=True)
        write_durably(place(), data)


def _all() -> dict[str, Any]:
    try:
        with place().open("rb") as file:
            told = json.loads(file.read(LIMIT))
        found = told["timings"] if told["schema"] == SCHEMA else {}
    except (OSError, ValueError, TypeError, KeyError, RecursionError, RuntimeError):
        return {}
    return found if isinstance(found, dict) else {}
