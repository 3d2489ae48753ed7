"""Numbers left the range of their format: overflow, underflow, or a kernel that computes nonsense.

Claim: losses or gradients became infinite or nan by arithmetic, not by what was learned.
Mechanism: float16 holds nothing above 65,504 and little below 6e-8: activations overflow, gradients vanish;
a scaler skips the step and halves its scale until nothing is left. Cards before Ampere emulate bfloat16.
Some fused kernels have had plain faults.
Supported by: a loss that is nan before or just after the first updates; nan for good in a float16 run whose loss
did not climb before; a loss scale that collapses; many skipped steps.
Refuted by: finite losses throughout, and few or no skipped steps.
Needs: a loss; dtype, card, loss scale and skipped steps help.
What to do: train in bfloat16 where the card has it, else in float32 to see whether the nan goes; switch off
fused and flash kernels one at a time; compute softmax and loss in float32. If the loss climbed first, look
at instability.
Sources: Micikevicius et al. 2017 (arXiv 1710.03740, loss scaling); karpathy/nanoGPT issue 167 (float16,
V100, nan after 6,000 steps: a fault of fused AdamW, pytorch issue 95781); SCIENCE.md section 7.
"""

from __future__ import annotations

from math import isfinite, log2

import numpy as np

from ..devices import find
from ..run import Run
from ..timing import card_of
from . import Evidence, Finding, Hypothesis, Remedy
from ._say import against, finding, pro
from ._start import losses, tamed
from .instability import CLIMB, climb

NAME = "precision"
EARLY = 20  # steps; a fresh model with a warm-up has hardly moved by then
SKIPPED = 0.05  # of the steps; a scaler that grows its scale skips one in about 2,000 by design
SEARCH = 32  # steps that a scaler may skip at the start: halvings from 2^32 to 1
COLLAPSE = 10.0  # halvings of the loss scale below its largest
ENOUGH = 10  # logged losses; fewer finite ones say little
NO_BF16 = ("gtx", "rtx 20", "titan", "quadro rtx", "v100", "t4", "p100")  # NVIDIA cards before Ampere
NEEDS = ("a log with losses, nan ones included", "dtype and card")
ASKS = ("dtype and card", "a few hundred steps in float32 from the same checkpoint")


def test(run: Run) -> Finding:
    total = sum(len(c) for _, c in losses(run))
    if total == 0 and (skipped := _skipped(run)):
        fact = f"no loss was logged; {skipped:,} of {run.get('steps_done') or 0:,} steps were skipped"
        return finding(
            NAME, 0.4, [pro(fact, run.source("skipped_steps")), *_skips(run)], stake=1.0, missing=NEEDS
        )
    if total == 0:
        return Finding(NAME, "untestable", missing=NEEDS)
    lost = [(n, c) for n, c in losses(run) if len(c.non_finite_steps)]
    training = [n for n, _ in lost if n != "val_loss"] or len(lost) == len(losses(run))
    if lost and training:
        return _lost(run)
    evidence: list[Evidence] = [] if not lost else [_only_val(run)]
    if not lost:
        evidence.append(against(f"0 of {total:,} logged losses are nan or infinite", lost_in(run)))
    evidence += _format(run)
    if scaler := _scaler(run):
        return finding(NAME, 0.75, [*scaler, *evidence], stake=0.3, remedy=_remedy(run), missing=ASKS)
    evidence += _skips(run)
    return finding(NAME, 0.2 if lost else 0.03 if total >= ENOUGH else 0.1, evidence, missing=ASKS)


def _only_val(run: Run) -> Evidence:
    val = run.series["val_loss"]
    fact = f"{len(val.non_finite_steps)} of {len(val)} val losses are not finite, while training losses are"
    return against(fact, "val_loss")


def lost_in(run: Run) -> str:
    """The series that were looked at."""
    return ", ".join(n for n, _ in losses(run))


def _lost(run: Run) -> Finding:
    """The finding where a training loss is nan or infinite somewhere."""
    name, curve = max(losses(run), key=lambda item: (item[0] != "val_loss", len(item[1].non_finite_steps)))
    bad = curve.non_finite_steps
    first, back = int(bad[0]), int((curve.step > bad[-1]).sum())
    evidence = [
        pro(f"{name} is not finite at {len(bad):,} of {len(curve):,} logged steps, first at {first:,}", name)
    ]
    if back > 0:
        evidence.append(against(f"it is finite again at the last {back:,} logged steps", name))
        chance = 0.4 if run.get("dtype") == "float16" else 0.25
        return finding(NAME, chance, [*evidence, *_format(run)], stake=0.05, missing=ASKS)
    good = tamed(run, name)
    before = None if good is None else good.between(0, first)
    rose = climb(before) if before is not None and len(before) else 0.0
    if rose > CLIMB:
        fact = f"it had climbed by {rose:.2f} nats before the first nan: that is a divergence"
        evidence.append(against(fact, name))
    return finding(
        NAME,
        _chance(run, first, climbed=rose > CLIMB or _wild(run, name, first)),
        [*evidence, *_format(run)],
        stake=1.0,
        missing=ASKS,
        remedy=_remedy(run),
    )


