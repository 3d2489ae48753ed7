"""The parts of the docs' pages that are written from the code: what commands print, and tables of plug-ins and words.

A page says where such a part stands:

    <!-- output of: unplateau diagnose PATH | from: BUDGET | to: blank -->   and a fence of text below it
    <!-- begin laws: written by tools/docs.py -->   and   <!-- end laws -->

``from`` is the start of the first line that is taken, ``to`` the start of the first that no longer is (``blank``: an empty
one); ``after`` is a command that is run before.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from math import exp, log
from pathlib import Path

import docs_pictures

from unplateau.cli import run
from unplateau.config import DIALECTS
from unplateau.estimate import Z90
from unplateau.facts import VOCABULARY
from unplateau.laws import Law
from unplateau.plugins import discover
from unplateau.probes import Probe

ROOT = Path(__file__).parent.parent
EXAMPLE = Path("src") / "unplateau" / "examples" / "reference-run"  # as it is named in a clone
OUTPUT = re.compile(r"(<!-- output of: ([^\n]+) -->\n```text\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL)
PART = re.compile(
    r"(<!-- begin (\w+): written by tools/docs\.py -->\n)(.*?)(<!-- end \2 -->)", re.MULTILINE | re.DOTALL
)
TIME, NOON = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b"), "2026-11-22 12:00:00"  # of a watch
PICTURE = "picture_"  # the part picture_curve is the picture "curve"
TITLES = {
    "nanogpt": "nanoGPT",
    "huggingface": "Hugging Face",
    "litgpt": "LitGPT",
    "torchtitan": "torchtitan",
    "llmc": "llm.c",
    "nanochat": "nanochat",
    "megatron": "Megatron-LM",
}


def filled(page: str, up: str = "") -> str:
    """The page with each of its written parts as the code has them now. ``up``: the way from the page to docs/.

    Raises ``ValueError`` for a part that nobody writes, or an output that lacks the lines that are asked for.
    """
    page = OUTPUT.sub(lambda m: f"{m[1]}{_excerpt(m[2])}\n{m[4]}", page)
    return PART.sub(lambda m: f"{m[1]}\n{_part(m[2], up)}\n\n{m[4]}", page)


def _part(name: str, up: str) -> str:
    if name.startswith(PICTURE):
        return "\n".join(docs_pictures.shown(name.removeprefix(PICTURE), up))
    if name not in PARTS:
        raise ValueError(f"nobody writes the part {name!r}; there are {', '.join(PARTS)}")
    return "\n".join(PARTS[name]())


# --- what commands print


def _excerpt(asked: str) -> str:
    command, *rest = (part.strip() for part in asked.split(" | "))
    told = dict(part.split(": ", 1) for part in rest)
    return "\n".join(cut(printed(command, told.get("after", "")).splitlines(), told))


def cut(lines: list[str], told: Mapping[str, str]) -> list[str]:
    """The lines from the first that starts with ``from`` to the first after it that starts with ``to``.

    >>> cut(["title", "", "BUDGET", "  floor", "", "DO"], {"from": "BUDGET", "to": "blank"})
    ['BUDGET', '  floor']
    """
    first = next((i for i, line in enumerate(lines) if line.startswith(told.get("from", ""))), None)
    if first is None:
        raise ValueError(f"no line starts with {told['from']!r}")
    until = told.get("to")
    if until is None:
        return lines[first:]
    for i, line in enumerate(lines[first + 1 :], first + 1):
        if (until == "blank" and not line.strip()) or (until != "blank" and line.startswith(until)):
            return lines[first:i]
    raise ValueError(f"no line after the first starts with {until!r}")


@cache
def printed(command: str, before: str = "") -> str:
    """What ``command`` prints in a folder that has the example where a clone has it."""
    with _clone():
        for one in before.split(" && ") if before else ():
            _said(one)
        return _said(command).rstrip()


def _said(command: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()):
        code = run(shlex.split(command)[1:])
    if code:
        raise ValueError(f"{command} ends with {code}")
    return TIME.sub(NOON, said.getvalue())


@contextlib.contextmanager
def _clone() -> Iterator[Path]:
    state = os.environ.get("XDG_STATE_HOME")
    with tempfile.TemporaryDirectory() as name:
        shutil.copytree(ROOT / EXAMPLE, Path(name) / EXAMPLE)
        os.environ["XDG_STATE_HOME"] = f"{name}/state"  # a watch remembers what it raised
        try:
            with contextlib.chdir(name):
                yield Path(name)
        finally:
            del os.environ["XDG_STATE_HOME"]
            os.environ |= {} if state is None else {"XDG_STATE_HOME": state}


# --- tables


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """The lines of a table.

    >>> list(table(["a", "b"], [["1", "x | y"]]))
    ['| a | b |', '|---|---|', '| 1 | x \\\\| y |']
    """
    head = list(head)
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in row) + " |"


def laws() -> Iterator[str]:
    found: Iterable[Law] = discover("laws").values()
    rows = ([f"`{law.name}`", f"`{law.formula}`", ticked(law.prices), law.source] for law in found)
    return table(["law", "formula", "prices", "from"], rows)


def classes() -> Iterator[str]:
    """What planted runs cost, as reference classes."""
    from unplateau.exposure import MEANINGS
    from unplateau.reference import classes as known

    def formula(name: str, slopes: Iterable[float]) -> str:
        terms = zip(slopes, MEANINGS[name], strict=True)
        return " + ".join(f"{b:.3f}" if word == "1" else f"{b:.3f} {word}" for b, word in terms)

    rows = (
        [
            f"`{name}`",
            str(one.runs),
            str(one.texts),
            formula(name, one.slope) if one.slope else "no price",
            f"{one.t * one.spread:.2f}" if one.slope else "",
            f"{one.costs[0]:.2g} to {one.costs[1]:,.2g}" if one.costs else "",
        ]
        for name, one in known().items()
    )
    return table(["class", "runs", "texts", "ln of the ratio", "+-", "cost, nats"], rows)


def ticked(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def prior() -> Iterator[str]:
    """What the schedule law believes beforehand."""
    from unplateau.laws.schedule import known

    told = known()
    noise, power, spread, low, high = told["B"]
    strays, more = told["stray"]

    def spanned(mean: float, sd: float) -> str:
        """Median and 90 % interval of a parameter whose logarithm is normal."""
        return f"{exp(mean):.2g} ({exp(mean - Z90 * sd):.2g} to {exp(mean + Z90 * sd):.2g})"

    def normal(name: str) -> str:
        mean, sd = told[name]
        return f"{mean:.3g} (sd {sd:.2g})"

    peaks = f"times (peak / 1e-3)^{power:.2g} from {low:g} to {high:g}"
    rows = [
        ["a", "the power of progress", spanned(*told["a"])],
        ["A", "nats still to be learnt after 10,000 full-rate steps", normal("A")],
        ["B", f"nats of noise at a peak of 1e-3; {peaks}", spanned(log(noise), spread)],
        ["C", "how fast noise is let go, per full-rate step at 10,000", spanned(*told["C"])],
        ["G", "growth of B an e-fold of S later, as a share of B", normal("G")],
        ["kappa", "the power of the rate that progress goes with", normal("kappa")],
        ["p", "the power of the rate that noise goes with", normal("p")],
        ["own", "nats that one run strays by: at the full rate; added by annealing", f"{strays:g}; {more:g}"],
    ]
    return table(["", "what", "believed: median or mean, 90 % interval or sd"], rows)


def probes() -> Iterator[str]:
    found: Iterable[Probe] = discover("probes").values()
    rows = ([f"`{p.name}`", p.question, ", ".join(f"[{c}](causes.md#{c})" for c in p.tells)] for p in found)
    return table(["probe", "asks", "tells of"], rows)


def decisions() -> Iterator[str]:
    for path in sorted((ROOT / "docs" / "decisions").glob("0*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        yield f"- [{title.split(maxsplit=1)[1]}]({path.name})"


def dialects() -> Iterator[str]:
    """Each setting, and the keys of each trainer that are read for it."""
    words = {name: import_module(f"unplateau.config.{name}").FROM_OWN for name in DIALECTS if name in TITLES}
    said = [n for n in VOCABULARY if any(n in own.values() for own in words.values())]
    rows = (
        [f"`{name}`", *(ticked(key for key, fact in own.items() if fact == name) for own in words.values())]
        for name in said
    )
    yield from table(["setting", *(TITLES[name] for name in words)], rows)
    yield ""
    yield "Read as well, each as a part of some setting above:"
    yield ""
    for name, own in words.items():
        if parts := [key for key, fact in own.items() if not fact]:
            yield f"- {TITLES[name]}: {ticked(parts)}"


def facts() -> Iterator[str]:
    rows = ([f"`{name}`", unit, meaning] for name, (unit, meaning) in VOCABULARY.items())
    return table(["fact", "unit", "meaning"], rows)


# --- measured by benchmarks/


def peers() -> Iterator[str]:
    """How many runs of the corpus other tools say something of; benchmarks/planted/loop_peers.py asks them."""
    with (ROOT / "benchmarks" / "planted" / "peers.csv").open(newline="") as file:
        told = [row for row in csv.DictReader(file) if row["set"] == "corpus"]
    tools = [name for name in told[0] if name not in ("set", "name", "role", "cause")]
    rows = [[tool, *(_found(told, tool, role) for role in ("planted", "healthy"))] for tool in tools]
    ours = [
        _ours(r"own corpus \| \d+ \| [^|]*?\((\d+ of \d+)\)"),
        _ours(r"own corpus \| [^|]*?\((\d+ of \d+)\) \|$"),
    ]
    yield from table(
        ["tool", "planted runs with any finding", "healthy runs with a finding"],
        [*rows, ["unplateau: the planted cause first and supported; any cause supported", *ours]],
    )


def _found(told: list[dict[str, str]], tool: str, role: str) -> str:
    said = [row[tool] for row in told if row["role"] == role]
    found = [one for one in said if any(name and not name.endswith("(info)") for name in one.split(";"))]
    return f"{len(found)} of {len(said)}"


def _ours(pattern: str) -> str:
    found = re.search(pattern, _accuracy(), re.MULTILINE)
    if found is None:
        raise ValueError("docs/accuracy.md has no row of the own corpus")
    return found[1]


def _accuracy() -> str:
    return (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")


def forecasts() -> Iterator[str]:
    """Rows of docs/accuracy.md with a bar: ours beside the others."""
    rows = [line.strip("| ").split(" | ") for line in _accuracy().splitlines() if line.startswith("| ")]
    barred = [
        row for row in rows if len(row) == 9 and row[0] in discover("laws") and row[6] in ("yes", "**no**")
    ]
    if not barred:
        raise ValueError("docs/accuracy.md has no table of forecasts with bars")
    return table(
        ["what", "left out", "ours", "bar", "others, same runs"], ([*r[1:3], *r[4:6], r[7]] for r in barred)
    )


PARTS: Mapping[str, Callable[[], Iterable[str]]] = {
    "laws": laws,
    "prior": prior,
    "classes": classes,
    "probes": probes,
    "decisions": decisions,
    "dialects": dialects,
    "facts": facts,
    "peers": peers,
    "forecasts": forecasts,
}
