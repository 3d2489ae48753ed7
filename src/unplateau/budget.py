"""Where the loss goes, and what each cause and each remedy is worth: counterfactual runs, priced by the laws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from .estimate import Estimate
from .hypotheses import SMALL, Evidence, Finding, Hypothesis, Plan
from .hypotheses._say import chance_below
from .laws import ANNEALING, FLOOR, Draws, Parted
from .outlook import Outlook, outlook
from .plugins import discover
from .run import Run
from .state import State, judged

NATS = "nats"
JUDGED = ("falling", "slowing", "flat", "rising")  # verdicts on curves that a law can be asked about
HALF, FEW = 0.5, 0.05  # shares of draws below zero: the law is out of its range, its forecast is
LEAST = 0.01  # no law can show 0
HAPPENED = "it happened; it cost nothing that a law can see"
OPEN = ("supported", "undecided")  # verdicts that leave a cause something to cost
#: how a step's tokens are cut into micro-batches: no loss follows from it while the step stays as large
CUTS = ("batch_size", "gradient_accumulation_steps", "world_size")
#: a law of the schedule reads all of it, also what held before a resume
SCHEDULE, BEFORE = "schedule", ("schedule_before",)
#: rows that this evidence can't split, and why
INSEPARABLE = {FLOOR: "one run cannot split them"}


@dataclass(frozen=True, slots=True)
class Row:
    """A part of the loss. ``capacity``: nats of it that an endless model would win, where the size law tells.

    ``measured``: the file of what a probe measured of it, where one did; ``rate``: where the learning rate stands.
    """

    name: str
    nats: Estimate
    capacity: Estimate | None = None
    measured: str = ""
    rate: str = ""

    @property
    def note(self) -> str:
        """Why the part is not split further, or where it was measured; empty where there is nothing to say."""
        if self.measured:
            return f"with {self.measured}"
        return self.rate or INSEPARABLE.get(self.name, "")


@dataclass(frozen=True, slots=True)
class Budget:
    """The judged loss at its last point, as a sum: the rows (of the trend at the last step), and the unexplained.

    Values are means of one joint posterior, so that they add up exactly; intervals do not add.
    ``effects``: what each cause that a law prices costs alone; ``together``: all of them removed at once;
    ``overlap``: what the effects alone count twice.
    """

    loss: float
    rows: tuple[Row, ...]
    unexplained: Estimate
    effects: Mapping[str, Estimate]
    together: Estimate | None = None
    overlap: Estimate | None = None


def outlook_of(run: Run, state: State) -> Outlook | None:
    """The laws that fit ``run``; None where its curve is too short, too broken or of an unknown unit."""
    if state.verdict not in JUDGED or run.series[state.series].unit != NATS:
        return None
    try:
        known = outlook(run)
    except ValueError:
        return None
    return known if np.isfinite(known.level).all() and _in_range(known) else None


def _in_range(known: Outlook) -> bool:
    """False where the floor more likely than not lies below zero: no loss does, so the law is not one of this curve."""
    trend = known.fitted[known.trend]
    floor = trend.parts(known.run)[FLOOR] if isinstance(trend, Parted) else known.level
    return bool(np.mean(floor < 0) < HALF)


def budget(run: Run, state: State, known: Outlook | None, causes: Mapping[str, Hypothesis]) -> Budget | None:
    """The budget of ``run``; ``causes``: those that may cost something.

    Without a law all of the loss is unexplained; None where not even a trend can be told.
    """
    _, curve = judged(run)
    if known is None or curve is None:
        return None if state.level is None else Budget(state.level.value, (), state.level, {})
    parts = parts_of(known)
    rows = tuple(
        Row(n, Estimate.of(draws, NATS), _capacity(known, n), _measured(known, n), _rate(known, n))
        for n, draws in parts.items()
    )
    rest = np.asarray(curve.last - sum(parts.values(), np.zeros_like(known.level)))
    effects, together = effects_of(known, causes)
    alone = sum(effects.values(), np.zeros_like(known.level))
    return Budget(
        loss=curve.last,
        rows=rows,
        unexplained=Estimate.of(rest, NATS),
        effects={name: Estimate.of(draws, NATS) for name, draws in effects.items()},
        together=None if together is None else Estimate.of(together, NATS),
        overlap=None if together is None else Estimate.of(alone - together, NATS),
    )


def parts_of(known: Outlook) -> dict[str, Draws]:
    """Draws of what the trend at the last point is made of; they add up to the trend."""
    trend = known.fitted[known.trend]
    parts = dict(trend.parts(known.run)) if isinstance(trend, Parted) else {FLOOR: known.level}
    for name, law in known.fitted.items():
        if name == known.trend or not isinstance(law, Parted):
            continue
        for part, draws in law.parts(known.run).items():
            # the trend never saw it: it lies in what the trend takes for its floor
            parts[part] = parts.get(part, 0.0) + draws
            parts[FLOOR] = parts[FLOOR] - draws
    return {name: draws for name, draws in parts.items() if np.any(draws)}


def _capacity(known: Outlook, part: str) -> Estimate | None:
    """What the size law says of the split that one run can't tell; its prior, anchored on the run's loss."""
    draws = getattr(known.fitted.get("size"), "capacity", None)
    return None if draws is None or part != FLOOR else _estimate(draws)


def _measured(known: Outlook, part: str) -> str:
    """The files of the cooldowns that told how much annealing lets go."""
    told = (one.source for one in known.heard if one.cause == "lr-not-annealed")
    return ", ".join(told) if part == ANNEALING else ""


def _rate(known: Outlook, part: str) -> str:
    """How far the learning rate has come down: also a floor that everybody takes holds some of the loss up."""
    share = known.run.get("lr_share")
    return f"rate at {share:.0%} of its peak" if part == ANNEALING and share else ""


def effects_of(known: Outlook, causes: Mapping[str, Hypothesis]) -> tuple[dict[str, Draws], Draws | None]:
    """Draws of what each of ``causes`` costs alone, and what those with a price cost together."""
    effects: dict[str, Draws] = {}
    cured = known.run
    for name, cause in causes.items():
        if cause.unpriced or (other := cause.without(known.run)) is None:
            continue
        if (draws := change(known, other)) is None:
            continue
        effects[name] = draws
        cured = cause.without(cured) or cured
    return effects, change(known, cured) if len(effects) > 1 else None


def change(known: Outlook, other: Run) -> Draws | None:
    """Draws of the nats that ``other`` lies below the run at the run's last step; None where no law says so."""
    if unpriced(known, other):
        return None
    draws = now(known) - known.loss(other, int(known.run.get("steps_done")))
    # a law that sees no difference prices nothing
    return draws if np.any(draws) and np.isfinite(draws).all() else None


