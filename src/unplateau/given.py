"""What somebody's code gave to a function of ours: of the kind that is wanted, or one line that says what is.

The command line has click for this; these are for Python, where anything may be given.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from math import isfinite
from operator import index
from pathlib import Path
from typing import Any

from .errors import UsageError, printable

LONGEST = 255  # bytes of a file's name: NAME_MAX of Linux, macOS and Windows


def kind(value: object) -> str:
    """What a value is, with its article, for the end of a message.

    >>> kind(3), kind([]), kind(None), kind("")
    ('an int', 'an empty list', 'None', 'an empty text')
    """
    if value is None:
        return "None"
    name = "text" if isinstance(value, str) else type(value).__name__
    if isinstance(value, str | bytes | list | tuple | dict | set) and not value:
        return f"an empty {name}"
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {printable(name, 40)}"


def is_path(value: object) -> bool:
    """Whether it is a path as Python has them: a text or a ``pathlib.Path``, not bytes.

    >>> is_path("train.log"), is_path(Path("run")), is_path(b"train.log"), is_path("")
    (True, True, False, False)
    """
    if isinstance(value, str):
        return bool(value) and "\0" not in value
    return isinstance(value, os.PathLike) and is_path(os.fspath(value))


def path(value: object, word: str) -> Path:
    """``value`` as a path; ``word``: the argument's name.

    >>> path(3, "file")
    Traceback (most recent call last):
    unplateau.errors.UsageError: file wants a path; found an int
    """
    if not is_path(value):
        raise UsageError(f"{word} wants a path; found {kind(value)}")
    found = Path(value)  # type: ignore[arg-type] # is_path has looked
    if (size := max((len(os.fsencode(part)) for part in found.parts), default=0)) > LONGEST:
        raise UsageError(f"{word} wants a path; found a name of {size:,} bytes, and systems take {LONGEST}")
    return found


def path_or_none(value: object, word: str) -> Path | None:
    """The same; None and an empty text are none."""
    return None if value is None or value == "" else path(value, word)


def paths(value: object, word: str) -> list[Path]:
    """Some paths; a single one is taken as a list of it.

    >>> paths("probe-1", "evidence") == paths(["probe-1"], "evidence")
    True
    """
    if is_path(value):
        return [path(value, word)]
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise UsageError(f"{word} wants a list of paths; found {kind(value)}")
    return [path(one, word) for one in value]


def whole(value: object, word: str, least: int) -> int:
    """A whole number of Python's or numpy's, ``least`` or above.

    >>> whole(2.5, "width", 20)
    Traceback (most recent call last):
    unplateau.errors.UsageError: width wants a whole number, 20 or above; found a float
    """
    try:
        found = None if isinstance(value, bool) else index(value)  # type: ignore[arg-type] # asked here
    except TypeError:
        found = None
    if found is None or found < least:
        told = kind(value) if found is None else str(found)
        raise UsageError(f"{word} wants a whole number, {least} or above; found {told}")
    return found


def number(value: object, word: str) -> float:
    """A finite number of Python's or numpy's, 0 or above.

    >>> number("3", "wait")
    Traceback (most recent call last):
    unplateau.errors.UsageError: wait wants a number, 0 or above; found a text
    """
    try:
        found = None if isinstance(value, bool | str | bytes) else float(value)  # type: ignore[arg-type] # asked here
    except (TypeError, ValueError, OverflowError):
        found = None
    if found is None or not isfinite(found) or found < 0:
        told = kind(value) if found is None else f"{found:g}"
        raise UsageError(f"{word} wants a number, 0 or above; found {told}")
    return found


def mapping(value: object, word: str, of: str) -> Mapping[Any, Any]:
    """A mapping; ``of``: what to what.

    >>> mapping(["val_loss"], "columns", "a series to its column")
    Traceback (most recent call last):
    unplateau.errors.UsageError: columns wants a mapping of a series to its column; found a list
    """
    if not isinstance(value, Mapping):
        raise UsageError(f"{word} wants a mapping of {of}; found {kind(value)}")
    return value


def names(value: object, word: str) -> tuple[str, ...]:
    """A name, or several.

    >>> names("flat", "stop_on"), names(["flat", "rising"], "stop_on")
    (('flat',), ('flat', 'rising'))
    """
    found = (value,) if isinstance(value, str) else value
    if isinstance(found, bytes) or not isinstance(found, Iterable):
        raise UsageError(f"{word} wants a name or a list of them; found {kind(value)}")
    told = tuple(found)
    for one in told:
        if not isinstance(one, str):
            raise UsageError(f"{word} wants names; found {kind(one)} among them")
    return told


def of_class(value: object, *names: str) -> str:
    """The name of the class of ``value``, one of ``names``; asked so, no class is loaded for it.

    >>> of_class({}, "Run", "Diagnosis", "NoneType")
    Traceback (most recent call last):
    unplateau.errors.UsageError: expected a Run or a Diagnosis; found an empty dict
    """
    name = type(value).__name__
    if name not in names:
        *others, last = [f"a {one}" for one in names if one != "NoneType"]
        told = f"{', '.join(others)} or {last}" if others else last
        raise UsageError(f"expected {told}; found {kind(value)}")
    return name
