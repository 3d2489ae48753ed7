"""Which experiments to run: the most expected information for the least cost, within a budget.

Each probe lays itself out for several parts of the budget; the plan grows by the step that tells most per token, whether
that is one more probe or a larger one in the place of a smaller. No torch, nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..diagnosis import Diagnosis
from ..errors import UnplateauError, UsageError, printable
from ..estimate import Estimate
from ..heard import prior
from ..plugins import discover
from ..probes import Probe, Trial
from ..run import Run
from ..timing import step_times
from ..units import count
from .information import expected, together
from .site import Where

SHARE = 0.2  # of the tokens that the run has seen: what probes may cost by default
PARTS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of the budget, for which each probe lays itself out
WORTH = 0.005  # nats; a step of the plan that tells less is left out
CHEAP = 0.05  # of the budget: what costs no more is taken where money is left, though it tells less
LEAST_TOLD = 0.0005  # nats, a tenth of the above; less is nothing
LEADING = (
    0.1  # probability; probes of causes below it, which are as good as refuted, are run after the others
)
#: a cause beyond these is decided: nothing more is asked of it; what a log leaves open because it can't show it stands at .016 (calibration.py)
SURE, RULED_OUT = 0.97, 0.015
STARTING = 5.0  # seconds until an arm takes its first step: torch and the data are loaded; measured on a CPU
PACE = (
    0.8,
    1.0,
    1.5,
)  # of the logged step time: evaluations and kernels of another machine; assumed, a 90 % interval
LEAST_GROWS, DOUBLINGS = 1.1, 40.0  # how finely, and how far, the least budget that would do is looked for


@dataclass(frozen=True, slots=True)
class Chosen:
    """A trial, with the ``budget`` it was laid out for, what it is expected to tell (nats by cause), and how long it takes."""

    trial: Trial
    budget: int
    tells: Mapping[str, float]
    hours: Estimate | None

    @property
    def information(self) -> float:
        return sum(self.tells.values())


@dataclass(frozen=True, slots=True)
class Budget:
    """What the probes may cost together; ``seconds`` where time was asked for. ``said``: as the user would say it."""

    tokens: int
    seconds: float | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """``chances``: of the causes that are open, the probability before."""

    chosen: tuple[Chosen, ...]
    chances: Mapping[str, float]
    budget: Budget


# --- what is open, and what may be spent


def open_causes(found: Diagnosis) -> dict[str, float]:
    """The causes that are not decided yet, each with its probability; ranked as the diagnosis has them."""
    return {
        f.cause: chance
        for f in found.findings
        if f.verdict != "refuted" and RULED_OUT <= (chance := prior(f)) <= SURE
    }


def ranked(found: Diagnosis) -> list[str]:
    """The causes that are supported or undecided, the first first."""
    return [f.cause for f in found.findings if f.verdict in ("supported", "undecided")]


def decided(chance: float) -> bool:
    """True for a probability that needs no further experiment."""
    return chance > SURE or chance < RULED_OUT


def budget_of(run: Run, *, seconds: float | None = None, tokens: int | None = None) -> Budget:
    """The budget that was asked for; by default a fifth of the tokens so far. Raises ``UsageError`` where it can't be told."""
    if tokens is not None:
        return Budget(tokens, None, f"{count(tokens)} tokens")
    if seconds is not None:
        pace = seconds_per_token(run)
        if pace is None:
            raise UsageError(
                "no step times are logged, so a budget in time says nothing: give --budget-tokens N"
            )
        return Budget(max(1, int(seconds / pace)), seconds, f"{_spoken(seconds)}")
    seen = run.get("tokens_seen")
    if not seen:
        raise UsageError(
            "the log does not tell how many tokens were seen, so no share of them is known: give --budget-tokens N"
        )
    return Budget(int(SHARE * seen), None, f"{SHARE:.0%} of the {count(seen)} tokens so far")


def seconds_per_token(run: Run) -> float | None:
    """Of training, by the median of the logged step times; None where they are not known."""
    size, seconds = run.get("tokens_per_step"), run.get("step_seconds")
    return float(seconds) / float(size) if size and seconds else None


