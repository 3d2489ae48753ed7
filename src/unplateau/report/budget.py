"""Where the loss goes, in words: the budget as a table, the forecast, and how far the runner-up is behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..budget import Budget
from ..diagnosis import Diagnosis, runner_up
from ..estimate import Estimate
from .lines import Line

PLACES = 3  # decimals of every row, so that the rows can be seen to add up; logs print four


def forecast_line(found: Diagnosis) -> Iterator[Line]:
    """The loss at the planned end, where that is still to come."""
    if found.planned is None or found.planned[0] <= int(found.run.get("steps_done") or 0):
        return
    step, loss = found.planned
    yield Line(f"As planned it ends at step {step:,} with {span(loss, max(2, loss.places))}.")


def span(estimate: Estimate, places: int) -> str:
    """Value and interval without the unit.

    >>> span(Estimate(3.412, 3.38, 3.449, "nats"), 2)
    '3.41 (3.38 to 3.45)'
    """
    value, low, high = (f"{x:.{places}f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"


@dataclass(frozen=True, slots=True)
class Part:
    """A row of the table: numbers as they are shown."""

    name: str
    value: str
    interval: str
    note: str = ""


def parts_of(budget: Budget) -> list[Part]:
    """The rows that are large enough to be seen, and the unexplained."""
    seen = [row for row in budget.rows if max(abs(row.nats.low), abs(row.nats.high)) >= 0.5 * 10**-PLACES]
    rows = [*((row.name, row.nats, row.note) for row in seen), ("unexplained", budget.unexplained, "")]
    return [
        Part(name, _fixed(nats.value), f"{_fixed(nats.low)} to {_fixed(nats.high)}", note)
        for name, nats, note in rows
    ]


def total_of(found: Diagnosis, budget: Budget) -> Part:
    """What the rows come to, beside the trend that all but the last come to."""
    level = sum(row.nats.value for row in budget.rows)
    return Part(f"= {found.state.series}", _fixed(budget.loss), f"the trend: {_fixed(level)}")


def _fixed(nats: float) -> str:
    return f"{nats:.{PLACES}f}"


def budget_lines(found: Diagnosis, *, verbose: bool = False) -> Iterator[Line]:
    """The rows, the unexplained and their sum; nothing where no law explains a part."""
    budget = found.budget
    if budget is None or not budget.rows:
        return
    parts, total = parts_of(budget), total_of(found, budget)
    widest = max(len(part.name) for part in parts)
    yield Line("BUDGET, nats", "title")
    for part in parts:
        said = f"{part.name:<{widest}} {part.value:>{PLACES + 4}} ({part.interval})"
        yield Line(f"{said}  {part.note}" if part.note else said, indent=2, hang=4)
    sums = f"{total.name:<{widest}} {total.value:>{PLACES + 4}}"
    yield Line(f"{sums}  ({total.interval})", indent=2, hang=4)
    for said in notes_of(budget) if verbose else ():
        yield Line(said, "dim", indent=2, hang=4)


def notes_of(budget: Budget) -> Iterator[str]:
    """What the table can't say: causes together, and how a law would split what one run can't."""
    if said := _together(budget):
        yield said
    for row in budget.rows:
        if row.capacity is not None:
            yield f"{row.name}: by the size law an endless model would win {row.capacity} of it"


def _together(budget: Budget) -> str:
    """What the causes cost one by one and together; the overlap is the difference."""
    if budget.together is None or budget.overlap is None:
        return ""
    alone = sum(effect.value for effect in budget.effects.values())
    return (
        f"{', '.join(budget.effects)}: {alone:.{PLACES}f} as the sum of what each costs alone, "
        f"{budget.together.value:.{PLACES}f} where all are removed at once"
    )


def runner_up_line(found: Diagnosis) -> Iterator[Line]:
    """The next cause, and how far it is behind the first, in probability x nats."""
    if (pair := runner_up(found)) is None:
        return
    first, second = pair
    ours, theirs = first.expected, second.expected
    behind = ""
    if ours is not None and theirs is not None:
        behind = ", so behind" if theirs > ours and first.verdict != second.verdict else ""
        said = f"{theirs:.{PLACES}f} against {ours:.{PLACES}f} (nats x chance)"
    else:
        said = f"{second.probability or 0:.0%} against {first.probability or 0:.0%}"
    yield Line(f"runner-up   {second.cause}, {second.verdict}{behind}: {said}", "dim", hang=12)