_stood: list[tuple[Outlook, Draws]] = []  # the last run asked about: every cause and remedy asks for the same


def now(known: Outlook) -> Draws:
    """Draws of the run's own trend at its last step."""
    if not _stood or _stood[0][0] is not known:
        _stood[:] = [(known, known.loss(known.run, int(known.run.get("steps_done"))))]
    return _stood[0][1]


def priced(finding: Finding, cause: Hypothesis, known: Outlook | None, found: Budget | None) -> Finding:
    """``finding`` with its effect and the gain of its remedy, or why there is none."""
    if known is None or found is None:
        return finding
    effect = found.effects.get(finding.cause)
    if finding.remedy is not None and finding.remedy.plan is not None:
        remedy = replace(finding.remedy, gain=gain(known, finding.remedy.plan))
        idle = finding.verdict in OPEN and remedy.gain is not None and remedy.gain.value <= 0
        finding = replace(finding, remedy=None if idle else remedy)
    if finding.verdict not in OPEN:
        return replace(finding, effect=effect)
    if effect is not None:
        return weighed(replace(finding, effect=effect))
    return replace(finding, unpriced=why_unpriced(known, cause.without(known.run), cause.unpriced))


def weighed(finding: Finding) -> Finding:
    """``finding`` no likelier than its price, or what its remedy wins, says that it matters; without a remedy where neither does.

    What happened and cost nothing is no cause of the loss, however plain it is to see.
    """
    if finding.effect is None or finding.probability is None:
        return finding
    won = finding.remedy.gain if finding.remedy is not None else None
    matters = max(1 - chance_below(price, SMALL) for price in (finding.effect, won) if price is not None)
    chance = min(finding.probability, max(LEAST, matters))
    if not finding.costless:
        held = finding.verdict if chance >= HALF else "undecided"
        return replace(finding, probability=chance, verdict=held)
    remedy = finding.remedy if won is not None and won.low > 0 else None
    if finding.verdict != "supported":
        return replace(finding, probability=chance, remedy=remedy)
    said = Evidence(f"{HAPPENED}: {finding.effect}", "against", "the laws")
    return replace(
        finding, probability=chance, verdict="undecided", evidence=(said, *finding.evidence), remedy=remedy
    )


