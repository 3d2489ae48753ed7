"""A plan of experiments, and what came of it: in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import exp
from pathlib import Path
from typing import Any

from ..cost import duration
from ..diagnosis import Diagnosis
from ..estimate import Estimate
from ..evidence import ArmRun
from ..heard import prior
from ..hypotheses import SMALL, Finding
from ..probe.plan import Chosen, Plan, hours_of, nothing_left
from ..probe.site import Where
from ..probe.told import Outcome, arms_of
from ..probes import Arm, Trial
from ..units import count
from .lines import WIDTH, Line, render

SCHEMA = "unplateau.probe/1"
NAMED = 4  # causes in the question
RANKED = ("supported", "undecided")
SEEN = 0.015  # of a probability; less is no difference in whole per cents
FACTOR = 100  # a ratio of likelihoods beyond this is said as "more than"


def question(plan: Plan) -> str:
    """What the experiments are to settle.

    >>> question(Plan((), {"capacity": 0.2, "repetition": 0.4}, None))
    'which of capacity (20%), repetition (40%) holds the loss up'
    """
    told = {p.cause for c in plan.chosen for p in c.trial.predictions}
    names = [name for name in plan.chances if name in told] or list(plan.chances)
    shown = [f"{name} ({plan.chances[name]:.0%})" for name in names[:NAMED]]
    more = f" or {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"which of {', '.join(shown)}{more} holds the loss up"


# --- the plan


def plan_text(plan: Plan, where: Where, *, width: int = WIDTH, colour: bool = False, again: str = "") -> str:
    """The plan in words; ``again``: the command that carries it out."""
    return render([*_plan_lines(plan, where), *([Line(again)] if again else [])], width, colour=colour)


def _plan_lines(plan: Plan, where: Where) -> Iterator[Line]:
    yield Line(f"{where.run.name}: {question(plan)}?", "title")
    if not plan.chosen:
        yield Line(f"Nothing to run: {nothing_left(where, plan)}.")
        return
    tokens = sum(c.trial.tokens for c in plan.chosen)
    yield Line(
        f"{len(plan.chosen)} of the probes, {count(tokens)} tokens{_time(plan.chosen)}; the budget is {plan.budget.said}."
    )
    if where.supposed:
        yield Line(
            f"No checkpoint lies here: planned as if that of step {where.step:,} did. It is needed to run this.",
            "doubt",
        )
    for number, chosen in enumerate(plan.chosen, 1):
        yield Line()
        yield from _chosen(number, chosen, plan.chances)
    yield Line()


def _time(chosen: Sequence[Chosen]) -> str:
    hours = [c.hours for c in chosen if c.hours is not None]
    if len(hours) < len(chosen):
        return ""
    return f", {duration(_sum(hours))} at the logged speed"


def _sum(hours: Sequence[Estimate]) -> Estimate:
    return Estimate(sum(h.value for h in hours), sum(h.low for h in hours), sum(h.high for h in hours), "h")


def _chosen(number: int, chosen: Chosen, chances: Mapping[str, float]) -> Iterator[Line]:
    trial = chosen.trial
    yield Line(f"{number}. {trial.probe}: {trial.question}?", "title", hang=3)
    for arm in trial.arms:
        yield Line(f"{arm.name}: {_arm(arm)}", indent=3, hang=5)
    time = f", {duration(chosen.hours)}" if chosen.hours is not None else ""
    yield Line(f"cost: {count(trial.tokens)} tokens{time}", indent=3, hang=5)
    for prediction in trial.predictions:
        chance = f" ({chances[prediction.cause]:.0%})" if prediction.cause in chances else ", decided already"
        yield Line(f"{prediction.cause}{chance}: {prediction.words}", indent=3, hang=5)


def _arm(arm: Arm) -> str:
    changes = ", ".join(f"{key} = {_value(new)}" for key, (_, new) in arm.patch.items()) or "as the run is"
    if not arm.steps:
        return f"evaluates alone, {changes}"
    return f"{arm.steps:,} steps {f'from step {arm.start:,}' if arm.start else 'from scratch'}, {changes}"


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


# --- what came


def outcome_text(
    outcomes: Sequence[Outcome],
    before: Sequence[str],
    after: Diagnosis,
    evidence: Path,
    *,
    holds: Mapping[str, float] | None = None,
    width: int = WIDTH,
    colour: bool = False,
) -> str:
    """What each probe came to, and how the causes rank before and after.

    ``holds``: how likely each cause is by what the probes told, whatever it costs.
    """
    lines = [Line("OUTCOMES", "title")]
    for found in outcomes:
        lines.append(Line(f"{found.trial.probe}: {found.said}", hang=2))
        lines += [Line(odds_of(cause, odds), indent=2, hang=4) for cause, odds in (found.odds or {}).items()]
    lines += [Line(), Line("CAUSES, ranked", "title")]
    lines.append(Line(f"before: {', '.join(before) or 'none'}", hang=8))
    lines.append(Line(f"after:  {', '.join(map(_with_chance, _open(after))) or 'none'}", hang=8))
    lines += [
        Line(said, hang=2) for f in _open(after) if (said := capped(f, (holds or {}).get(f.cause, 0.0)))
    ]
    lines.append(Line())
    if any(found.readings for found in outcomes):
        lines.append(Line(f"Evidence: {evidence}; diagnose takes it into account.", hang=2))
    return render(lines, width, colour=colour)


def _open(found: Diagnosis) -> list[Any]:
    return [f for f in found.findings if f.verdict in RANKED]


def capped(finding: Finding, holds: float) -> str:
    """Why a cause that ``holds`` with that probability stands lower: its cost may be next to nothing; empty where it does not.

    >>> cost = Estimate(0.07, 0.0, 0.16, "nats")
    >>> told = Finding("capacity", "supported", probability=0.93, effect=cost)
    >>> capped(told, 0.999), capped(told, 0.93)
    ('capacity stays at 93%: it holds, but may cost less than 0.012 nats: 0.07 nats (0.00 to 0.16)', '')
    """
    cost, chance = finding.effect, prior(finding)
    if cost is None or cost.low >= SMALL or holds - chance < SEEN:
        return ""
    return f"{finding.cause} stays at {chance:.0%}: it holds, but may cost less than {SMALL} nats: {cost}"


def _with_chance(finding: Any) -> str:
    return f"{finding.cause} ({finding.verdict}, {prior(finding):.0%})"


def odds_of(cause: str, log_odds: float) -> str:
    """How much likelier, in words.

    >>> odds_of("capacity", 0.69), odds_of("capacity", 0.0)
    ('2.0 times likelier with capacity than without', 'as likely with capacity as without')
    >>> odds_of("capacity", -9.0)
    'more than 100 times likelier without capacity than with it'
    """
    times = exp(min(abs(log_odds), 700.0))
    said = f"{times:.1f}" if times <= FACTOR else f"more than {FACTOR}"
    if said == "1.0":
        return f"as likely with {cause} as without"
    if log_odds >= 0:
        return f"{said} times likelier with {cause} than without"
    return f"{said} times likelier without {cause} than with it"


# --- JSON


def document(
    plan: Plan,
    where: Where,
    before: Sequence[str],
    outcomes: Sequence[Outcome] | None = None,
    after: Sequence[str] | None = None,
) -> dict[str, Any]:
    """unplateau.probe/1 of CONTRACT.md; of a plan alone nothing has an outcome."""
    if outcomes is None:
        probes = [_json(c.trial, where, None) for c in plan.chosen]
    else:
        probes = [_json(o.trial, where, o) for o in outcomes]
    asked = question(plan)
    return {"schema": SCHEMA, "question": asked, "probes": probes, "before": list(before), "after": after}


def _json(trial: Trial, where: Where, found: Outcome | None) -> dict[str, Any]:
    hours = hours_of(where.run, trial)
    arms = [ArmRun(arm.name, arm.steps, arm.patch) for arm in trial.arms] if found is None else arms_of(found)
    return {
        "name": trial.probe,
        "arms": [_arm_json(arm) for arm in arms],
        "cost": {"tokens": trial.tokens, "hours": hours.as_dict() if hours is not None else None},
        "predicts": {p.cause: p.words for p in trial.predictions},
        "outcome": None if found is None else found.said,
    }


def _arm_json(arm: ArmRun) -> dict[str, Any]:
    patch = {key: list(change) for key, change in arm.patch.items()}
    loss = arm.loss.as_dict() if arm.loss is not None else None
    return {"name": arm.name, "patch": patch, "steps": arm.steps, "run": arm.run, "loss": loss}
