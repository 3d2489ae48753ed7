"""``--unit`` applied to the losses of a run: to nats per token where there is a conversion, else named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..curve import Curve
from ..run import LOSSES, Run
from ..units import NATS_PER
from . import Options


def in_nats(run: Run, options: Options) -> Run:
    """The run with its losses in nats per token, as far as the user's unit allows.

    >>> run = Run("demo", "text", {"val_loss": Curve([1], [2.0], "nats")})
    >>> curve = in_nats(run, Options(unit="bits")).series["val_loss"]
    >>> round(curve.last, 3), curve.unit
    (1.386, 'nats')
    """
    unit = options.unit
    if unit in {None, "nats"}:
        return run
    series = {n: _converted(c, str(unit)) if n in LOSSES else c for n, c in run.series.items()}
    return replace(run, series=series)


def _converted(curve: Curve, unit: str) -> Curve:
    if unit == "perplexity":
        with np.errstate(divide="ignore", invalid="ignore"):
            return Curve(curve.step, np.log(curve.value), "nats")
    if unit in NATS_PER:
        return curve.scaled(NATS_PER[unit], "nats")
    return Curve(curve.step, curve.value, unit)
