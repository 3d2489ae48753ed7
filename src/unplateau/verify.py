"""Predicted against achieved: the loss of a run before a change, and of the run after it.

The prediction is the one that was stored before AFTER was run (``forecast.json``); where there is none it is made
afterwards, from BEFORE's log and AFTER's settings alone, and that is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np

from .budget import outlook_of
from .counterfactual import SCHEDULED
from .derive import changed as with_changes
from .errors import UnreadableError, UsageError, printable
from .estimate import Estimate
from .measured import Point, common, curve_of, difference, point_of, scatter, until
from .outlook import Outlook, differences
from .plugins import discover
from .predicted import PLACES, Prediction, chosen, close, unlike
from .run import Run
from .schedules._branched import Branched
from .settings import MADE, TEXT, Setting, differing, in_words
from .state import lost_at, state_of
from .units import count

REACHED = 0.99  # share of a stored step at which an evaluation counts as one there: evaluations are some steps apart
#: times as wide as the prediction's interval: of what a hit may then stray by, 95 % is the measurement's
COARSE = 3.0
CUT = ("tokenizer", "vocab_size", "bytes_per_token")  # with others, losses are of other tokens


@dataclass(frozen=True, slots=True)
class Verification:
    """What was predicted of a change and what came of it. ``hit``: None where nothing was predicted."""

    before: Point
    after: Point
    cause: str | None
    prediction: Prediction
    achieved: Estimate
    how: str  # what the interval of ``achieved`` is of
    at: str  # where the two are compared
    foretold: bool  # the prediction was stored, as far as files tell before AFTER was run
    changes: tuple[Setting, ...]
    warnings: tuple[str, ...]

    @property
    def predicted(self) -> Estimate | None:
        """Nats that AFTER was to lie below BEFORE."""
        return self.prediction.gain

    @property
    def hit(self) -> bool | None:
        """True where the two agree within the interval of the prediction and the error of the measurement."""
        return None if self.predicted is None else agree(self.predicted, self.achieved)

    @property
    def significant(self) -> bool:
        """True where the difference is more than the noise of both evaluations, and of a rerun, would make."""
        return self.achieved.excludes(0.0)


def agree(predicted: Estimate, achieved: Estimate) -> bool:
    """True where ``achieved`` lies within the interval that a right prediction and an honest measurement leave.

    >>> agree(Estimate(0.1, 0.08, 0.12, "nats"), Estimate(0.13, 0.11, 0.15, "nats"))
    False
    >>> agree(Estimate(0.1, 0.08, 0.12, "nats"), Estimate(0.125, 0.105, 0.145, "nats"))
    True
    """
    gap = achieved.value - predicted.value
    if gap >= 0:
        return gap <= hypot(predicted.high - predicted.value, achieved.value - achieved.low)
    return -gap <= hypot(predicted.value - predicted.low, achieved.high - achieved.value)


def coarse(predicted: Estimate, achieved: Estimate) -> bool:
    """True where what was measured is so wide that nearly anything would have agreed with the prediction.

    >>> coarse(Estimate(0.01, -0.11, 0.12, "nats"), Estimate(0.0, -3.0, 4.0, "nats"))
    True
    >>> coarse(Estimate(0.1, 0.08, 0.12, "nats"), Estimate(0.125, 0.105, 0.145, "nats"))
    False
    """
    return achieved.high - achieved.low > COARSE * (predicted.high - predicted.low) and agree(
        predicted, achieved
    )


def verify(
    before: Run,
    after: Run,
    paths: tuple[Path, Path],
    stored: Sequence[Mapping[str, Any]] = (),
    cause: str | None = None,
) -> Verification:
    """Hold what was predicted of ``after`` (``stored``: the forecasts kept of ``before``, the oldest first) against what came.

    ``paths``: of both logs or folders. Raises ``UnreadableError`` where the two can't be compared, ``UsageError`` where
    ``after`` is not the run that was asked about; one line each.
    """
    changes = differing([before, after])
    _comparable(before, after, paths)
    series = common([before, after])
    prediction = chosen(stored, after, changes, cause)
    mended = cause is None or (prediction is not None and cause in prediction.causes)
    warnings: list[str] = [] if mended else _touched(before, cause or "", changes)
    if prediction is None:
        since, step, at = _equal(before, after, series, warnings)
        prediction = _afterwards(before, after, series, since, step)
        if stored:
            warnings.append(
                f"of {len(stored)} stored of BEFORE, no forecast is of a run with AFTER's settings"
            )
    else:
        at = _as_stored(last_of(after, series), prediction)
        warnings += _patched(after, prediction, changes)
    noise = max(
        (sd for sd in (scatter(run, series) for run in (before, after)) if sd is not None), default=None
    )
    one = point_of(before, series, prediction.since, paths[0], noise)
    other = point_of(after, series, prediction.step, paths[1], noise)
    warnings += _other_text(changes)
    achieved, how = difference(one, other)
    if prediction.gain is not None and coarse(prediction.gain, achieved):
        warnings.append(
            "the gain is measured too coarsely to tell a hit from a miss: larger evaluations would"
        )
    late = _late(prediction, paths[1])
    warnings += [late] if late else []
    named = cause or (prediction.causes[0] if len(prediction.causes) == 1 else None)
    foretold = bool(prediction.date) and not late
    return Verification(one, other, named, prediction, achieved, how, at, foretold, changes, tuple(warnings))


def _late(prediction: Prediction, after: Path) -> str:
    """That a prediction was stored when AFTER was written already; its files tell, as far as nobody copied them."""
    try:
        stored = datetime.fromisoformat(prediction.date)
        files = [after] if after.is_file() else [path for path in after.iterdir() if path.is_file()]
        written = max(path.stat().st_mtime for path in files)
    except (OSError, ValueError):
        return ""
    if stored.timestamp() <= written:
        return ""
    return f"the prediction was stored {prediction.date}, after AFTER was last written: it is none"


def _comparable(before: Run, after: Run, paths: tuple[Path, Path]) -> None:
    if str(paths[0]) == "-" or str(paths[1]) == "-":
        raise UsageError("verify wants the logs or folders of two runs; standard input is neither")
    if paths[0].resolve() == paths[1].resolve():
        raise UsageError("BEFORE and AFTER are the same; expected a run, and the run with what was changed")
    for which, run in (("BEFORE", before), ("AFTER", after)):
        if lost := lost_at(run):
            raise UnreadableError(
                f"{which} is lost: {lost[0]} is nan or infinite from step {lost[1]:,} to its end; no loss to compare"
            )
    for name in CUT:
        one, other = before.get(name), after.get(name)
        if one is not None and other is not None and one != other and not close(one, other):
            raise UnreadableError(
                f"{name} is {printable(str(one))} in BEFORE and {printable(str(other))} in AFTER: losses of different "
                "tokens do not compare; expected runs with one tokenizer"
            )


# --- whether AFTER is the run that was meant


def _touched(before: Run, cause: str, changes: Sequence[Setting]) -> list[str]:
    """A warning where nothing tells that what differs mends ``cause``.

    Raises ``UsageError`` where other settings would mend it: the gain would be another cause's.
    """
    known = discover("hypotheses")[cause]
    other = None if before.missing(known.needs) else known.without(before)
    differs = {one.canonical for one in changes}
    meant = differences(before, other) if other is not None else set()
    if not differs or meant & differs:
        return _also(cause, meant, changes)
    one_schedule = {*meant, *differs} <= {*SCHEDULED, "max_steps"}  # may be written in other settings
    if not meant or one_schedule or not meant <= set(MADE):
        return [f"nothing tells that what differs, {', '.join(sorted(differs))}, mends {cause}: you say so"]
    raise UsageError(
        f"what differs, {', '.join(sorted(differs))}, does not mend {cause}: that would be {', '.join(sorted(meant))}; "
        "leave --cause out, or name the cause that was mended"
    )


def _also(cause: str, meant: set[str], changes: Sequence[Setting]) -> list[str]:
    """A warning where more differs than what mends ``cause``: the gain is that of all of it."""
    schedule = {*SCHEDULED, "max_steps"}
    mending = meant | schedule if meant & schedule else meant
    others = [one for one in changes if one.canonical in MADE and one.canonical not in mending]
    said = ", ".join(map(changed, others))
    return [f"AFTER differs from BEFORE in more than what mends {cause}: {said}"] if others else []


def _patched(after: Run, prediction: Prediction, changes: Sequence[Setting]) -> list[str]:
    """What of AFTER's settings is not as the prediction supposed. Raises ``UsageError`` where none of them is."""
    patch = {key: change for key, change in (prediction.patch or {}).items() if key not in PLACES}
    wrong, has = unlike(after, patch), in_words(after)
    checked = patch.keys() & has.keys()
    if wrong and len(wrong) == len(checked):
        raise UsageError(
            f"AFTER is not the run of {prediction.name!r}: {'; '.join(wrong)}; expected the settings that were stored"
        )
    # a word of forecast --set that is no setting (cooldown, horizon) stands for several of the schedule's
    meant = {*patch, *((*SCHEDULED, "max_steps") if len(checked) < len(patch) else ())}
    others = [one for one in changes if one.canonical in MADE and not {one.name, one.canonical} & meant]
    said = [f"AFTER differs from what was predicted: {'; '.join(wrong)}"] if wrong else []
    if others:
        said.append(
            f"AFTER differs from BEFORE in more than was predicted: {', '.join(map(changed, others))}"
        )
    return said


