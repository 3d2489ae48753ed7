"""The text of a mended config: what stands above it, the mark by which it is known again, and its difference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import unified_diff
from hashlib import sha256
from textwrap import wrap

from .config.edit import BOM, headed
from .errors import printable

FIRST = "unplateau fix: "  # begins the first line of what stands above
MARK = "written by unplateau fix, sha256 of what follows: "
HASH = 16  # characters of it; enough to know our own file again
WIDTH = 96  # columns of a comment


def marked(body: str, name: str, head: Sequence[str]) -> str:
    """``body`` under the lines of ``head``, with a mark by which it is known again; JSON has no place for them."""
    rows = [row for line in head for row in _wrapped(line)]
    return headed(body, name, [f"{FIRST}{rows[0]}", *rows[1:], f"{MARK}{_digest(body)}"]) if rows else body


def _digest(body: str) -> str:
    return sha256(body.removeprefix(BOM).encode("utf-8", "replace")).hexdigest()[:HASH]


def _wrapped(line: str) -> list[str]:
    return wrap(
        printable(line, 2000), WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
    )


def ours(text: str) -> bool:
    """True for a text that ``marked`` made and that nobody has changed since.

    >>> ours(marked("a = 1", "config.py", ["why"])), ours(marked("a = 1", "config.py", ["why"]) + "b = 2")
    (True, False)
    """
    parts = _parts(text)
    return parts is not None and _digest(parts[0]) == parts[1]


def unheaded(text: str) -> str:
    """``text`` without the comments that an earlier ``fix`` put above it."""
    parts = _parts(text)
    return text if parts is None else parts[0]


def _parts(text: str) -> tuple[str, str] | None:
    """A marked text without its head, and the mark; None where there is none."""
    head, mark, rest = text.partition(f"# {MARK}")
    above, first, _ = head.partition(f"# {FIRST}")
    if not mark or not first:
        return None
    return above + rest[HASH:].removeprefix("\r").removeprefix("\n"), rest[:HASH]


def diff_of(before: str, after: str, name: str, to: str) -> str:
    """A unified diff, for people and for ``patch``; the whole of ``after`` where there was no file."""
    rows = unified_diff(
        _lines(before),
        _lines(after),
        name or "/dev/null",
        to or name or "mended",
    )
    return "".join(row if row.endswith("\n") else f"{row}\n\\ No newline at end of file\n" for row in rows)


def _lines(text: str) -> list[str]:
    """Lines with their ends; no other character ends one, as ``str.splitlines`` has it."""
    return [row for row in re.split(r"(?<=\n)", text) if row]
