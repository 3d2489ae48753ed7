"""JSON of strangers: bounded, cleaned of a terminal's colours, and never a traceback."""

from __future__ import annotations

import json
from typing import Any

from ..errors import UnreadableError
from ..source import Source

DOCUMENT = 64 << 20  # bytes of one JSON document; trainer_state.json of 100,000 records has 20 MiB
LINE = 1 << 20  # characters of one object on a line


def document(source: Source) -> str:
    """The whole file as clean text; raises ``UnreadableError`` past ``DOCUMENT`` bytes."""
    parts, size = [], 0
    for piece in source.pieces():
        parts.append(piece.data)
        size += len(piece.data)
        if size > DOCUMENT:
            raise UnreadableError(f"{source.name} is a JSON document of more than {DOCUMENT >> 20} MiB")
    return b"".join(parts).decode("utf-8", "replace").removeprefix("\ufeff")


def value_of(text: str) -> Any:
    """The value that ``text`` holds, or None where it is no JSON.

    >>> value_of('{"a": NaN}'), value_of("{"), value_of("[" * 100_000)
    ({'a': nan}, None, None)
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def object_of(line: str) -> dict[str, Any] | None:
    """The object on one line, or None.

    >>> object_of('{"step": 1}'), object_of("[1]"), object_of('{"step": 1')
    ({'step': 1}, None, None)
    """
    line = line.strip()
    if not line.startswith("{") or len(line) > LINE:
        return None
    value = value_of(line)
    return value if isinstance(value, dict) else None


def whole_objects(text: str, start: int) -> list[Any]:
    """The objects of a list that begins at ``start``, up to where the text is cut or damaged.

    >>> whole_objects('[{"a": 1}, {"a": 2}, {"a"', 0)
    [{'a': 1}, {'a': 2}]
    """
    decode, found = json.JSONDecoder().raw_decode, []
    at = text.find("{", text.find("[", start) + 1)
    while at >= 0:
        try:
            value, end = decode(text, at)
        except (ValueError, RecursionError):
            break
        found.append(value)
        at = text.find("{", end) if text[end : end + 200].lstrip().startswith(",") else -1
    return found
