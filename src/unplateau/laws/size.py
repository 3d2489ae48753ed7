"""What a model of another size would reach on the same tokens.

    L(N, D) = E + (A / N^a + B / D^b)^p

With p = 1 this is the law of Hoffmann et al. 2022, with E = 0 and b = 1 that of Kaplan et al. 2020 (eq. 1.5).
Unlike the first it knows that size is worth more where data are plenty, unlike the second it may end.

Absolute values are off by tenths of a nat on other data and tokenisers, so the law is anchored on the run: the
loss is the run's own, and only the balance of the two terms and the exponents come from other runs. With
u = (A / N^a) / (B / D^b) and e = E / L,

    L(N') / L(N) = e + (1 - e) ((1 + u') / (1 + u))^p

What pairs of runs tell is g = p a (1 - e), the share of its loss that a run of endless data loses per e-fold of
its parameters: .05 to .1 from 800 parameters to 8 billion. Not priced: more tokens (the schedule law reads them from
the run's own curve), and how many times they are repeated (a larger model forgives less).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..curve import Curve
from ..derive import changed, derive
from ..estimate import Estimate
from ..evidence import Told
from ..run import Fact, Run
from ..state import judged, state_of
from . import DRAWS, Draws, Law, World
from ._twins import held_against, told_of

Floats = NDArray[np.float64]

NAME, SHAPED = "size", "width over depth"  # of the law, and of its second source of chance
PARAMS, TOKENS = 1e8, 2e9  # where ``mean`` gives u: 20 tokens per parameter
FLOORS = (0.1, 0.7)  # E / L, flat: no run tells it. Besiroglu 2024: .5 to .7; Kaplan 2020: 0
EXPONENT = 0.05  # least a and b; below it the law is a logarithm
SEARCHED = 16  # times DRAWS that are held against twins
SHAPE = 0.023  # nats (sd) for each e-fold of width over depth; from benchmarks/laws/size.py


@dataclass(frozen=True, slots=True)
class Count:
    """What other runs tell of the law, where an embedding's weight counts as ``embedding`` of a parameter.

    ``mean`` and ``root`` (lower Cholesky factor of the covariance, row by row): ln g, ln u at PARAMS and
    TOKENS, a, b.
    """

    embedding: float
    share: float  # probability that this is the way to count
    mean: tuple[float, ...]
    root: tuple[float, ...]
    misfit: tuple[float, float]  # of ln g and ln u: sd between families of runs


#: printed by benchmarks/laws/size.py
COUNTS = (
    Count(
        0.0,
        0.29,
        (-2.46, 0.13, 0.79, 0.53),
        (0.16, -0.29, 0.36, -0.08, 0.05, 0.1, -0.05, 0.01, 0.07, 0.05),
        (0.2, 0.77),
    ),
    Count(
        0.25,
        0.30,
        (-2.38, 0.09, 0.82, 0.53),
        (0.17, -0.29, 0.35, -0.08, 0.05, 0.1, -0.05, 0.01, 0.07, 0.05),
        (0.19, 0.74),
    ),
    Count(
        0.5,
        0.25,
        (-2.32, 0.11, 0.85, 0.52),
        (0.17, -0.3, 0.35, -0.08, 0.05, 0.1, -0.05, 0.01, 0.07, 0.04),
        (0.19, 0.73),
    ),
    Count(
        1.0,
        0.16,
        (-2.24, 0.22, 0.9, 0.51),
        (0.17, -0.31, 0.35, -0.07, 0.05, 0.1, -0.04, 0.01, 0.06, 0.04),
        (0.22, 0.72),
    ),
)


@dataclass(frozen=True, slots=True)
class Prior:
    """Equally likely laws, each an array over the draws."""

    embedding: Floats
    g: Floats
    u: Floats  # at PARAMS and TOKENS
    a: Floats
    b: Floats
    floor: Floats  # E / L at the run

    @classmethod
    def draw(cls, counts: Sequence[Count], n: int, seed: int) -> Prior:
        """``n`` laws: a way to count by its probability, a normal for the rest."""
        rng = np.random.default_rng([*NAME.encode(), seed])  # of no other law
        ends = np.cumsum([c.share for c in counts])
        which = np.minimum(np.searchsorted(ends, (np.arange(n) + 0.5) / n * ends[-1]), len(counts) - 1)
        rng.shuffle(which)
        root = np.zeros((n, 4, 4))
        root[:, *np.tril_indices(4)] = np.array([c.root for c in counts])[which]
        mean = np.array([c.mean for c in counts])[which]
        theta = mean + np.einsum("nij,nj->ni", root, rng.standard_normal((n, 4)))
        theta[:, :2] += np.array([c.misfit for c in counts])[which] * rng.standard_normal((n, 2))
        a, b = np.maximum(theta[:, 2:].T, EXPONENT)
        embedding = np.array([c.embedding for c in counts])[which]
        return cls(embedding, np.exp(theta[:, 0]), np.exp(theta[:, 1]), a, b, rng.uniform(*FLOORS, n))

    def taken(self, at: NDArray[np.int64]) -> Prior:
        """The laws at those places."""
        return Prior(*(getattr(self, f.name)[at] for f in fields(self)))

    @property
    def p(self) -> Floats:
        return self.g / (self.a * (1 - self.floor))

    def balance(self, params: Floats, tokens: float) -> Floats:
        """u: the term of the size over that of the data."""
        return np.asarray(self.u * (params / PARAMS) ** -self.a * (tokens / TOKENS) ** self.b)

    def change(self, params: Floats, other: Floats, tokens: float) -> Floats:
        """L(other) / L(params) - 1, at equal tokens.

        >>> law = Prior(*(np.array([x]) for x in (0.0, 0.175, 1.0, 0.35, 0.35, 0.5)))  # p = 1
        >>> float(law.change(np.array([1e8]), np.array([2e8]), 2e9)[0].round(4))  # a half of a half, less 2^-.35
        -0.0539
        """
        logs = np.log1p(self.balance(other, tokens)) - np.log1p(self.balance(params, tokens))
        return np.asarray((1 - self.floor) * np.expm1(self.p * logs))


@dataclass(frozen=True, slots=True)
class Size:
    """Parameters by both ways to count them: blocks and norms, and all."""

    blocks: float
    total: float

    @classmethod
    def of(cls, run: Run) -> Size | None:
        total, blocks = run.get("params"), run.get("params_non_embedding")
        if not total or total <= 0:
            return None
        return cls(float(blocks or total), float(total))

    def counted(self, embedding: Floats) -> Floats:
        return np.asarray(self.blocks + embedding * (self.total - self.blocks))

    def widened(self, total: float) -> Size:
        """The model of that many parameters and the same depth: blocks grow as the square of the width.

        >>> Size(blocks=20e6, total=40e6).widened(120e6)
        Size(blocks=80000000.0, total=120000000.0)
        """
        rest = self.total - self.blocks
        times = ((rest**2 + 4 * self.blocks * total) ** 0.5 - rest) / (2 * self.blocks)
        return Size(self.blocks * times**2, total)


@dataclass(frozen=True, slots=True)
class SizeFit:
    """The law anchored on a run's loss, size and tokens."""

    run: Run
    loss: float  # nats
    size: Size
    tokens: float
    prior: Prior
    shape: Floats  # nats for each e-fold of width over depth
    heard: tuple[Told, ...] = ()  # the twins that it was held against

    @property
    def parameters(self) -> Mapping[str, Estimate]:
        values = {"a": self.prior.a, "b": self.prior.b, "p": self.prior.p}
        nats = {"E": self.loss * self.prior.floor, "capacity": self.capacity}
        return {n: Estimate.of(v, "") for n, v in values.items()} | {
            n: Estimate.of(v, "nats") for n, v in nats.items()
        }

    @property
    def capacity(self) -> Draws:
        """Nats that an endless model would win on the same tokens: draws for the loss budget."""
        now = self.prior.balance(self.size.counted(self.prior.embedding), self.tokens)
        return np.asarray(-self.loss * (1 - self.prior.floor) * np.expm1(-self.prior.p * np.log1p(now)))

    def price(self, other: Run, step: int) -> Draws:
        """Nats by which the loss of ``other``'s size lies above that of the run's, on the tokens that ``other`` has at ``step``."""
        size = _size_beside(self.size, other)
        tokens = self.tokens * _longer(self.run, other, step)
        if size is None or size == self.size or tokens <= 0:
            return np.zeros(DRAWS)
        now, then = (s.counted(self.prior.embedding) for s in (self.size, size))
        nats = self.loss * self.prior.change(now, then, tokens)
        return np.asarray(nats + self.shape * _stretched(self.run, other))