def happened(finding: Finding) -> bool:
    """True for what is plain to see in the log and cost nothing."""
    return bool(finding.evidence) and finding.evidence[0].fact.startswith(HAPPENED)


def gain(known: Outlook, plan: Plan) -> Estimate | None:
    """Nats that the loss after ``plan`` lies below the trend of now; None where no law says."""
    if plan.given is not None:
        return _gain_given(known, plan, plan.given)
    if unpriced(known, plan.run):
        return None
    return _estimate(now(known) - known.loss(plan.run, plan.end))


def _gain_given(known: Outlook, plan: Plan, given: Run) -> Estimate | None:
    """The gain where the run were ``given``: by the laws that lack only a fact that ``given`` supposes."""
    total = np.zeros_like(known.level)
    laws = discover("laws")
    for name in known.refused:
        try:
            total = total - laws[name].fit([given]).price(plan.run, plan.end)
        except ValueError:
            continue
    return _estimate(total)


def _estimate(draws: Draws) -> Estimate | None:
    return Estimate.of(draws, NATS) if np.any(draws) and np.isfinite(draws).all() else None


def unpriced(known: Outlook, other: Run) -> tuple[str, ...]:
    """The settings in which ``other`` differs that no law prices and that may cost something."""
    size = other.get("tokens_per_step")
    same = size is not None and size == known.run.get("tokens_per_step")
    free = (*(CUTS if same else ()), *(BEFORE if SCHEDULE in known.fitted else ()))
    return tuple(name for name in known.unpriced(other) if name not in free)


def why_unpriced(known: Outlook, other: Run | None, harm: str = "") -> str:
    """Why no law says what ``other`` would win (``harm``: of what kind); empty where there is none to speak of."""
    names = () if other is None else (harm,) if harm else unpriced(known, other)
    if not names:
        return ""
    laws = discover("laws")
    for name, reason in known.refused.items():
        if set(names) <= set(laws[name].prices):
            return f"not priced: {reason}"
    return f"needs a probe (no law prices {' and '.join(names)})"


def open_causes(findings: Iterable[Finding], hypotheses: Mapping[str, Hypothesis]) -> dict[str, Hypothesis]:
    """The causes that are neither refuted nor untestable."""
    return {f.cause: hypotheses[f.cause] for f in findings if f.verdict in OPEN and f.cause in hypotheses}


def as_planned(known: Outlook | None) -> tuple[int, Estimate] | None:
    """The planned end of the run and the loss there; None where no end is planned or no law fits."""
    end = None if known is None else known.run.get("planned_end")
    if known is None or not end or int(end) < int(known.run.get("steps_done") or 0):
        return None
    draws = known.loss(known.run, int(end))
    loss = _estimate(draws) if np.mean(draws < 0) < FEW else None
    return None if loss is None else (int(end), loss)
