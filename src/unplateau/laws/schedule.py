"""The loss under a learning-rate schedule: what more steps, another schedule, another floor or a cooldown would do.

The formula is in ``_annealing``, the posterior in ``_posterior``; what is believed before a curve is seen lies in
``schedule.json``, which benchmarks/laws/schedule.py writes from public curves. Peak, batch and size it does not price:
another peak changes the loss in ways that no law predicts (SCIENCE.md section 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path as File

import numpy as np
from numpy.typing import NDArray

from ..curve import Curve
from ..derive import derive
from ..estimate import Estimate
from ..evidence import Told
from ..planned import is_share
from ..run import Fact, Run, Schedule
from ..schedules.cosine import Cosine
from ..state import judged, noise_of, state_of
from . import ANNEALING, DATA, DRAWS, FLOOR, Draws, Law, World
from ._annealing import Pace, Path
from ._cooled import branches, told_of
from ._posterior import KAPPA, Observed, Posterior, Prior, drawn
from ._posterior import fit as posterior

Floats = NDArray[np.float64]

LEAST = 8  # points after the start; seven parameters and a scatter
EARLY = 0.08  # share of the steps that is left out: the law is one of the end (docs/LOG.md)
GROWN = 2.72  # times the progress: over less, what is learnt and what is let go look alike
SPENT = 0.02  # share of the peak; a rate below teaches nothing
LATE = 0.8  # share of the run; a rate that was spent before died early
YOUNG = 400  # full-rate steps: where the rate died before, the curve tells of no power law yet (docs/LOG.md)
TEXT = 3.26  # nats a token: where the curves behind the prior end, in the mean (benchmarks/laws/schedule.py)
WARM = 1.5  # warm-ups; before that the rate has done nothing yet
POINTS = 110  # that the curve is averaged into
JUMP = 0.05  # share of the peak between two points: no mean is taken across it
SPIKE = 6.0  # sd above the median of its neighbours: a spike is no part of the trend
NEIGHBOURS = 5
LAST = 4  # points that the law must meet
ERRORS, ALLOWED = 4.0, 0.01  # standard errors, and nats, by which it may miss them
ROUNDS = 4  # of doubling what a run may stray by
LASTING = 5.0  # log S over which such a stray is forgotten
LOWEST = 0.42  # nats: a letter of English holds .6 to 1.3 bits (Shannon 1951); below is no modelling of text
PACED = 5  # logged counts of tokens that the present batch is told by
STEADY = 0.05  # share of the batch; less is rounding
SAME = 0.01  # share of the peak; two histories of the rate that differ by less are one
UNITS = ("", "nats")
ADAM = (
    "adam",
    "adamw",
    "adamw_torch",
    "adamw_torch_fused",
    "fused_adamw",
)  # whose peak tells the size of the noise


@dataclass(frozen=True, slots=True)
class ScheduleFit:
    """The law's posterior for one run, and its trend at the last logged step."""

    run: Run
    posterior: Posterior
    last: int
    lost: float = (
        0.0  # nats that the run had left the law by, where it did: no law tells where it goes from there
    )
    heard: tuple[Told, ...] = ()  # the cooldowns that it was fitted to, besides the log

    @property
    def parameters(self) -> Mapping[str, Estimate]:
        found = self.posterior
        shapes = {n: getattr(found.grid, n)[found.cell[:, i]] for i, n in enumerate(("kappa", "a", "C", "p"))}
        values = {"A": found.coef[:, 1], "B": found.coef[:, 2], **shapes}
        floor = {"L0": found.coef[:, 0] - found.coef[:, 2]}
        return {
            n: Estimate.of(v, "nats" if n in ("L0", "A", "B") else "") for n, v in (floor | values).items()
        }

    @property
    def level(self) -> Draws:
        if not _stood or _stood[0][0] is not self:
            _stood[:] = [(self, self._at(self._own, self.last, own=True))]
        return _stood[0][1].copy()

    def price(self, other: Run, step: int) -> Draws:
        path = self.path(other.schedule or self.run.schedule, step)
        return self._at(path, step, own=self._same(path)) - self.level + self._astray(step)

    def _astray(self, step: float) -> Draws:
        """What a run that has left the law may do on the way to ``step``: the same again by twice or half its steps."""
        way = abs(float(np.log(max(step, 1.0) / self.last)) / np.log(2.0)) ** 0.5
        return np.asarray(np.random.default_rng(3).normal(0.0, 1.0, DRAWS) * self.lost * way)

    def parts(self, run: Run) -> Mapping[str, Draws]:  # noqa: ARG002
        """What endless tokens and full annealing would win; the rest of the level is the floor."""
        told = self.posterior.parts(self._own, np.array([float(self.last)]))
        noise = self.posterior.coef[:, 2] + told["annealed"][:, 0]
        data = told["data"][:, 0] + told["drift"][:, 0]
        if data.mean() <= 0:  # a curve that bends down: the law does not know what is left to learn
            return {FLOOR: self.level - noise, ANNEALING: noise}
        return {FLOOR: self.level - data - noise, DATA: data, ANNEALING: noise}

    def path(self, schedule: Schedule | None, last: float) -> Path:
        """The path of ``schedule`` in shares of the fitted run's peak."""
        assert schedule is not None
        assert self.run.schedule is not None
        return Path.of(schedule, max(last, 2.0), self.run.schedule.peak, pace_of(self.run))

    @property
    def _own(self) -> Path:
        return self.posterior.first.path

    def _at(self, path: Path, step: float, *, own: bool) -> Draws:
        return np.asarray(
            self.posterior.loss(path, np.array([float(step)]), own=own, seed=1 if own else 2)[:, 0]
        )

    def _same(self, path: Path) -> bool:
        """True when ``path`` goes on from what the run did, or is a part of it."""
        seen = self._own.t[self._own.t <= path.t[-1]]
        return bool(np.abs(path.eta_at(seen) - self._own.eta_at(seen)).max() < SAME)


