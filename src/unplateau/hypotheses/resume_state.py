"""The run was resumed without all of its state: weights came back, something else did not.

Claim: optimiser moments, schedule, data position or random state were lost at a resume.
Mechanism: with zero moments Adam's first steps are as large as the rate allows, so the loss jumps; a data
loader that starts anew shows the first batches again, which is a second pass that nobody counts.
nanoGPT saves no random state: after init_from='resume' it draws the batches of its first run again.
Supported by: a loss that is higher after a resume than before it by five standard errors and .05 nats; a
resumed nanoGPT run (the replay).
Also told, undecided where the loss did not jump: a checkpoint in which Adam has counted fewer steps than were taken, or
that holds no optimiser's state although the run goes on from such. Lost moments heal within some hundred steps.
Refuted by: a log without a resume; a loss that goes on where it was.
Needs: a log that shows the resume, or init_from.
What to do: save and load optimiser, schedule, loader and random state; in nanoGPT set another seed
offset by the step (torch.manual_seed(1337 + seed_offset + iter_num)).
Sources: karpathy/nanoGPT train.py (torch.manual_seed before the loop, no loader state in its
checkpoints); hiyouga/LlamaFactory issue 512 (.95 before, 1.1 after: weights only); SCIENCE.md section 4.
"""

from __future__ import annotations

import numpy as np

from ..curve import Curve
from ..run import Run
from ..units import count
from . import Evidence, Finding, Hypothesis, Remedy
from ._say import against, finding, pro
from ._spikes import noise_of
from ._start import losses, reach, resumes, trained

NAME = "resume-state"
AROUND = 5  # points before and after a resume that are compared
SEARCH = 40  # points before the end of the first part; it may have been thrown away down to a checkpoint
ERRORS = 5.0  # standard errors; the largest of up to 40 differences reaches 3 by chance
LEAST = 0.05  # nats; the jump of a resume that costs a day
LATE = 0.01  # share of the log's end; a log that begins later was cut or resumed
MISSED = 0.01  # share of the steps that an fp16 scaler may skip, so that Adam does not count them: one or two in 2,000
FEW_STEPS = 50  # besides; its first scales overflow some 20 times
ASKS = ("the log around the resume", "what the checkpoint holds: optimiser, schedule, loader, random state")
FIX = Remedy(
    {},
    "none, at the next resume",
    "none",
    "save and load optimiser, schedule, loader and random state with the weights",
)


def test(run: Run) -> Finding:
    at, lost = resumes(run), _lost(run)
    if not at:
        return _unbroken(run, lost)
    name, curve = trained(run) or ("", None)
    if curve is None:
        return Finding(NAME, "untestable", missing=ASKS[:1])
    at = [s for s in at if _exact(run, s)] or at  # where the log names the place, none is searched
    jumps = [(step, found) for step in at if (found := jump(curve, step, exact=_exact(run, step)))]
    replay = _replay(run, at)
    evidence = [_told(name, step, *found) for step, found in jumps[:4]]
    worst = max((size for _, (size, error) in jumps if _large(size, error)), default=0.0)
    evidence += [one for one in (lost, replay) if one]
    if not evidence:
        evidence = [against(f"{len(at)} resumes, too few losses around them to compare", name)]
        return finding(NAME, 0.3, evidence, missing=ASKS)
    if worst:
        return finding(NAME, 0.8, evidence, stake=min(0.3, worst / 2), remedy=FIX, missing=ASKS)
    return finding(NAME, 0.45 if replay or lost else 0.1, evidence, stake=0.005, remedy=FIX, missing=ASKS)


