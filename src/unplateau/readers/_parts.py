"""A loss that is logged only in parts (``train/box_loss``, ``train/cls_loss``): their sum, as logged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..curve import Curve
from ..run import LOSSES, Run

SPLITS = {"train/": "batch_loss", "val/": "val_loss"}  # Ultralytics' names; weighted as the trainer sums them


def with_sums(run: Run) -> Run:
    """``run`` with batch_loss and val_loss as sums of their logged parts, where it has no loss of its own.

    >>> parts = {f"train/{n}_loss": Curve([1, 2], [1.0, 0.5]) for n in ("box", "cls")}
    >>> with_sums(Run("demo", series=parts)).series["batch_loss"].value.tolist()
    [2.0, 1.0]
    """
    if any(name in run.series for name in LOSSES):
        return run
    series, said = dict(run.series), []
    for split, name in SPLITS.items():
        parts = {n: c for n, c in run.series.items() if n.startswith(split) and n.endswith("loss")}
        first = next(iter(parts.values()), None)
        if first is None or any(not np.array_equal(c.step, first.step) for c in parts.values()):
            continue
        series[name] = Curve(first.step, np.sum([c.value for c in parts.values()], axis=0))
        said.append(f"{name} is {' + '.join(parts)}, as logged: no loss per token")
    return replace(run, series=series, warnings=(*run.warnings, *said)) if said else run
