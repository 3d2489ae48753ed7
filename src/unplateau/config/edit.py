"""A config's text with other settings: edited in place, checked by reading it again, never run.

Comments, order and arithmetic stay. A setting that would follow a changed one (``decay = steps`` where ``steps`` is
changed) is held at the value that it had, so that the new text differs from the old in ``changes`` and in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isclose
from typing import Any

from ..errors import UnreadableError, UsageError, printable
from . import _edit_flags, _edit_json, _edit_python, _edit_toml, _edit_yaml, parse
from ._dialect import Settings

Edit = Callable[[str, Mapping[str, Any], Mapping[str, Any], str], str]
WRITERS: Mapping[str, Edit] = {
    "python": _edit_python.edit,
    "json": _edit_json.edit,
    "yaml": _edit_yaml.edit,
    "toml": _edit_toml.edit,
    "flags": _edit_flags.edit,
}
ROUNDS = 4  # of holding what follows from what is held; a config has no longer chains
BOM = "\ufeff"
HEADED = ("python", "yaml", "toml", "flags")  # kinds that have comments


def edited(text: str, name: str, changes: Mapping[str, Any], was: Mapping[str, Any] | None = None) -> str:
    r"""``text`` (of a config called ``name``) with ``changes``, own key -> value.

    ``was``: what those settings are where the text does not say it, for the comments. Raises ``UsageError`` where
    the text can't be changed so, ``UnreadableError`` where it is no config.

    >>> print(edited("steps = 100\ndecay = steps // 2\n", "config.py", {"steps": 300}))
    steps = 300  # was 100
    decay = 50  # was steps // 2
    <BLANKLINE>
    """
    mark, body = (BOM, text[1:]) if text.startswith(BOM) else ("", text)
    before, kind = parse(body, name)
    changes = {
        k: v for k, v in changes.items() if not (k in before.found and alike(before.found[k].value, v))
    }
    held: dict[str, Any] = {}
    for _ in range(ROUNDS):
        new = _written(body, kind, {**held, **changes}, was or {}, name)
        after = _again(new, name, kind, changes)
        moved = {
            k: s.value for k, s in before.found.items() if k not in changes and not _kept(k, before, after)
        }
        if not set(moved) - set(held):
            break
        held |= moved
    if wrong := [*moved, *_missing(after, changes), *_surplus(before, after, changes)]:
        raise UsageError(
            f"{name} can't be changed in place: {printable(', '.join(sorted(set(wrong))), 200)} would not be as "
            f"wanted; set {printable(told(changes), 300)} by hand"
        )
    return mark + new


def told(changes: Mapping[str, Any]) -> str:
    """Settings on one line, for people."""
    return ", ".join(f"{key} = {value}" for key, value in changes.items())


def headed(text: str, name: str, lines: Sequence[str]) -> str:
    r"""``text`` under comments; below a line that must be the first. JSON, which has none, as it is.

    >>> headed("#!/bin/sh\nrun --lr 1", "run.sh", ["why"])
    '#!/bin/sh\n# why\nrun --lr 1'
    """
    mark, body = (BOM, text[1:]) if text.startswith(BOM) else ("", text)
    if kind_of(body, name) not in HEADED:
        return text
    eol, first = ending(body), 0
    rows = body.splitlines(keepends=True)
    while first < min(2, len(rows)) and (rows[first].startswith(("#!", "%")) or "coding" in rows[first][:40]):
        first += 1
    comments = [f"# {line}".rstrip() + eol for line in lines]
    return mark + "".join([*rows[:first], *comments, *rows[first:]])


def kind_of(text: str, name: str) -> str:
    """The syntax of a config: python, json, yaml, toml or flags."""
    return parse(text, name)[1]


def ending(text: str) -> str:
    r"""How the lines of ``text`` end: ``\r\n`` where most do."""
    return "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"


def _written(text: str, kind: str, changes: Mapping[str, Any], was: Mapping[str, Any], name: str) -> str:
    try:
        return WRITERS[kind](text, changes, was, ending(text))
    except Exception as error:  # noqa: BLE001 - each syntax has its own; all mean the same
        raise UsageError(
            f"{name} can't be changed in place ({printable(str(error))}); set {told(changes)} by hand"
        ) from None


def _again(text: str, name: str, kind: str, changes: Mapping[str, Any]) -> Settings:
    try:
        after, found = parse(text, name)
    except UnreadableError:
        found = ""
    if found != kind and changes and text.strip():
        raise UsageError(f"{name} has no place for {told(changes)} that can be found; set that by hand")
    return after


def _kept(key: str, before: Settings, after: Settings) -> bool:
    return key in after.found and alike(after.found[key].value, before.found[key].value)


def _missing(after: Settings, changes: Mapping[str, Any]) -> list[str]:
    return [
        k
        for k, v in changes.items()
        if not (_off(k, v, after) or (k in after.found and alike(after.found[k].value, v)))
    ]


def _off(key: str, value: Any, after: Settings) -> bool:
    """True for a switch of a command line that is off by not being there."""
    return value is False and key not in after.found


def _surplus(before: Settings, after: Settings, changes: Mapping[str, Any]) -> list[str]:
    new = [k for k in after.found if k not in before.found and k not in changes]
    return [*new, *(after.unknown - before.unknown)]


def alike(found: Any, wanted: Any) -> bool:
    """True where a value that was read means ``wanted``; a command line has words alone.

    >>> alike("1e-3", 0.001), alike(True, 1), alike([0.9, 0.95], [0.9, 0.95])
    (True, False, True)
    """
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted or (isinstance(found, str) and found.lower() == str(wanted).lower())
    if isinstance(wanted, int | float) and isinstance(found, int | float | str):
        try:
            return isclose(float(found), wanted, rel_tol=1e-12)
        except ValueError:
            return False
    return type(found) is type(wanted) and bool(found == wanted)
