"""Training began at the full learning rate, and the first steps threw the weights somewhere bad.

Claim: there was no warm-up, or next to none, and the loss shows it.
Mechanism: Adam divides by a second moment that it has only begun to estimate, so its first steps have
full size in noisy directions; at the full rate they saturate attention and layer norms.
Supported by: fewer than 10 steps of warm-up and a loss that rises above its start, or is nan, within the
first twentieth of the run.
Refuted by: a warm-up. None, and a loss that falls from the start all the same, leaves it open: in small planted runs the
first steps cost .06 to .33 nats without any rise.
Needs: the length of the warm-up, from the config or a logged rate; the first losses.
What to do: warm up linearly for about 2/(1 - beta2) steps, 200 for a beta2 of .99.
Sources: Ma and Yarats 2019 (arXiv 1910.04209: 2/(1 - beta2) steps suffice); Goyal et al. 2017
(arXiv 1706.02677); Liu et al. 2019 (arXiv 1908.03265).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..run import Fact, Run
from ..units import count
from . import Evidence, Finding, Hypothesis, Remedy
from ._say import against, anew, finding, pro
from ._spikes import noise_of
from ._start import FRESH, losses, resumes, scratch, tamed

NAME = "no-warmup"
SHORT = 10  # steps; fewer are none
EARLY = 0.05  # of the run
FIRST = 10  # logged points that are looked at, at least
RISE = 0.3  # nats above the first loss; a fresh model can only fall
ERRORS = 5.0  # robust sd of a point, at the end, where noise is smallest
UP = 0.5  # of the highest logged rate at the first logged step: no warm-up to be seen
DEFAULT = 200  # steps: 2/(1 - beta2) at .99
QUIET = 0.15  # no warm-up, and no rise: 7 such runs of benchmarks/planted lost .06 to .33 nats, and 2 nothing
PROBE = "two short runs from step 0, one with a warm-up of 2/(1 - beta2) steps: their losses after it"
ASKS = ("warmup_steps, or a log with the learning rate", "the losses of the first hundred steps")


def test(run: Run) -> Finding:
    told = warmup(run)
    if told is None:
        return Finding(NAME, "untestable", missing=ASKS)
    steps, fact, source = told
    if steps >= SHORT:
        return finding(NAME, 0.03, [against(fact, source), *_rule(run, steps)])
    evidence = [pro(fact, source)]
    if not _from_its_start(run):
        return finding(NAME, 0.2, evidence, missing=ASKS[1:])
    early = early_rise(run)
    if early is None:
        return finding(NAME, 0.2, evidence, missing=ASKS[1:])
    said, bad = early
    if not bad:
        return finding(NAME, QUIET, [*evidence, said], stake=0.1, remedy=_remedy(run), missing=(PROBE,))
    sure = 0.8 if scratch(run) is not False else 0.5
    return finding(NAME, sure, [*evidence, said], stake=0.1, remedy=_remedy(run), missing=ASKS[1:])


def warmup(run: Run) -> tuple[int, str, str] | None:
    """Steps of warm-up, what to say of them, and where they are known from."""
    told = run.get("warmup_steps")
    if isinstance(told, int | float) and told >= 0:
        tokens = run.get("warmup_tokens")
        size = f", {count(tokens)} tokens" if tokens else ""
        return int(told), f"the warm-up has {int(told):,} steps{size}", run.source("warmup_steps")
    lr = tamed(run, "lr")
    if lr is None or len(lr) < 3 or lr.step[0] > SHORT or not lr.value.max() > 0:
        return None
    share = float(lr.value[0] / lr.value.max())
    top = int(lr.step[int(np.argmax(lr.value >= 0.95 * lr.value.max()))])
    if share >= UP:
        return 0, f"the rate at step {lr.step[0]:,} is {share:.0%} of its highest already", "lr"
    return top, f"the logged rate rises for {top:,} steps, from {share:.0%} of its highest", "lr"


def _rule(run: Run, steps: int) -> list[Evidence]:
    """The rule of thumb, where beta2 is known; it decides nothing here."""
    beta2 = run.get("beta2")
    if not isinstance(beta2, int | float) or not 0 < beta2 < 1:
        return []
    rule = 2 / (1 - beta2)
    fact = f"2/(1 - beta2) is {rule:,.0f} steps for Adam's beta2 of {beta2:g}; {steps / rule:.1f} times that were given"
    return [against(fact, run.source("beta2"))] if steps >= rule else []


def _from_its_start(run: Run) -> bool:
    """True where the log shows the first steps of fresh weights, not those after a resume."""
    return not resumes(run) and any(c.step[0] <= FRESH for _, c in losses(run))


def early_rise(run: Run) -> tuple[Evidence, bool] | None:
    """Whether the loss rises above its start within the first twentieth, as evidence."""
    name, curve = max(losses(run), key=lambda item: len(item[1]))
    end = max(EARLY * float(curve.step[-1]), float(curve.step[min(FIRST, len(curve)) - 1]))
    early, good = curve.between(0, end + 1), tamed(run, name)
    if len(early) < 3 or good is None or good.step[0] > end or not np.isfinite(curve.first):
        return None
    lost = len(early.non_finite_steps)
    if lost:
        return pro(f"{lost} of the first {len(early)} values of {name} are not finite", name), True
    values, start = good.between(0, end + 1), good.first
    rise, noise = float(values.value.max()) - start, noise_of(good)
    step = int(values.step[int(np.argmax(values.value))])
    if rise > max(RISE, ERRORS * noise):
        fact = f"{name} rises from {start:.2f} to {start + rise:.2f} at step {step:,}, {rise / noise:.0f} times its noise"
        return pro(fact, name), True
    fact = f"{name} never lies more than {max(rise, 0.0):.2f} nats above its first {start:.2f} until step {int(end):,}"
    return against(fact, name), False


def _length(run: Run) -> int:
    beta2 = run.get("beta2")
    rule = 2 / (1 - beta2) if isinstance(beta2, int | float) and 0 < beta2 < 1 else DEFAULT
    planned = run.get("planned_end") or 100 * DEFAULT
    return max(SHORT, round(min(rule, planned / 10)))


def _remedy(run: Run) -> Remedy:
    steps = _length(run)
    patch = {"warmup_steps": (run.get("warmup_steps"), steps)}
    if run.get("config_dialect") == "nanogpt" and run.get("schedule") == "constant":
        patch |= _warmed_constant(run)
    return Remedy(
        patch, f"{anew(run)}; its first {steps:,} steps are slower", "none", "or lower the peak rate"
    )


def _warmed_constant(run: Run) -> dict[str, tuple[Any, Any]]:
    """nanoGPT's constant rate has no warm-up; its cosine down to a floor as high as the peak is one that has."""
    new = {"schedule": "cosine", "floor_lr": run.get("peak_lr"), "decay_end": run.get("max_steps")}
    return {key: (run.get(key), value) for key, value in new.items() if value is not None}


def without(run: Run) -> Run | None:
    """The same run with a warm-up of 2/(1 - beta2) steps."""
    steps = _length(run)
    told = run.get("warmup_steps")
    if told is not None and told >= SHORT:
        return None
    cured = run.with_facts(warmup_steps=Fact(steps, "steps", "changed"))
    if run.schedule is None or not hasattr(run.schedule, "warmup"):
        return cured
    return replace(cured, schedule=replace(run.schedule, warmup=steps))  # type: ignore[type-var]


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="Training began at the full learning rate and the first steps did damage.",
    needs=("warmup_steps|lr", "val_loss|train_loss|batch_loss"),
    test=test,
    without=without,
    unpriced="the damage of the first steps",
    asks=ASKS,
)
