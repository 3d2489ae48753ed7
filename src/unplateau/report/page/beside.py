"""Several runs: their losses at equal tokens, time and FLOPs, and the settings in which they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...comparison import Comparison, Equal
from ...settings import Setting
from ..compare import cell, done, said, shown_setting
from ..figures import Figure
from .figure import embedded
from .html import Child, Html, join, tag
from .parts import Section, listed, table


def verdict(found: Comparison) -> Html | None:
    """Which run is lowest at equal amounts of each; by its number, and once by its name."""
    told = " ".join(f"{words[0].upper()}{words[1:]}." for words in said(found))
    for i in dict.fromkeys(equal.lowest for equal in found.equal if equal.lowest is not None):
        told = told.replace(f"run {i + 1} is", f"run {i + 1}, {found.told[i].name}, is", 1)
    return tag("p", told, class_="verdict") if told else None


def section(found: Comparison, figures: Sequence[Figure], runs: Sequence[str]) -> Iterator[Section]:
    """The runs side by side; ``runs``: the id of each one's own part."""
    yield Section(
        "beside",
        "Side by side",
        join(
            tag("div", *map(embedded, figures), class_="charts") if figures else None,
            _losses(found, runs),
            listed(f"not at equal {base}: {why}" for base, why in found.unequal.items()),
            listed(f"warning: {warning}" for warning in found.warnings),
        ),
    )
    yield Section("differs", "What differs", _differs(found))


def _losses(found: Comparison, runs: Sequence[str]) -> Html:
    heads = ("run", "how far", "at its end", *(f"equal {equal.base}" for equal in found.equal))
    rows: list[Sequence[Child]] = []
    for i, one in enumerate(found.told):
        name = tag("a", f"{i + 1}. {one.name}", href=f"#{runs[i]}") if i < len(runs) else one.name
        equal = (_lowest(cell(e.losses[i]), lowest=e.lowest == i and _told(e) > 1) for e in found.equal)
        rows.append((name, done(one), cell(one.loss(one.end)), *equal))
    lowest = "" if found.unlike else "; the lowest of a column is in bold"
    caption = f"{found.told[0].series} in {found.unit}; +- is half a 90% interval{lowest}"
    return table(caption, heads, rows, kind="losses")


def _told(equal: Equal) -> int:
    """How many runs have a loss there."""
    return sum(loss is not None for loss in equal.losses)


def _lowest(words: str, *, lowest: bool) -> Html | str:
    return tag("strong", words) if lowest else words


def _differs(found: Comparison) -> Html:
    if not found.differs:
        return tag("p", "Nothing differs that their configs say.")
    heads = ("setting", *(f"{i}. {one.name}" for i, one in enumerate(found.told, 1)))
    return table("Settings that are not the same", heads, map(_setting, found.differs), kind="differs")


def _setting(one: Setting) -> Sequence[Child]:
    return (one.name, *(shown_setting(one, value) for value in one.values))
