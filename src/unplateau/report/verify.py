"""What was predicted and what came of it, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..estimate import Estimate
from ..measured import PAIRED, Point
from ..record import Entry
from ..verify import Verification, changed, coarse
from .json import plain
from .lines import WIDTH, Line, render
from .redact import redacted

SCHEMA = "unplateau.verification/1"
SHOWN = 12  # settings that are shown


def text(found: Verification, paths: tuple[str, str], *, width: int = WIDTH, colour: bool = False) -> str:
    """The verdict first, then how it was come by; ``paths``: of BEFORE and AFTER, as they were given."""
    return render(_lines(found, paths), width, colour=colour)


def _lines(found: Verification, paths: tuple[str, str]) -> Iterator[Line]:
    yield Line(f"{paths[0]} against {paths[1]}", "dim", most=1)
    yield Line(headline(found), "title")
    yield Line(
        f"{found.before.series}: {_at(found.before)}, {_at(found.after)} of AFTER",
        indent=2,
        hang=4,
    )
    yield Line(f"compared at {found.at}", indent=2, hang=4)
    yield Line(f"interval of the gain: {found.how}{_also(found)}", indent=2, hang=4)
    yield Line(f"the prediction: {_made(found)}", indent=2, hang=4)
    changes = [changed(one) for one in found.changes]
    more = f", and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    said = ", ".join(changes[:SHOWN]) + more if changes else "nothing that their configs say"
    yield Line(f"what differs: {redacted(said)}", indent=2, hang=4)
    for warning in found.warnings:
        yield Line(f"warning: {redacted(warning)}", "doubt", indent=2, hang=4)


def headline(found: Verification) -> str:
    """Achieved against predicted, in a sentence or two."""
    cause = f"Without {found.cause} the" if found.cause else "The"
    won = f"{cause} loss is lower by {found.achieved}"
    if found.achieved.value < 0:
        won = f"{cause} loss is not lower, the gain is {found.achieved}"
    if not found.significant:
        won += ", which noise alone may give"
    if found.predicted is None:
        return f"{won}. Nothing was predicted: {found.prediction.why or 'no law says'}."
    if found.prediction.date and not found.foretold:
        agrees = "as" if found.hit else "not as"
        return f"{won}, {agrees} the laws said when it was known already: {found.predicted}."
    return f"{won}. Predicted: {found.predicted}, {_verdict(found.predicted, found)}."


def _verdict(predicted: Estimate, found: Verification) -> str:
    if not found.hit:
        return "a miss: outside the interval"
    if coarse(predicted, found.achieved):
        return "too coarsely measured to be a hit or a miss"
    within = predicted.low <= found.achieved.value <= predicted.high
    return "a hit: within the interval" if within else "a hit: no further apart than the errors of both"


def _at(point: Point) -> str:
    """The loss of a run where it is compared; the trend is named where that is not what was evaluated."""
    told, seen = _loss(point.loss.value), _loss(point.value)
    evaluated = "" if told == seen else f" by the trend ({seen} as evaluated)"
    return f"{told}{evaluated} at step {point.step:,}"


def _loss(value: float) -> str:
    return f"{value:.4f}"


def _also(found: Verification) -> str:
    said = ", and what two runs of one seed differ by"
    return said if found.how == PAIRED else f", their noise{said}"


def _made(found: Verification) -> str:
    told = found.prediction
    if told.date:
        return f"{told.name!r}, stored {told.date}{f'; no law: {told.basis}' if told.basis else ''}"
    if told.gain is None:
        return "none was stored, and none can be made"
    return "none was stored; made afterwards, from BEFORE's log and AFTER's settings"


def verification(found: Verification, paths: tuple[str, str]) -> dict[str, Any]:
    """``verify --json``; ``paths``: of BEFORE and AFTER, as they were given."""
    told = {
        "schema": SCHEMA,
        "before": paths[0],
        "after": paths[1],
        "cause": found.cause,
        "predicted": found.predicted.as_dict() if found.predicted else None,
        "achieved": found.achieved.as_dict(),
        "hit": found.hit,
        "significant": found.significant,
        "foretold": found.foretold,
        "stored": found.prediction.date or None,
        "why": found.prediction.why,
        "basis": found.prediction.basis,
        "steps": [found.before.step, found.after.step],
        "compared": found.at,
        "interval_of": found.how,
        "losses": [found.before.loss.as_dict(), found.after.loss.as_dict()],
        "changes": {one.name: list(one.values) for one in found.changes},
        "warnings": list(found.warnings),
    }
    out: dict[str, Any] = plain(told)
    return out


def entry(found: Verification, before: str, after: str) -> Entry:
    """The line of the record; ``before`` and ``after``: where the runs lie."""
    return Entry(
        before=before,
        after=after,
        cause=found.cause,
        predicted=found.predicted,
        achieved=found.achieved,
        hit=found.hit,
        significant=found.significant,
        foretold=found.foretold,
        step=found.after.step,
        warnings=found.warnings,
    )
