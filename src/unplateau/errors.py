"""What goes wrong for a reason that the user can mend: one line each, and the exit code it deserves."""

from __future__ import annotations


class UnplateauError(Exception):
    """A mistake that deserves one clear line instead of a traceback.

    The message says what was found, what was expected, and what to do.
    """

    exit_code = 3


class UnreadableError(UnplateauError):
    """The input can't be read: no such file, no losses in it, no reader for it, too large once unpacked."""


class UsageError(UnplateauError):
    """The command was called wrongly: an unknown cause, a bad ``--map``, an impossible step."""

    exit_code = 2


class StoppedError(UnplateauError):
    """The user, or the system in his name, ended it; all that was finished is kept."""

    exit_code = 4


class ElsewhereError(UnplateauError):
    """What went wrong is said by another process of the same run; this one ends without a word."""


def why(error: Exception, limit: int = 120) -> str:
    r"""A library's words on one line, without control characters, cut at the end of one.

    >>> why(ValueError("expected a key\n  in line 3"), limit=18)
    'expected a key …'
    """
    from textwrap import shorten

    text = str(error) or type(error).__name__
    line = printable(" ".join(w[:limit] for w in text.split()), len(text))
    return shorten(line, limit, placeholder=" …") or line[:limit]


def printable(text: str, limit: int = 80) -> str:
    r"""Make foreign text safe to show on a terminal: no control characters, no escapes, cut at ``limit``.

    >>> printable("\x1b[31mred\x07")
    '?[31mred?'
    >>> printable("a" * 9, limit=5)
    'aaaa…'
    """
    clean = "".join(c if c.isprintable() else ("?" if c not in "\r\n\t" else " ") for c in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
