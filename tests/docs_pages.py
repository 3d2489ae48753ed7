"""The pages of the docs, cut into what tests look at: fences with their language and mark, headings, links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: a fence; a comment right above it says why it is not run
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>[\w-]*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NOT_RUN = "not run: "
#: a page whose blocks some other test runs says so once
WHOLE = re.compile(r"^<!-- blocks of this page: (.*?) -->$", re.MULTILINE)
SHELL = ("sh", "bash", "console")
RUN = (*SHELL, "python")


@dataclass(frozen=True)
class Block:
    """A fence of a page. ``reason``: why it is not run; empty where it is."""

    page: str
    line: int
    language: str
    code: str
    reason: str


def pages() -> list[Path]:
    """All of the docs, and the pages at the root that link to them."""
    return [
        *sorted(DOCS.rglob("*.md")),
        *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")),
    ]


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """The fences of a page, in their order."""
    text, found = page.read_text(encoding="utf-8"), []
    whole = WHOLE.search(text)
    for match in FENCE.finditer(text):
        mark = match["mark"] or ""
        reason = mark.removeprefix(NOT_RUN) if mark.startswith(NOT_RUN) else whole[1] if whole else ""
        line = text.count("\n", 0, match.start("language")) + 1
        found.append(Block(named(page), line, match["language"], match["code"], reason))
    return found


def prose(page: Path) -> str:
    """A page without its fences and comments; they become empty lines, so that lines keep their numbers."""
    text = page.read_text(encoding="utf-8")
    return re.sub(
        r"^```.*?^```$|<!--.*?-->", lambda m: "\n" * m[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL
    )