_stood: list[
    tuple[ScheduleFit, Draws]
] = []  # the last fit asked about: all its prices are told from one level


def fit(runs: Sequence[Run]) -> ScheduleFit:
    """The posterior for the judged loss of ``runs[0]``, and for the cooldowns that probes measured on it.

    More runs of the same model and data share its parameters.
    """
    seen = [observed(run) for run in runs]
    run, heard = runs[0], told_of(runs[0])
    assert run.schedule is not None
    told = "share" if is_share(run.facts, run.series) else run.get("optimizer")
    believed = prior(run.schedule.peak, told)
    if died(seen[0].path) < LATE * seen[0].step[-1]:
        seen[0], believed = of_spent(seen[0], believed)
    elif (grown := progress(seen[0])) < GROWN:
        raise ValueError(
            f"the rate let the run come only {grown:.1f} times as far since its start; a law wants {GROWN:g} times"
        )
    found, lost = straying([*seen, *(branches(run, one, pace_of(run)) for one in heard)], believed)
    _, curve = judged(run)
    assert curve is not None
    if state_of(run).verdict == "rising":
        lost = max(lost, float(np.mean(seen[0].loss[-LAST:]) - seen[0].loss.min()))
    last = max(int(run.get("steps_done") or 0), int(curve.step[-1]))
    return ScheduleFit(
        run, replace_path(found, Path.of(run.schedule, last, pace=pace_of(run))), last, lost, heard
    )


def died(path: Path) -> float:
    """The last step at which the rate still taught something."""
    alive = np.flatnonzero(path.eta > SPENT * path.eta.max())
    return float(path.t[alive[-1] if len(alive) else -1])


def of_spent(seen: Observed, believed: Prior) -> tuple[Observed, Prior]:
    """What is known of a run whose rate died early: its curve, or where that is too young, its level alone.

    In the first few hundred steps the loss stands at the statistics of pairs and falls in steps; a power law told from them
    says a third of what stretching the schedule wins, or nothing. There the prior speaks, in shares of the loss.
    """
    after = seen.step >= died(seen.path)
    if float(seen.path.progress_at(seen.step[-1], KAPPA)) >= YOUNG or after.sum() < LAST:
        return seen, believed
    left = replace(seen, step=seen.step[after], loss=seen.loss[after])
    share = float(np.mean(left.loss)) / TEXT
    return left, replace(believed, A=(share * believed.A[0], share * believed.A[1]))


