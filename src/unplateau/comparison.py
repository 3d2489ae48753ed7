"""Runs side by side: their losses at equal tokens, equal time and equal FLOPs, and the settings in which they differ.

Each is asked as far as the shortest of them goes. A loss between two evaluations is that of the straight line between them
in log steps. FLOPs are those of the model (shape.py), time that of the steps alone: evaluations are not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot
from pathlib import PurePath

import numpy as np

from .curve import Curve
from .errors import UsageError, printable
from .estimate import Z90, Estimate
from .measured import RERUN, common, curve_of
from .run import Run
from .settings import Setting, differing
from .shape import Shape
from .state import LEAST, PRINTED, after_start, lost_at, noise_of
from .timing import step_seconds
from .units import LN2

FEWEST, MOST = 2, 20  # runs; more fit no screen
BITS = "bits/byte"
#: what runs are made equal in -> its unit
BASES = {"tokens": "tokens", "time": "s", "FLOPs": "FLOP"}
EVALUATED_ON = ("dataset", "val_tokens")  # what tells that the text of the evaluation is another
LACKS = {
    "tokens": "tokens per step are not known (the config has them)",
    "time": "step times are not logged",
    "FLOPs": "the model's shape or tokens per step are not known (the config has them)",
}


@dataclass(frozen=True, slots=True)
class Told:
    """One run. ``per_step``: what a step costs, by BASES; what is not known is absent. ``noise``: sd of one evaluation."""

    name: str
    run: Run
    series: str
    curve: Curve  # the judged loss, finite
    noise: float
    per_step: dict[str, float]

    @property
    def end(self) -> int:
        """The last evaluated step."""
        return int(self.curve.step[-1])

    def loss(self, step: float) -> Estimate:
        """The loss at ``step``, between two evaluations that of the line between them; the error is that of one."""
        at = np.log(np.maximum(self.curve.step, 1).astype(float))
        value = float(np.interp(np.log(max(step, 1.0)), at, self.curve.value))
        return Estimate(value, value - Z90 * self.noise, value + Z90 * self.noise, self.curve.unit or "nats")


@dataclass(frozen=True, slots=True)
class Equal:
    """The runs at one amount of something. ``losses``, ``steps``: one a run, None where it has no known amount.

    ``lowest``: the place of the run with the lowest loss; None where the losses are of unlike text, and lower is not better.
    ``ties``: those that noise can't tell from it.
    """

    base: str
    amount: float
    losses: tuple[Estimate | None, ...]
    steps: tuple[int | None, ...]
    lowest: int | None
    ties: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs side by side. ``unequal``: base -> why it is not compared; ``unlike``: why no run can be called better."""

    told: tuple[Told, ...]
    unit: str
    equal: tuple[Equal, ...]
    unequal: dict[str, str]
    differs: tuple[Setting, ...]
    warnings: tuple[str, ...]
    unlike: str = ""


def compare(runs: Sequence[tuple[str, Run]]) -> Comparison:
    """``runs`` side by side, each with the name that it is to be shown by.

    Raises ``UsageError`` for fewer than ``FEWEST`` or more than ``MOST``, ``UnreadableError`` for losses that do not compare.
    """
    if not FEWEST <= len(runs) <= MOST:
        raise UsageError(f"compare wants {FEWEST} to {MOST} runs; found {len(runs)}")
    warnings: list[str] = []
    series = common([run for _, run in runs])
    told = _same_unit([_told(name, run, series, warnings) for name, run in runs], warnings)
    equal = [found for base in BASES if (found := _equal(told, base)) is not None]
    unequal = {base: why for base in BASES if (why := _unknown(told, base))}
    if not any(one.base == "tokens" for one in equal):
        equal.insert(0, _made_equal(told, "steps", [1.0] * len(told)))
    differs = differing([one.run for one in told])
    unlike = _unlike(told, differs)
    if unlike:
        equal = [replace(one, lowest=None, ties=()) for one in equal]
    return Comparison(
        tuple(told), told[0].curve.unit or "nats", tuple(equal), unequal, differs, tuple(warnings), unlike
    )


def _unlike(told: Sequence[Told], differs: Sequence[Setting]) -> str:
    """Why losses of these runs do not compare; empty where they do. In bits per byte tokens of any kind do."""
    names = EVALUATED_ON if told[0].curve.unit == BITS else (*EVALUATED_ON, "tokenizer")
    other = [one for one in differs if one.canonical in names and _other(one)]
    if not other:
        return ""
    listed = ", ".join(one.name for one in other)
    return f"{listed} differ{'s' * (len(other) == 1)}: the losses may be of different text, and the lower one need not be the better run"


def _other(one: Setting) -> bool:
    """True where the values are not the same folder by two paths."""
    known = [value for value in one.values if value is not None]
    return len({PurePath(value).name if isinstance(value, str) else value for value in known}) > 1


