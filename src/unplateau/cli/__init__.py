"""The command line: one small function per verb, and the only place where errors become words.

Each verb imports what it needs inside itself, so ``unplateau --help`` starts at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from ..errors import ElsewhereError, UnplateauError
from . import (
    completion,
    fixing,
    folders,
    logs,
    probing,
    reporting,
    sampling,
    serving,
    showing,
    training,
    verifying,
    watching,
)
from ._core import DONE, INTERRUPTED, UNREADABLE, USAGE, complain, group, hush, say

__all__ = [
    "complain",
    "completion",
    "fixing",
    "folders",
    "group",
    "logs",
    "main",
    "probing",
    "reporting",
    "run",
    "sampling",
    "say",
    "serving",
    "showing",
    "training",
    "verifying",
    "watching",
]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code; prints one line for any error, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 gets question marks
    try:
        if asked := os.environ.get(completion.VARIABLE):
            return completion.answer(asked)
        return run(list(sys.argv[1:] if argv is None else argv) or ["--help"])
    except click.ClickException as error:
        return complain(usage(error), USAGE)
    except ElsewhereError as error:
        return error.exit_code  # another process of the run has said it
    except UnplateauError as error:
        return complain(str(error), error.exit_code)
    except BrokenPipeError:
        hush(sys.stdout)  # click printed help to a reader that had gone
        return DONE
    except (click.Abort, KeyboardInterrupt):
        return complain("interrupted", INTERRUPTED)
    except Exception as error:
        if os.environ.get("UNPLATEAU_DEBUG"):
            raise
        kind = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        hint = "this is a fault of unplateau; set UNPLATEAU_DEBUG=1 to see where"
        return complain(f"{kind} ({hint})", UNREADABLE)


def run(args: list[str]) -> int:
    """The verb's exit code. Not click's own ``main``, which prints more than one line when interrupted."""
    try:
        with group.make_context("unplateau", args) as context:
            done = group.invoke(context)
    except click.exceptions.Exit as left:  # after --help and --version
        return left.exit_code
    return done if isinstance(done, int) else DONE


def usage(error: click.ClickException) -> str:
    """A wrong call in one line, and where help is."""
    where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "unplateau"
    return f"{error.format_message().rstrip('.')}. Try: {where} --help"
