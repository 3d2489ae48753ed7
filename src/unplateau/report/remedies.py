"""Which remedies are told, and in which order: of what holds, of what may hold, and what each wins for its cost."""

from __future__ import annotations

from collections.abc import Sequence

from ..cost import Cost, cost_of
from ..diagnosis import Diagnosis, weight
from ..estimate import Estimate
from ..hypotheses import SMALL, Finding, Plan, Remedy
from ..hypotheses._say import anew
from ..run import Run

OPTIMAL = 20.0  # tokens per parameter (Hoffmann et al. 2022); few shorter runs repeat their text
BILLION = 10**9  # tokens
LEAST = 0.01  # chance of what no probability is known of: it is refuted


def chosen(found: Diagnosis) -> list[Finding]:
    """Remedies of what is supported, last of them what costs no loss to speak of; then what may be worth it; then what wins no loss.

    What wins no loss is a fault of the number (val is another text); where nothing else is supported, it comes before what may hold.
    """
    return _once([finding for group in _in_order(_groups(found)) for finding in group])


def by_rate(found: Diagnosis) -> list[Finding]:
    """The same, in each group what wins most for its cost first; there what no law prices comes last.

    What only may hold is worth as much as it is likely.
    """
    sure, late, options = _groups(found)
    groups = (
        *(sorted(group, key=lambda f: -_rate_to_rank(f, found.run)) for group in (sure, late)),
        sorted(options, key=lambda f: -_rate_to_rank(f, found.run) * (f.probability or LEAST)),
    )
    return _once([finding for group in _in_order(groups) for finding in group])


def _in_order(groups: Sequence[list[Finding]]) -> tuple[list[Finding], ...]:
    sure, late, options = groups
    little, none = ([f for f in late if (f.recoverable is None) == bare] for bare in (False, True))
    return (sure, little, options, none) if sure else (little, none, options)


def _groups(found: Diagnosis) -> tuple[list[Finding], list[Finding], list[Finding]]:
    """What is supported and counts, what is supported and costs next to nothing, what may hold: in the order of the causes.

    Of a log that is too short to judge, nothing that is not supported: what it asks for is a longer log.
    """
    mended = [f for f in found.findings if f.remedy]
    sure = [f for f in mended if f.verdict == "supported" or f is found.first]
    if not sure and found.state.verdict != "too-short":
        sure = [f for f in mended if f.verdict == "undecided"][:1]
    priced = [f for f in mended if f not in sure and f.remedy and f.remedy.gain and f.remedy.gain.value > 0]
    options = [f for f in priced if f.verdict == "undecided"]
    # of what nothing points to, only what would be worth it in a run as long as this
    options += [
        f
        for f in priced
        if f.verdict == "refuted" and f.remedy and f.remedy.condition and _matters(f, found.run)
    ]
    late = [f for f in sure if f is not found.first and weight(f) < SMALL]
    return [f for f in sure if f not in late], late, options


def _matters(finding: Finding, run: Run) -> bool:
    """True where the gain may count, and the run is long enough to have seen its text again."""
    gain = finding.remedy.gain if finding.remedy else None
    each = run.get("tokens_per_param")
    return gain is not None and gain.value > 0 and gain.high >= SMALL and each is not None and each >= OPTIMAL


def _once(findings: Sequence[Finding]) -> list[Finding]:
    """Without those that come to the same run as one before."""
    out: list[Finding] = []
    for finding in findings:
        plan = finding.remedy.plan if finding.remedy else None
        if plan is None or all(f.remedy is None or f.remedy.plan != plan for f in out):
            out.append(finding)
    return out


def doubt(finding: Finding) -> str:
    """What must hold for the remedy to be one; empty where the cause is supported."""
    if finding.remedy and finding.remedy.condition:
        return f", {finding.remedy.condition}"
    return "" if finding.verdict == "supported" else ", if it is this"


def price(remedy: Remedy, run: Run) -> Cost | None:
    """What the remedy's run costs on the machine that logged ``run``; None where it makes no run.

    What no law prices has no plan; where its gain is known all the same, it is that of the same steps run again.
    """
    plan = remedy.plan
    if plan is None and remedy.basis and remedy.cost == anew(run):
        plan = Plan(run, int(run.get("steps_done")))
    return None if plan is None else cost_of(run, plan.run, plan.start, plan.end)


def rate(remedy: Remedy, run: Run) -> Estimate | None:
    """What the remedy wins per hour, or per billion tokens where no hours are known; None where no law says.

    The error of the hours is not in it: it is small beside that of the gain.
    """
    gain, cost = remedy.gain, price(remedy, run)
    if gain is None or cost is None:
        return None
    if cost.hours is not None and cost.hours.value > 0:
        return _per(gain, cost.hours.value, "per hour")
    return _per(gain, cost.tokens / BILLION, "per 1B tokens") if cost.tokens else None


def _per(gain: Estimate, amount: float, word: str) -> Estimate:
    return Estimate(gain.value / amount, gain.low / amount, gain.high / amount, f"{gain.unit} {word}")


def _rate_to_rank(finding: Finding, run: Run) -> float:
    found = rate(finding.remedy, run) if finding.remedy else None
    return float("-inf") if found is None else found.value
