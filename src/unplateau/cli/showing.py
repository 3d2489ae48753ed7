"""The verb that shows the whole loop: demo."""

from __future__ import annotations

import sys
import textwrap
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..demo.planted import PLANTED
from ..errors import UsageError
from ._core import DONE, group, look, runs_of, say, unknown

if TYPE_CHECKING:
    from ..demo.job import Loop
    from ..demo.steps import Done, Step

OUT = "unplateau-demo"
SEED = 1337  # nanoGPT's own
DEFAULT = next(iter(PLANTED))
REPORT, JSON, PAGE = "report.txt", "report.json", "report.html"


@group.command()
@click.option(
    "--cause",
    default=DEFAULT,
    metavar="NAME",
    help=f"The mistake to make: {', '.join(PLANTED)}.  [default: {DEFAULT}]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=SEED,
    show_default=True,
    metavar="N",
    help="Draws weights and batches.",
)
@click.option(
    "--out",
    default=OUT,
    show_default=True,
    metavar="DIR",
    help="A folder that is new, empty, or holds the same demo unfinished.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def demo(cause: str, seed: int, out: str, as_json: bool) -> int:
    """Show the whole loop on a small run, in some minutes on a CPU.

    A small GPT is trained into a plateau by a plausible mistake; then diagnosed,
    probed, mended, trained again, and held against what was predicted. Each step
    is a verb, as you would type it. Stopped at any moment, the same command goes
    on. Needs `pip install 'unplateau[prepare,train]'`.
    """
    from ..demo.job import run
    from ..demo.place import Order
    from ..demo.planted import STEPS

    if cause not in PLANTED:
        known_cause(cause, list(PLANTED))
    needs_extras()
    place = Path(out)
    loop = run(Order(cause, seed, STEPS, place), Telling(out, sys.stderr if as_json else sys.stdout))
    show(loop, place, as_json=as_json)
    return DONE


def known_cause(name: str, planted: list[str]) -> None:
    """Refuse a cause that nobody knows, or that the demo plants no run of."""
    from ..plugins import discover

    if name not in (known := list(discover("hypotheses"))):
        unknown(name, known)
    raise UsageError(f"the demo makes no mistake that is {name}; it knows {', '.join(planted)}")


def needs_extras() -> None:
    """One line where what prepare or train need is not installed; nothing of it is loaded."""
    from importlib.util import find_spec

    for name in ("torch", "zstandard"):
        if find_spec(name) is None:
            raise UsageError(f"the demo needs {name}: pip install 'unplateau[prepare,train]'")


class Telling:
    """Tells on ``stream`` what happens: the command, its output shortened, what it means."""

    def __init__(self, folder: str, stream: Any) -> None:
        self.stream = stream
        self.number = 0
        self.first = self.last = self.left = 0
        self.kept: deque[str] = deque()
        self.folder = folder

    def line(self, text: str = "") -> None:
        """A row, folded where it is wider than the terminal."""
        width = look()["width"]
        if len(text) > width and self.stream.isatty():
            text = textwrap.fill(text, width, subsequent_indent="  ", break_on_hyphens=False)
        say(f"{text}\n", self.stream)

    def begins(self, step: Step, *, earlier: bool) -> None:
        """The command, and what it is for."""
        from ..report.demo import PURPOSE, ROWS

        self.first, self.last = ROWS[step.name]
        self.left, self.kept = 0, deque(maxlen=self.last)
        if not self.number:
            self.line(f"$ mkdir -p {self.folder} && cd {self.folder}")
        self.number += 1
        self.line(f"\n--- {self.number}. {PURPOSE[step.name]}")
        if earlier:
            self.line("(done before)")
        self.line(f"$ {step.line}")

    def row(self, text: str) -> None:
        """Show the first rows at once, and keep the last."""
        if self.first:
            self.first -= 1
            self.line(text)
        else:
            self.left += 1
            self.kept.append(text)

    def ended(self, found: Done) -> None:
        """What was left out, where all of it lies, and the last rows."""
        if hidden := self.left - len(self.kept):
            self.line(f"  … {hidden} rows more in steps/{found.step.name}.txt")
        for text in self.kept:
            self.line(text)

    def means(self, name: str, loop: Loop) -> None:
        """In a sentence."""
        from ..report.demo import meaning

        said = f"=> {meaning(name, loop)}"
        self.line(textwrap.fill(said, look()["width"], subsequent_indent="   ", break_on_hyphens=False))


def show(loop: Loop, place: Path, *, as_json: bool) -> None:
    """The end of the demo on the terminal, and the report on disk."""
    from ..durable import write_durably
    from ..report import demo as words
    from ..report import json

    told = json.dumps(words.document(loop)) + "\n"
    write_durably(place / JSON, told.encode())
    write_durably(place / REPORT, words.report(loop).encode())
    stream = sys.stderr if as_json else sys.stdout
    say("\n" + words.text(loop, **look()), stream)
    write_durably(place / PAGE, pictured(loop, place).encode())
    say(f"report     {place / REPORT}, {JSON}, and {PAGE} to look at\n", stream)
    if as_json:
        say(told)


def pictured(loop: Loop, place: Path) -> str:
    """The page of the runs side by side, with what probes told of the first."""
    from ..report.page import page
    from .reporting import diagnosed, seen, side_by_side

    runs = [replace(run, name=folder) for folder in loop.losses for run in runs_of(str(place / folder))]
    found = diagnosed(runs)
    return page([seen(one) for one in found], *side_by_side(found))
