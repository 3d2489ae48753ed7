"""What it costs to see the same tokens again, above fresh tokens of the same number.

    excess = k (p - 1) N^c / U^d            for p = D / U > 1 passes, else 0
    excess <= share * 3.6 ln 2 * N / U      what is not stored cannot mislead

N parameters and U unique tokens, in units of 1e9; D tokens seen. The constants are of GPT-2-like models of .4 to
8.7 billion parameters on C4, up to 60 passes (benchmarks/laws/repetition.py). Below that the interval widens
with the distance: for 100,000 parameters it spans two orders of magnitude. There the run's own gap val - train
tells more: of what train gains by memorising, val loses ``SHARE``.

Passes are D / U, as over shuffled epochs. Windows drawn at random with replacement (nanoGPT) repeat a few tokens
before the first pass is over and leave out a few until the fourth, which is within the interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from ..curve import Curve
from ..derive import changed, derive
from ..estimate import Estimate
from ..hypotheses._say import gap_trend
from ..run import Fact, Run
from . import DRAWS, Draws, Law, World

Floats = NDArray[np.float64]

NAME = "repetition"
SCALE = 1e9  # parameters, tokens: the unit of N and U in the law
#: ln k, c, -d: mean, and covariance by leaving out one model size at a time (benchmarks/laws/repetition.py)
MEAN = np.array([-4.763, 0.615, -0.425])
COV = np.array([[0.0065, 0.0009, 0.0023], [0.0009, 0.0171, 0.0029], [0.0023, 0.0029, 0.0018]])
MISFIT = (
    0.44  # of ln excess (sd): pairs of runs stray by this from the law fitted to other sizes; the same script
)
STRAY = 0.0134  # nats (sd) by which two runs differ for no reason that the law knows; the same script
PRIOR = np.append(MEAN, 0.0)  # of theta: ln k, c, -d, the run's own misfit
PRIOR_COV = np.block([[COV, np.zeros((3, 1))], [np.zeros((1, 3)), np.array([[MISFIT**2]])]])
BITS = 3.6  # per parameter that a GPT can store (Morris et al. 2025, arXiv 2505.24832)
#: of the gap val - train that val lost, and sd of its logarithm: .17 in nine runs of four texts (the same script), half as
#: wide again for texts unlike those
SHARE, SHARE_SD = 0.35, 0.25
#: how likely a text is unlike C4, and by how much ln excess then strays (sd): program code lost 7 and 9 times as much as
#: speeches at equal sizes (benchmarks/planted), ln 8 over the root of two
ODD, TEXT = 0.1, 1.5
UNFAIR = 0.05  # nats (sd) between a fair val and train: 0 to .13 for splits by document (docs/LOG.md)
EVEN = 0.15  # nats (sd): models that memorised all they read end this far from an even guess; the same script
ASK = "passes over the data are not known: give --unique-tokens N, or a manifest"
#: what a price depends on
FACTS = ("params", "unique_tokens", "train_tokens", "tokens_seen", "tokens_per_step", "steps_done")


def memorised(params: float, unique: float) -> float:
    """The most that memorising can win on the train split, nats per token: 3.6 bits a parameter, spread over its tokens.

    Morris et al. 2025 (arXiv 2505.24832). The reference run's 40.56M parameters on 50M or 727M tokens:

    >>> f"{memorised(40.56e6, 50e6):.2f} {memorised(40.56e6, 727e6):.2f}"
    '2.02 0.14'
    """
    return BITS * log(2) * params / unique


#: what a price depends on
FACTS = ("params", "unique_tokens", "train_tokens", "tokens_seen", "tokens_per_step", "steps_done")


@dataclass(frozen=True, slots=True)
class Text:
    """What a run has read: its size, its tokens at the last logged step and per step, and the unique ones."""

    params: float
    unique: float
    last: int
    seen: float
    per_step: float

    @classmethod
    def of(cls, run: Run) -> Text:
        """Raises ``ValueError`` where one of these is not known."""
        last, seen, params = (run.get(name) for name in ("steps_done", "tokens_seen", "params"))
        unique = run.get("unique_tokens") or run.get("train_tokens")
        if not unique and not run.get("passes"):
            raise ValueError(ASK)
        if not last or not seen:
            raise ValueError("tokens seen are not known: give the batch and the block size (--config FILE)")
        if not params:
            raise ValueError("the size of the model is not known: give --config FILE")
        unique = float(unique or seen / run.get("passes"))
        per_step = float(run.get("tokens_per_step") or seen / last)
        return cls(float(params), unique, int(last), float(seen), per_step)

    def passes(self, step: float) -> float:
        """Tokens seen at ``step`` over unique ones."""
        return max(0.0, self.seen + (step - self.last) * self.per_step) / self.unique

    @property
    def powers(self) -> Floats:
        """What ln excess, less ln(p - 1), is linear in."""
        return np.array([1.0, log(self.params / SCALE), log(self.unique / SCALE), 1.0])


@dataclass(frozen=True, slots=True)
class Posterior:
    """Equally likely values of the law's constants, and of how one run strays from it."""

    theta: Floats  # shape (draws, 4): ln k, c, -d, and the run's own misfit of ln excess
    normal: Floats  # shape (draws, 2), standard: of what two runs differ by, and of the share

    @classmethod
    def drawn(
        cls, rng: np.random.Generator, many: int, prior: Floats = PRIOR, cov: Floats = PRIOR_COV
    ) -> Posterior:
        return cls(rng.multivariate_normal(prior, cov, many), rng.standard_normal((many, 2)))

    def excess(self, text: Text, passes: float, ceiling: float = np.inf, stray: float = STRAY) -> Draws:
        """Nats above fresh data; none in the first pass, and ``stray`` (sd) by the share of the tokens that repeat."""
        if passes <= 1:
            return np.zeros(len(self.theta))
        chance, share = self.normal.T
        bound = SHARE * np.exp(SHARE_SD * share) * memorised(text.params, text.unique)
        cost = np.minimum((passes - 1) * np.exp(self.theta @ text.powers), bound)
        return np.asarray(
            np.minimum(cost, np.maximum(0, ceiling + EVEN * chance)) + (1 - 1 / passes) * stray * chance
        )