def _spoken(seconds: float) -> str:
    """A time as one would say it.

    >>> _spoken(6), _spoken(600), _spoken(5400)
    ('6 s', '10 min', '1.5 h')
    """
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds / 60:g} min"


def hours_of(run: Run, trial: Trial) -> Estimate | None:
    """How long a trial takes on the machine that logged ``run``; None where no step times are logged."""
    pace, times = seconds_per_token(run), step_times(run)
    if pace is None or times is None:
        return None
    starting = STARTING * len(trial.arms)
    low, value, high = ((starting + trial.tokens * pace) * share for share in PACE)
    return Estimate(value / 3600, low / 3600, high / 3600, "h")


# --- choosing


def plan(
    where: Where,
    found: Diagnosis,
    budget: Budget,
    probes: Mapping[str, Probe] | None = None,
    *,
    again: bool = False,
) -> Plan:
    """The experiments to run, the one that tells most per token first.

    Probes that told of this checkpoint already are left out, but with ``again``: they would say the same.

    Raises ``UsageError`` where the budget is too small for any that would tell something, with the least that would do.
    """
    probes = discover("probes") if probes is None else probes
    chances = open_causes(found)
    heard = set() if again else {t.probe for t in found.run.probed if t.step in (None, where.step)}
    useful = {
        name: p for name, p in probes.items() if name not in heard and not chances.keys().isdisjoint(p.tells)
    }
    offers = [c for p in useful.values() for c in _offers(p, where, budget.tokens, chances)]
    chosen = best_of(offers, chances, budget)
    if not chosen and useful:
        _refuse(useful.values(), where, budget, chances)
    return Plan(in_order(chosen, chances), chances, budget)


def nothing_left(where: Where, planned: Plan) -> str:
    """Why a plan has no probe in it."""
    told = {t.probe for t in where.run.probed if t.step in (None, where.step)}
    able = [p.name for p in discover("probes").values() if planned.chances.keys() & set(p.tells)]
    if where.checkpoint is None and set(able) - told:
        return _unheld(where)
    if heard := sorted(told & set(able)):
        return f"{', '.join(heard)} told already of this checkpoint; --again asks anew, best with a larger budget"
    return "no cause that is still open is one that a probe tells of"


def _unheld(where: Where) -> str:
    return (
        f"{printable(where.folder.name)} holds no checkpoint to branch from: expected checkpoints/ of a run, "
        "or nanoGPT's ckpt.pt"
    )


def _offers(
    probe: Probe, where: Where, tokens: int, chances: Mapping[str, float], parts: Iterable[float] = PARTS
) -> list[Chosen]:
    """``probe`` laid out for several parts of the budget; what it can't be laid out for is left out."""
    found: dict[int, Chosen] = {}
    for part in parts:
        budget = int(part * tokens)
        trial = probe.design(where.run, where.site(budget))
        if trial is None or trial.tokens in found:
            continue
        tells = {
            p.cause: expected(p, chances[p.cause], trial.noise)
            for p in trial.predictions
            if p.cause in chances
        }
        found[trial.tokens] = Chosen(trial, budget, tells, hours_of(where.run, trial))
    return list(found.values())


def greedy(offers: Iterable[Chosen], chances: Mapping[str, float], budget: Budget) -> tuple[Chosen, ...]:
    """Grow a plan by what tells most per token, until nothing that is worth it fits; the best per token first."""
    offers, taken = list(offers), dict[str, Chosen]()
    while True:
        steps = []
        now = _told(taken.values(), chances)
        for offer in offers:
            grown = {**taken, offer.trial.probe: offer}
            more, cost = _told(grown.values(), chances) - now, _cost(grown.values()) - _cost(taken.values())
            if more >= WORTH and _fits(grown.values(), budget):
                steps.append((more / max(cost, 1), offer))
        if not steps:
            break
        best = max(steps, key=lambda step: step[0])[1]
        taken[best.trial.probe] = best
    return tuple(sorted(taken.values(), key=lambda c: -c.information / max(c.trial.tokens, 1)))


