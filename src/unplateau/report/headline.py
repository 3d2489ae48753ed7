"""The verdict in a sentence or two: how the curve moves, why, and what to send where that is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..curve import Curve
from ..diagnosis import Diagnosis
from ..hypotheses import Finding
from ..hypotheses._say import step_word
from ..run import LOSSES, Run
from ..state import State
from .patch import own_patch, setting

LEAST_SUSPECTED = 0.025  # probability; below stand causes that nothing points to (heard.UNTESTED is .02)
FEW = 5  # evaluations that fit a sentence
CHANGES = 3  # settings that fit one
STATE = {
    "falling": "the loss is still falling",
    "slowing": "the loss is slowing down",
    "flat": "the loss is flat",
    "rising": "the loss is rising",
    "diverged": "the run has diverged",
    "too-short": "this log is too short to judge",
}
#: causes that are a reading of the curve: what they say instead of "Cause:"
NO_PLATEAU = {
    "still-learning": "Not a plateau: it is still learning",
    "converged": "It is annealed and done, as planned: more steps of this schedule buy nothing",
}
#: how to hand over what is missing
HOW = {
    "unique_tokens": "--unique-tokens N, or --data manifest.json",
    "train_tokens": "--unique-tokens N, or --data manifest.json",
    "schedule": "the trainer's config: --config FILE",
    "peak_lr": "the trainer's config: --config FILE",
    "tokens_per_step": "the trainer's config: --config FILE",
    "params": "the trainer's config: --config FILE",
    "val_loss": "a log with evaluations, or --map val_loss=COLUMN",
    "train_loss": "the same evaluation on the train split, or --map train_loss=COLUMN",
    "batch_loss": "the loss of the optimiser's batches, or --map batch_loss=COLUMN",
    "lr": "a logged learning rate, or --map lr=COLUMN",
    "grad_norm": "a logged gradient norm, or --map grad_norm=COLUMN",
}


def headline(found: Diagnosis, claims: Mapping[str, str] | None = None) -> str:
    """The verdict in a sentence or two: how the curve moves, and why, in the words of ``claims``."""
    return f"{_moves(found)} {_why(found, claims or {})}"


def _moves(found: Diagnosis) -> str:
    state, curve = found.state, found.run.series.get(found.state.series)
    said = STATE[state.verdict]
    if impossible := _impossible(found):
        return impossible
    if curve is None:
        return f"{said[0].upper()}{said[1:]}."
    lost = not np.isfinite(curve.value[-1]) and state.verdict == "diverged" and state.since_step is not None
    if lost or not len(curve.finite):
        return _lost(state, curve)
    if state.verdict in ("flat", "diverged") and state.since_step is not None:
        said += f" since {step_of(found)} {state.since_step:,}"
    last = curve.finite
    at = f"{state.series} {_loss(state, last.last)}{_unit(last.unit)} at {step_of(found)} {int(last.step[-1]):,}"
    return f"{said[0].upper()}{said[1:]}: {at}{_slope(found, last.unit)}.{_few_evaluations(found)}"


def _impossible(found: Diagnosis) -> str:
    """That no number of the log can be a loss, where none can."""
    if found.state.series or found.state.verdict != "too-short":
        return ""
    held = [(n, found.run.series[n].finite) for n in LOSSES if n in found.run.series]
    name, curve = next(((n, c) for n, c in held if len(c)), ("", None))
    return (
        ""
        if curve is None
        else f"No number of this log can be a loss: {name} is {curve.last:.3g} at its end."
    )


def _lost(state: State, curve: Curve) -> str:
    """The sentence for a loss that ends in nan."""
    if not len(curve.finite):
        return f"Every {state.series} is nan or infinite, from step {int(curve.step[0]):,} on: nothing was trained."
    good = curve.finite.between(0, state.since_step or 0)
    before = f"; before, at step {int(good.step[-1]):,}, it was {good.last:.4g}" if len(good) else ""
    return f"The run is lost: {state.series} is nan or infinite since step {state.since_step:,}{before}."


def step_of(found: Diagnosis) -> str:
    """What the log counts: steps, or records or epochs where it has none."""
    return step_word(found.run)


def _few_evaluations(found: Diagnosis) -> str:
    """Evaluations that are too few to judge by, told all the same."""
    val = found.run.series.get("val_loss")
    if val is None or found.state.series == "val_loss" or not 1 < len(val.finite) <= FEW:
        return ""
    val, best = val.finite, int(np.argmin(val.finite.value))
    listed = ", ".join(f"{v:.4g}" for v in val.value.tolist())
    return f" Only {len(val)} evaluations, too few to judge by: {listed}; the lowest at {step_of(found)} {int(val.step[best]):,}."


def _unit(unit: str) -> str:
    return f" {unit}" if unit else " (the log does not tell its unit: --unit)"


def _loss(state: State, value: float) -> str:
    """The loss with the decimals that its noise leaves; logs print four."""
    return f"{value:.{state.level.places if state.level else 4}f}"


def _slope(found: Diagnosis, unit: str) -> str:
    state = found.state
    if state.slope is None:
        return ""
    per = f"{unit} per doubling of {'tokens' if found.run.has('tokens_per_step') else f'{step_of(found)}s'}".lstrip()
    if state.verdict == "flat" and state.smallest_visible_slope is not None:
        return f"; a slope of {state.smallest_visible_slope:.2g} {per} would have shown"
    low, value, high = (
        f"{v:+.{state.slope.places}f}" for v in (state.slope.low, state.slope.value, state.slope.high)
    )
    return f", {value} {per} ({low} to {high})"


def _why(found: Diagnosis, claims: Mapping[str, str]) -> str:
    first = found.first
    if first is None:
        return _unsure(found)
    also = [f for f in of(found.findings, "supported") if f is not first]
    then = f" Also: {', '.join(map(named, also[:3]))}." if also else ""
    if first.cause in NO_PLATEAU:
        return f"{NO_PLATEAU[first.cause]}{chance(first)}.{_advice(first, found.run)}{then}{_untested(found)}"
    if first.verdict == "supported":
        return f"{_claimed(first, claims)}{_advice(first, found.run)}{then}"
    return f"Most likely, not proved: {_claimed(first, claims)}{then}{_send(found)}"


def _untested(found: Diagnosis) -> str:
    """That the settings are not known, so that nothing is said of them."""
    if found.run.schedule is not None or found.run.has("config_dialect"):
        return ""
    return " Its settings are not known: --config FILE has them tested too."


def _claimed(finding: Finding, claims: Mapping[str, str]) -> str:
    """The cause in plain words, its name and its probability behind."""
    claim = claims.get(finding.cause)
    if not claim:
        return f"Cause: {named(finding)}."
    return f"{claim.rstrip('.')} ({finding.cause},{chance(finding).replace('(', '').replace(')', '')})."


def _advice(finding: Finding, run: Run) -> str:
    """What to do about it: its sentence, else the settings to change, up to ``CHANGES`` of them."""
    if finding.remedy is None:
        return ""
    advice = finding.remedy.advice
    if not advice:
        changed = list(own_patch(run, finding.remedy.patch).items())
        if not 0 < len(changed) <= CHANGES:
            return ""
        advice = "set " + " and ".join(f"{key} to {setting(new)}" for key, (_, new) in changed)
    return f" {advice[0].upper()}{advice[1:]}."


def _gained(found: Diagnosis) -> str:
    """That a finetuning ends above where it began, where the evidence says so."""
    told = [e.fact for f in found.findings if f.cause == "still-learning" for e in f.evidence]
    fact = next((t for t in told if t.endswith("nothing was gained")), "")
    return f"{fact[:1].upper()}{fact[1:]}. " if fact else ""


def _unsure(found: Diagnosis) -> str:
    if _impossible(found):
        return "Name the column of the loss: --map val_loss=COLUMN."
    if found.state.verdict == "too-short":
        return "Send a longer log, or one with more evaluations."
    if unsure := suspected(found.findings):
        return f"{_gained(found)}No cause is proved; undecided: {', '.join(map(named, unsure[:3]))}.{_send(found)}"
    return f"No cause that could be tested explains it.{_send(found)}"


def _send(found: Diagnosis) -> str:
    """What would settle most of the open causes, those in front before those that nothing points to."""
    if found.run.schedule is None and not found.run.has("config_dialect") and found.run.loss is not None:
        return " To settle it, send the trainer's config: --config FILE."
    wanted = wanted_facts(suspected(found.findings)) or wanted_facts(found.findings)
    if not wanted and (probes := wanted_probes(suspected(found.findings))):
        return f" To settle it, run a probe: unplateau probe RUN ({probes[0][0]})."
    return f" To settle it, send {how(wanted[0][0])}.".replace("?.", "?") if wanted else ""


def named(finding: Finding) -> str:
    return f"{finding.cause}{chance(finding)}"


def chance(finding: Finding) -> str:
    """The probability; never 0 % or 100 %, which no log can show."""
    if finding.probability is None:
        return ""
    return f" ({min(max(finding.probability, 0.01), 0.99):.0%})"


def of(findings: Sequence[Finding], verdict: str) -> list[Finding]:
    return [f for f in findings if f.verdict == verdict]


def suspected(findings: Sequence[Finding]) -> list[Finding]:
    """The undecided ones that are more than a cause that nothing points to."""
    return [f for f in of(findings, "undecided") if f.probability is None or f.probability >= LEAST_SUSPECTED]


def wanted_facts(findings: Sequence[Finding]) -> list[tuple[str, list[str]]]:
    """What is missing, with the causes it would settle; what settles most comes first."""
    wanted: dict[str, list[str]] = {}
    for finding in findings:
        for item in finding.missing if finding.verdict in ("undecided", "untestable") else ():
            wanted.setdefault(item, []).append(finding.cause)
    return sorted(wanted.items(), key=lambda pair: -len(pair[1]))


def wanted_probes(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """Probes that would tell, each with its cause, in the order of the findings."""
    return [(" or ".join(finding.probes), finding.cause) for finding in findings if finding.probes]


def how(item: str) -> str:
    """What to send: ``item`` in the user's words where it is the name of a fact."""
    first = item.partition("|")[0]
    return f"{' or '.join(item.split('|'))} ({HOW[first]})" if first in HOW else item
