"""Filters: each rule counts what it says, removes only where asked, and the fast way finds what the plain one does.

Guards seen red once: a blank line counted as a repeated one made test_lines_are_counted_as_they_are_read fail; a
backslash taken for text made test_symbols_are_counted_as_they_are_read fail.
"""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unplateau.errors import UsageError
from unplateau.prepare import filters as f
from unplateau.prepare.sources import Document

LONG_ENOUGH = "Words that say something else each time. " * 9
LINES = st.lists(st.sampled_from(["", " ", "a", "b", "c", "dé"]), max_size=14).map("\n".join)


@given(LINES)
@example("\n\n\n")
@example("a\na\nb\nc")
@settings(deadline=None)
def test_lines_are_counted_as_they_are_read(text):
    lines = [line for line in text.split("\n") if line]
    seen = sum(line in lines[:i] for i, line in enumerate(lines))
    expected = len(lines) >= f.LINES and seen > f.REPEATED * len(lines)
    assert f._repeats(text) is expected


@given(st.text(st.characters(max_codepoint=0x300), max_size=30), st.integers(1, 60))
@example("\\", 1)
@example("".join(map(chr, range(128))), 9)
@settings(deadline=None)
def test_symbols_are_counted_as_they_are_read(text, times):
    sample = (text * times)[:: len(text * times) // f.SAMPLED + 1]
    symbols = sum(not (c.isalnum() or c.isspace() or c in "_.,;:!?'\"()-") for c in sample)
    assert f._is_no_text(text * times) is (symbols > f.NON_TEXT * len(sample))


def test_a_document_counts_under_the_first_rule_that_it_breaks_and_stays_unless_it_is_active():
    batch = [Document(LONG_ENOUGH), Document("too short"), Document("@{}" * 99), Document("a\n" * 200)]
    counts, removed = {}, {}
    assert f.sift(batch, f.Filters(), counts) == batch
    assert counts == {"too-short": 1, "non-text": 1, "repeated-lines": 1}
    assert f.sift(batch, f.Filters(("non-text",)), removed) == [batch[i] for i in (0, 1, 3)]
    assert removed == counts


def test_an_active_rule_is_asked_first():
    short = Document("@{}")
    assert f.Filters().judge(short) == "too-short"
    assert f.Filters(("non-text",)).judge(short) == "non-text"


def test_a_language_that_is_not_wanted_is_counted_and_one_not_told_stays():
    wants = f.Filters(("language",), ("en", "de"))
    told = [Document(LONG_ENOUGH, {"language": name}) for name in ("en", "fr", None)]
    assert [wants.judge(document) for document in told] == ["", "language", ""]


@pytest.mark.parametrize(("active", "said"), [(("shouting",), "no filter"), (("language",), "--language")])
def test_a_filter_that_can_not_be_meant_is_one_line(active, said):
    with pytest.raises(UsageError, match=said):
        f.Filters(active)
