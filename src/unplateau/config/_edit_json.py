"""Settings changed in the text of a JSON config: the value alone is replaced, all else stays as it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from ._edit_python import ENDS

SPACE = " \t\r\n"
DECODER = json.JSONDecoder()


def edit(text: str, changes: Mapping[str, Any], was: Mapping[str, Any], eol: str) -> str:
    r"""``text`` with ``changes``; what it does not set is set at the end of its object.

    >>> edit('{"a": 1,\n "b": {"c": 2}}', {"b.c": 3, "d": 0.5}, {}, "\n")
    '{"a": 1,\n "b": {"c": 3},\n "d": 0.5}'
    """
    del was, eol  # JSON has no comments, and its objects end where they end
    for key, value in changes.items():
        new = json.dumps(value, ensure_ascii=False)
        root = _skip(text, 0)
        if (span := find(text, root, key)) is not None:
            text = text[: span[0]] + new + text[span[1] :]
        else:
            text = _added(text, root, key, value)
    return text


def members(text: str, start: int) -> Iterator[tuple[str, int, int, int]]:
    """Of the object at ``start``: each key, where it begins, and where its value begins and ends."""
    i = _skip(text, start + 1)
    while text[i] != "}":
        begins = i
        key, i = scanstring(text, i + 1, True)
        first = _skip(text, _skip(text, i) + 1)
        _, last = DECODER.raw_decode(text, first)
        yield key, begins, first, last
        i = _skip(text, last)
        i = _skip(text, i + 1) if text[i] == "," else i


def find(text: str, start: int, key: str) -> tuple[int, int] | None:
    """Where the value of a dotted key stands; of a key that is told twice, the last, which holds."""
    found = {name: (first, last) for name, _, first, last in members(text, start)}
    if key in found:
        return found[key]
    for name, (first, _) in found.items():
        if key.startswith(f"{name}.") and text[first] == "{":
            return find(text, first, key.removeprefix(f"{name}."))
    return None


def _added(text: str, start: int, key: str, value: Any) -> str:
    rows = list(members(text, start))
    head, dot, rest = key.partition(".")
    inner = {name: first for name, _, first, _ in rows}.get(head)
    if dot and inner is not None and text[inner] == "{":
        return _added(text, inner, rest, value)
    new = f"{json.dumps(head)}: {json.dumps(_nested(rest, value) if dot else value, ensure_ascii=False)}"
    if not rows:
        return f"{text[: start + 1]}{new}{text[start + 1 :]}"
    _, begins, _, last = rows[-1]
    space = text[len(text[:begins].rstrip(SPACE)) : begins]
    space = space if ENDS.search(space) or len(rows) > 1 else " "
    return f"{text[:last]},{space}{new}{text[last:]}"


def _nested(key: str, value: Any) -> Any:
    head, dot, rest = key.partition(".")
    return {head: _nested(rest, value) if dot else value}


def _skip(text: str, i: int) -> int:
    while text[i] in SPACE:
        i += 1
    return i