@dataclass(frozen=True)
class RepetitionFit:
    """The law for one run."""

    run: Run
    posterior: Posterior

    @property
    def parameters(self) -> Mapping[str, Estimate]:
        theta = self.posterior.theta
        return {
            "k": Estimate.of(np.exp(theta[:, 0]), "nats"),
            "c": Estimate.of(theta[:, 1], ""),
            "d": Estimate.of(-theta[:, 2], ""),
        }

    @cached_property
    def now(self) -> Draws:
        """What repetition has cost at the last logged step."""
        return self.excess(self.run, Text.of(self.run).last)

    @cached_property
    def ceiling(self) -> float:
        """Nats from the lowest logged loss to an even guess: a model that memorised everything ends there."""
        vocab, loss = self.run.get("vocab_size"), self.run.loss
        if loss is None or not vocab:
            return np.inf
        return max(0.0, log(vocab) - float(loss.value.min()))

    def excess(self, run: Run, step: int) -> Draws:
        text = Text.of(run)
        return self.posterior.excess(text, text.passes(step), self.ceiling)

    def price(self, other: Run, step: int) -> Draws:
        """What ``other`` does not know of its data and size is as in the fitted run."""
        known = {n: f for n, f in self.run.facts.items() if n in FACTS and n not in other.facts}
        return np.asarray(self.excess(other.with_facts(**known), step) - self.now)

    def parts(self, run: Run) -> Mapping[str, Draws]:  # noqa: ARG002
        return {NAME: self.now}


def fit(runs: Sequence[Run]) -> RepetitionFit:
    """The law for ``runs[0]``: the constants of C4, corrected by the run's own gap val - train.

    Raises ``ValueError`` where the unique tokens, the tokens seen or the size are not known.
    """
    run, rng = runs[0], np.random.default_rng(list(NAME.encode()))
    text, prior = Text.of(run), Posterior.drawn(rng, DRAWS)
    if (gap := _gap(run, text)) is None:
        return RepetitionFit(run, prior)
    return RepetitionFit(run, replace(prior, theta=_given(gap, text.powers, prior.theta, rng)))


