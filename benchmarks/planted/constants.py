"""Where the constants of the causes come from: what each statistic is on runs with and without its cause.

    python benchmarks/planted/constants.py [--corpus FILE]

Prints, for each constant, quantiles over the healthy runs of the corpus and over the runs with the cause,
so that a threshold can be seen to stand between them (or not to), and moved when the corpus grows. Some are counted on the
runs of the loop too, where the corpus has none with the cause.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import loop_pack
import numpy as np
from check import HERE, corpus_cases

from unplateau import state
from unplateau.hypotheses import (
    _sampled,
    batch_too_large,
    capacity,
    instability,
    lr_too_high,
    lr_too_low,
    noisy_data,
    over_regularised,
    val_mismatch,
)
from unplateau.hypotheses._batch import best, tokens_per_step
from unplateau.hypotheses._rates import rates_of
from unplateau.hypotheses._say import gap_trend
from unplateau.reading import read_runs
from unplateau.run import Run

HEALTHY = ("still-learning", "converged")


def window_sd(run: Run) -> float | None:
    """Sd of one window's mean loss, from the scatter of evaluations around their trend."""
    val, tokens, block = run.series["val_loss"].finite, run.get("eval_tokens"), run.get("block_size")
    late = val.between(float(val.step[-1]) * 0.3, np.inf)
    residual = state.neighbour_residuals(np.log2(late.step.astype(float)), late.value)
    if len(residual) < 4 or not tokens or not block:
        return None
    return 1.4826 * float(np.median(np.abs(residual))) * float(np.sqrt(tokens / block))


def slope_ratio(run: Run) -> float | None:
    """Slope against log steps while the rate was high, over the slope as it came down (lr_too_high.HELD)."""
    found = lr_too_high.slopes(run, "val_loss")
    return found[0] / found[1] if found is not None and found[1] < 0 else None


def times_above(run: Run) -> float | None:
    """The peak over the upper of the published rules; None where they don't apply (a resumed run)."""
    rates = rates_of(run)
    return rates.above if rates is not None else None


def times_below(run: Run) -> float | None:
    """The lower of the published rules over the peak."""
    rates = rates_of(run)
    return rates.below if rates is not None else None


def half_way(run: Run) -> float | None:
    """Share of the run at which the loss was half way down from ln(vocabulary) (lr_too_low.SLOW)."""
    vocab, curve = run.get("vocab_size"), run.series["batch_loss"].finite
    below = np.flatnonzero(curve.value < (np.log(vocab) + curve.value.min()) / 2)
    return float(curve.step[below[0]] / curve.step[-1])


def early_share(run: Run) -> float | None:
    """The gap at the first evaluation over the gap at the end (val_mismatch.EARLY), where there is a gap."""
    gap = gap_trend(run)
    return val_mismatch.early_gap(run)[0] / gap.end if gap is not None and gap.end > 0.1 else None


def growth(run: Run) -> float | None:
    """How much the gap grows per nat that train falls (val_mismatch.FOLLOWS, repetition.HALF), where there is one."""
    gap = gap_trend(run)
    return val_mismatch.gap_growth(run) if gap is not None and gap.end > 0.1 else None


def gap_size(run: Run) -> float | None:
    gap = gap_trend(run)
    return gap.mean if gap is not None else None


def handicap(run: Run) -> float | None:
    """Batch loss (dropout on) over train loss (dropout off) (over_regularised.HANDICAP)."""
    batch, train = run.series["batch_loss"].finite, run.series["train_loss"].finite
    late = batch.between(float(batch.step[-1]) / 4, float(train.step[-1]) + 1)
    return float(
        (late.value - np.interp(np.log(late.step), np.log(np.maximum(train.step, 1)), train.value)).mean()
    )


def level(run: Run) -> float | None:
    """The loss at the end, for characters (noisy_data.NATURAL)."""
    return run.series["val_loss"].finite.last if run.get("char_level") else None


def over_rules(run: Run) -> float | None:
    """The batch over the upper of the published rules for the planned tokens (batch_too_large.OVER)."""
    rule, size = best(run, run.get("planned_end") or 0), tokens_per_step(run)
    return size / rule.high if rule is not None and size is not None else None


