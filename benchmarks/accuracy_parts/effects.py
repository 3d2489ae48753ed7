"""What causes were said to cost, against what mending them returned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from unplateau.estimate import Z90, Estimate

from .judge import OF_THE_NUMBER, Judged
from .page import percent, table


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
                Priced(case.name, case.set, case.cause, said.verdict, case.gain, case.noise, said.effect)
            )
    return found


def summary(found: Sequence[Priced]) -> str:
    """One row a cause and set: how many were priced, how far off, how many intervals hit."""
    groups: dict[tuple[str, str], list[Priced]] = defaultdict(list)
    for row in found:
        groups[row.set, row.cause].append(row)
    return table(
        [
            "set",
            "cause",
            "runs",
            "needs a probe, or not suspected",
            "mean cost measured",
            "mean error",
            "of predicting 0",
            "intervals that hit",
        ],
        [[*key, len(rows), *_told(rows)] for key, rows in sorted(groups.items())],
    )


def _told(rows: Sequence[Priced]) -> list[object]:
    """The errors are of the priced runs."""
    priced = [r for r in rows if r.predicted is not None]
    cost = fmean(r.measured for r in rows)
    if not priced:
        return [len(rows), cost, None, None, None]
    error = fmean(abs(r.predicted.value - r.measured) for r in priced if r.predicted)
    return [
        len(rows) - len(priced), cost, error, fmean(abs(r.measured) for r in priced),
        percent(sum(r.hit for r in priced), len(priced)),
    ]  # fmt: skip


def each_run(found: Sequence[Priced]) -> str:
    """One row a run."""
    return table(
        ["run", "cause", "verdict", "measured, nats", "predicted, nats", "hit"],
        [
            [
                r.name,
                r.cause,
                r.verdict,
                r.measured,
                r.predicted or "needs a probe",
                {True: "yes", False: "no"}[r.hit] if r.predicted else "",
            ]
            for r in found
        ],
    )