def _gap(run: Run, text: Text) -> tuple[float, float] | None:
    """What val - train says of ``theta @ powers``, and its error (sd); None where it says nothing.

    A gap that can't be told from none only says that the cost is no higher than what could be told.
    """
    passes, trend = text.passes(text.last), gap_trend(run)
    if passes <= 1 or trend is None or run.get("eval_modes_equal") is False:
        return None
    error = float(np.hypot(trend.mean_error, UNFAIR))
    gap = max(trend.end, error)
    said = log(SHARE * gap / (passes - 1))
    if trend.end <= error and PRIOR @ text.powers < said:
        return None
    return said, float(np.hypot(SHARE_SD, error / gap))


def _given(gap: tuple[float, float], powers: Floats, theta: Floats, rng: np.random.Generator) -> Floats:
    """``theta`` given what the gap said, for a text like C4 or, as likely as the gap makes it, one unlike it.

    A normal prior of something linear stays normal: each draw is moved by its own error (Matheron's rule;
    Wilson et al. 2020, arXiv 2002.09309, eq. 7).
    """
    said, error = gap
    covs = [PRIOR_COV, PRIOR_COV + np.diag([0, 0, 0, TEXT**2])]
    spread = np.array([powers @ cov @ powers + error**2 for cov in covs])
    log_odds = log(ODD / (1 - ODD)) - np.diff((said - PRIOR @ powers) ** 2 / spread + np.log(spread))[0] / 2
    odd = np.arange(len(theta)) < round(len(theta) / (1 + np.exp(-log_odds)))
    theta = theta + np.outer(odd * TEXT * rng.standard_normal(len(theta)), [0, 0, 0, 1])
    gains = np.array([cov @ powers for cov in covs]) / spread[:, None]
    seen = theta @ powers + error * rng.standard_normal(len(theta))
    return np.asarray(theta + (said - seen)[:, None] * gains[odd.astype(int)])


def world(seed: int) -> World:
    """A run on 2 to 30 passes with all of the law's constants drawn anew; every second one logs its train loss too.

    Asked about: the same run on up to eight times the tokens, in up to twice the steps.
    """
    rng = np.random.default_rng(seed)
    truth = Posterior.drawn(rng, 1)
    size, passes = np.exp(rng.uniform(log(1e8), log(1e10))), np.exp(rng.uniform(log(2), log(30)))
    step, end = np.arange(1, 41) * 500, int(rng.uniform(20_000, 40_000))
    facts = {"params": size, "tokens_per_step": 524_288, "unique_tokens": 524_288 * 20_000 / passes}
    costs = np.array([_cost(truth, facts, s) for s in step.tolist()])
    val = 2.5 + 8 * (step / 100.0) ** -0.5 + costs + rng.normal(0, 0.005, len(step))
    series = {"val_loss": Curve(step, val, "nats")}
    if seed % 2:
        gap = rng.normal(0, UNFAIR) + costs / (SHARE * np.exp(rng.normal(0, SHARE_SD)))
        series["train_loss"] = Curve(step, val - gap + rng.normal(0, 0.005, len(step)), "nats")
    given = {name: Fact(value, "", "drawn") for name, value in facts.items()}
    run = derive(Run(f"{NAME}-{seed}", series=series, facts=given))
    more = {"unique_tokens": facts["unique_tokens"] * rng.uniform(0.7, 8)}
    change = _cost(truth, facts | more, end) - costs[-1]
    (scale, size_power, text_power, _), *_ = truth.theta.tolist()
    parameters = {"k": exp(scale), "c": size_power, "d": -text_power}
    return World(run, changed(run, more), end, float(change), parameters)


def _cost(truth: Posterior, facts: Mapping[str, float], step: int) -> float:
    per_step = facts["tokens_per_step"]
    text = Text(facts["params"], facts["unique_tokens"], step, step * per_step, per_step)
    return float(truth.excess(text, text.passes(step))[0])


LAW = Law(
    name=NAME,
    formula="excess = min(k (p - 1) N^c / U^d, share 3.6 ln 2 N / U), N and U in 1e9, p = D / U",
    source="fitted to the runs of Muennighoff et al. 2023 (arXiv 2305.16264); bound: Morris et al. 2025 (arXiv 2505.24832)",
    parameters=("k", "c", "d"),
    prices=("unique_tokens", "train_tokens"),
    fit=fit,
    world=world,
)
