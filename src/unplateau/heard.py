"""What probes told, heard with what the log says: prior odds times the ratio of likelihoods, cause by cause.

The prior is the probability that the log, the config and the laws' prices gave. Probes of one run are taken as
independent of each other; one counts once. A measured effect joins that of the laws, where these were not fitted to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import log, sqrt

from .budget import gain
from .config import in_own_words
from .estimate import Z90, Estimate
from .evidence import LEAST, Told, newest, posterior
from .hypotheses import SMALL, Evidence, Finding, Hypothesis, Plan, Remedy, Verdict
from .hypotheses._say import LIKELY, UNLIKELY, anew, chance_below
from .hypotheses.lr_rewarmed import raised
from .outlook import Outlook, differences
from .plugins import discover
from .run import Run

#: how often a cause that log and config can't show held and mattered: benchmarks/untested.py
UNTESTED = 0.02
#: what the limits of a verdict were made for is a habit of such runs (.3, hypotheses/_say.py): to refute is to take it below .1
REFUTES = log(0.1 / 0.9) - log(0.3 / 0.7)
ORDER = ("refuted", "undecided", "supported")
#: the cause that a probe speaks of, and the more specific one by which it holds where the log shows that: the same
#: experiment wins by both, and the specific one says how it came about
GENERAL, SPECIFIC = "lr-not-annealed", "lr-rewarmed"
AGAIN = "more of what the probe measured ({}): unplateau probe --again, with a larger --budget"
NO_PRICE = "the probe tells whether it matters, not how much"


def prior(finding: Finding) -> float:
    """The probability of a cause before any probe; ``UNTESTED`` where nothing could be tested."""
    return UNTESTED if finding.probability is None else finding.probability


def heard(finding: Finding, cause: Hypothesis, run: Run, known: Outlook | None = None) -> Finding:
    """``finding`` after the probes of ``run``; itself where none told of its cause. ``known``: the laws that fit."""
    names = named_by(finding.cause, run)
    told = [one for one in newest(run.probed) if one.cause in names]
    if not told:
        return finding
    effect = effect_of(finding, told, known)
    before, net = prior(finding), sum(one.log_odds for one in told)
    chance = posterior(before, (one.log_odds for one in told))
    if effect is not None and any(one.effect for one in told):
        # what costs next to nothing is no cause; but a cost that is badly known takes nothing from what speaks for it
        least = before if net > 0 and effect.high > SMALL else LEAST
        chance = min(chance, max(least, 1 - chance_below(effect, SMALL)))
    if finding.cause == GENERAL and raised(run):
        chance, net = min(chance, before), min(net, 0.0)
    verdict = _verdict(finding.verdict, chance, net)
    remedy = (finding.remedy or remedy_of(run, cause, known)) if verdict != "refuted" else None
    return replace(
        finding,
        verdict=verdict,
        probability=chance,
        evidence=(*map(_as_evidence, told), *finding.evidence),
        effect=effect,
        missing=finding.missing if verdict == "undecided" else (),
        remedy=remedy,
        stake=max(finding.stake, SMALL),
        unpriced="" if effect is not None else NO_PRICE,
    )


def named_by(cause: str, run: Run) -> tuple[str, ...]:
    """The causes whose probes speak of ``cause`` in this run: itself, and the general one where the log shows the specific."""
    return (cause, GENERAL) if cause == SPECIFIC and raised(run) else (cause,)


def asking(finding: Finding, run: Run) -> Finding:
    """``finding`` with the probes that would tell, where it is open: those that have not told yet."""
    if finding.verdict not in ("undecided", "untestable"):
        return finding
    names = named_by(finding.cause, run)
    told = {one.probe for one in run.probed if one.cause in names}
    able = (probe for probe in discover("probes").values() if set(names) & set(probe.tells))
    open_ = tuple(probe.name for probe in able if probe.name not in told)
    again = bool(told) and not open_ and not finding.missing and finding.verdict == "undecided"
    asks = (AGAIN.format(" and ".join(sorted(told))),) if again else finding.missing
    return replace(finding, probes=open_, missing=asks)


def _as_evidence(told: Told) -> Evidence:
    return Evidence(
        f"probe {told.probe}: {told.fact}", "for" if told.log_odds > 0 else "against", told.source
    )


def _verdict(before: Verdict, chance: float, net: float) -> Verdict:
    """The verdict of ``chance``; a probe for the cause never lowers it, one against it never raises it.

    A cause that nobody suspects is no refuted one: that takes a probe that says so.
    """
    new: Verdict = "supported" if chance >= LIKELY else "refuted" if chance <= UNLIKELY else "undecided"
    old: Verdict = "undecided" if before == "untestable" else before
    if new == "refuted" and old != "refuted" and net > REFUTES:
        new = "undecided"
    limit = max if net > 0 else min
    return limit(old, new, key=ORDER.index)


def effect_of(finding: Finding, told: Iterable[Told], known: Outlook | None = None) -> Estimate | None:
    """What the cause costs: by the laws and by what probes measured, together; what the laws were fitted to counts once."""
    if finding.effect is not None and known is not None:
        told = [one for one in told if one not in known.heard]
    measured = [one.effect for one in told if one.effect is not None and one.effect.unit.startswith("nats")]
    return combined([*([finding.effect] if finding.effect else []), *measured])


def combined(estimates: Sequence[Estimate]) -> Estimate | None:
    """Independent estimates of one number, weighted by inverse variance; their error grows where they disagree.

    Particle Data Group, Review of Particle Physics, section 5.2.2: the error is multiplied by sqrt(chi2 / (n - 1)) where
    that is above 1. The laws know the log, the probe a new experiment: their errors have little in common.

    >>> print(combined([Estimate(0.02, 0.0, 0.04, "nats"), Estimate(0.04, 0.03, 0.05, "nats")]))
    0.036 nats (0.023 to 0.049)
    """
    if len(estimates) < 2:
        return estimates[0] if estimates else None
    sds = [max(one.sd, 1e-9) for one in estimates]
    weights = [1 / sd**2 for sd in sds]
    mean = sum(w * one.value for w, one in zip(weights, estimates, strict=True)) / sum(weights)
    chi2 = sum(w * (one.value - mean) ** 2 for w, one in zip(weights, estimates, strict=True))
    half = Z90 * sqrt(max(1.0, chi2 / (len(estimates) - 1)) / sum(weights))
    return Estimate(mean, mean - half, mean + half, estimates[0].unit)


def remedy_of(run: Run, cause: Hypothesis, known: Outlook | None) -> Remedy | None:
    """The run without ``cause``, as a change of the user's config; None where that can't say it."""
    other = None if run.missing(cause.needs) else cause.without(run)
    if other is None:
        return None
    dialect = str(run.get("config_dialect", ""))
    patch = {name: (run.get(name), other.get(name)) for name in sorted(differences(run, other))}
    patch = {name: change for name, change in patch.items() if in_own_words(dialect, {name: change[1]})}
    if not patch:
        return None
    plan = Plan(other, int(run.get("steps_done") or 0))
    won = gain(known, plan) if known is not None else None
    return Remedy(patch, anew(run, other), "", gain=won if won and won.value > 0 else None, plan=plan)