def best_of(offers: Sequence[Chosen], chances: Mapping[str, float], budget: Budget) -> tuple[Chosen, ...]:
    """The plan that tells more: of all the budget, or of what is left of it once each cheap look has its share."""
    looks = {c.trial.probe: c.trial.tokens for c in offers if _cheap(c, budget)}
    parts = {budget.tokens, budget.tokens - sum(looks.values())}  # one where there are no looks
    plans = [
        filled(greedy(offers, chances, replace(budget, tokens=tokens)), offers, budget)
        for tokens in sorted(parts, reverse=True)
    ]
    return max(plans, key=lambda taken: _told(taken, chances))


def _cheap(one: Chosen, budget: Budget) -> bool:
    return one.trial.tokens <= CHEAP * budget.tokens and one.information >= LEAST_TOLD


def filled(chosen: tuple[Chosen, ...], offers: Iterable[Chosen], budget: Budget) -> tuple[Chosen, ...]:
    """``chosen``, and what else costs next to nothing, tells anything at all and still fits, the cheapest first."""
    taken = {one.trial.probe: one for one in chosen}
    for offer in sorted(offers, key=lambda c: c.trial.tokens):
        if (
            _cheap(offer, budget)
            and offer.trial.probe not in taken
            and _fits([*taken.values(), offer], budget)
        ):
            taken[offer.trial.probe] = offer
    return tuple(taken.values())


def in_order(chosen: Iterable[Chosen], chances: Mapping[str, float]) -> tuple[Chosen, ...]:
    """Those that tell of a leading cause first, and of these what tells most per token."""

    def key(one: Chosen) -> tuple[bool, float]:
        leads = any(chances[cause] >= LEADING for cause in one.tells)
        return not leads, -one.information / max(one.trial.tokens, 1)

    return tuple(sorted(chosen, key=key))


def _told(taken: Iterable[Chosen], chances: Mapping[str, float]) -> float:
    parts: dict[str, list[float]] = {}
    for one in taken:
        for cause, nats in one.tells.items():
            parts.setdefault(cause, []).append(nats)
    return sum(together(chances[cause], nats) for cause, nats in parts.items())


def _cost(taken: Iterable[Chosen]) -> int:
    return sum(one.trial.tokens for one in taken)


def _fits(taken: Iterable[Chosen], budget: Budget) -> bool:
    taken = list(taken)
    if _cost(taken) > budget.tokens:
        return False
    hours = [one.hours.value for one in taken if one.hours is not None]
    return budget.seconds is None or 3600 * sum(hours) <= budget.seconds


def _refuse(probes: Iterable[Probe], where: Where, budget: Budget, chances: Mapping[str, float]) -> None:
    """Raise ``UsageError`` where a larger budget would do; return where none would."""
    probes, tokens = list(probes), float(max(budget.tokens, 1_000))
    most = tokens * 2**DOUBLINGS
    while tokens < most:
        offers = [c for p in probes for c in _offers(p, where, int(tokens), chances, (1.0,))]
        told = [offer for offer in offers if offer.information >= WORTH]
        if told and (least := min(told, key=lambda c: c.trial.tokens)) and least.trial.tokens > 0:
            lacking = f"; {_unheld(where)}" if where.checkpoint is None else ""
            raise UsageError(_too_small(least, budget) + lacking)
        tokens *= LEAST_GROWS


def _too_small(least: Chosen, budget: Budget) -> str:
    """The line for a budget that no probe can do with."""
    tokens = f"--budget-tokens {least.budget}"
    if budget.seconds is not None and least.hours is not None:
        tokens = f"--budget {max(1, round(least.hours.value * 60 + 0.5))}m"
    return (
        f"a budget of {budget.said} is too small for any probe that would tell something: "
        f"the least is {tokens} ({least.trial.probe})"
    )


def again_chosen(probe: str, where: Where, tokens: int, chances: Mapping[str, float]) -> Chosen:
    """What was chosen before, for ``tokens``. Raises ``UnplateauError`` where it can't be laid out like that any more."""
    found: Probe | None = discover("probes").get(probe)
    offers = _offers(found, where, tokens, chances, (1.0,)) if found is not None else []
    if not offers:
        raise UnplateauError(
            f"the probe {probe} can't be laid out again as it was planned: make a new plan with --again"
        )
    return offers[0]
