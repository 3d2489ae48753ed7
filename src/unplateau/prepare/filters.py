"""What a filter would remove, counted always and removed only where asked.

The rules and thresholds are those of MassiveText (Rae et al. 2021, arXiv 2112.11446, table A1) that FineWeb kept.
A document counts under the first rule that it breaks, so the counts add up to the documents that would go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ..errors import UsageError, printable
from .sources import Document

SHORT = 200  # characters; MassiveText asks for 50 words
LONG = 1_000_000  # characters; MassiveText asks for 100,000 words at most, some 6 characters each
REPEATED = 0.30  # share of a document's lines that stand in it before; MassiveText, table A1
LINES = 4  # lines below which a repetition says nothing
NON_TEXT = (
    0.20  # share of characters that are neither letters nor white space; MassiveText asks for 80 % of words
)
SAMPLED = (
    512  # characters of a document, evenly spread, that are looked at for non-text: the share's error is .02
)
CONTROL = re.compile(r"[^\w\s.,;:!?'\"()\-]")  # neither a letter, a digit, white space nor common punctuation
ASCII_TEXT = CONTROL.sub("", "".join(map(chr, range(128)))).encode()  # what of ASCII is text

RULES = ("too-short", "too-long", "repeated-lines", "non-text", "language")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which rules remove (``active``), and the languages that are wanted; all rules are counted.

    >>> found = Filters(active=("too-short",)).judge(Document("a short one"))
    >>> found, Filters(active=("too-short",)).removes(found), Filters().removes(found)
    ('too-short', True, False)
    """

    active: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.active:
            if name not in RULES:
                raise UsageError(f"no filter is called {printable(name)!r}; known: {', '.join(RULES)}")
        if "language" in self.active and not self.languages:
            raise UsageError("the filter language needs the languages that are wanted: --language en")

    def judge(self, document: Document) -> str:
        """The first rule that a document breaks, "" for none; active rules are asked first."""
        return next((name for name in self.order if _BREAKS[name](document, self)), "")

    @property
    def order(self) -> tuple[str, ...]:
        """The rules as they are asked: the active ones first."""
        return (*self.active, *(name for name in RULES if name not in self.active))

    def removes(self, reason: str) -> bool:
        """True where documents that break the rule ``reason`` are left out."""
        return reason in self.active


def sift(batch: Iterable[Document], filters: Filters, counts: dict[str, int]) -> list[Document]:
    """The documents that stay; ``counts`` grows by what each rule would remove."""
    kept = []
    rules = [(name, _BREAKS[name]) for name in filters.order]
    for document in batch:
        reason = next((name for name, breaks in rules if breaks(document, filters)), "")
        if reason:
            counts[reason] = counts.get(reason, 0) + 1
        if not filters.removes(reason):
            kept.append(document)
    return kept


def _repeats(text: str) -> bool:
    r"""True when too many lines stand in the document before.

    >>> _repeats("one\n" * 9), _repeats("one\ntwo\nthree\nfour\nfive")
    (True, False)
    """
    if text.count("\n") < LINES - 1:
        return False
    lines = text.split("\n")
    blank = lines.count("")
    full, distinct = len(lines) - blank, len(set(lines)) - (blank > 0)
    return full >= LINES and full - distinct > REPEATED * full


def _is_no_text(text: str) -> bool:
    """True when too many of its characters are symbols.

    >>> _is_no_text("#@{}[]/*<>" * 9 + "words"), _is_no_text("Plain words, that's all. 日本語も。")
    (True, False)
    """
    sample = text[:: len(text) // SAMPLED + 1]
    symbols = sample.encode().translate(None, ASCII_TEXT) if sample.isascii() else CONTROL.findall(sample)
    return len(symbols) > NON_TEXT * len(sample)


def _is_foreign(document: Document, filters: Filters) -> bool:
    language = document.meta.get("language")
    return bool(filters.languages) and language is not None and language not in filters.languages


_BREAKS: Mapping[str, Callable[[Document, Filters], bool]] = {
    "too-short": lambda d, _: len(d.text) < SHORT,
    "too-long": lambda d, _: len(d.text) > LONG,
    "repeated-lines": lambda d, _: _repeats(d.text),
    "non-text": lambda d, _: _is_no_text(d.text),
    "language": _is_foreign,
}
