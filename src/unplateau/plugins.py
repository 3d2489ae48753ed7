"""Plug-ins: one value per module, found by walking a package, then by entry points of the same name."""

from __future__ import annotations

import pkgutil
import sys
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

#: each family: the package that holds it (also the entry-point group), and the name a module exports
FAMILIES = {
    "readers": ("unplateau.readers", "READER"),
    "hypotheses": ("unplateau.hypotheses", "HYPOTHESIS"),
    "schedules": ("unplateau.schedules", "SCHEDULE"),
    "laws": ("unplateau.laws", "LAW"),
    "probes": ("unplateau.probes", "PROBE"),
    "models": ("unplateau.train.models", "MODEL"),
}


def discover(family: str) -> dict[str, Any]:
    """Collect the plug-ins of one family, by name.

    A module whose name starts with an underscore is a helper, not a plug-in. Third parties add an
    entry point to the group ``unplateau.<family>``. Raises ``ValueError`` when two share a name.

    >>> sorted(discover("schedules"))[:2]
    ['constant', 'cosine']
    """
    package, export = FAMILIES[family]
    names = sorted(m.name for m in pkgutil.iter_modules(_folder(package)) if m.name[0] != "_")
    found = [getattr(import_module(f"{package}.{name}"), export) for name in names]
    found += [entry.load() for entry in _installed(tuple(sys.path)).select(group=f"unplateau.{family}")]
    by_name = {plugin.name: plugin for plugin in found}
    if len(by_name) < len(found):
        raise ValueError(f"two plug-ins of {package} share a name: {[p.name for p in found]}")
    return by_name


@lru_cache(maxsize=1)
def _installed(path: tuple[str, ...]) -> Any:  # noqa: ARG001 - of another type in each version of Python
    """All entry points below ``sys.path``. To find them opens a file of each package: .2 s of a diagnosis, where 170 are installed."""
    return entry_points()


def _folder(package: str) -> list[str]:
    """Where a family's modules lie; nowhere for one whose part of the package is not there (training)."""
    try:
        return list(import_module(package).__path__)
    except ModuleNotFoundError as error:
        if error.name is not None and package.startswith(error.name):
            return []
        raise