def _told(name: str, run: Run, series: str, warnings: list[str]) -> Told:
    curve, shown = curve_of(run, series), printable(name, 60)
    if lost := lost_at(run):
        warnings.append(f"{shown} is lost: {lost[0]} is nan or infinite from step {lost[1]:,} to its end")
    points = after_start(curve)
    if len(points) < LEAST:
        many = f"{len(curve)} evaluation{'s' * (len(curve) != 1)}"
        warnings.append(f"{shown} has {many}: too few to know well how far one is off")
    return Told(name, run, series, curve, _noise(run, series, curve, points), _per_step(run))


def _noise(run: Run, series: str, curve: Curve, points: Curve) -> float:
    """Sd of one evaluation: the logged standard error, else the scatter around the trend."""
    logged = run.series.get(f"{series}_error")
    if logged is not None and len(errors := logged.finite):
        return max(float(np.median(errors.value)), PRINTED)
    return noise_of(run, series, points if len(points) else curve)


def _per_step(run: Run) -> dict[str, float]:
    """What a step of ``run`` costs, by BASES, where it is known."""
    tokens, seconds = run.get("tokens_per_step"), step_seconds(run)
    if run.has("step_unit"):
        tokens = None  # what is set for an optimiser step says nothing of a record or an epoch
    shape = Shape.of({name: fact.value for name, fact in run.facts.items()})
    flops = shape.flops_per_token * tokens if shape and tokens and run.get("block_size") else None
    costs = {"tokens": tokens, "time": seconds, "FLOPs": flops}
    return {base: float(cost) for base, cost in costs.items() if cost and cost > 0}


def _same_unit(told: list[Told], warnings: list[str]) -> list[Told]:
    """The runs in one unit: in bits per byte where their tokens differ and their bytes are known."""
    cut = differing([one.run for one in told], ("tokenizer", "vocab_size"))
    if not cut:
        return told
    widths = [one.run.get("bytes_per_token") for one in told]
    if all(widths) and told[0].curve.unit == "nats":
        warnings.append("the tokens differ: losses are given in bits per byte")
        return [_scaled(one, 1 / LN2 / float(width)) for one, width in zip(told, widths, strict=True)]
    names = ", ".join(one.name for one in cut)
    warnings.append(
        f"{names} differ: losses of different tokens do not compare; with bytes_per_token of each (a manifest "
        "tells) they are given in bits per byte"
    )
    return told


def _scaled(one: Told, factor: float) -> Told:
    return Told(
        one.name, one.run, one.series, one.curve.scaled(factor, BITS), one.noise * factor, one.per_step
    )


def _unknown(told: Sequence[Told], base: str) -> str:
    """Of which runs ``base`` is not known, and why; empty where it is of all."""
    without = [printable(one.name, 40) for one in told if base not in one.per_step]
    if len(without) == len(told):
        return f"{LACKS[base]}, in any of them"
    return f"{LACKS[base]}: {', '.join(without)}" if without else ""


def _equal(told: Sequence[Told], base: str) -> Equal | None:
    """The runs that know ``base`` at as much of it as the shortest has; None where fewer than two do."""
    costs = [one.per_step.get(base) for one in told]
    return _made_equal(told, base, costs) if sum(cost is not None for cost in costs) >= FEWEST else None


def _made_equal(told: Sequence[Told], base: str, costs: Sequence[float | None]) -> Equal:
    pairs = list(zip(told, costs, strict=True))
    amount = min(one.end * cost for one, cost in pairs if cost is not None)
    steps = [None if cost is None else amount / cost for _, cost in pairs]
    losses = [
        None if step is None or step < one.curve.step[0] else one.loss(step)
        for one, step in zip(told, steps, strict=True)
    ]
    known = {i: loss for i, loss in enumerate(losses) if loss is not None}
    lowest = min(known, key=lambda i: known[i].value) if known else 0
    ties = tuple(i for i in known if i != lowest and not _apart(known[lowest], known[i]))
    rounded = tuple(None if step is None else round(step) for step in steps)
    return Equal(base, amount, tuple(losses), rounded, lowest, ties)


def _apart(lower: Estimate, higher: Estimate) -> bool:
    """True where more than the noise of both evaluations, and of a rerun, lies between two losses.

    >>> _apart(Estimate(3.0, 3.0, 3.0, "nats"), Estimate(3.002, 3.002, 3.002, "nats"))
    False
    >>> _apart(Estimate(3.0, 2.99, 3.01, "nats"), Estimate(3.02, 3.01, 3.03, "nats"))
    True
    """
    half = hypot(lower.high - lower.value, higher.value - higher.low, Z90 * RERUN)
    return higher.value - lower.value > half
