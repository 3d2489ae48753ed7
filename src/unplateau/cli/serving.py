"""The verb that serves other programs: mcp."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ._core import DONE, INTERRUPTED, complain, group


@group.command()
@click.option(
    "--root",
    "roots",
    multiple=True,
    metavar="DIR",
    help="A folder that may be read, with all below it; default: the working folder. Repeatable.",
)
def mcp(roots: tuple[str, ...]) -> int:
    """Serve the verbs that only read to a model, as tools.

    read, diagnose, forecast, plan_probe and compare, by the Model Context
    Protocol over standard input and output: a client starts this command. Only
    reads, and only below --root; connects to nothing. Needs `pip install
    'unplateau[mcp]'`.
    """
    from ..integrations.mcp import serve

    with ended_at_once():
        serve([Path(root) for root in roots or (".",)])
    return DONE


@contextmanager
def ended_at_once() -> Iterator[None]:
    """Within it Ctrl-C ends the process: its thread waits in a read of standard input, which nothing else ends."""

    def leave(_number: int, _frame: object) -> None:
        os._exit(complain("interrupted", INTERRUPTED))

    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