def changed(one: Setting) -> str:
    """A setting of two runs, before and after.

    >>> changed(Setting("dropout", (0.2, 0.0), "dropout"))
    'dropout 0.2 to 0.0'
    """
    before, after = (printable(str(value), 40) if value is not None else "unknown" for value in one.values)
    return f"{one.name} {before} to {after}"


def _other_text(changes: Sequence[Setting]) -> list[str]:
    told = [changed(one) for one in changes if one.canonical in TEXT]
    return [f"the data is not the same: {', '.join(told)}"] if told else []


# --- where they are compared


def _as_stored(reached: int, prediction: Prediction) -> str:
    """Where a stored prediction is compared. Raises ``UnreadableError`` where AFTER has not come so far."""
    if reached < REACHED * prediction.step:
        raise UnreadableError(
            f"AFTER is evaluated up to step {reached:,}, and {prediction.name!r} was predicted for step "
            f"{prediction.step:,}: no verdict before that; let it go on"
        )
    return f"step {prediction.step:,} of AFTER, as predicted, against step {prediction.since:,} of BEFORE"


def last_of(run: Run, series: str) -> int:
    """The last evaluated step."""
    return int(curve_of(run, series).step[-1])


def _equal(before: Run, after: Run, series: str, warnings: list[str]) -> tuple[int, int, str]:
    """The steps of both at which they are compared where nothing was stored: at equal tokens, as far as both go."""
    mine, theirs = before.get("tokens_per_step"), after.get("tokens_per_step")
    per_step = (float(mine), float(theirs)) if mine and theirs else (1.0, 1.0)
    last = last_of(before, series), last_of(after, series)
    ends = last[0] * per_step[0], last[1] * per_step[1]
    starts = int(curve_of(after, series).step[0]) * per_step[1]
    what = "tokens" if mine and theirs else "steps"
    if starts > REACHED * ends[0]:
        return *last, "the end of each: AFTER goes on where BEFORE ended"
    steps = _both_evaluated(
        curve_of(before, series).step.tolist(), curve_of(after, series).step.tolist(), per_step
    )
    if steps is None:
        raise UnreadableError(
            f"BEFORE and AFTER are nowhere evaluated at the same {what}: BEFORE is up to {count(ends[0])}, AFTER from "
            f"{count(starts)} to {count(ends[1])}; expected evaluations at equal {what}, near AFTER's end"
        )
    common = steps[0] * per_step[0]
    if ends[1] < REACHED * ends[0]:
        warnings.append(f"AFTER is shorter: compared at {count(common)} {what}, of BEFORE's {count(ends[0])}")
    return *steps, f"equal {what} ({count(common)}): steps {steps[0]:,} and {steps[1]:,}"


