"""The code blocks of the docs run: each page's in their order, in a scratch folder that is laid out like a clone.

A block that is not run has a comment above it that says why, ``<!-- not run: REASON -->``, with a reason of ``REASONS``; the
test run names each of them as skipped. Seen red: an option misspelt in docs/start.md, and a field misspelt in
docs/add-a-reader.md.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs_pages import ROOT, RUN, SHELL, blocks, named, pages

#: the beginnings of reasons for which a block may be left out
REASONS = (
    "needs a GPU",
    "needs a cluster",
    "needs the network",
    "needs a checkpoint",
    "takes minutes",
    "run by tests/",
    "goes on until it is stopped",
    "a part of a file",
)
EXAMPLE = Path("src") / "unplateau" / "examples" / "reference-run"
LIMIT_S = 120
ALL = [block for page in pages() for block in blocks(page) if block.language in RUN]
PAGES = sorted({block.page for block in ALL if not block.reason})


@pytest.fixture
def clone(tmp_path):
    """A folder that has what the pages name of a clone."""
    shutil.copytree(ROOT / EXAMPLE, tmp_path / EXAMPLE)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "planted").symlink_to(ROOT / "benchmarks" / "planted")
    return tmp_path


def run(block, clone):
    """The exit code and what was said; of a console, what stands behind its prompts is run."""
    code = block.code
    if block.language == "console":
        code = "".join(f"{line[2:]}\n" for line in code.splitlines() if line.startswith("$ "))
    shell = ["bash", "-euo", "pipefail", "-c", code]
    words = shell if block.language in SHELL else [sys.executable, "-W", "error", "-c", code]
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {
        **os.environ,
        "PATH": here,
        "HOME": str(clone),
        "XDG_STATE_HOME": str(clone / "state"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        words, cwd=clone, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page, clone):
    for block in (b for b in ALL if b.page == page and not b.reason):
        code, said = run(block, clone)
        assert code == 0, f"{page}:{block.line} ended with {code}:\n{block.code}\n{said[-2000:]}"


@pytest.mark.parametrize("block", [b for b in ALL if b.reason], ids=lambda b: f"{b.page}:{b.line}")
def test_what_is_not_run_says_why(block):
    assert block.reason.startswith(REASONS), f"{block.reason}; known: {REASONS}"
    pytest.skip(block.reason)


@pytest.mark.parametrize("page", pages(), ids=named)
def test_no_command_hides_in_a_fence_that_says_no_language(page):
    hidden = [
        f"line {b.line}"
        for b in blocks(page)
        if not b.language and b.code.startswith(("unplateau ", "pip ", "make ", "torchrun ", "git "))
    ]

    assert not hidden


def test_most_blocks_are_run():
    """Here, or by the test of their page."""
    ran = [block for block in ALL if not block.reason]
    left = [block for block in ALL if block.reason and not block.reason.startswith("run by tests/")]

    assert len(ran) > 15
    assert len(left) < len(ran) / 2
