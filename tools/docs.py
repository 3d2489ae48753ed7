"""Write docs/cli.md, docs/causes.md, docs/formats.md and what commands print; ``--check`` fails where they drifted.

Parts of other pages are written by ``docs_filled``.

The table of real logs in docs/formats.md needs the folder that UNPLATEAU_SHARED names, or ../shared; without
it that part is left as it is, and not checked.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import Field, fields
from functools import cache, partial
from pathlib import Path
from typing import Any

import click
import docs_pictures
import reference_run
from docs_filled import EXAMPLE, filled, printed

from unplateau.cli import group
from unplateau.errors import UnplateauError
from unplateau.plugins import discover
from unplateau.reading import read_runs
from unplateau.report.causes import known
from unplateau.run import LOSSES, Run
from unplateau.train import configure
from unplateau.train.settings import Settings
from unplateau.train.words import ALIASES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
LOGS = "<!-- below: read from the folder of real logs; left as it is where that is absent -->"
SETTINGS = "<!-- below: written by tools/docs.py (make docs) from src/unplateau/train/settings.py -->"
HEAD = ("| setting (nanoGPT's word) | default | unit | meaning |", "|---|---|---|---|")
GENERATED = "<!-- written by tools/docs.py (make docs); change the code, not this file -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 on a difference")
    check = parser.parse_args().check
    pages: dict[str, Callable[[], str]] = {
        "reference-run.md": cache(reference_run.main),
        "cli.md": cache(cli),
        "causes.md": cache(causes),
        "formats.md": formats,
        "train.md": train,
        "prepare.md": prepare,
        "../README.md": readme,
        **{name: partial(str, svg) for name, svg in docs_pictures.files().items()},
    }
    for name in sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")):
        pages.setdefault(name, partial(beside, name))
    drifted = [name for name, text in pages.items() if not settled(name, text, check=check)]
    return int(check and bool(drifted))


def beside(name: str) -> str:
    """A page of which parts are written from the code."""
    return filled(current(name))


def settled(name: str, text: Callable[[], str], *, check: bool) -> bool:
    """True where the page or the picture is there as the code has it now; else it is written, or told (``check``).

    Its text is made twice, the second time quickly, of what the page is then: somebody may be writing in it.
    """
    text()
    now, wanted = current(name), text()
    if docs_pictures.alike(now, wanted) if name.endswith(".svg") else now == wanted:
        return True
    if check:
        print(f"{named(name)} has drifted from the code: run make docs", file=sys.stderr)
    else:
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(wanted, encoding="utf-8")
        print(f"wrote {named(name)}")
    return False


def named(name: str) -> str:
    return f"docs/{name}".removeprefix("docs/../")


def current(name: str) -> str:
    path = DOCS / name
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def cli() -> str:
    """The help of each verb, 80 columns wide whatever the terminal."""
    parts = ["# The command line", GENERATED, fenced(help_of(group, "unplateau", None))]
    with click.Context(group, info_name="unplateau") as parent:
        for name in sorted(group.commands):
            parts += [f"## unplateau {name}", fenced(help_of(group.commands[name], name, parent))]
    parts += ["## Exit codes", EXITS]
    return "\n\n".join(parts) + "\n"


EXITS = """| code | means |
|---|---|
| 0 | done |
| 1 | a `--fail-on` condition is met |
| 2 | wrong usage; also where one of several `--set` can't be priced, after the others are shown |
| 3 | the input can't be read, or no law can forecast it; one line says what was found, what was expected, what to do |
| 4 | interrupted |"""


def help_of(command: click.Command, name: str, parent: click.Context | None) -> str:
    with click.Context(
        command, info_name=name, parent=parent, terminal_width=80, max_content_width=80
    ) as context:
        return command.get_help(context)


def readme() -> str:
    """The README, with its picture and what the diagnosis of the reference run prints now."""
    return filled(shown("../README.md", f"unplateau diagnose {EXAMPLE / 'train.log'}"), up="docs/")


def prepare() -> str:
    """The page of prepare, with what its first command prints now."""
    return shown("prepare.md", "unplateau prepare embedded:sotu --out sotu")


def shown(name: str, command: str) -> str:
    """A page, with what ``command`` prints now between its first fence of text and the next."""
    said = printed(command)
    before, fence, rest = current(name).partition("```text\n")
    return f"{before}{fence}{said}\n```{rest.partition('```')[2]}"


def fenced(text: str) -> str:
    return f"```\n{text.rstrip()}\n```"


def causes() -> str:
    """The page of each cause."""
    parts = ["# Causes", GENERATED]
    for hypothesis, page in known():
        parts += [f"## {hypothesis.name}", paragraphs(page)]
    return "\n\n".join(parts) + "\n"


def paragraphs(page: str) -> str:
    """Each ``Word:`` of a page begins a paragraph of its own."""
    out = []
    for line in page.strip().splitlines():
        word, colon, rest = line.partition(":")
        if colon and line[0].isupper() and len(word.split()) <= 3 and (rest[:1] in {" ", ""}):
            out += ["", f"**{word}**:{rest}"]
        else:
            out.append(line)
    return "\n".join(out)


def formats() -> str:
    """The readers, then what each real log was read as."""
    rows = ["| format | what it is |", "|---|---|"]
    rows += [f"| {cell(r.name)} | {cell(r.about)} |" for r in discover("readers").values()]
    table = logs_table()
    kept = current("formats.md").partition(LOGS)[2]
    shown = "\n".join(table) + "\n" if table else kept.lstrip("\n")
    head = [
        "# Formats",
        GENERATED,
        "\n".join(rows),
        "Files may be gzip or zstd. A format is told from its records, not from its name.",
    ]
    return "\n\n".join([*head, "## Real logs", LOGS, shown])


def logs_table() -> list[str]:
    """A row a log, where the folder is there."""
    folder = Path(os.environ.get("UNPLATEAU_SHARED") or ROOT.parent / "shared") / "logs"
    if not folder.is_dir():
        print(f"no real logs in {folder.name}: their table is left as it is", file=sys.stderr)
        return []
    cases = sorted(p.parent for p in folder.glob("*/*/meta.json"))
    head = ["| case | read as | runs | points of losses | warnings |", "|---|---|---|---|---|"]
    return head + [row for case in cases for row in rows_of(case, folder)]


def rows_of(case: Path, folder: Path) -> Iterator[str]:
    name = case.relative_to(folder).as_posix()
    meta = json.loads((case / "meta.json").read_text(encoding="utf-8"))
    try:
        runs = read_runs(log_of(case, meta))
    except UnplateauError as error:
        yield f"| {cell(name)} | refused: {cell(str(error).replace(str(folder), 'logs'))} | | | |"
        return
    found = ", ".join(sorted({run.format for run in runs}))
    points = sum(len(run.series[n]) for run in runs for n in LOSSES if n in run.series)
    yield f"| {cell(name)} | {cell(found)} | {len(runs)} | {points:,} | {len(warned(runs))} |"


def warned(runs: list[Run]) -> set[str]:
    return {warning for run in runs for warning in run.warnings}


def log_of(case: Path, meta: dict[str, Any]) -> Path:
    """The log of a case: the one file that meta.json names, else the folder."""
    files = [case / str(entry["file"]) for entry in meta.get("files", [])]
    return files[0] if len(files) == 1 and files[0].exists() else case


def train() -> str:
    """The guide as it stands, then every setting of the trainer."""
    guide = current("train.md").partition(SETTINGS)[0]
    parts, rows = [f"{guide}{SETTINGS}"], list[str]()
    for one in fields(Settings):
        if group_name := one.metadata["group"]:
            rows = [f"### {group_name[0].upper()}{group_name[1:]}", "", *HEAD]
            parts.append("")
        rows.append(row_of(one))
        parts[-1] = "\n".join(rows)
    return "\n\n".join(parts) + "\n"


def row_of(one: Field[Any]) -> str:
    """A setting: its name and nanoGPT's, its default, unit and meaning."""
    nanogpt = [own for own, name in ALIASES.items() if name == one.name]
    name = f"`{one.name}`" + (f" (`{nanogpt[0]}`)" if nanogpt else "")
    return f"| {name} | {configure.shown(one.default)} | {one.metadata['unit']} | {cell(one.metadata['meaning'])} |"


def cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    raise SystemExit(main())
