"""What all verbs share: exit codes, printing, the group that they hang in, the options of those that read a log."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .. import __version__
from ..errors import UsageError, printable
from ..units import UNITS

if TYPE_CHECKING:
    from ..readers import Options
    from ..run import Run

DONE, FAILED, USAGE, UNREADABLE, INTERRUPTED = 0, 1, 2, 3, 4  # exit codes of CONTRACT.md
MESSAGE = 1000  # characters of an error; a longer one is no help

F = TypeVar("F", bound=Callable[..., Any])


def complain(message: str, code: int) -> int:
    """One line on standard error; the exit code."""
    say(f"unplateau: {printable(' '.join(message.split()), MESSAGE)}\n", sys.stderr)
    return code


def say(text: str, stream: Any = None) -> None:
    """Print, and stay quiet where the reader (``| head``) has gone."""
    stream = stream or sys.stdout
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        hush(stream)


def hush(stream: Any) -> None:
    """Send a stream nowhere: Python flushes it again at exit (see the docs of signal.SIGPIPE)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def amount(option: str) -> Callable[[str], int]:
    """The type of an option that takes a whole number above 0 as people write it: 20000, 1e9, 2k, 1.5B."""

    def convert(value: str) -> int:
        from ..asked import scaled
        from ..config._dialect import as_kind

        found = as_kind("max_steps", scaled(value.strip()))
        if found is None:
            raise UsageError(f"{option} wants a whole number above 0, like 20000, 2k or 1e9; found {value!r}")
        return int(found)

    return convert


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="unplateau")
def group() -> None:
    """Why did my loss stop going down, and what do I do now?

    Point `unplateau diagnose` at the log of any language-model trainer.
    """


def log_options(verb: F) -> F:
    """The argument and the options of every verb that reads a log."""
    return click.argument("path")(reading_options(verb))


def reading_options(verb: F) -> F:
    """How logs are to be read."""
    options = [
        click.option(
            "--config", metavar="FILE", help="The trainer's config, where it is not beside the log."
        ),
        click.option("--data", metavar="PATH", help="Folder of the training data, or its manifest.json."),
        click.option(
            "--unique-tokens",
            type=amount("--unique-tokens"),
            metavar="N",
            help="Tokens in the train set, once each (also 1e9, 1.5B).",
        ),
        click.option(
            "--evidence",
            multiple=True,
            metavar="DIR",
            help="What probes told of the run, where it is not in its folder or beside it. Repeatable.",
        ),
        click.option(
            "--map",
            "columns",
            multiple=True,
            metavar="KEY=COLUMN",
            help="Read COLUMN of the log as the series KEY (val_loss, train_loss, lr, ...) or as step. Repeatable.",
        ),
        click.option("--unit", metavar="UNIT", help=f"Unit of the losses: {', '.join(UNITS)}."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output."),
    ]
    for option in reversed(options):
        verb = option(verb)
    return verb


def runs_of(
    path: str,
    *,
    config: str | None = None,
    data: str | None = None,
    unique_tokens: int | None = None,
    evidence: Sequence[str] = (),
    columns: Sequence[str] = (),
    unit: str | None = None,
) -> list[Run]:
    """The runs at ``path``, with what the user added."""
    from ..reading import read_runs

    return read_runs(
        path,
        config=config,
        data=data,
        unique_tokens=unique_tokens,
        options=options_of(columns, unit),
        evidence=evidence,
    )


def options_of(columns: Sequence[str], unit: str | None) -> Options:
    """``--map`` and ``--unit``, checked."""
    from ..readers import Options

    found = {key: column for key, _, column in (pair.partition("=") for pair in columns)}
    return Options.checked(found, unit, ("--map wants SERIES=COLUMN, a series", "--unit"))


def unknown(name: str, known: Sequence[str]) -> list[Any]:
    """Complain of a name that nobody knows, with the nearest that somebody does."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    raise UsageError(f"no cause is called {name!r}; {hint}")


def look() -> dict[str, Any]:
    """Width and colour of standard output: colour only on a terminal without NO_COLOR (no-color.org)."""
    from shutil import get_terminal_size

    from ..report.lines import WIDTH

    terminal = sys.stdout.isatty()
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return {"width": min(WIDTH, get_terminal_size().columns) if terminal else WIDTH, "colour": colour}
