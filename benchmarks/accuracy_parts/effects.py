"""What causes were said to cost, against what mending them returned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean

from unplateau.estimate import Z90, Estimate

from .judge import OF_THE_NUMBER, Case, Judged, Said
from .page import percent, table

import reference  # isort: skip - judge puts its folder on the path

LAW, NOTHING = "a law or a probe", "nothing (needs a probe, or not suspected)"
SEEN, NEW = "a reference class, fitted to the run too", "a reference class"
KINDS = (LAW, NEW, SEEN)


@dataclass(frozen=True, slots=True)
class Priced:
    """A planted cause with a measured cost, and the cost that was predicted; None where a probe is asked for."""

    name: str
    set: str
    cause: str
    verdict: str
    measured: float
    noise: float  # nats, sd of ``measured``: two evaluations
    predicted: Estimate | None
    by: str = LAW

    @property
    def hit(self) -> bool:
        """The interval of the prediction, widened by the noise of the measurement, holds the cost."""
        return self.predicted is not None and self._holds(Z90 * self.noise)

    @property
    def strict_hit(self) -> bool:
        return self.predicted is not None and self._holds(0.0)

    def _holds(self, slack: float) -> bool:
        assert self.predicted is not None
        low, value, high = self.predicted.low, self.predicted.value, self.predicted.high
        below, above = (((value - low) ** 2 + slack**2) ** 0.5, ((high - value) ** 2 + slack**2) ** 0.5)
        return value - below <= self.measured <= value + above


def effects(results: Iterable[Judged]) -> list[Priced]:
    """Every planted cause whose cost was measured, with the effect that its finding gives."""
    found = []
    for result in results:
        case = result.case
        if case.healthy or case.gain is None or case.cause in OF_THE_NUMBER:
            continue
        if (said := result.of(case.cause)) is not None:
            found.append(
                Priced(
                    case.name,
                    case.set,
                    case.cause,
                    said.verdict,
                    case.gain,
                    case.noise,
                    said.effect,
                    _by(said, case),
                )
            )
    return found


def _by(said: Said, case: Case) -> str:
    """What a price comes from."""
    if said.effect is None:
        return NOTHING
    return LAW if not said.basis else SEEN if case.name in _fitted() else NEW


@cache
def _fitted() -> frozenset[str]:
    """The runs that the reference classes were fitted to."""
    return frozenset(reference.FITTED.read_text("utf-8").split())


def summary(found: Sequence[Priced]) -> str:
    """One row a set, cause and kind of price: how far off, how many intervals hit."""
    groups: dict[tuple[str, str, str], list[Priced]] = defaultdict(list)
    for row in found:
        groups[row.set, row.cause, row.by].append(row)
    return table(
        [
            "set",
            "cause",
            "priced by",
            "runs",
            "mean cost measured",
            "mean error",
            "of predicting 0",
            "intervals that hit",
        ],
        [[*key, len(rows), *_told(rows)] for key, rows in sorted(groups.items())],
    )


def _told(rows: Sequence[Priced]) -> list[object]:
    """All of one kind: priced, or not."""
    cost = fmean(r.measured for r in rows)
    priced = [r for r in rows if r.predicted is not None]
    if not priced:
        return [cost, None, None, None]
    error = fmean(abs(r.predicted.value - r.measured) for r in priced if r.predicted)
    return [
        cost, error, fmean(abs(r.measured) for r in priced), percent(sum(r.hit for r in priced), len(priced)),
    ]  # fmt: skip


def classes(found: Sequence[reference.Left]) -> str:
    """One row a reference class: its runs, and how good it is on texts, and trainers, that were left out."""
    head = ["reference class", "runs", "texts", "mean error", "of predicting 0", "intervals that hold it, texts left out", "trainers left out"]  # fmt: skip
    return table(head, [[one.name, one.one.runs, one.one.texts, *_left(one)] for one in found])


def _left(one: reference.Left) -> list[object]:
    if one.error is None:
        return ["no price", None, None, None]
    hits = (percent(sum(held), len(held)) for held in (one.texts, one.trainers))
    return [one.error, one.nothing, *hits]


def each_run(found: Sequence[Priced]) -> str:
    """One row a run."""
    return table(
        ["run", "cause", "verdict", "measured, nats", "predicted, nats", "by", "hit"],
        [
            [
                r.name,
                r.cause,
                r.verdict,
                r.measured,
                r.predicted or "needs a probe",
                r.by if r.predicted else "",
                {True: "yes", False: "no"}[r.hit] if r.predicted else "",
            ]
            for r in found
        ],
    )
