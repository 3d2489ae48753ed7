"""Settings changed in the text of a TOML config: the value alone is replaced, all else stays as it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from ._edit_python import ENDS, appended

BARE = r"(?:[A-Za-z0-9_-]+|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*')"
KEY = re.compile(rf"[ \t]*({BARE}(?:[ \t]*\.[ \t]*{BARE})*)[ \t]*=[ \t]*")
PART = re.compile(BARE)
TABLE = re.compile(
    rf"[ \t]*\[[ \t]*({BARE}(?:[ \t]*\.[ \t]*{BARE})*)[ \t]*\][ \t]*(?:#[^\r\n]*)?(?=[\r\n]|$)"
)
TABLES = re.compile(r"[ \t]*\[\[[^\r\n]*")  # of an array: none of our settings stands there
BLANK = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)+")
STRING = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL)
SCALAR = re.compile(r"[^\s,#\]}]+(?: [^\s,#\]}]+)?")  # a date and its time may have a space between
Path = tuple[str, ...]
Found = Generator[tuple[Path, tuple[int, int]], None, int]


def edit(text: str, changes: Mapping[str, Any], was: Mapping[str, Any], eol: str) -> str:
    r"""``text`` with ``changes``; what it does not set is set below its table's head.

    >>> print(edit("a = 1\n[train]\nlr = 1e-3  # high\n", {"train.lr": 0.5, "train.n": 2, "b": True}, {}, "\n"), end="")
    b = true
    a = 1
    [train]
    n = 2
    lr = 0.5  # high  # was 1e-3
    """
    del was
    for key, value in changes.items():
        path = tuple(key.split("."))
        span = {found: where for found, where in _settings(text) if ".".join(found) == key}
        if span:
            text = _replaced(text, *next(iter(span.values())), written(value))
        else:
            text = _added(text, path, value, eol)
    return text


def written(value: Any) -> str:
    """A value as TOML has it.

    >>> written(1e-05), written(True), written("a b"), written([1, 2])
    ('1e-05', 'true', '"a b"', '[1, 2]')
    """
    return json.dumps(value, ensure_ascii=False)


def _settings(text: str) -> Iterator[tuple[Path, tuple[int, int]]]:
    """The path of each setting, and where its value begins and ends."""
    i, known = 0, True
    table: Path = ()
    while i < len(text):
        if blank := BLANK.match(text, i):
            i = blank.end()
        elif head := TABLES.match(text, i):
            i, known = head.end(), False
        elif head := TABLE.match(text, i):
            i, table, known = head.end(), _path(head[1]), True
        else:
            i = yield from _pair(text, i, table, known=known)


def _pair(text: str, i: int, table: Path, *, known: bool) -> Found:
    key = KEY.match(text, i)
    if key is None:
        raise ValueError(f"no setting at {text[i : i + 20]!r}")
    path = (*table, *_path(key[1]))
    end = yield from _value(text, key.end(), path)
    if known:
        yield path, (key.end(), end)
    return end


def _value(text: str, i: int, path: Path) -> Found:
    """The end of the value at ``i``; on the way, the settings of an inline table."""
    if text[i] in "[{":
        close, inner = "]}"[text[i] == "{"], text[i] == "{"
        i = _past(text, i + 1)
        while text[i] != close:
            i = (
                (yield from _pair(text, i, path, known=True))
                if inner
                else (yield from _value(text, i, (*path, "")))
            )
            i = _past(text, i)
            i = _past(text, i + 1) if text[i] == "," else i
        return i + 1
    match = STRING.match(text, i) or SCALAR.match(text, i)
    if match is None:
        raise ValueError(f"no value at {text[i : i + 20]!r}")
    return match.end()


def _past(text: str, i: int) -> int:
    blank = BLANK.match(text, i)
    return blank.end() if blank else i


def _path(key: str) -> Path:
    return tuple(part[0].strip("\"'") for part in PART.finditer(key))


def _replaced(text: str, start: int, end: int, new: str) -> str:
    old, match = text[start:end], ENDS.search(text, end)
    stop = match.start() if match else len(text)
    rest = text[end:stop].rstrip()
    alone = (not rest or rest.lstrip().startswith("#")) and not ENDS.search(old)
    return (
        f"{text[:start]}{new}{rest}  # was {old}{text[stop:]}"
        if alone
        else f"{text[:start]}{new}{text[end:]}"
    )


def _added(text: str, path: Path, value: Any, eol: str) -> str:
    *table, key = path
    line = f"{key} = {written(value)}"
    if not table:
        return f"{line}{eol}{text}"
    for i in [0, *(match.end() for match in ENDS.finditer(text))]:
        head = TABLE.match(text, i)
        if head and _path(head[1]) == tuple(table):
            return f"{text[: head.end()]}{eol}{line}{text[head.end() :] or eol}"
    if any(found[: len(table)] == tuple(table) for found, _ in _settings(text)):  # by keys with dots
        return f"{'.'.join(path)} = {written(value)}{eol}{text}"
    return appended(text, [f"[{'.'.join(table)}]", line], eol)
