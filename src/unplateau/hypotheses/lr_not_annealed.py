"""The learning rate is still high: the drop that annealing releases has not been collected yet.

Claim: part of the loss is the noise of large steps, and goes when the learning rate goes to zero.
Mechanism: at a high learning rate the weights bounce across the valley of the loss; they settle only
as the rate falls. The loss of a cosine run falls fastest per step in its last third for this reason.
Supported by: a learning rate at the last step of at least a fifth of its peak.
Refuted by: a learning rate that has come down to a tenth of its peak or less.
Needs: the schedule, from the config, or a logged learning rate; a loss.
What to do: let the schedule finish, or cool down now from the last checkpoint: the learning rate to zero
over 10 to 20 % of the steps so far. If the floor itself is high, lower it.
Sources: Tissue et al. 2024 (arXiv 2408.11029); Luo et al. 2025 (multi-power law); Haegele et al. 2024
(arXiv 2405.18392, cooldowns of 10 to 20 %).
"""

from __future__ import annotations

from ..run import Fact, Run
from ..units import count
from . import Evidence, Finding, Hypothesis, Remedy
from ._say import LIKELY, SURE, against, finding, pro, state_of
from ._schedule import lr_curve, rescheduled
from .lr_rewarmed import rise_of

NAME = "lr-not-annealed"
HIGH, LOW = 0.2, 0.12  # shares of the peak; nanoGPT's own recipe ends at .1
GAIN = 0.2  # nats for all of the peak: .258 (peak/1e-3)^.303 x the share released, SCIENCE.md section 2
EARLY = 0.5  # of the planned steps; before that a high rate is as it should be
COOLDOWN = 0.15  # of the steps so far; Haegele et al. 2024 find 10 to 20 % enough
ASKS = ("the planned end and the schedule", "a longer log")


def test(run: Run) -> Finding:
    step, lr, peak = _now(run)
    share = lr / peak if peak > 0 else 0.0
    fact = f"at step {step:,} the learning rate is {lr:.2e}, {share:.0%} of its peak {peak:.2e}"
    source = run.source("lr_now") or "schedule"
    if share <= LOW:
        return finding(NAME, 0.02, [against(fact, source)])
    evidence = [pro(fact, source)]
    end = run.get("planned_end")
    left = (end or 0) - step
    if end and run.schedule is not None and left > 0:
        to = run.schedule(int(end)) / peak
        evidence.append(
            pro(f"the schedule has {left:,} steps to go, down to {to:.0%} of the peak", "schedule")
        )
    probability = SURE if share >= HIGH else LIKELY - 0.2
    for other, limit in _doubts(run, step, end):
        evidence.append(other)
        probability = min(probability, limit)
    stake = GAIN * share
    return finding(NAME, probability, evidence, stake=stake, remedy=_remedy(run, step, left), missing=ASKS)


def _doubts(run: Run, step: int, end: float | None) -> list[tuple[Evidence, float]]:
    """Why a high rate may be no cause: it is early in the plan, still warming up, or the run is lost."""
    state, lr, found = state_of(run), lr_curve(run), []
    if state.verdict in ("diverged", "too-short"):
        found.append((against(f"the loss is {state.verdict} at step {step:,}", state.series or "log"), 0.3))
    if lr is not None and len(lr) > 1 and lr.last >= lr.value.max() and lr.last > lr.value[len(lr) * 9 // 10]:
        found.append((against(f"the learning rate is still rising at step {step:,}", "schedule"), 0.2))
    if lr is not None and (rise := rise_of(lr)) is not None:
        fact = f"the learning rate had come down to {rise.low:.2e} and was raised again: see lr-rewarmed"
        found.append((against(fact, "schedule"), 0.5))
    if (
        end
        and step < EARLY * end
        and run.schedule is not None
        and run.schedule(int(end)) <= LOW * run.schedule.peak
    ):
        found.append((against(f"the run is at {step / end:.0%} of its plan, which anneals", "schedule"), 0.5))
    return found


def _now(run: Run) -> tuple[int, float, float]:
    step = int(run.get("steps_done") or max(c.step[-1] for c in run.series.values() if len(c)))
    logged = run.series.get("lr")
    lr = run.get("lr_now")
    if lr is None:
        lr = run.schedule(step) if run.schedule is not None else float(logged.finite.last)  # type: ignore[union-attr]
    peak = run.schedule.peak if run.schedule is not None else float(logged.finite.value.max())  # type: ignore[union-attr]
    return step, float(lr), float(peak)


def _remedy(run: Run, step: int, left: int) -> Remedy:
    cooldown = max(1, round(COOLDOWN * step))
    floor, kind = run.get("floor_lr"), run.get("schedule")
    if left > 0 and run.schedule is not None and run.schedule(step + left) <= LOW * run.schedule.peak:
        return Remedy({}, _cost(run, left), "none", f"let the schedule finish: {left:,} steps are left")
    if kind == "constant":
        patch = {
            "schedule": ("constant", "wsd"),
            "decay_start": (None, step),
            "decay_end": (None, step + cooldown),
        }
        patch |= {"floor_lr": (floor, 0.0), "max_steps": (run.get("max_steps"), step + cooldown)}
    else:
        patch = {"floor_lr": (floor, 0.0), "decay_end": (run.get("decay_end"), step + cooldown)}
    advice = f"cool down from the last checkpoint: the learning rate to 0 over {cooldown:,} steps"
    return Remedy(patch, _cost(run, cooldown), "low: a branch, the run itself can go on", advice)


def _cost(run: Run, steps: int) -> str:
    tokens, seconds = run.get("tokens_per_step"), run.get("step_seconds")
    said = f"{steps:,} steps"
    if tokens:
        said += f", {count(steps * tokens)} tokens"
    return said + (f", {steps * seconds / 3600:.1f} h at the logged step time" if seconds else "")


def without(run: Run) -> Run | None:
    """The same run, annealed to zero by its last logged step."""
    step, _, _ = _now(run)
    cured = rescheduled(run, floor=0.0, steps=step)
    facts = {"floor_lr": Fact(0.0), "decay_end": Fact(step), "lr_now": Fact(0.0), "lr_share": Fact(0.0)}
    return None if cured is None else cured.with_facts(**facts)


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="Part of the loss is noise of a large learning rate, and goes when it is annealed.",
    needs=("val_loss|train_loss|batch_loss", "schedule|lr"),
    test=test,
    without=without,
    asks=("a loss", "the config (peak, floor, warm-up, length of decay), or a log with the learning rate"),
)
