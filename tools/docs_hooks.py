"""What mkdocs does besides: the site holds the report of the run that comes with the package, as anyone's would look."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

from unplateau.cli import run

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

EXAMPLE = Path(__file__).parent.parent / "src" / "unplateau" / "examples" / "reference-run"
PAGE = "example-report.html"  # beside the pages of the site
HERE = "<!-- the site links the page of the example here -->"
LINK = f"**[Look at one]({PAGE})**: the page of the run that comes with the package."
FUTURES = ("--set", "cooldown=2000", "--set", "n_embd=768")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the report. Raises ``ValueError`` where it can't be made."""
    with contextlib.redirect_stdout(io.StringIO()) as page, contextlib.redirect_stderr(io.StringIO()) as said:
        code = run(["report", str(EXAMPLE), "--html", "-", *FUTURES])
    if code:
        raise ValueError(f"no report of the example: {said.getvalue()}")
    files.append(File.generated(config, PAGE, content=page.getvalue()))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """The link to it, which GitHub would lead nowhere."""
    return markdown.replace(HERE, LINK)