def _both_evaluated(
    before: Sequence[int], after: Sequence[int], per_step: tuple[float, float]
) -> tuple[int, int] | None:
    """The last steps of both, not the first of all, that are as far as each other; None where there are none.

    ``per_step``: tokens of a step of each.

    >>> _both_evaluated([0, 50, 100], [0, 50, 100], (1.0, 0.5)), _both_evaluated([0, 50], [0, 20], (1.0, 1.0))
    ((50, 100), None)
    """
    places = np.asarray(after, dtype=float) * per_step[1]
    for step in reversed([int(one) for one in before if one > 0]):
        near = int(np.argmin(np.abs(places - step * per_step[0])))
        if places[near] > 0 and REACHED <= places[near] / (step * per_step[0]) <= 1 / REACHED:
            return step, int(after[near])
    return None


def _afterwards(before: Run, after: Run, series: str, since: int, step: int) -> Prediction:
    """What the laws, fitted to BEFORE's log up to ``since``, say of a run with AFTER's settings at ``step``."""
    part = until(before, since)
    other = _with_settings(part, after, int(curve_of(after, series).step[0]))
    known = outlook_of(part, state_of(part))
    if known is None:
        return Prediction("", None, since, step, why="no law fits BEFORE's log")
    if missing := known.unpriced(other):
        return Prediction("", None, since, step, why=f"no law prices {', '.join(missing)}")
    return Prediction("", _won(known, other, step), since, step)


def _won(known: Outlook, other: Run, step: int) -> Estimate | None:
    draws = known.level - known.loss(other, step)
    return Estimate.of(draws, "nats") if np.isfinite(draws).all() else None


def _with_settings(before: Run, after: Run, start: int) -> Run:
    """BEFORE with the settings of AFTER, which was first evaluated at ``start``; up to there with its own rate."""
    names = [one.canonical for one in differing([before, after], MADE)]
    other = with_changes(before, {name: after.get(name) for name in names})
    if start <= 0 or before.schedule is None or after.schedule is None:
        return other
    return replace(other, schedule=Branched(before.schedule, after.schedule, start))
