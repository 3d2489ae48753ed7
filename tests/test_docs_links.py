"""The docs hang together: each link leads somewhere, each file that is named is there, lists are lists in both renderers.

Seen red: a link to a page that is not there, one to an anchor that is not there, a path in backticks that was renamed (the
docs named ``benchmarks/recipes.py``), a list right below a paragraph (docs/SCIENCE.md had two).
"""

import re

import pytest

from docs_pages import DOCS, ROOT, named, pages, prose
from unplateau.plugins import discover

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
#: a file of ours in backticks; a star stands for any, and what follows a blank is an argument
FILE = re.compile(r"`(?:python )?((?:src|tests|benchmarks|docs|tools)/[\w./*-]+\w|[A-Z]{4,}\.md)[ `]")
#: where old names are history
HISTORY = ("docs/LOG.md", "CHANGELOG.md", *(named(p) for p in (DOCS / "decisions").glob("*.md")))
ITEM = re.compile(r"^(?:[-*] |\d+\. |\|)")
EACH = pytest.mark.parametrize("page", pages(), ids=named)


def slug(heading):
    """The anchor of a heading, as GitHub and Python-Markdown make it of plain words."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


def anchors(page):
    return {slug(heading) for heading in HEADING.findall(prose(page))}


@EACH
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page):
    for target in LINK.findall(prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_file(), target
        assert not anchor or anchor in anchors(there), target


@EACH
def test_a_link_of_the_site_stays_in_the_site(page):
    if DOCS in page.parents:
        inside = [t for t in LINK.findall(prose(page)) if not t.startswith(("https://", "#"))]
        assert all(DOCS in (page.parent / t).resolve().parents for t in inside), inside


@EACH
def test_every_file_that_is_named_is_there(page):
    if named(page) in HISTORY:
        pytest.skip("history: files go")
    for name in FILE.findall(prose(page)):
        places = (ROOT, DOCS, ROOT / "docs")
        assert any(any(place.glob(name)) for place in places), name


@EACH
def test_lists_and_tables_stand_between_empty_lines(page):
    """GitHub wants none before a list, Python-Markdown makes a paragraph of it; both take what follows a table for a row."""
    before, wrong = "", []
    for number, line in enumerate(prose(page).splitlines(), 1):
        begins = ITEM.match(line) and not ITEM.match(before)
        row = before.startswith("|") and not line.startswith("|")
        if line.strip() and before.strip() and not before.startswith("#") and (begins or row):
            wrong.append(f"line {number}: {line}")
        before = before if ITEM.match(before) and line.startswith("  ") else line

    assert not wrong


@pytest.mark.parametrize(
    ("family", "said"), [("hypotheses", r"(\d+) causes"), ("readers", r"(\d+) of them, from")]
)
def test_the_docs_count_causes_and_formats_right(family, said):
    found = {int(n) for page in pages() if named(page) not in HISTORY for n in re.findall(said, prose(page))}

    assert found == {len(discover(family))}


def test_every_number_of_the_comparison_stands_where_it_was_measured():
    """Red with a speed that was measured anew in docs/train.md and docs/LOG.md, and left here as it was."""
    hand = re.sub(
        r"<!-- begin .*?<!-- end \w+ -->", "", (DOCS / "comparison.md").read_text(), flags=re.DOTALL
    )
    rows = [line for line in hand.splitlines() if line.startswith("| ")]
    measured = "".join((DOCS / f"{name}.md").read_text() for name in ("LOG", "train", "prepare", "accuracy"))
    numbers = set(re.findall(r"(?<![\w.])\d*\.\d+", "".join(rows)))

    assert len(numbers) > 25
    assert {n for n in numbers if not re.search(rf"(?<![\d.]){re.escape(n)}(?!\d)", measured)} == set()


def test_links_are_found_at_all():
    """An absence is also true of a pattern that matches nothing."""
    found = {target for page in pages() for target in LINK.findall(prose(page))}

    assert len(found) > 60
    assert any("#" in target and not target.startswith("http") for target in found)
    assert len({name for page in pages() for name in FILE.findall(prose(page))}) > 30