def _wild(run: Run, name: str, first: int) -> bool:
    """True where some loss before ``first`` lies far above the very first one: the updates blew it up."""
    curve = tamed(run, name)
    before = None if curve is None else curve.between(0, first).value
    return before is not None and len(before) > 2 and float(before.max() - before[0]) > CLIMB


def _chance(run: Run, first: int, *, climbed: bool) -> float:
    dtype, old = run.get("dtype"), _no_bfloat16(run)
    if first <= 1:
        return 0.85  # before any update: weights, kernels or the format, whatever the settings
    if climbed:
        return 0.65 if old else 0.5 if dtype == "float16" else 0.4
    if first <= EARLY:
        return 0.8 if old or dtype == "float16" else 0.7
    return 0.75 if dtype == "float16" else 0.6 if old else 0.5 if dtype is None else 0.4


def _format(run: Run) -> list[Evidence]:
    """What dtype and card say."""
    said: list[Evidence] = []
    dtype = run.get("dtype")
    if dtype == "float16":
        said.append(pro("float16 overflows above 65,504", run.source("dtype")))
    elif dtype in ("bfloat16", "float32"):
        said.append(against(f"{dtype} overflows only above 3e38", run.source("dtype")))
    if card := _no_bfloat16(run):
        said.append(pro(f"{card} has 0 bfloat16 units; it emulates them or falls back", "card"))
    return said


def _no_bfloat16(run: Run) -> str | None:
    """The card's name where it has no bfloat16."""
    told = str(run.get("gpu") or "")[:200].lower().replace("-", " ")
    card = find(told) if told else None
    known = card_of(run)
    if known is not None and not known[0].bfloat16:
        return known[0].name
    if card is not None and card.bfloat16:
        return None
    return str(run.get("gpu"))[:60] if any(word in told for word in NO_BF16) else None


def _scaler(run: Run) -> list[Evidence]:
    """Evidence for a scaler in distress: many steps skipped, or its scale collapsed."""
    said = []
    skipped, steps = _skipped(run), run.get("steps_done") or 0
    if steps >= EARLY and skipped > SEARCH + SKIPPED * steps:
        fact = (
            f"{skipped:,} of {steps:,} steps were skipped, {skipped / steps:.0%}: their gradients overflowed"
        )
        said.append(pro(fact, run.source("skipped_steps")))
    scales = _scales(run)
    if len(scales) >= ENOUGH:
        top, end = max(scales), float(np.median(scales[-3:]))
        if end > 0 and log2(top / end) > COLLAPSE and end <= 1:
            fact = f"the loss scale fell from {top:g} to {end:g}, {log2(top / end):.0f} halvings"
            said.append(pro(fact, run.source("loss_scale")))
    return said


def _skips(run: Run) -> list[Evidence]:
    """Evidence against, from a scaler that works as meant."""
    if not run.has("skipped_steps"):
        return []
    skipped, steps = _skipped(run), run.get("steps_done") or 0
    fact = f"{skipped:,} steps of {steps:,} were skipped; finding its scale may take {SEARCH}"
    return [against(fact, run.source("skipped_steps"))]


def _skipped(run: Run) -> int:
    told = run.get("skipped_steps")
    if isinstance(told, list | tuple):
        return len(told)
    return int(told) if isinstance(told, int | float) and isfinite(told) else 0


def _scales(run: Run) -> list[float]:
    told = run.get("loss_scale")
    pairs = told if isinstance(told, list | tuple) else []
    values = [p[1] for p in pairs if isinstance(p, list | tuple) and len(p) == 2]
    return [float(v) for v in values if isinstance(v, int | float) and isfinite(v) and v > 0]


def _remedy(run: Run) -> Remedy:
    dtype = run.get("dtype")
    lost = [int(c.non_finite_steps[0]) for _, c in losses(run) if len(c.non_finite_steps)]
    advice = "run 200 steps in float32; if they are finite, the format or a kernel is the fault"
    if lost and min(lost) > EARLY:
        advice = f"go on from the checkpoint before step {min(lost):,} in float32; if it stays finite, the format or a kernel is the fault"
    elif lost and min(lost) <= 1:
        advice = "nothing was updated yet: look at one forward pass in float32, layer by layer, and at the weights it starts from"
    if not _no_bfloat16(run) and dtype != "bfloat16":
        advice += ", and bfloat16 is the remedy"
    return Remedy(
        {"dtype": (dtype, "float32")} if run.has("config_dialect") and dtype not in (None, "float32") else {},
        "200 steps of a probe",
        "float32 is 2 to 8 times slower",
        advice,
    )


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="Arithmetic overflowed or a kernel failed: nan, infinity or skipped steps.",
    needs=(),  # a loss without a single finite point is the clearest case
    test=test,
    asks=NEEDS,
)
