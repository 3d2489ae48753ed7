"""Folding: many texts at once give what each gives sign by sign.

Seen red once: white space beyond ASCII left as it is (``_spaced(sign)`` for it, too, in ``_turned``) made
test_folding_many_is_folding_each fail; ``kept[1:] |= kept[:-1]`` taken out made all of them fail.
"""

import sys

from hypothesis import example, given, settings
from hypothesis import strategies as st

from unplateau.prepare import _fold
from unplateau.prepare._fold import UNSPACED, folded, words

FILLED = "Some WORDS that  are ASCII alone,\tso that what is not is rare. " * 4
#: white space of all kinds, signs that fold to others (to ASCII, too), signs that are words, halves of signs
TURNS = st.sampled_from(
    [*" \t\n\x0b\x1c\x85\u00a0\u2003\u3000", *"AzÀßſ\u212aİǅﬁςΣ’漢か\u0e01🙂\ud800\udc00", FILLED]
)
TEXTS = st.lists(st.one_of(TURNS, st.text(st.characters(), max_size=4))).map("".join)


def plain(text):
    return "".join(f" {c} " if UNSPACED.match(c) else c for c in text).casefold().split()


def lines(texts):
    return [line.decode("utf-8", "surrogatepass") for line in folded(texts)]


@given(st.lists(TEXTS, max_size=5))
@example([f"{FILLED}\u00a0a", "", f"{FILLED}漢字"])
@example([f"x\ud83d\ude42{FILLED}\ud83d"])
@settings(max_examples=300, deadline=None)
def test_folding_many_is_folding_each(texts):
    assert lines(texts) == [" ".join(plain(text)) for text in texts]
    assert [words(text) for text in texts] == [plain(text) for text in texts]


def test_every_sign_is_folded_alike_alone_and_among_others():
    signs = [c for c in map(chr, range(sys.maxunicode + 1)) if c.casefold() != c or c.isspace()]
    signs += [chr(ord(edge) + by) for edge in UNSPACED.pattern if edge > "\u0e00" for by in (-1, 0, 1)]
    alone = ["x" + sign + "Y" for sign in signs]
    among = ["x".join(signs[i : i + _fold.TURNED + by]) for i in range(len(signs)) for by in (0, 1)]

    assert len(signs) > 1400
    assert lines(alone + among) == [" ".join(plain(text)) for text in alone + among]


def test_texts_longer_than_a_block_are_folded_alike():
    long = [FILLED * (_fold.BLOCK // len(FILLED) + 1), FILLED * 9 + "Éa", "", FILLED]

    assert lines(long) == [" ".join(plain(text)) for text in long]
