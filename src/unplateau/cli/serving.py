"""The verb that serves other programs: mcp."""

from __future__ import annotations

from pathlib import Path

import click

from ._core import DONE, group


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
    Protocol over standard input and output: a client starts this command. Only reads, and only below --root; connects to nothing.
    Needs `pip install 'unplateau[mcp]'`.
    """
    from ..integrations.mcp import serve

    serve([Path(root) for root in roots or (".",)])
    return DONE
