"""JSON of strangers: bounded, cleaned of a terminal's colours, and never a traceback."""

from __future__ import annotations

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Any

from ..errors import UnreadableError
from ..source import Source

DOCUMENT = 64 << 20  # bytes of one JSON document; trainer_state.json of 100,000 records has 20 MiB
LINE = 1 << 20  # characters of one object on a line
DECODER = json.JSONDecoder()
SPACE, SPACE_COMMA = re.compile(r"[\s\ufeff]*"), re.compile(r"[\s,]*")


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


def values_in(source: Source) -> Iterator[Any]:
    """The values of a file that is one JSON list, one after the other, in the memory of a few.

    Where the file is cut or damaged, those before; ``source.notes`` says so.
    """
    text, begun, held = _Text(source), False, 0
    rest, at = "", 0
    while True:
        at = _after(SPACE_COMMA if begun else SPACE, rest, at)
        if not begun and rest[at : at + 1] == "[":
            begun, at = True, at + 1
        elif rest[at : at + 1] == "]":
            return
        elif (found := _value_at(rest, at)) is not None:
            held, at = held + 1, found[1]
            yield found[0]
        elif len(rest) - at <= LINE and (more := text.more()):
            rest, at = rest[at:] + more, 0
        else:
            break
    note = f"{source.name} is cut or damaged after {held:,} values of its list"
    if note not in source.notes:
        source.notes.append(note)


def _value_at(text: str, at: int) -> tuple[Any, int] | None:
    """A value and its end, or None where it is not whole: a number at the end of the text may go on."""
    try:
        value, end = DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None
    return None if end == len(text) else (value, end)


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


class _Text:
    """The clean text of a source, piece by piece; empty at its end."""

    def __init__(self, source: Source) -> None:
        self._pieces = source.pieces()
        self._decoder = getincrementaldecoder("utf-8")("replace")

    def more(self) -> str:
        for piece in self._pieces:
            if text := self._decoder.decode(piece.data):
                return text
        return ""


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