def _lost(run: Run) -> Evidence | None:
    """A checkpoint that tells that Adam's moments were lost at a resume."""
    source = run.source("optimizer_saved")
    if run.get("optimizer_saved") is False and (resumes(run) or run.get("init_from") == "resume"):
        return pro(f"{source} holds the weights alone: each resume from it begins with moments of 0", source)
    steps, counted = run.get("weights_step"), run.get("optimizer_steps")
    if not steps or not counted or steps - counted <= max(FEW_STEPS, MISSED * steps):
        return None
    fact = f"in {source} Adam has counted {counted:,} of {steps:,} steps: its moments were begun anew at step {steps - counted:,}"
    return pro(fact, source)


def _unbroken(run: Run, lost: Evidence | None) -> Finding:
    if lost is not None:
        return finding(NAME, 0.45, [lost], stake=0.005, remedy=FIX, missing=ASKS[:1])
    first = min(int(c.step[0]) for _, c in losses(run))
    last = max(int(c.step[-1]) for _, c in losses(run))
    if run.get("init_from") == "resume":
        fact = f"init_from is 'resume' and the log covers {reach(run)}: what came before is not in it"
        return finding(
            NAME, 0.3, [pro(fact, run.source("init_from"))], missing=("the log before the resume",)
        )
    if first > max(1, LATE * last) and first > max(_paces(run)):
        fact = f"the log begins at step {first:,}: it was cut, or the run was resumed there"
        return finding(NAME, 0.2, [pro(fact, "steps")], missing=("the log before that step",))
    return finding(NAME, 0.03, [against(f"{reach(run)} rise without a break, 0 resumes", "steps")])


def _paces(run: Run) -> list[int]:
    """Steps between the first two points of each loss: a log may begin after its first interval."""
    return [int(c.step[1] - c.step[0]) for _, c in losses(run) if len(c) > 1] or [0]


def _exact(run: Run, step: int) -> bool:
    told = run.get("resumed_at") or []
    return step in (told if isinstance(told, list | tuple) else [told])


def jump(curve: Curve, step: int, *, exact: bool) -> tuple[float, float] | None:
    """The largest rise of the loss around a resume and its standard error; None with too few points.

    Where the log only shows that it goes backwards after ``step``, the place is searched before it.
    """
    end = int(np.searchsorted(curve.step, step, side="left" if exact else "right"))
    places = range(end, end + 1) if exact else range(max(AROUND, end - SEARCH), end + 1)
    found = [
        float(np.median(curve.value[i : i + AROUND]) - np.median(curve.value[i - AROUND : i]))
        for i in places
        if AROUND <= i <= len(curve) - 2
    ]
    near = Curve(curve.step[max(0, end - 60) : end], curve.value[max(0, end - 60) : end])
    if not found or len(near) < AROUND:
        return None
    return max(found), noise_of(near) * 1.25 * (2 / AROUND) ** 0.5


def _large(size: float, error: float) -> bool:
    return size > max(LEAST, ERRORS * error)


def _told(name: str, step: int, size: float, error: float) -> Evidence:
    fact = f"at the resume around step {step:,} {name} changes by {size:+.3f} +- {error:.3f} nats"
    return (pro if _large(size, error) else against)(fact, name)


def _replay(run: Run, at: list[int]) -> Evidence | None:
    """nanoGPT draws its first batches again after each resume."""
    if run.format != "nanogpt":
        return None
    ends = [*at[1:], max(int(c.step[-1]) for _, c in losses(run))]
    steps = sum(max(0, b - a) for a, b in zip(at, ends, strict=True))
    again = min(steps, at[-1])
    if again <= 0:
        return None
    per_step = run.get("tokens_per_step")
    tokens = f", {count(again * per_step)} tokens" if per_step else ""
    fact = (
        f"nanoGPT seeds its batches anew at a resume: {again:,} steps{tokens} repeat the run's first batches"
    )
    return pro(fact, run.source("resumed_after") or run.source("resumed_at") or "steps")


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="A resume did not restore all of optimiser, schedule, data position and random state.",
    needs=("val_loss|train_loss|batch_loss",),
    test=test,
    asks=("a log with a loss, across the resume",),
)