def straying(seen: Sequence[Observed], believed: Prior) -> tuple[Posterior, float]:
    """The posterior; where the curve ends elsewhere than any falling law, under a prior of runs that stray that far.

    A run that memorises, or whose data changed, leaves the law for good: what it strays by then lasts, and no future
    of it is known better.
    """
    found, lost = posterior(seen, believed), 0.0
    for _ in range(ROUNDS):
        off = misfit(found)
        if off < max(ERRORS * seen[0].noise / LAST**0.5, ALLOWED):
            break
        believed = replace(
            believed, stray=(max(2 * off, 2 * believed.stray[0]), believed.stray[1]), memory=LASTING
        )
        found = posterior(seen, believed)
    return found, lost


def misfit(found: Posterior) -> float:
    """How far the last points lie from the law, in the mean, nats."""
    first = found.first
    told = found.loss(first.path, first.step[-LAST:]).mean(axis=0)
    return float(abs(np.mean(first.loss[-LAST:] - told)))


def progress(seen: Observed) -> float:
    """How many times as far as at its first point the run had come at its last."""
    first, last = seen.path.progress_at(seen.step[[0, -1]], KAPPA)
    return float(last / first)


def replace_path(found: Posterior, path: Path) -> Posterior:
    """The same posterior, its first curve on a path that reaches further than its last point."""
    return replace(found, first=replace(found.first, path=path))


def observed(run: Run) -> Observed:
    """The judged loss of ``run`` as the law wants it: without the start, without spikes, averaged into bins."""
    name, curve = judged(run)
    if curve is None:
        raise ValueError("there is no loss to fit a law to")
    if run.schedule is None or not run.schedule.peak > 0:
        raise ValueError("the schedule is not known: a config, or a log with the learning rate")
    if curve.unit not in UNITS:
        raise ValueError(f"the losses are in {curve.unit}: the law is one of nats per token")
    last = float(curve.step[-1])
    path = Path.of(run.schedule, last, pace=pace_of(run))
    alive = died(path)
    start = max(WARM * (run.get("warmup_steps") or 0), EARLY * (alive if alive < LATE * last else last), 1.0)
    good = without_spikes(curve.between(start, np.inf), noise_of(run, name, curve.between(start, np.inf)))
    if len(good) and not np.ptp(good.value):
        raise ValueError("a loss that never moves is no curve")
    if len(good) and float(np.median(good.value[-LAST:])) < LOWEST:
        raise ValueError(
            f"the loss is {good.last:.2g} nats: what the law knows is text, which holds {LOWEST} a token at least"
        )
    if len(good) < LEAST:
        raise ValueError(f"{len(good)} points after the start; a law of 7 parameters wants {LEAST}")
    return averaged(good, noise_of(run, name, good), path)


