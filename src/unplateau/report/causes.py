"""The pages of the causes, as their modules' docstrings tell them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence

from ..hypotheses import Hypothesis
from ..plugins import discover
from .lines import WIDTH, Line, render


def known() -> list[tuple[Hypothesis, str]]:
    """Every hypothesis with its page."""
    found: list[Hypothesis] = list(discover("hypotheses").values())
    return [(h, inspect.getdoc(inspect.getmodule(h.test)) or h.claim) for h in found]


def claims() -> dict[str, str]:
    """What each cause says, by its name."""
    return {name: hypothesis.claim for name, hypothesis in discover("hypotheses").items()}


def listing(known: Sequence[tuple[Hypothesis, str]], *, width: int = WIDTH, colour: bool = False) -> str:
    """A paragraph a cause."""
    lines = [
        Line("The causes that are tested; unplateau causes NAME shows the page of one.", "title"),
        Line(),
    ]
    for hypothesis, _ in known:
        lines.append(Line(hypothesis.name, "title"))
        lines.append(Line(hypothesis.claim, indent=4, hang=4))
    return render(lines, width, colour=colour)


def page(hypothesis: Hypothesis, docs: str, *, width: int = WIDTH) -> str:
    """The page of one cause: its claim, then a paragraph for each of its words."""
    title = f"{hypothesis.name}\n{'=' * len(hypothesis.name)}\n\n"
    parts = re.split(r"\n(?=\n|[A-Z][A-Za-z ]{1,30}: )", docs.strip())
    return title + render((Line(" ".join(part.split())) for part in parts), width)
