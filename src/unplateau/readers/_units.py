"""``--unit`` applied to the losses of a run: to nats per token where there is a conversion, else named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..curve import Curve
from ..run import LOSSES, Fact, Run
from ..units import NATS_PER, UNITS
from . import Options


def in_nats(run: Run, options: Options) -> Run:
    """The run with its losses in nats per token, as far as the user's unit allows; once, however often called.

    A loss whose unit the log itself tells is left alone.

    >>> run = Run("demo", "text", {"val_loss": Curve([1], [2.0], "nats")})
    >>> curve = in_nats(run, Options(unit="bits")).series["val_loss"]
    >>> round(curve.last, 3), curve.unit
    (1.386, 'nats')
    """
    unit = options.unit
    assumed = [n for n in LOSSES if n in run.series and run.series[n].unit == "nats"]
    if unit is None or unit == "nats" or run.has("loss_unit") or not assumed:
        return run
    series = {n: _converted(c, unit) if n in assumed else c for n, c in run.series.items()}
    facts = {**run.facts, "loss_unit": Fact(unit, "", "--unit")}
    return replace(run, series=series, facts=facts, warnings=(said(unit), *run.warnings))


def said(unit: str) -> str:
    """The warning that losses are not as the log holds them, or in no unit that converts."""
    known = unit in UNITS
    return f"losses are {'converted to nats from' if known else 'taken for'} {unit}, as --unit says"


def _converted(curve: Curve, unit: str) -> Curve:
    if unit == "perplexity":
        with np.errstate(divide="ignore", invalid="ignore"):
            return Curve(curve.step, np.log(curve.value), "nats")
    if unit in NATS_PER:
        return curve.scaled(NATS_PER[unit], "nats")
    return Curve(curve.step, curve.value, unit)
