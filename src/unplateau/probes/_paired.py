"""Differences between two arms of a probe, with honest errors: the same batches, the same windows, one pair at a time.

What both arms read is equally hard for both, so the difference of a pair has a small part of the noise of either loss.
Neighbours in a text, and steps one after another, go together: the error of a mean counts that (``mean_of``).
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import hypot, isfinite, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableError, printable, why
from ..estimate import Z90, Estimate
from ..student import t_ratio

UNIT = "nats/token"
SPLITS = ("val", "train", "seen", "fresh")
LEAST = 4  # pairs; with fewer the scatter is not known
LOG, CONFIG, EVALUATIONS, PLAN = "log.jsonl", "config.json", "evaluations", "plan.json"
LIMIT = 256 << 20  # bytes; of a log, or of an evaluation's windows once unpacked
SMALL = 1 << 20  # bytes of a config or a plan

F64 = NDArray[np.float64]


# --- what an arm's folder holds


@dataclass(frozen=True)
class Losses:
    """The losses of one run folder of the trainer, nats per token.

    ``batches``: by step, of the optimiser's own batch. ``evaluated``: by step, then by split: the loss and its standard
    error (0 where none is told).
    """

    folder: Path
    batches: Mapping[int, float]
    evaluated: Mapping[int, Mapping[str, tuple[float, float]]]

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Its settings; nothing where there is no config.json that can be read."""
        return _object(self.folder / CONFIG)

    @cached_property
    def plan(self) -> Any:
        """Which windows are evaluated; None where they are drawn anew each time, as nanoGPT does."""
        if self.config.get("sampling") == "nanogpt" and self.config.get("eval_iters"):
            return None
        return _object(self.folder / EVALUATIONS / PLAN).get("parts")

    def windows(self, step: int, split: str) -> F64 | None:
        """The mean loss of each window of ``split`` at ``step`` (windows,), in the order of the text; None where they are not kept.

        Raises ``UnreadableError`` for a damaged file.
        """
        path = self.folder / EVALUATIONS / f"{step:08d}.npz"
        kept = _arrays(path) if path.is_file() else {}
        if split in kept or not (parts := sorted(name for name in kept if name.startswith(f"{split}."))):
            return kept.get(split)
        return np.concatenate([kept[name] for name in parts])

    def mean(self, step: int, split: str) -> tuple[float, float]:
        """The loss of ``split`` at ``step``, and its standard error as told in the log."""
        return self.evaluated[step][split]


def losses_of(folder: Path) -> Losses:
    """What the trainer wrote into ``folder``; a step logged twice has its later record. Raises ``UnreadableError`` without a log."""
    batches: dict[int, float] = {}
    evaluated: dict[int, dict[str, tuple[float, float]]] = {}
    for row in _rows(folder / LOG):
        step = row["step"]
        if (batch := _number(row.get("batch_loss"))) is not None:
            batches[step] = batch
        for name, value in row.items():
            split, _, rest = name.partition("_")
            if rest == "loss" and split in SPLITS and (loss := _number(value)) is not None:
                evaluated.setdefault(step, {})[split] = (loss, _number(row.get(f"{name}_error")) or 0.0)
    return Losses(folder, batches, evaluated)


def _rows(path: Path) -> list[dict[str, Any]]:
    """Whole rows; a line that was cut off is none."""
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT)
    except OSError as error:
        raise UnreadableError(
            f"can't read {path.name} of the arm {printable(path.parent.name)}: {error.strerror or error}"
        ) from None
    found = []
    for line in data.splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            found.append(row)
    return found


def _object(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(SMALL))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _arrays(path: Path) -> dict[str, F64]:
    """The arrays of an .npz; nothing in it is unpickled."""
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(member.file_size for member in packed.infolist()) > LIMIT:
                raise UnreadableError(f"{path.name} unpacks to more than {LIMIT >> 20} MiB: refused")
            data = {m.filename.removesuffix(".npy"): packed.read(m) for m in packed.infolist()}
        arrays = {n: np.load(io.BytesIO(d), allow_pickle=False) for n, d in data.items()}
        return {name: np.asarray(array, dtype=np.float64).ravel() for name, array in arrays.items()}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UnreadableError(f"{path.name} is damaged: {why(error)}; remove the arm's folder") from None


