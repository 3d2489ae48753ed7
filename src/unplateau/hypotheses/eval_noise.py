"""The evaluations are too small to show what the loss does.

Claim: what looks like a plateau, or like a rise, is the scatter of small evaluations.
Mechanism: an evaluation averages the loss of random windows; one window's mean loss scatters by some .4
nats, so n windows by .4 / sqrt(n).
Supported by: a scatter of single evaluations of .05 nats or more: two of them can't tell a change of .1.
Refuted by: a smallest visible slope well below the slope that the run shows or needs.
Needs: val loss, or the size of the evaluations.
What to do: evaluate more windows (nanoGPT: eval_iters), the same ones each time.
Sources: SCIENCE.md section 5 (.012 at eval_iters 20, .004 at 200); the sd of one window is fitted in
benchmarks/planted.
"""

from __future__ import annotations

from math import ceil

from ..run import Run
from ..state import WINDOW_SD, State, expected_noise
from . import Finding, Hypothesis, Remedy
from ._say import SURE, against, finding, pro, state_of

NAME = "eval-noise"
BLIND = 0.05  # nats, sd of one evaluation: the gain of a whole cooldown hides in two of them
CLEAR = 0.02  # nats
TARGET = 0.005  # nats; a tenth of what a cooldown or a doubling brings


def test(run: Run) -> Finding:
    state, expected = state_of(run), expected_noise(run)
    if state.noise is None or state.series != "val_loss":
        return Finding(
            NAME, "untestable", missing=("four evaluations of val loss, or eval size and block size",)
        )
    noise = state.noise
    evidence = []
    size = run.get("eval_tokens")
    if expected is not None:
        windows = size / run.get("block_size")
        fact = f"an evaluation is {windows:,.0f} windows, {size:,.0f} tokens: it should scatter by {expected:.3f} nats"
        evidence.append((pro if expected >= BLIND else against)(fact, run.source("eval_tokens")))
    scatter = f"val loss scatters by {noise:.3f} nats around its trend"
    evidence.append((pro if noise >= BLIND else against)(scatter, "val_loss"))
    if state.smallest_visible_slope is not None and state.slope is not None:
        small = state.smallest_visible_slope
        fact = f"the smallest visible slope is {small:.3f} nats per doubling; the run has {state.slope.value:+.3f}"
        evidence.append((against if small < abs(state.slope.value) else pro)(fact, "val_loss"))
    return finding(
        NAME,
        _probability(state, noise, expected),
        evidence,
        stake=noise,
        remedy=_remedy(run),
        missing=("eval_iters and batch size",),
    )


def _probability(state: State, noise: float, expected: float | None) -> float:
    if expected is not None and expected >= BLIND:
        return SURE if noise >= BLIND else 0.75
    if noise < CLEAR and (expected or 0.0) < CLEAR:
        return 0.05
    hidden = state.slope is not None and not state.slope.excludes(0.0)
    return 0.5 if noise >= BLIND and hidden else 0.25


def _remedy(run: Run) -> Remedy:
    iters, size, block = run.get("eval_iters"), run.get("eval_tokens"), run.get("block_size")
    if not iters or not size or not block:
        return Remedy(
            {}, "a longer evaluation", "none", f"evaluate {(WINDOW_SD / TARGET) ** 2:,.0f} windows each time"
        )
    need = ceil((WINDOW_SD / TARGET) ** 2 / (size / block / iters))
    return Remedy({"eval_iters": (iters, need)}, f"{need / iters:.0f} x the time of an evaluation", "none")


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The evaluations scatter more than the changes they should show.",
    needs=("val_loss",),
    test=test,
    asks=("val loss at four steps or more",),
)
