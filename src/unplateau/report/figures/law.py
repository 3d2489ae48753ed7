"""The fitted law as a line with its band, and the futures that it prices: as planned, and those that somebody asked about."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...diagnosis import Diagnosis
from ...estimate import QUANTILES, Estimate
from ...futures import Forecast, Future, losses
from ...laws import Draws
from ...outlook import Outlook
from ...run import Run
from ...state import judged
from ..redact import redacted
from .draw import Floats
from .measure import Amounts
from .plot import Track
from .thin import smoothed

EARLY = 0.08  # share of the steps that the law of the schedule leaves out (laws/schedule.py)
PAST, AHEAD = 28, 16  # places at which a law is asked; between them it is smooth, and each takes milliseconds
FANNED = 4  # futures beside the plan that are drawn; those asked for come first
RATES = 60  # places at which a schedule is asked
RATE = "_lr"  # behind the key of a future: its learning rate
OTHERS = ("other1", "other2", "other3", "other4")


def law_tracks(found: Diagnosis, ahead: Forecast | None, amounts: Amounts) -> list[Track]:
    """The law over what was logged, the plan to its end, and the other futures; none where no law fits."""
    known = found.outlook
    if known is None:
        return []
    last = int(known.run.get("steps_done") or 0)
    if last < 2:
        return []
    tracks = [_fitted(known, last, amounts)]
    plan = _plan(found, ahead)
    if plan is not None and plan[0] > last:
        tracks.append(_planned(known, last, plan, amounts))
    tracks += _others(known, ahead, amounts)
    return tracks


def _fitted(known: Outlook, last: int, amounts: Amounts) -> Track:
    """The trend from where the law begins to the last step."""
    steps = _steps(max(EARLY * last, 1.0), last, PAST)
    draws = [_past(known, step) for step in steps.tolist()]
    low, mean, high = _spread(draws)
    label = f"fitted law ({known.trend}), 90 % band"
    if (
        known.trend == "power"
    ):  # it misses an annealed end, and was moved to it (outlook.py): shown where it fits
        off, label = _off(known, steps, mean), "fitted law (power, which sees no schedule), 90 % band"
        low, mean, high = low + off, mean + off, high + off
    return Track("law", label, "law", "line", amounts.at(steps), mean, low, high, width=1.4)


def _off(known: Outlook, steps: Floats, mean: Floats) -> float:
    """How far the points lie above the line that was moved to the last of them, in equal parts of the log of the step."""
    _, curve = judged(known.run)
    if curve is None or not len(seen := curve.finite.between(steps[0], steps[-1])):
        return 0.0
    x, y = smoothed(seen.step.astype(float), seen.value, PAST)
    return float((y - np.interp(np.log(x), np.log(steps), mean)).mean())


def _past(known: Outlook, step: int) -> Draws:
    """The trend at a step that lies behind: what a law does not see ahead is no error there."""
    total = known.level.copy()
    for law in known.fitted.values():
        total += law.price(known.run, step)
    return np.asarray(total)


def _plan(found: Diagnosis, ahead: Forecast | None) -> tuple[int, Estimate] | None:
    """The step that the plan ends at, and the loss there."""
    if ahead is not None and ahead.futures:
        return ahead.futures[0].step, ahead.futures[0].loss
    return found.planned


def _planned(known: Outlook, last: int, plan: tuple[int, Estimate], amounts: Amounts) -> Track:
    end, loss = plan
    steps = _steps(last, end, AHEAD)
    low, mean, high = _along(known, known.run, steps, loss)
    name = "as planned" if known.run.get("planned_end") else "going on as it is"
    label = f"{name}, to {loss.value:.{loss.places}f}"
    return Track("plan", label, "plan", "line", amounts.at(steps), mean, low, high, dash=1)


def _others(known: Outlook, ahead: Forecast | None, amounts: Amounts) -> Iterator[Track]:
    """The futures beside the plan."""
    for i, future in enumerate(ahead.futures[1 : FANNED + 1] if ahead is not None else ()):
        yield _other(known, future, i, amounts)


def _other(known: Outlook, future: Future, i: int, amounts: Amounts) -> Track:
    start = future.step - future.cost.steps
    begin = max(start, 1) if future.kind != "fresh" else max(EARLY * future.step, 1.0)
    steps = _steps(begin, future.step, AHEAD)
    low, mean, high = _along(known, future.run, steps, future.loss)
    label = f"{redacted(future.name)}, to {future.loss.value:.{future.loss.places}f}"
    x = _amounts(future, start, steps, amounts)
    return Track(f"future{i}", label, OTHERS[i], "line", x, mean, low, high, dash=2 + i % 3, scaling=False)


def rate_tracks(ahead: Forecast | None, amounts: Amounts) -> list[Track]:
    """The learning rates of the futures beside the plan, without names of their own: they go with their losses."""
    return [
        _rates(future, i, amounts)
        for i, future in enumerate(ahead.futures[1 : FANNED + 1] if ahead is not None else ())
        if future.run.schedule is not None and not future.run.has("step_unit") and future.cost.steps > 1
    ]


def _rates(future: Future, i: int, amounts: Amounts) -> Track:
    start, schedule = future.step - future.cost.steps, future.run.schedule
    assert schedule is not None
    steps = np.unique(np.rint(np.linspace(max(start, 1), future.step, RATES)))
    value = np.array([schedule(int(step)) for step in steps.tolist()])
    x = _amounts(future, start, steps, amounts)
    return Track(
        f"future{i}{RATE}", "", OTHERS[i], "line", x, value, dash=2 + i % 3, width=1.4, scaling=False
    )


def _amounts(future: Future, start: int, steps: Floats, amounts: Amounts) -> Floats:
    """Where on the x axis a future is: its own steps may hold more tokens than the run's."""
    size = future.run.get("tokens_per_step")
    if amounts.unit != "tokens" or not isinstance(size, (int, float)) or size == amounts.per_step:
        return amounts.at(steps)
    begin = 0.0 if future.kind == "fresh" else float(amounts.at([start])[0])
    return np.asarray(begin + (steps - (0 if future.kind == "fresh" else start)) * float(size))


def _along(known: Outlook, run: Run, steps: Floats, end: Estimate) -> tuple[Floats, Floats, Floats]:
    """Low, mean and high at ``steps``; at the last one what the forecast says."""
    low, mean, high = _spread([losses(known, run, int(step)) for step in steps.tolist()])
    low[-1], mean[-1], high[-1] = end.low, end.value, end.high
    return low, mean, high


def _spread(draws: list[Draws]) -> tuple[Floats, Floats, Floats]:
    """Of draws at each of n places: shapes (n,)."""
    table = np.stack(draws)
    low, high = np.quantile(table, QUANTILES, axis=1)
    return low, table.mean(axis=1), high


def _steps(first: float, last: float, places: int) -> Floats:
    """Whole steps, evenly apart in their logarithm, each once."""
    steps = np.unique(np.rint(np.geomspace(max(first, 1.0), max(last, 1.0), places)))
    steps[-1] = last
    return steps
