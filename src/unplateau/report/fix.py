"""A mended config in words and as JSON: the difference without secrets, what is expected, how to run it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import printable
from ..estimate import Estimate
from ..fix import Expected, Mended, expectation
from .json import plain
from .lines import INK, WIDTH, Line, render
from .redact import redacted

SCHEMA = "unplateau.fix/1"
WITHOUT = "without "  # begins the name of the future that is stored, the causes follow
TABS = re.compile(r"\t")
COLOURS = {"+": "good", "-": "bad", "@": "dim"}


def diff(mended: Mended, *, colour: bool = False) -> str:
    """The difference as it may be shown: without secrets, without control characters."""
    rows = [_shown(row) for row in redacted(mended.diff).splitlines()]
    return "".join(f"{_inked(row) if colour else row}\n" for row in rows)


def _shown(row: str) -> str:
    return "\t".join(printable(part, 2000) for part in TABS.split(row.removesuffix("\r")))


def _inked(row: str) -> str:
    ink = COLOURS.get(row[:1])
    return f"\x1b[{INK[ink]}m{row}\x1b[0m" if ink and row[:3] not in ("+++", "---") else row


def text(mended: Mended, *, width: int = WIDTH, colour: bool = False) -> str:
    """What is expected of it, what is to be known, and how to run it."""
    said = render(_lines(mended), width, colour=colour)
    rows = [row for line in mended.launch.lines for row in _typed(redacted(line), width)]
    if mended.launch.verify:
        rows += ["then:", *_typed(redacted(mended.launch.verify), width)]
    return said + "".join(f"{row}\n" for row in rows)  # a command is never cut


def _lines(mended: Mended) -> Iterator[Line]:
    for finding in mended.choice.findings:
        chance = f" ({finding.probability:.0%})" if finding.probability is not None else ""
        advice = f": {finding.remedy.advice}" if finding.remedy and finding.remedy.advice else ""
        yield Line(f"{finding.cause}{chance}, {finding.verdict}{redacted(advice)}", "title", hang=2)
    yield Line(f"expected: {expectation(mended.expected)}", hang=2)
    for note in mended.notes:
        yield Line(f"note: {redacted(note)}", "doubt", hang=2)
    yield Line("run it:", hang=2)


def _typed(line: str, width: int) -> Iterator[str]:
    """A command on rows no longer than ``width`` where its words allow it, each but the last going on in the next."""
    row = " "
    for word in re.split(r" (?=--|&& |cp |> )", line):
        if len(row) + len(word) + 3 > width and row.strip():
            yield f"{row} \\"
            row = "   "
        row += f" {word}"
    yield row


def fixed(mended: Mended, file: str | None, notes: tuple[str, ...] = ()) -> dict[str, Any]:
    """``fix --json``; ``file``: where the mended config was written."""
    told = {
        "schema": SCHEMA,
        "run": mended.run.name,
        "cause": list(mended.choice.causes),
        "patch": {key: list(change) for key, change in mended.patch.items()},
        "file": file,
        "diff": diff(mended),
        "command": mended.launch.command,
        "expects": _est(mended.expected.gain),
        "step": mended.expected.step,
        "loss": _est(mended.expected.loss),
        "basis": mended.expected.basis,
        "notes": [*mended.notes, *notes],
    }
    return {key: plain(value) if key != "diff" else value for key, value in told.items()}


def stored(mended: Mended, planned: tuple[int, Estimate] | None, now: Estimate | None) -> dict[str, Any]:
    """What is kept of the prediction, in the shape of a stored forecast; a loss that no law prices is null.

    ``patch`` is in the trainer's own words, ``settings`` the same in VOCABULARY's.
    """
    told, choice = mended.expected, mended.choice
    future = {
        "name": WITHOUT + ", ".join(choice.causes),
        "causes": list(choice.causes),
        "kind": "branch" if choice.start else "fresh",
        "start": choice.start,
        "patch": {k: list(c) for k, c in mended.patch.items() if k not in mended.launch.settings},
        "settings": {key: list(change) for key, change in choice.patch.items()},
        **_priced(told),
        "notes": list(mended.notes),
    }
    futures = [future]
    if planned is not None:
        futures.insert(
            0,
            {
                "name": "as planned",
                "kind": "continue",
                "patch": {},
                "step": planned[0],
                "loss": _est(planned[1]),
            },
        )
    kept: dict[str, Any] = plain(
        {
            "run": mended.run.name,
            "last_step": int(mended.run.get("steps_done") or 0),
            "now": _est(now),
            "futures": futures,
            "by": "fix",
        }
    )
    return kept


def _priced(told: Expected) -> dict[str, Any]:
    return {"step": told.step, "loss": _est(told.loss), "gain": _est(told.gain), "basis": told.basis}


def _est(estimate: Estimate | None) -> Mapping[str, Any] | None:
    return None if estimate is None else estimate.as_dict()
