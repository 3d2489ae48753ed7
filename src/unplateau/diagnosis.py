"""Test every cause on a run, and rank what came out. Stays boring: what is clever belongs in a cause."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from .budget import Budget, as_planned, budget, open_causes, outlook_of, priced
from .calibration import calibrated
from .contradictions import Contradiction, contradictions
from .derive import derive
from .estimate import Estimate
from .heard import asking, heard
from .hypotheses import SMALL, Finding, Hypothesis
from .hypotheses.metric_unit import as_measured
from .outlook import Outlook
from .plugins import discover
from .reference import by_class
from .run import Run
from .state import State, state_of

FIRST = "metric-unit"  # what is wrong with the number comes before what is wrong with the run
READINGS = ("still-learning", "converged")  # not a plateau: a reading of the curve, nothing to mend
MORE_LIKELY_THAN_NOT = 0.5
#: what people suspect, most often first (SCIENCE.md section 7): the refuted ones are told in this order
SUSPECTED = (
    *("repetition", "lr-too-high", "lr-too-low", "lr-not-annealed", "precision", "frozen-parameters"),
    *("broken-targets", "capacity", "instability", "noisy-data", "val-mismatch", "eval-noise", "no-warmup"),
)
#: how a cause begins to ask for a fact -> the fact; what is known is not asked for
ASKED = {
    "a loss": "val_loss|train_loss|batch_loss",
    "vocab_size": "vocab_size",
    "tokens per step": "tokens_per_step",
    "the schedule": "schedule",
    "the planned end": "planned_end",
    "the config": "config_dialect",
    "block_size": "block_size",
    "the size of the model": "params",
    "eval_iters": "eval_tokens",
}
VERDICTS = ("supported", "undecided", "refuted", "untestable")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Facts, state and ranked findings of one run; words are the report's business."""

    run: Run
    state: State
    findings: tuple[Finding, ...]
    contradictions: tuple[Contradiction, ...]
    outlook: Outlook | None = None  # the laws that fit, where any does
    budget: Budget | None = None
    planned: tuple[int, Estimate] | None = None  # the planned end, and the loss there

    @property
    def first(self) -> Finding | None:
        """The finding to name in the first line: supported, or more likely than not; else None."""
        top = self.findings[0] if self.findings else None
        return top if top is not None and rank(top)[0] < 3 else None

    @property
    def empty(self) -> bool:
        """True when the log has no loss and nothing else that a cause could be told from."""
        return self.run.loss is None and all(f.verdict == "untestable" for f in self.findings)


def diagnose(run: Run, hypotheses: Iterable[Hypothesis] | None = None) -> Diagnosis:
    """Test ``hypotheses`` (default: all that are installed) on ``run``."""
    run = derive(run)
    if hypotheses is None:
        hypotheses = discover("hypotheses").values()
    causes = {h.name: h for h in hypotheses}
    with np.errstate(over="ignore"):  # the square of a loss of 1e308 is infinite, and no news
        of_unit = examine(causes[FIRST], run) if FIRST in causes else None
        if of_unit is not None and of_unit.verdict == "supported":
            run = as_measured(run)
        others = [examine(h, run) for h in causes.values() if h.name != FIRST]
        tested, state = [*others, *([of_unit] if of_unit else [])], state_of(run)
        known = outlook_of(run, state)
        found = budget(run, state, known, open_causes(tested, causes))
        weighed = (priced(f, causes[f.cause], known, found) for f in tested)
        told = (heard(f, causes[f.cause], run, known) for f in weighed)
        all_priced = (by_class(f, run, state) for f in told)
        findings = sorted((asking(f, run) for f in all_priced), key=rank)
        return Diagnosis(
            run, state, tuple(findings), tuple(contradictions(run)), known, found, as_planned(known)
        )


def examine(hypothesis: Hypothesis, run: Run) -> Finding:
    """Test one cause; untestable, with what to send, where its facts are missing."""
    if missing := run.missing(hypothesis.needs):
        return Finding(hypothesis.name, "untestable", missing=lacking(hypothesis.asks, run) or missing)
    finding = hypothesis.test(run)
    known = None if finding.probability is None else calibrated(finding.probability, finding.verdict)
    return replace(finding, probability=known, missing=lacking(finding.missing, run))


def lacking(asks: tuple[str, ...], run: Run) -> tuple[str, ...]:
    """Those of ``asks`` whose fact is not known already."""
    known = [word for word, need in ASKED.items() if not run.missing((need,))]
    return tuple(ask for ask in asks if not ask.startswith(tuple(known)))


def weight(finding: Finding) -> float:
    """Nats recoverable: by the laws, else a rough guess that serves to rank alone."""
    return finding.stake if finding.recoverable is None else finding.recoverable


def runner_up(found: Diagnosis) -> tuple[Finding, Finding] | None:
    """The first cause and the next one to mend that may hold too; None where there are not two."""
    first = found.first
    if first is None or first.cause in READINGS:
        return None
    open_too = [f for f in found.findings if f is not first and f.verdict in VERDICTS[:2]]
    others = [f for f in open_too if f.cause not in READINGS]
    return (first, min(others, key=lambda f: -(f.expected or 0.0))) if others else None


def rank(finding: Finding) -> tuple[int, float, float, str]:
    """Nats recoverable times how sure, first; a mere reading of the curve after any cause to mend."""
    tier = VERDICTS.index(finding.verdict) * 2
    reading = finding.cause in READINGS
    if finding.verdict == "supported":  # what is proved keeps its place where a law finds little in it
        tier = (
            -1
            if finding.cause == FIRST
            else 2
            if reading or max(weight(finding), finding.stake) < SMALL
            else 0
        )
    elif finding.verdict == "undecided":
        tier = 1 if not reading and (finding.probability or 0) >= MORE_LIKELY_THAN_NOT else 3
    if finding.verdict == "refuted":
        place = SUSPECTED.index(finding.cause) if finding.cause in SUSPECTED else len(SUSPECTED)
        return tier, float(place), 0.0, finding.cause
    chance = finding.probability or 0.0
    return tier, -chance * weight(finding), -chance, finding.cause
