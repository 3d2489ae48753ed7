"""What writes parts of the docs: it says so where a page asks for what nobody writes, and keeps an edit of somebody else.

Seen red: pages written as they were read at the start (a paragraph of docs/LOG.md that came in the meantime was lost).
"""

import doctest
import sys

import pytest

from docs_pages import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import docs
import docs_filled
import docs_pictures


@pytest.mark.parametrize("module", [docs_filled, docs_pictures], ids=["docs_filled", "docs_pictures"])
def test_the_examples_of_its_docstrings_hold(module):
    done = doctest.testmod(module)

    assert done.attempted
    assert not done.failed


def test_a_part_that_nobody_writes_is_an_error():
    with pytest.raises(ValueError, match="nobody writes the part 'weather'"):
        docs_filled.filled("<!-- begin weather: written by tools/docs.py -->\n<!-- end weather -->")


def test_lines_that_no_command_prints_are_an_error():
    page = "<!-- output of: unplateau causes repetition | from: NOWHERE -->\n```text\nold\n```"

    with pytest.raises(ValueError, match="no line starts with 'NOWHERE'"):
        docs_filled.filled(page)


def test_what_a_command_prints_takes_the_place_of_what_it_printed():
    page = "before\n<!-- output of: unplateau causes repetition | from: repetition | to: blank -->\n```text\nold\n```\nafter"

    assert "```text\nrepetition\n==========\n```\nafter" in docs_filled.filled(page)


def test_an_edit_that_comes_while_a_command_runs_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(docs, "DOCS", tmp_path)
    (tmp_path / "page.md").write_text("one <old>\n")
    calls = []

    def text():
        calls.append(1)
        if len(calls) == 1:  # the slow time: somebody adds a line
            (tmp_path / "page.md").write_text("one <old>\ntwo\n")
        return docs.current("page.md").replace("<old>", "<new>")

    assert not docs.settled("page.md", text, check=False)
    assert (tmp_path / "page.md").read_text() == "one <new>\ntwo\n"
    assert "wrote docs/page.md" in capsys.readouterr().out
    assert docs.settled("page.md", text, check=True)


def test_a_page_that_drifted_is_told_and_left(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(docs, "DOCS", tmp_path)
    (tmp_path / "page.md").write_text("old\n")

    assert not docs.settled("page.md", lambda: "new\n", check=True)
    assert (tmp_path / "page.md").read_text() == "old\n"
    assert "docs/page.md has drifted" in capsys.readouterr().err