def _size_beside(size: Size, other: Run) -> Size | None:
    """The size of ``other``, which may be told as a count of parameters alone."""
    told = Size.of(other)
    if told is None or told.total == size.total:
        return told
    if told.blocks == size.blocks or not other.has("params_non_embedding"):
        return size.widened(told.total)
    return told


def _longer(run: Run, other: Run, step: int) -> float:
    """Tokens of ``other`` at ``step`` over those of the run."""
    done, each, then = run.get("steps_done"), run.get("tokens_per_step"), other.get("tokens_per_step")
    return (step / done if done else 1.0) * (then / each if each and then else 1.0)


def _stretched(run: Run, other: Run) -> float:
    """E-folds by which width over depth differs."""
    facts = [r.get(n) for r in (run, other) for n in ("n_embd", "n_layer")]
    if not all(facts):
        return 0.0
    width, depth, width_other, depth_other = facts
    return abs(float(np.log(width_other / depth_other * depth / width)))


def fit(runs: Sequence[Run]) -> SizeFit:
    """The law anchored on ``runs[0]``: its loss, parameters and tokens. Other runs of the same model tell it nothing."""
    run = runs[0]
    size, tokens, loss = Size.of(run), run.get("tokens_seen"), _loss(run)
    if size is None:
        raise ValueError(
            "the size of the model is not known (n_layer, n_embd, vocab_size, or its parameters)"
        )
    if not tokens or tokens <= 0:
        raise ValueError("the tokens seen are not known (tokens per step)")
    if loss is None:
        raise ValueError("there is no loss to anchor the law on")
    return anchored(run, loss, size, float(tokens))


