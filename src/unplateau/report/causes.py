"""The pages of the causes, as their modules' docstrings tell them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..hypotheses import Hypothesis
from ..plugins import discover
from ..record import Entry, Tally, tally
from .lines import WIDTH, Line, render


def known() -> list[tuple[Hypothesis, str]]:
    """Every hypothesis with its page."""
    found: list[Hypothesis] = list(discover("hypotheses").values())
    return [(h, inspect.getdoc(inspect.getmodule(h.test)) or h.claim) for h in found]


def claims() -> dict[str, str]:
    """What each cause says, by its name."""
    return {name: hypothesis.claim for name, hypothesis in discover("hypotheses").items()}


def tallies(known: Sequence[tuple[Hypothesis, str]], entries: Sequence[Entry]) -> dict[str, Tally]:
    """The record of each cause that has one, by its name."""
    told = {h.name: tally(entries, h.name) for h, _ in known}
    return {name: one for name, one in told.items() if one.of or one.doubtful or one.unpredicted}


def listing(
    known: Sequence[tuple[Hypothesis, str]],
    record: Mapping[str, Tally] | None = None,
    *,
    width: int = WIDTH,
    colour: bool = False,
) -> str:
    """A paragraph a cause, with its ``record`` where it has one."""
    record = record or {}
    lines = [Line("The causes that are tested; unplateau causes NAME shows the page of one.", "title")]
    if total := sum(one.of for one in record.values()):
        hits = sum(one.hits for one in record.values())
        lines.append(
            Line(
                f"Our record here: mended, the loss came within the predicted interval {hits} of {total} times."
            )
        )
    lines.append(Line())
    for hypothesis, _ in known:
        lines.append(Line(hypothesis.name, "title"))
        lines.append(Line(hypothesis.claim, indent=4, hang=4))
        if (told := record.get(hypothesis.name)) is not None:
            lines += (Line(line.text, line.ink, 4, 6) for line in _record(told))
    return render(lines, width, colour=colour)


def _record(told: Tally) -> Iterator[Line]:
    """How often what was predicted came, and each time it did not."""
    if told.of:
        yield Line(
            f"predicted within its interval {told.hits} of {told.of} times", "" if told.misses else "good"
        )
    for miss in told.misses:
        yield Line(
            f"missed: {miss.after}: predicted {miss.predicted}, came {miss.achieved}"
            + ("" if miss.significant else ", which noise alone may give"),
            "doubt",
        )
    if told.doubtful:
        yield Line(
            f"not counted: {told.doubtful} whose runs differ in more than was predicted, or that could not tell",
            "dim",
        )
    if told.unpredicted:
        yield Line(f"not counted: {told.unpredicted} without prediction", "dim")


def as_dict(told: Tally | None) -> dict[str, Any] | None:
    """A record for ``causes --json``."""
    if told is None:
        return None
    misses = [
        {
            "before": m.before,
            "after": m.after,
            "date": m.date,
            "achieved": m.achieved.as_dict(),
            "significant": m.significant,
        }
        | {"predicted": m.predicted.as_dict() if m.predicted else None}
        for m in told.misses
    ]
    return {"hits": told.hits, "of": told.of, "misses": misses, "not_counted": told.doubtful}


def page(hypothesis: Hypothesis, docs: str, record: Tally | None = None, *, width: int = WIDTH) -> str:
    """The page of one cause: its claim, then a paragraph for each of its words, then its ``record``."""
    title = f"{hypothesis.name}\n{'=' * len(hypothesis.name)}\n\n"
    parts = re.split(r"\n(?=\n|[A-Z][A-Za-z ]{1,30}: )", docs.strip())
    lines = [Line(" ".join(part.split())) for part in parts]
    if record is not None:
        lines += [Line("Our record here:"), *(Line(one.text, "", 2, 4) for one in _record(record))]
    return title + render(lines, width)
