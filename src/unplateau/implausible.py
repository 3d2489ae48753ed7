"""Logged numbers that can't be what they are called: each is said, and none is reasoned from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from .curve import Curve
from .run import LOSSES, Run
from .state import HUGE

FASTEST = 1e3  # learning rates of SGD reach 30 (AWD-LSTM); no optimiser takes a thousand
NEGATIVE = 0.01  # share of a curve; a lone number below zero is damage, not another loss
OTHER = "(not nats)"  # the unit of what no cross-entropy can be: no law prices it


def plausible(run: Run) -> Run:
    """``run`` without rates that no optimiser takes, its losses below zero under no unit; each with a warning.

    >>> found = plausible(Run("x", series={"lr": Curve([0, 1], [1e300, 1e300])}))
    >>> list(found.series), found.warnings[0]
    ([], 'the logged learning rate is 1e+300 at step 0: no rate is, so none of them is used')
    """
    series, said = dict(run.series), []
    if (lr := series.get("lr")) is not None and (odd := _odd_rate(lr.finite)):
        said.append(odd)
        if not odd.startswith("every"):
            del series["lr"]
    for name in LOSSES:
        if name in series:
            series[name], warnings = _loss(name, series[name])
            said += warnings
    return replace(run, series=series, warnings=(*run.warnings, *said)) if said else run


def _odd_rate(lr: Curve) -> str:
    wrong = np.flatnonzero((lr.value < 0) | (lr.value > FASTEST))
    if len(wrong):
        at = wrong[0]
        return f"the logged learning rate is {lr.value[at]:.3g} at step {lr.step[at]:,}: no rate is, so none of them is used"
    if len(lr) and not lr.value.any():
        return f"every logged learning rate is 0 ({len(lr):,} of them): nothing is trained so, or it is another number"
    return ""


def _loss(name: str, curve: Curve) -> tuple[Curve, list[str]]:
    other = curve.unit == "nats" and _below_zero(curve)
    return Curve(curve.step, curve.value, OTHER) if other else curve, list(_of_loss(name, curve))


def _below_zero(curve: Curve) -> bool:
    return bool((curve.finite.value < 0).sum() > NEGATIVE * len(curve.finite)) if len(curve.finite) else False


def _of_loss(name: str, curve: Curve) -> Iterator[str]:
    seen = curve.finite
    if curve.unit == "nats" and _below_zero(curve):
        at = int(np.argmax(seen.value < 0))
        yield (
            f"{name} is {seen.value[at]:.4g} at step {seen.step[at]:,}: no cross-entropy is below 0, so it is another "
            "loss and not taken for nats"
        )
    huge = int((np.abs(seen.value) >= HUGE).sum())
    if huge:
        yield f"{huge:,} of {len(seen):,} values of {name} are beyond {HUGE:.0e}: no loss is, so they are left out"
