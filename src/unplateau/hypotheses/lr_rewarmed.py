"""The learning rate rose again after it had decayed: a resume or a longer plan undid the annealing.

Claim: a second rise of the rate threw away the low loss that the first decay had released.
Mechanism: at a resume the schedule starts over, or its horizon was moved and the rate jumps up to the
new curve; larger steps bounce the weights out of the valley they had settled into.
Supported by: a logged rate that rises to 1.5 times its lowest value since the peak, and does not fall
back at once.
Refuted by: a logged rate that only falls after its peak; a schedule without restarts and a log without
resumes.
Needs: a logged learning rate, or the schedule and a log that shows its resumes.
What it costs: the forecast of this run less that of the same run with one decay over all of its steps.
What to do: decay again: let the schedule finish, or cool down from the last checkpoint; keep the horizon
when resuming, or choose a schedule without one (constant, then a cooldown).
Sources: Ibrahim et al. 2024 (arXiv 2403.08763: re-warming raises the loss, re-decaying wins it back);
hiyouga/LlamaFactory issue 512; Haegele et al. 2024 (arXiv 2405.18392).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..curve import Curve
from ..run import Run
from . import Evidence, Finding, Hypothesis, Plan, Remedy
from ._cooldown import rate_now, remedy_of, steps_left
from ._say import against, anew, finding, pro
from ._schedule import ANNEALED, at_rates, lr_curve
from ._start import resumes, tamed, trained
from .resume_state import jump

NAME = "lr-rewarmed"
RISE = 1.5  # times the lowest rate since the peak
DECAYED = 0.9  # of the peak; a rate that never fell below can't be warmed again
SHARE = 0.05  # of the peak that the rise must come to; rates near 0 double for nothing
FEW = 5  # logged rates
KEEPS = 0.75  # of its height, at the next logged rate; a lone misprinted rate is no schedule
FALLING = ("cosine", "linear", "wsd", "inverse_sqrt", "constant")  # schedules without restarts
NEXT = "keep the horizon at the next resume"
ASKS = ("a logged learning rate across the resume",)


@dataclass(frozen=True, slots=True)
class Rise:
    """Where the rate rose again."""

    low_step: int
    low: float
    high_step: int
    high: float
    peak: float


def test(run: Run) -> Finding:
    lr = _rates(run)
    if lr is not None and len(lr) >= FEW:
        return _logged(run, lr)
    kind, at = run.get("schedule"), resumes(run)
    if kind not in FALLING:
        return Finding(NAME, "untestable", missing=ASKS)
    fact = f"the schedule is {kind}, which never rises after its warm-up; {len(at)} resumes in the log"
    source = run.source("schedule") or "schedule"
    if not at:
        return finding(NAME, 0.05, [against(fact, source)])
    name, curve = trained(run) or ("", None)
    found = jump(curve, at[-1], exact=False) if curve is not None else None
    evidence = [against(fact, source)]
    if found and found[0] > max(0.05, 5 * found[1]):
        evidence.append(pro(f"{name} changes by {found[0]:+.3f} nats at a resume", name))
    return finding(NAME, 0.2, evidence, missing=ASKS)


def _rates(run: Run) -> Curve | None:
    """The rates as logged; as configured before and after the resume, where they are not."""
    lr = tamed(run, "lr")
    return lr_curve(run) if (lr is None or len(lr) < FEW) and run.has("schedule_before") else lr


def raised(run: Run) -> bool:
    """True where the log shows that the rate of this run was raised again, and no schedule with restarts meant it."""
    lr = _rates(run)
    rise = rise_of(lr) if lr is not None and len(lr) >= FEW else None
    return rise is not None and not _planned(run) and _another_run(run, rise) is None


def _planned(run: Run) -> bool:
    kind = str(run.get("schedule") or "")
    return "restart" in kind or "cyc" in kind


def _logged(run: Run, lr: Curve) -> Finding:
    rise = rise_of(lr)
    if rise is None:
        top = int(np.argmax(lr.value))
        fact = f"after its peak of {lr.value[top]:.3g} at step {lr.step[top]:,} the logged rate never rises by half"
        return finding(NAME, 0.02, [against(f"{fact} ({len(lr) - top:,} points)", "lr")])
    fact = (
        f"the rate falls from {rise.peak:.3g} to {rise.low:.3g} at step {rise.low_step:,}, then rises to "
        f"{rise.high:.3g} by step {rise.high_step:,}, {rise.high / max(rise.low, 1e-30):.1f} times"
    )
    if _planned(run):
        kind = str(run.get("schedule"))
        planned = against(f"the schedule is {kind[:40]}: the rise of {rise.high:.3g} is planned", "schedule")
        return finding(NAME, 0.3, [pro(fact, "lr"), planned], missing=("a run without restarts",))
    evidence = [pro(fact, "lr")]
    if back := _another_run(run, rise):
        return finding(NAME, 0.2, [*evidence, back], missing=("one log per run",))
    change = _change(run, rise)
    if change is not None:
        said = f"the loss changes by {change:+.3f} nats from before the rise to after it"
        evidence.append((pro if change > 0 else against)(said, "losses"))
    stake = 0.2 * min(1.0, rise.high / rise.peak)
    return finding(
        NAME, 0.85 if (change or 0) > 0 else 0.75, evidence, stake=stake, remedy=_remedy(run, rise)
    )


def rise_of(lr: Curve) -> Rise | None:
    """The largest second rise of the rate, if there is one.

    >>> lr = Curve(range(9), [1, 5, 10, 6, 3, 1, 8, 7, 6])
    >>> rise_of(lr).low, rise_of(lr).high
    (1.0, 8.0)
    """
    values = np.maximum(lr.value, 0.0)
    # the first peak is the highest rate before the first decay below DECAYED of it
    so_far = np.maximum.accumulate(values)
    decayed = np.flatnonzero((values < DECAYED * so_far) & (so_far > 0))
    if not len(decayed):
        return None
    start = int(decayed[0])
    peak = float(so_far[start])
    lowest = np.minimum.accumulate(values[start:])
    with np.errstate(over="ignore"):
        later = np.append(values[start + 1 :], values[-1]) / KEEPS
    lasting = np.minimum(values[start:], later)
    ups = lasting - lowest
    high = int(np.argmax(ups))
    low = int(np.argmin(values[start : start + high + 1]))
    a, b = float(values[start + low]), float(values[start + high])
    if b < RISE * a or b - a < SHARE * peak:
        return None
    return Rise(int(lr.step[start + low]), a, int(lr.step[start + high]), b, max(peak, b))


def _another_run(run: Run, rise: Rise) -> Evidence | None:
    """Epochs that fall while the rate rises: two runs in one log, not one that was rewarmed."""
    epoch = tamed(run, "epoch")
    if epoch is None:
        return None
    near = epoch.between(rise.low_step, rise.high_step + 1).value
    if len(near) < 2 or not bool((np.diff(near) < 0).any()):
        return None
    fact = f"epochs fall from {near.max():.2f} to {near[-1]:.2f} as the rate rises: another run began"
    return against(fact, "epoch")


def _change(run: Run, rise: Rise) -> float | None:
    """Median loss of five points after the rise less that of five points before it."""
    seen = trained(run)
    if seen is None:
        return None
    before, after = (seen[1].between(0, rise.low_step + 1), seen[1].between(rise.high_step, np.inf))
    if len(before) < 3 or len(after) < 3:
        return None
    return float(np.median(after.value[:5]) - np.median(before.value[-5:]))


def _remedy(run: Run, rise: Rise) -> Remedy:
    """Decay again, where the rate still stands high; where it came down since, only another run has a single decay."""
    step, rate, peak = rate_now(run)
    if rate > ANNEALED * peak:
        left = steps_left(run, step)
        found = remedy_of(run, step, left)
        # what the end of the schedule wins is no gain of mending the rise: it comes by itself
        plan = None if left else found.plan
        return replace(found, advice=f"decay again: {found.advice}; {NEXT}", plan=plan)
    advice = (
        f"the rate has come down again, so little is left to win in this run; {NEXT}, or branch from the checkpoint "
        f"before step {rise.low_step:,}"
    )
    cured = without(run)
    return Remedy({}, anew(run), "none", advice, plan=None if cured is None else Plan(cured, step))


def without(run: Run) -> Run | None:
    """The same run with one decay over all of its steps: the first, stretched to the end where it had come down.

    A decay that was raised half-way falls on instead, in a straight line to zero at the end.
    """
    lr = _rates(run)
    rise = None if lr is None else rise_of(lr)
    if lr is None or rise is None:
        return None
    end = float(lr.step[-1])
    if rise.low <= ANNEALED * rise.peak and rise.low_step:
        return at_rates(run, lr.step, np.interp(lr.step * (rise.low_step / end), lr.step, lr.value))
    on = rise.low * (end - lr.step) / (end - rise.low_step)
    return at_rates(run, lr.step, np.where(lr.step >= rise.low_step, on, lr.value))


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The learning rate rose again after it had decayed.",
    needs=("lr|schedule", "val_loss|train_loss|batch_loss"),
    test=test,
    without=without,
    asks=("a log with the learning rate, or the config", "a loss"),
)