def _number(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return float(value) if good else None


# --- differences


def batch_difference(a: Path | Losses, b: Path | Losses, last: int | None = None) -> Estimate:
    """How much lower ``b``'s batch loss is than ``a``'s: the mean over the ``last`` steps that both logged (default: all).

    Both read the same batches, so that a hard one is no noise. A steady trend of the difference is none either: the mean is
    that of those steps. Raises ``UnreadableError`` where they have fewer than four such steps in common.
    """
    one, other = _losses(a), _losses(b)
    steps = sorted(one.batches.keys() & other.batches.keys())
    if last is not None and steps:
        steps = [step for step in steps if step > steps[-1] - last]
    if len(steps) < LEAST:
        raise UnreadableError(
            f"the arms {_named(one)} and {_named(other)} have {len(steps)} logged steps in common; expected {LEAST} or more"
        )
    return mean_of(np.array([one.batches[s] - other.batches[s] for s in steps]), trend=True)


def eval_difference(
    a: Path | Losses, b: Path | Losses, split: str = "val", step: int | None = None
) -> Estimate:
    """How much lower ``b``'s loss on ``split`` is than ``a``'s, at ``step`` (default: the last that both evaluated).

    Window by window where both read the same ones; else the difference of two means with both errors. The error is that for
    other text of the kind. Raises ``UnreadableError`` where they have no such evaluation in common.
    """
    one, other = _losses(a), _losses(b)
    common = [s for s in one.evaluated.keys() & other.evaluated.keys() if _both(one, other, s, split)]
    if not common or (step is not None and step not in common):
        at = "" if step is None else f" at step {step:,}"
        raise UnreadableError(
            f"the arms {_named(one)} and {_named(other)} have no {split} loss in common{at}"
        )
    at_step = max(common) if step is None else step
    mine, others = one.windows(at_step, split), other.windows(at_step, split)
    paired = one.plan is not None and one.plan == other.plan
    if paired and mine is not None and others is not None and len(mine) == len(others) >= LEAST:
        return mean_of(mine - others)
    first, second = loss_at(one, split, at_step), loss_at(other, split, at_step)
    error = hypot(first.high - first.value, second.high - second.value)
    value = first.value - second.value
    return Estimate(value, value - error, value + error, UNIT)


def loss_at(folder: Path | Losses, split: str = "val", step: int | None = None) -> Estimate:
    """The loss of one arm on ``split`` at ``step`` (default: the last), for other text of the kind.

    Raises ``UnreadableError`` where it was not evaluated.
    """
    found = _losses(folder)
    known = [s for s, losses in found.evaluated.items() if split in losses]
    at = max(known, default=None) if step is None else step
    if at is None or at not in known:
        raise UnreadableError(
            f"the arm {_named(found)} has no {split} loss{'' if at is None else f' at {at}'}"
        )
    value, error = found.mean(at, split)
    windows = found.windows(at, split)
    if windows is not None and len(windows) >= LEAST:
        spread = mean_of(windows)
        half = max(spread.high - spread.value, Z90 * error)
    else:
        half = Z90 * error
    return Estimate(value, value - half, value + half, UNIT)


def mean_of(values: F64, unit: str = UNIT, *, trend: bool = False) -> Estimate:
    """The mean of a series whose neighbours go together (N,), N >= 4; with ``trend``, of the scatter about a straight line.

    Its variance is the sum of autocovariances up to the first pair of them that is not above 0 (Geyer 1992, "Practical
    Markov chain Monte Carlo", section 3.3), and never below that of independent values; few independent ones widen it by
    Student's t. Raises ``ValueError`` for fewer than 4 values.

    >>> print(mean_of(np.array([0.1, 0.3, 0.2, 0.2, 0.1, 0.3])))
    0.20 nats/token (0.13 to 0.27)
    """
    count = len(values)
    if count < LEAST:
        raise ValueError(f"the mean of {count} values has no error; expected {LEAST} or more")
    mean = float(values.mean())
    rest = values - mean
    if trend:
        place = np.arange(count) - (count - 1) / 2
        rest = rest - place * float(place @ rest) / float(place @ place)
    spread = float(rest @ rest) / (count - 1 - trend)
    together = _together(rest)
    freedom = max(1, round(count / together) - 1 - trend)
    half = Z90 * t_ratio(Z90, freedom) * sqrt(spread * together / count)
    return Estimate(mean, mean - half, mean + half, unit)


def _together(rest: F64) -> float:
    """How many neighbours count as one: the variance of the mean over that of independent values, 1 or more."""
    count, variance = len(rest), float(rest @ rest)
    if not variance:
        return 1.0
    total, lag = -1.0, 0
    while 2 * lag + 1 < count // 2:
        pair = float(rest[: count - 2 * lag] @ rest[2 * lag :])
        pair += float(rest[: count - 2 * lag - 1] @ rest[2 * lag + 1 :])
        if pair <= 0:
            break
        total += 2 * pair / variance
        lag += 1
    return min(max(1.0, total), count / 2)


def _losses(arm: Path | Losses) -> Losses:
    return arm if isinstance(arm, Losses) else losses_of(arm)


def _both(one: Losses, other: Losses, step: int, split: str) -> bool:
    return split in one.evaluated[step] and split in other.evaluated[step]


def _named(losses: Losses) -> str:
    return printable(losses.folder.name)
