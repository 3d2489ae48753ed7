"""The same evaluation with ten times the windows, and other held-out text: is the wiggle noise, and is val a fair sample?

How far one window's loss strays from another's tells what an evaluation of the run's own size is off by, each time anew
where its windows are drawn anew. Whether val is harder or easier than what the model is trained on is told by the network
itself where the data have a ``fresh`` split (unseen, drawn as train was), else by a cheap model that has read neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import exp, hypot, log, sqrt
from pathlib import Path
from typing import Any

from ..hypotheses._say import gap_trend
from ..hypotheses.val_mismatch import SMALL, renumbered
from ..run import Run
from . import Normal, Prediction, Probe, Reading, Site, Trial
from ._fair import gap_of, losses_of
from ._looked import ARM, LEAST, TOKENS, about, arm, block_of, cost, looked, tokens_for
from ._paired import F64, mean_of

NAME = "more-windows"
NOISE_CAUSE, FAIR_CAUSE = "eval-noise", "val-mismatch"
TIMES = 10
PASSES = 3.0  # of a split's tokens: val, train and fresh, once each
NOISE = 0.5  # nats x sqrt(windows): of the difference of two splits, benchmarks/looking.py
COPIED = 0.05  # share of train that are copies; above it nothing of train is held out of it (prepare)
UNLIKE = 2.0  # times; val's windows that stray so much further than train's are told of
TINY = 1e-12  # nats squared; where all windows lose the same
UNIT = "ln nats"  # of how far one evaluation strays
PLAN = "evaluations/plan.json"  # beside a run of our own whose evaluations read the same windows each time


def design(run: Run, site: Site) -> Trial | None:
    printed = _printed(run, site)
    tokens = tokens_for(run, site, PASSES, TIMES * printed * block_of(run) if printed else 0)
    tokens = max(tokens, tokens_for(run, site, PASSES, max(TOKENS, LEAST * block_of(run))))
    if not tokens:
        return None
    fair = (_unfair(run),) if _is_yardstick(run) else ()
    if not (printed or fair):
        return None
    predictions = (*((_noisy(printed),) if printed else ()), *fair)
    windows = tokens // block_of(run)
    question = "how far does one evaluation stray, and is val as hard as the text that is trained on"
    noise = NOISE * sqrt(2 / windows)
    return Trial(NAME, question, (arm(site, "windows", tokens),), predictions, cost(tokens, PASSES), noise)


def _is_yardstick(run: Run) -> bool:
    """False where train holds copies: then it is not the text that val is to be like; or val's numbers are known to be others."""
    numbers = renumbered(run)
    return (run.get("duplicate_share") or 0.0) <= COPIED and not (numbers is not None and numbers.off)


def _printed(run: Run, site: Site) -> int:
    """Windows of one evaluation of the run, where they are drawn anew each time; 0 where they are not, or not known."""
    block, tokens = block_of(run), run.get("eval_tokens")
    if site.checkpoint is not None and (site.checkpoint.parent.parent / PLAN).is_file():
        return 0
    if block and tokens:
        return max(1, int(tokens / block))
    return int((run.get("eval_iters") or 0) * (run.get("batch_size") or 0))


def _noisy(windows: int) -> Prediction:
    """Of ln(nats) that one window strays by: the evaluation strays by sqrt(``windows``) less."""
    up = 0.5 * log(max(1, windows))
    so, no = NOISY
    return Prediction(
        NOISE_CAUSE,
        replace(so, mean=so.mean + up),
        replace(no, mean=no.mean + up),
        f"with it an evaluation of {windows:,} windows strays by some {exp(so.mean):.2f} nats; without it by {exp(no.mean):.2f}",
    )


#: ln(nats) that one evaluation strays by, with the cause and without it: by benchmarks/looking.py, from what a window strays by
#: and the sizes of evaluations in benchmarks/planted; with one sd, so that more noise is never less evidence
NOISY = (Normal(-2.2, 0.45), Normal(-4.1, 0.45))
#: of how much harder or easier val is, the size alone: of two distributions around 0 the wider would never be the likelier
FAIR = Prediction(
    FAIR_CAUSE,
    Normal(0.35, 0.35),
    Normal(0.0, 0.02),
    "with it val is harder or easier text than what is trained on; without it as hard",
)


def _unfair(run: Run) -> Prediction:
    """What val is harder by if it is no fair sample: the gap that the log shows, where it shows one; else as in ``FAIR``.

    A probe whose error is as large as that gap then tells nothing, instead of refuting a gap of another size.
    """
    gap = gap_trend(run)
    size = abs(gap.mean) if gap is not None else 0.0
    if not SMALL < size < FAIR.if_so.mean:
        return FAIR
    so = Normal(size, max(size / 2, FAIR.if_not.sd))
    return replace(FAIR, if_so=so, words=f"{FAIR.words}; the log shows a gap of {size:.2f} nats")


def read(trial: Trial, folders: Mapping[str, Path]) -> tuple[Reading, ...]:
    windows = looked(folders[ARM], "windows")
    told = {one.cause for one in trial.predictions}
    found = [_fair(windows)] if FAIR_CAUSE in told else []
    if NOISE_CAUSE in told:
        found.append(_strays(windows))
    return tuple(found)


def _strays(windows: Mapping[str, Any]) -> Reading:
    """How far windows stray, of the text where they stray least: more in another is that text's doing, no small evaluation's.

    The error of the logarithm of a standard deviation, by how squares scatter.
    """
    by_split = {s: _scatter(losses_of(windows, s)) for s in ("val", "train", "fresh") if s in windows}
    split = min(by_split, key=lambda name: by_split[name][0])
    sd, error = by_split[split]
    fact = f"the loss of one window strays by {sd:.3f} nats, the mean of 20 by {sd / sqrt(20):.3f}, of 1,000 by {sd / sqrt(1000):.3f}"
    if "val" in by_split and by_split["val"][0] > UNLIKE * sd:
        fact += f"; in val by {by_split['val'][0]:.3f}: its windows are not of one kind"
    return Reading(NOISE_CAUSE, about(log(sd), error, UNIT), fact)


def _scatter(losses: F64) -> tuple[float, float]:
    """How far windows stray, nats, and the error of its logarithm."""
    squares = mean_of((losses - losses.mean()) ** 2)
    return sqrt(max(squares.value, TINY)), squares.sd / max(squares.value, TINY) / 2


def _fair(windows: Mapping[str, Any]) -> Reading:
    if "fresh" in windows and "val" in windows:
        val, fresh = (mean_of(losses_of(windows, split)) for split in ("val", "fresh"))
        harder, error = val.value - fresh.value, hypot(val.sd, fresh.sd)
        fact = (
            f"val costs {abs(harder):.3f} +- {error:.3f} nats {'more' if harder > 0 else 'less'} than fresh text, which "
            "was not trained on either"
        )
        return Reading(FAIR_CAUSE, about(abs(harder), error), fact)
    gap = gap_of(windows, "val", "train")
    fact = (
        f"val is {abs(gap.harder):.3f} +- {gap.harder_error:.3f} nats {'harder' if gap.harder > 0 else 'easier'} than train, "
        f"by a model that has read neither ({gap.windows:,} windows)"
    )
    return Reading(FAIR_CAUSE, about(abs(gap.harder), gap.harder_error), fact)


PROBE = Probe(
    name=NAME,
    tells=(NOISE_CAUSE, FAIR_CAUSE),
    question="how far does one evaluation stray, and is val a fair sample?",
    design=design,
    read=read,
)
