"""Where the loss goes, in words: the budget as a table, the forecast, and how far the runner-up is behind."""

from __future__ import annotations

from collections.abc import Iterator

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


def budget_lines(found: Diagnosis, *, verbose: bool = False) -> Iterator[Line]:
    """The rows, the unexplained and their sum; nothing where no law explains a part."""
    budget = found.budget
    if budget is None or not budget.rows:
        return
    seen = [row for row in budget.rows if max(abs(row.nats.low), abs(row.nats.high)) >= 0.5 * 10**-PLACES]
    rows = [*((row.name, row.nats, row.note) for row in seen), ("unexplained", budget.unexplained, "")]
    widest = max(len(name) for name, *_ in rows)
    yield Line("BUDGET, nats", "title")
    for name, nats, note in rows:
        value = f"{nats.value:{PLACES + 4}.{PLACES}f}"
        interval = f"({nats.low:.{PLACES}f} to {nats.high:.{PLACES}f})"
        said = f"{name:<{widest}} {value} {interval}"
        yield Line(f"{said}  {note}" if note else said, indent=2, hang=4)
    sums = f"{f'= {found.state.series}':<{widest}} {budget.loss:{PLACES + 4}.{PLACES}f}"
    level = sum(row.nats.value for row in budget.rows)
    yield Line(f"{sums}  (the trend: {level:.{PLACES}f})", indent=2, hang=4)
    if verbose and (said := _together(budget)):
        yield Line(said, "dim", indent=2, hang=4)
    for row in budget.rows if verbose else ():
        if row.capacity is not None:
            split = f"by the size law an endless model would win {row.capacity} of it"
            yield Line(f"{row.name}: {split}", "dim", indent=2, hang=4)


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
