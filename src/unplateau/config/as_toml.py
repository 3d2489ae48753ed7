"""A mended config as the ending of its new file has it: a run's ``config.json`` as a TOML that `unplateau train` takes.

The TOML holds the settings that someone chose, without what follows from them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import UnreadableError, UsageError, printable
from . import KINDS, parse
from ._dialect import Settings
from ._edit_toml import written
from .unplateau import ORIGIN

#: in a run's config.json, and no setting: what follows from the settings, for whoever reads it
FOLLOWS = ("schema", "tokens_per_step", "world_size", "gpu", "gpu_memory")
DEFAULTS = ("default", "preset modern")  # origins of what a TOML that is silent gets as well
MACHINE = (
    "this machine",
    "auto on ",
)  # the start of the origins of what was chosen for the machine of that run
#: written whatever their origin: by default they follow from the length of the run, which may be what is changed
FIXED = ("warmup_steps",)
SYNTAX = {
    "python": "Python",
    "json": "JSON",
    "yaml": "YAML",
    "toml": "TOML",
    "flags": "words of a command line",
}
TOML = ".toml"


def ended_so(body: str, name: str, to: str, was: Mapping[str, Any], *, own: bool) -> tuple[str, str]:
    """``body``, of a config called ``name``, as the ending of the file ``to`` has it; and a name of that syntax.

    ``own``: it is our trainer's; its JSON becomes TOML for ``.toml``, where ``was`` holds what changes, key -> old value.
    Raises ``UsageError`` where it would be read as something else under the name ``to``.
    """
    kind = parse(body, name)[1]
    told = own and kind == "json"
    if told and Path(to).suffix.lower() == TOML:
        return as_toml(body, name, was, was), to
    if _kind(body, to) == kind:
        return body, name
    fit = [*(ending for ending, syntax in KINDS.items() if syntax == kind), *([TOML] if told else [])]
    raise UsageError(
        f"--out {printable(to)}: {printable(name)} is {SYNTAX[kind]}, and would be read otherwise under that name; "
        f"name a file that ends in {' or '.join(fit)}"
    )


def _kind(text: str, name: str) -> str:
    """The syntax that ``text`` would be read in; empty where it could not be read."""
    try:
        return parse(text, name)[1]
    except UnreadableError:
        return ""


def as_toml(text: str, name: str, changed: Collection[str], was: Mapping[str, Any]) -> str:
    r"""The config.json ``text`` as TOML. ``changed``: keys that are written whatever their origin; ``was``: their old values.

    Raises ``UnreadableError`` where it is no config.

    >>> text = '{"schema": "unplateau.config/1", "n_layer": 2, "dropout": 0.0, "origin": {"n_layer": "default"}}'
    >>> print(as_toml(text, "config.json", ["dropout"], {"dropout": 0.5}), end="")
    dropout = 0.0  # was 0.5
    """
    settings, _ = parse(text, name)
    return "".join(f"{line}\n" for line in _lines(settings, changed, was))


def _lines(settings: Settings, changed: Collection[str], was: Mapping[str, Any]) -> Iterator[str]:
    for key, setting in settings.found.items():
        origin = str(settings.value(ORIGIN + key) or "")
        if key in FOLLOWS or key.startswith(ORIGIN) or setting.value is None:
            continue
        if key in changed:
            old = f"  # was {written(was[key])}" if was.get(key) is not None else ""
            yield f"{key} = {written(setting.value)}{old}"
        elif key in FIXED or not (origin in DEFAULTS or origin.startswith(MACHINE)):
            yield f"{key} = {written(setting.value)}"
