"""How long a step takes, on which card, and what share of the card's peak that is."""

from __future__ import annotations

import numpy as np

from .curve import Values
from .devices import A100_BF16, Card, find
from .run import Fact, Run
from .shape import Shape

MIN_TIMES = 3  # logged times that make a median; the first holds compilation
NANOGPT = "nanogpt"


def step_seconds(run: Run) -> float | None:
    """Median seconds of a step without evaluation; None where no times are logged."""
    times = step_times(run)
    return None if times is None else float(np.median(times))


def step_times(run: Run) -> Values | None:
    """Logged seconds of steps without evaluation; None where no times are logged."""
    times = run.series.get("step_ms")
    if times is None or len(times := times.finite) < MIN_TIMES:
        return None
    plain = _without_evaluations(run, times.step, times.value)
    return plain / 1e3 if len(plain) and np.median(plain) > 0 else None


def _without_evaluations(run: Run, steps: np.ndarray, values: Values) -> Values:
    """nanoGPT's time of a step that evaluates holds the evaluation; where all do, none is left out."""
    evaluations = [run.series[n].step for n in ("val_loss", "train_loss") if n in run.series]
    every = run.get("eval_interval")
    at = np.isin(steps, np.concatenate(evaluations)) if evaluations else np.zeros(len(steps), bool)
    if every and run.format.startswith(NANOGPT):
        at |= steps % every == 0
    # the first record holds compilation and warm-up of the machine
    keep = ~at & (np.arange(len(steps)) > 0)
    return values[keep] if keep.sum() >= MIN_TIMES else values


def card_of(run: Run) -> tuple[Card, str] | None:
    """The card, and where it is named: the log's own word, else a claim by the name of the run."""
    if run.get("gpu") and (card := find(str(run.get("gpu")))):
        return card, run.source("gpu")
    for name in ("run_name", "out_dir"):
        if run.get(name) and (card := find(str(run.get(name)))):
            return card, f"a claim of the run's name, {run.source(name)}"
    return None


def mfu_of(run: Run) -> Fact | None:
    """Model FLOPs per second over the card's peak for the run's dtype.

    As the trainer logged it, which knows best what it ran; but nanoGPT's own is a share of an A100's
    peak, so there, and where none is logged, it is counted from the time of a step and the card's peak.
    """
    card, dtype, logged = card_of(run), run.get("dtype"), _logged_mfu(run)
    nanogpt = run.format.startswith(NANOGPT)
    if logged is not None and not nanogpt:
        return Fact(logged, "fraction", "counted: median as logged")
    if card is not None and dtype:
        return _counted_mfu(run, card, dtype, logged)
    if logged is None:
        return None
    return Fact(
        logged, "fraction", "counted: median as logged, of an A100's 312 TFLOP/s (nanoGPT's yardstick)"
    )


def _counted_mfu(run: Run, card: tuple[Card, str], dtype: str, logged: float | None) -> Fact | None:
    device, where = card
    devices = run.get("world_size") or 1
    speed = _model_flops_per_second(run)
    if speed is None and logged is not None:
        speed = logged * A100_BF16 * devices
    if speed is None:
        return None
    peak = device.peak(dtype)
    told = f"counted: of {peak / 1e12:.0f} TFLOP/s in {dtype}, {device.source}; {where}"
    return Fact(speed / (peak * devices), "fraction", told)


def _logged_mfu(run: Run) -> float | None:
    series = run.series.get("mfu")
    if series is None or not len(seen := series.finite) or run.get("device") == "cpu":
        return None  # nanoGPT divides a CPU's speed by an A100's peak too
    return float(np.median(seen.value)) or None


def _model_flops_per_second(run: Run) -> float | None:
    shape = Shape.of({name: fact.value for name, fact in run.facts.items()})
    seconds, tokens = run.get("step_seconds"), run.get("tokens_per_step")
    if shape is None or not seconds or not tokens or not run.get("block_size"):
        return None
    return shape.flops_per_token * float(tokens) / float(seconds)