def pace_of(run: Run) -> Pace | None:
    """How many tokens a step had, over the last one's, where the log says that the batch changed; None where it did not."""
    tokens = run.series.get("tokens")
    if tokens is None or len(seen := tokens.finite) < PACED + 1 or not (np.diff(seen.value) > 0).all():
        return None
    each = np.diff(seen.value) / np.diff(seen.step)
    now = float(np.median(each[-PACED:]))
    if (
        float(np.median(np.abs(each / now - 1))) < STEADY
        and np.abs(each[: len(each) // 2] / now - 1).mean() < STEADY
    ):
        return None
    return (seen.step[1:] + seen.step[:-1]) / 2, each / now


def without_spikes(curve: Curve, noise: float) -> Curve:
    """The curve without points that stand ``SPIKE`` sd above the median of their neighbours.

    >>> t = np.arange(20)
    >>> len(without_spikes(Curve(t, 3 - t / 100 + (t == 7)), 0.01))
    19
    """
    half = NEIGHBOURS // 2
    if len(curve) < NEIGHBOURS:
        return curve
    padded = np.pad(curve.value, half, mode="edge")
    middle = np.median(np.lib.stride_tricks.sliding_window_view(padded, NEIGHBOURS), axis=1)
    scatter = max(noise, 1.4826 * float(np.median(np.abs(curve.value - middle))))
    keep = curve.value - middle < SPIKE * scatter
    return Curve(curve.step[keep], curve.value[keep], curve.unit)


def averaged(curve: Curve, noise: float, path: Path) -> Observed:
    """At most ``POINTS`` means of neighbouring points, as many in each."""
    if len(curve) <= POINTS:
        return Observed(path, curve.step.astype(float), curve.value, noise)
    jumps = np.flatnonzero(np.abs(np.diff(path.eta_at(curve.step))) > JUMP) + 1
    first = np.unique(np.append(np.linspace(0, len(curve), POINTS, endpoint=False).astype(int), jumps))
    count = np.diff(np.append(first, len(curve)))
    step, loss = (np.add.reduceat(x.astype(float), first) / count for x in (curve.step, curve.value))
    return Observed(path, step, loss, noise / float(np.sqrt(count.mean())))


@cache
def known() -> dict[str, list[float]]:
    """The numbers of ``schedule.json``."""
    import msgspec

    return msgspec.json.decode(File(__file__).with_suffix(".json").read_bytes(), type=dict[str, list[float]])


def prior(peak: float, optimizer: str | None = None) -> Prior:
    """What is believed of a run with this peak rate.

    The noise that annealing lets go grows with Adam's peak, within the range of peaks that was seen; the peak of
    another optimiser says nothing.
    """
    return prior_of(known(), peak, optimizer)


def prior_of(told: Mapping[str, Sequence[float]], peak: float, optimizer: str | None = None) -> Prior:
    """``prior`` from the numbers of ``schedule.json``, or of another fit of them."""
    size, power, spread, lowest, highest = told["B"]
    if optimizer is None or optimizer.lower() in ADAM:
        size *= (min(max(peak, lowest), highest) / 1e-3) ** power
    pairs = {n: (told[n][0], told[n][1]) for n in ("a", "A", "G", "C", "p", "kappa", "stray")}
    scalars = {n: told[n][0] for n in ("L0", "bend", "memory")}
    return Prior(**pairs, B=(size, spread), **scalars)  # type: ignore[arg-type]


def world(seed: int) -> World:
    """A run drawn from the law's own prior: a cosine seen up to a share of its length, and where it ends."""
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(4, 40)) * 500
    schedule = Cosine(6e-4, 6e-5, steps // 50, steps)
    last = int(steps * rng.uniform(0.5, 0.9))
    at = np.unique(np.append(np.arange(0, last, max(1, steps // 80))[1:], last))
    at = at[at >= EARLY * last]
    when = np.append(at, steps).astype(float)
    truth, parameters = drawn(rng, prior(6e-4), Path.of(schedule, steps), when, end=float(last), floor=2.5)
    noise = 0.003
    config = {
        "peak_lr": 6e-4,
        "floor_lr": 6e-5,
        "warmup_steps": steps // 50,
        "decay_end": steps,
        "max_steps": steps,
    }
    facts = {n: Fact(v, "", "config.py:1") for n, v in {"schedule": "cosine", **config}.items()}
    loss = Curve(at, truth[:-1] + rng.normal(0, noise, len(at)), "nats")
    run = derive(Run(f"schedule-{seed}", "nanogpt", {"val_loss": loss}, facts))
    return World(run, run, steps, float(truth[-1] - truth[-2]), parameters)


LAW = Law(
    name="schedule",
    formula="L(t) = L0 + A S^-a + B (1 - R(t)), S = sum of eta^kappa, R = sum of the drops of eta^p let go as x / (1 + x)",
    source="Luo et al. 2025 (multi-power law, ICLR), Tissue et al. 2024 (arXiv 2408.11029), Li et al. 2025, with powers of the rate",
    parameters=("A", "B", "a", "C", "p", "kappa"),
    prices=(
        "schedule",
        "floor_lr",
        "decay_start",
        "decay_end",
        "decay_form",
        "max_steps",
        "warmup_steps",
        "epochs_planned",
    ),
    fit=fit,
    world=world,
)
