"""The evaluations are too small to show what the loss does.

Claim: what looks like a plateau, or like a rise, is the scatter of small evaluations.
Mechanism: an evaluation averages the loss of random windows; one window's mean loss scatters by some .4
nats, so n windows by .4 / sqrt(n).
Supported by: a scatter of single evaluations of .05 nats or more: two of them can't tell a change of .1.
Refuted by: a smallest visible slope well below the slope that the run shows or needs; evaluations that read the
same windows each time, with a standard error that is small: what their loss does is what the weights do.
Needs: val loss, or the size or the standard error of the evaluations.
What to do: evaluate more windows (nanoGPT: eval_iters; here: eval_tokens), the same ones each time.
Sources: SCIENCE.md section 5 (.012 at eval_iters 20, .004 at 200); the sd of one window is fitted in
benchmarks/planted.
"""

from __future__ import annotations

from math import ceil

from ..run import Run
from ..state import WINDOW_SD, State, expected_noise
from . import Evidence, Finding, Hypothesis, Remedy
from ._say import SURE, against, finding, pro, state_of

NAME = "eval-noise"
BLIND = 0.05  # nats, sd of one evaluation: the gain of a whole cooldown hides in two of them
CLEAR = 0.02  # nats
TARGET = 0.005  # nats; a tenth of what a cooldown or a doubling brings


def test(run: Run) -> Finding:
    state, expected = state_of(run), expected_noise(run)
    if expected is not None and run.get("eval_windows") == "fixed":
        return _of_fixed(run, expected)
    if state.noise is None or state.series != "val_loss":
        return Finding(
            NAME, "untestable", missing=("four evaluations of val loss, or eval size and block size",)
        )
    noise = state.noise
    evidence = []
    if expected is not None:
        evidence.append(_size_said(run, expected))
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
        remedy=_remedy(run, expected),
        missing=("eval_iters and batch size",) if expected is None else (),
    )


def _of_fixed(run: Run, error: float) -> Finding:
    """The same windows each time: their scatter is no noise between two evaluations, only an error of the level."""
    said = f"every evaluation reads the same {_windows(run)}: 0 nats of what changes between two come from drawing others"
    evidence = [_size_said(run, error), against(said, run.source("eval_windows"))]
    chance = 0.5 if error >= BLIND else 0.05
    return finding(NAME, chance, evidence, stake=min(error, BLIND), remedy=_remedy(run, error))


def _size_said(run: Run, error: float) -> Evidence:
    """How large an evaluation is, and what its error is."""
    size, measured = run.get("eval_tokens"), run.has("eval_error")
    large = _windows(run) + (f", {size:,.0f} tokens" if size else "")
    if measured:
        said = (
            f"standard error {error:.3f} nats, measured over them"
            if error
            else "all of val, an error of 0 nats"
        )
    else:
        said = f"it should scatter by {error:.3f} nats"
    source = run.source("eval_error") if measured else run.source("eval_tokens")
    return (pro if error >= BLIND else against)(f"an evaluation is {large}: {said}", source)


def _windows(run: Run) -> str:
    size, block = run.get("eval_tokens"), run.get("block_size")
    return f"{size / block:,.0f} windows" if size and block else "windows"


def _probability(state: State, noise: float, expected: float | None) -> float:
    if expected is not None and expected >= BLIND:
        return SURE if noise >= BLIND else 0.75
    if noise < CLEAR and (expected or 0.0) < CLEAR:
        return 0.05
    hidden = state.slope is not None and not state.slope.excludes(0.0)
    return 0.5 if noise >= BLIND and hidden else 0.25


def _remedy(run: Run, error: float | None) -> Remedy:
    iters, size, block = run.get("eval_iters"), run.get("eval_tokens"), run.get("block_size")
    key, now = ("eval_iters", iters) if iters else ("eval_tokens", size)
    ours = run.get("config_dialect") == "unplateau"
    if not error or not size or not block or not (iters or ours):
        return Remedy(
            {}, "a longer evaluation", "none", f"evaluate {(WINDOW_SD / TARGET) ** 2:,.0f} windows each time"
        )
    need = ceil(now * (error / TARGET) ** 2)
    return Remedy({key: (now, need)}, f"{need / now:.0f} x the time of an evaluation", "none")


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The evaluations scatter more than the changes they should show.",
    needs=("val_loss",),
    test=test,
    asks=("val loss at four steps or more",),
)
