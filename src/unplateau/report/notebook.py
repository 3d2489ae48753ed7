"""Lets a run, a diagnosis and a forecast show themselves in notebooks (faces.py), where they are used in one.

The facts of a run know nothing of pictures; ``install`` gives the classes that are loaded a face, and loads nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

#: a class, and where it is defined -> the function of faces.py that shows it
FACES = {
    ("unplateau.run", "Run"): "run",
    ("unplateau.diagnosis", "Diagnosis"): "diagnosis",
    ("unplateau.futures", "Forecast"): "forecast",
}
METHOD = "_repr_html_"  # what IPython, Jupyter and those after them look for


def install() -> None:
    """Let the classes that are loaded so far show themselves; those that are not yet, at the next call."""
    for (module, name), face in FACES.items():
        if module in sys.modules and (shown := getattr(sys.modules[module], name, None)) is not None:
            setattr(shown, METHOD, _method(face))


def _method(face: str) -> Callable[[Any], str]:
    def shown(value: Any) -> str:
        return str(getattr(import_module(".faces", __package__), face)(value))

    shown.__doc__ = "The value as HTML, for notebooks."
    return shown