def anchored(run: Run, loss: float, size: Size, tokens: float, seed: int = 0) -> SizeFit:
    """The law through one point: all that is drawn comes from other runs, and from twins that a probe trained."""
    shape = SHAPE * np.random.default_rng([*SHAPED.encode(), seed]).standard_normal(DRAWS)
    heard = told_of(run)
    if not heard:
        return SizeFit(run, loss, size, tokens, Prior.draw(COUNTS, DRAWS, seed), shape)
    prior = Prior.draw(COUNTS, SEARCHED * DRAWS, seed)
    return SizeFit(
        run,
        loss,
        size,
        tokens,
        held_against(prior, size, tokens, heard, n=DRAWS, seed=seed),
        shape,
        tuple(heard),
    )


def _loss(run: Run) -> float | None:
    if (level := state_of(run).level) is not None and level.value > 0:
        return level.value
    _, curve = judged(run)
    return curve.last if curve is not None and curve.last > 0 else None


def world(seed: int) -> World:
    """A GPT of 4 to 20 layers on a power law, and the same at another width."""
    rng = np.random.default_rng(seed)
    heads, t = int(rng.integers(3, 17)), np.arange(1, 31) * 500
    told = {
        "architecture": "gpt2",
        "n_layer": int(rng.integers(4, 21)),
        "n_head": heads,
        "n_embd": 64 * heads,
    }
    told |= {"vocab_size": 50304, "block_size": 1024, "bias": False, "tied": True, "batch_size": 480}
    told |= {"gradient_accumulation_steps": 1}
    loss = rng.uniform(2.5, 4.0)
    values = loss + 0.7 * ((t / t[-1]) ** -0.4 - 1) + rng.normal(0, 0.005, len(t))
    facts = {name: Fact(value, "", "config.py:1") for name, value in told.items()}
    run = derive(Run(f"{NAME}-{seed}", series={"val_loss": Curve(t, values, "nats")}, facts=facts))
    wider = max(1, round(heads * float(rng.choice([0.5, 1.5, 2.0, 3.0]))))
    other = changed(run, {"n_head": wider, "n_embd": 64 * wider})
    size = Size.of(run)
    assert size is not None
    truth = anchored(run, loss, size, float(run.get("tokens_seen")), seed + 1000)
    one = int(rng.integers(DRAWS))
    change = float(truth.price(other, int(t[-1]))[one])
    return World(run, other, int(t[-1]), change, _at(truth, one))


def _at(fit: SizeFit, one: int) -> dict[str, float]:
    """The parameters of one draw."""
    prior = fit.prior
    values = {"a": prior.a, "b": prior.b, "p": prior.p, "E": fit.loss * prior.floor, "capacity": fit.capacity}
    return {name: float(v[one]) for name, v in values.items()}


LAW = Law(
    name=NAME,
    formula="L(N, D) = E + (A / N^a + B / D^b)^p",
    source="Hoffmann et al. 2022 (arXiv 2203.15556), Kaplan et al. 2020 (arXiv 2001.08361), refitted",
    parameters=("E", "a", "b", "p", "capacity"),
    prices=(
        *("params", "params_non_embedding", "n_layer", "n_embd", "n_head", "n_kv_head", "head_dim"),
        "mlp_hidden",
    ),
    fit=fit,
    world=world,
)
