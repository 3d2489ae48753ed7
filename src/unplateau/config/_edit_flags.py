"""Flags changed in the text of a shell script or a command line: the value alone is replaced, all else stays."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from ._edit_python import ENDS, appended

VALUE = r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s\\-]\S*|-\d\S*|-?\.\d\S*"
ANY = re.compile(rf"(?<!\S)--?[A-Za-z][\w.-]*(?:(?:=|[ \t]+)(?:{VALUE}))?")


def edit(text: str, changes: Mapping[str, Any], was: Mapping[str, Any], eol: str) -> str:
    r"""``text`` with ``changes``; a flag that it does not have follows the last that it has.

    >>> print(edit("run --lr 0.1 \\\n  --steps=9 -e d12\n", {"lr": 0.2, "min_lr": 0.0, "-e": "d24"}, {}, "\n"), end="")
    run --lr 0.2 \
      --steps=9 -e d24 --min-lr=0.0
    """
    del was
    for key, value in changes.items():
        found = list(_flag(key).finditer(text))
        found = [match for match in found if not _comment(text, match.start())]
        if not found:
            text = _added(text, key, value, eol)
        for match in reversed(found[-1:]):  # of a flag that is told twice, the last holds
            text = text[: match.start()] + _again(match, value) + text[match.end() :]
    return text


def written(key: str, value: Any) -> str:
    """A flag and its value, as one types them.

    >>> written("lr_decay_style", "WSD"), written("-q", 0.1), written("bf16", True)
    ('--lr-decay-style=WSD', '-q 0.1', '--bf16')
    """
    if value is True and not key.startswith("-"):
        return f"--{key.replace('_', '-')}"
    word = _quoted(value)
    return f"{key} {word}" if key.startswith("-") else f"--{key.replace('_', '-')}={word}"


def _quoted(value: Any) -> str:
    """A word of a shell, in one pair of quotes at most."""
    word = str(value)
    return '"' + re.sub(r'(["\\\\$`])', r"\\\1", word) + '"' if "'" in word else shlex.quote(word)


def _flag(key: str) -> re.Pattern[str]:
    name = re.escape(key) if key.startswith("-") else "--" + "[-_]".join(map(re.escape, key.split("_")))
    return re.compile(rf"(?<!\S)({name})(?:(=|[ \t]+)({VALUE}))?(?=\s|$)")


def _again(match: re.Match[str], value: Any) -> str:
    if isinstance(value, bool) and match[3] is None:
        return match[1] if value else ""
    return f"{match[1]}{match[2] or ' '}{_quoted(value)}"


def _comment(text: str, place: int) -> bool:
    start = max((end.end() for end in ENDS.finditer(text, 0, place)), default=0)
    return text[start:place].lstrip().startswith("#")


def _added(text: str, key: str, value: Any, eol: str) -> str:
    if value is False:
        return text
    flags = [match for match in ANY.finditer(text) if not _comment(text, match.start())]
    if not flags:
        return appended(text, [written(key, value)], eol)
    end = flags[-1].end()
    return f"{text[:end]} {written(key, value)}{text[end:]}"