def below_train(run: Run) -> float | None:
    """How far batches lie from the train that they are drawn from, standard errors (_sampled.BELOW); dropout lifts them."""
    told = _sampled.sampled(run)
    return None if told is None or run.get("dropout") else told.errors


def moves(run: Run) -> float | None:
    """How surely that distance moves, normal sd (_sampled.STRAYS)."""
    told = _sampled.sampled(run)
    return None if told is None or run.get("dropout") else told.strays


#: of the corpus and of the runs of the loop
BOTH: tuple[tuple[str, object, Callable[[Run], float | None], tuple[str, ...]], ...] = (
    ("batch_too_large.OVER", batch_too_large.OVER, over_rules, ("batch-too-large",)),
    (
        "batch_too_large.UPDATES: planned steps",
        batch_too_large.UPDATES,
        lambda r: r.get("planned_end"),
        ("batch-too-large",),
    ),
    ("_sampled.BELOW", -_sampled.BELOW, below_train, ("data-order",)),
    ("_sampled.STRAYS", _sampled.STRAYS, moves, ("data-order",)),
    ("instability.CLIMB of train, evaluated", instability.CLIMB, instability.above_best, ("instability",)),
    (
        "capacity.MANY: tokens per parameter",
        capacity.MANY,
        lambda r: r.get("tokens_per_param"),
        ("capacity",),
    ),
)
ROWS: tuple[tuple[str, object, Callable[[Run], float | None], tuple[str, ...]], ...] = (
    ("state.WINDOW_SD", state.WINDOW_SD, window_sd, ("eval-noise",)),
    ("lr_too_high.HELD", lr_too_high.HELD, slope_ratio, ("lr-too-high",)),
    ("lr_too_high: peak over upper rule", lr_too_high.MUCH, times_above, ("lr-too-high",)),
    ("lr_too_low: lower rule over peak", lr_too_low.FAR, times_below, ("lr-too-low",)),
    ("lr_too_low.SLOW", lr_too_low.SLOW, half_way, ("lr-too-low",)),
    ("val_mismatch.ABOVE (gap)", val_mismatch.ABOVE, gap_size, ("val-mismatch",)),
    ("val_mismatch.EARLY: with another val", val_mismatch.EARLY, early_share, ("val-mismatch",)),
    ("val_mismatch.EARLY: memorising", val_mismatch.EARLY, early_share, ("repetition",)),
    ("val_mismatch.FOLLOWS", val_mismatch.FOLLOWS, growth, ("val-mismatch",)),
    ("repetition.HALF", 0.45, growth, ("repetition",)),
    ("over_regularised.HANDICAP", over_regularised.HANDICAP, handicap, ("over-regularised",)),
    (
        "capacity: tokens per parameter",
        capacity.PLACES[0][0],
        lambda r: r.get("tokens_per_param"),
        ("capacity",),
    ),
    ("noisy_data.NATURAL", noisy_data.NATURAL, level, ("noisy-data",)),
)


def shown(values: Iterable[float | None]) -> str:
    known = [v for v in values if v is not None]
    if not known:
        return "none"
    quantiles = "  ".join(f"{q:8.3g}" for q in np.percentile(known, [0, 5, 50, 95, 100]))
    return f"{quantiles}   n = {len(known)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, default=HERE / "corpus.jsonl.zst")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cases = [
            (truth["cause"], read_runs(folder / "train.log", config=folder / "config.py")[0])
            for _, truth, folder in corpus_cases(options.corpus, Path(scratch))
        ]
        looped = [
            (str(one.truth["cause"]), read_runs(one.log, config=one.config)[0])
            for one in loop_pack.unpacked(Path(scratch) / "loop")
            if one.role != "relief"
        ]
    print(" " * 26 + "min        5 %   median     95 %      max")
    told(ROWS, cases)
    told(BOTH, [*cases, *looped])


def told(rows: tuple, cases: list[tuple[str, Run]]) -> None:
    """Print ``rows`` of these runs."""
    healthy = [run for cause, run in cases if cause in HEALTHY]
    for name, constant, statistic, causes in rows:
        print(f"{name} = {json.dumps(constant)}")
        print("  healthy             " + shown(map(statistic, healthy)))
        sick = [run for cause, run in cases if cause in causes]
        print(f"  {causes[0]:18}  " + shown(map(statistic, sick)))


if __name__ == "__main__":
    main()
