"""The posterior of the schedule law: a grid over what is not linear in it, normals over the rest, draws from both.

    loss(t) = L0 + A (S/S_end)^-a - (B + G log(S/S_end)) R(t) + drift(log S) + own(t) + noise

S and R are ``_annealing``'s. ``drift`` is what the power law misses: a line that bends a little, at random, at knots in
log S (an integrated random walk), the same for every run of one model and data. ``own`` is what a single run strays by:
a stationary process in log S, larger where the rate has come down. Both keep the law from being sure of what it was
not shown, and let the recent past count more than the distant one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import DRAWS
from ._annealing import START, Path, released

Floats = NDArray[np.float64]

LINEAR = 4  # parameters that the loss is linear in: L0, A, B, G
POSITIVE = (1, 2)  # of them: A and B
PROBIT = 1.702  # the logistic curve of this slope is the normal's, to .01
TRIES = 8
PIECE = 0.6  # of the gap between pieces: their sum is then log-normal to some percent
KAPPA = 0.7  # of the clock that the drift and the strays run on
#: places of the grid, in sd of the prior
PLACES = {
    "a": np.linspace(-2.4, 2.4, 13),
    "C": np.linspace(-2.0, 2.0, 7),
    "p": np.linspace(-1.5, 1.5, 4),
    "kappa": np.linspace(-1.8, 1.8, 7),
    "B": np.linspace(-2.0, 2.0, 5),
}
POWERS = (0.2, 1.5)  # of a rate: nothing in between is out of question
AHEAD = 4.0  # natural logs of S beyond the data that the drift has knots for
JITTER = 1e-10  # nats^2
WOBBLE = 0.001  # nats: a point strays by this even where it is measured better; reruns with one seed differ by .0015


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed of a run before its curve is seen; benchmarks/laws/schedule.py fits it. Nats, or logs."""

    a: tuple[float, float]  # ln of the exponent: mean, sd
    A: tuple[float, float]  # nats that endless data would win after ``START`` full-rate steps: mean, sd
    B: tuple[
        float, float
    ]  # nats that annealing from the full rate lets go in the end: median, sd of its logarithm
    G: tuple[float, float]  # how much more of it there is an e-fold of S later: share of B's mean
    C: tuple[float, float]  # ln of the rate of letting go
    p: tuple[float, float]  # the power of the rate that its noise goes with
    kappa: tuple[float, float]  # the power of the rate that progress goes with
    L0: float  # sd of the floor around (last loss - A)
    bend: float  # nats per (log S)^1.5: sd of the drift, after ``START`` full-rate steps
    stray: tuple[float, float]  # nats: sd of ``own`` at the full rate, and added by annealing
    memory: float  # log S over which ``own`` is forgotten

    @property
    def shapes(self) -> dict[str, tuple[float, float]]:
        """The parameters that have a grid."""
        return {"a": self.a, "C": self.C, "p": self.p, "kappa": self.kappa}


@dataclass(frozen=True, slots=True)
class Observed:
    """Losses of one run, shape (n,), their steps, the path of its rate, and the error of one point (sd, nats).

    ``against``: another path, where what was measured is how much higher the loss of the first is than that of it.
    """

    path: Path
    step: Floats
    loss: Floats
    noise: float
    against: Path | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """Values that the nonlinear parameters may take, and the log of their prior weights."""

    kappa: Floats
    a: Floats
    C: Floats
    p: Floats
    B: Floats  # medians of the pieces that its log-normal prior is made of
    log_weight: Floats  # shape (kappa, a, C, p, B)

    @classmethod
    def of(cls, prior: Prior) -> Grid:
        at = {name: mean + sd * PLACES[name] for name, (mean, sd) in prior.shapes.items()}
        order = ("kappa", "a", "C", "p", "B")
        weight = sum(-(x**2) / 2 for x in np.meshgrid(*(PLACES[name] for name in order), indexing="ij"))
        powers = {name: np.clip(at[name], *POWERS) for name in ("kappa", "p")}
        sizes = prior.B[0] * np.exp(prior.B[1] * PLACES["B"])
        weight = weight - np.log(np.exp(weight).sum())
        return cls(powers["kappa"], np.exp(at["a"]), np.exp(at["C"]), powers["p"], sizes, weight)


@dataclass(frozen=True, slots=True)
class Posterior:
    """Equally likely laws. ``coef``: shape (DRAWS, 4 + knots) of L0, A, B, G and the bends; the rest shape (DRAWS,)."""

    prior: Prior
    first: Observed
    ends: Floats  # S at the end of the first curve, one for each value of kappa
    grid: Grid
    cell: NDArray[np.int64]  # shape (DRAWS, 5): places in the grid
    knots: Floats
    coef: Floats
    strays: Floats  # shape (n of the first curve, DRAWS): weights of its ``own`` process
    inverse: Floats  # of the first curve's covariance

    def parts(self, path: Path, step: Floats) -> dict[str, Floats]:
        """Draws of L0, the data term, minus the share of noise let go, and the drift; each (DRAWS, n), nats."""
        step = np.atleast_1d(np.asarray(step, float))
        data, gone = np.empty((DRAWS, len(step))), np.empty((DRAWS, len(step)))
        for i, kappa in enumerate(self.grid.kappa):
            who = np.flatnonzero(self.cell[:, 0] == i)
            if not len(who):
                continue
            s = path.progress_at(step, kappa) / self.ends[i]
            data[who] = s[None, :] ** -self.grid.a[self.cell[who, 1]][:, None]
            every = released(path, step, kappa, self.grid.C, self.grid.p)
            let_go = every[self.cell[who, 2], self.cell[who, 3]]
            gone[who] = let_go * (self.coef[who, 2:3] + self.coef[who, 3:4] * np.log(s)[None, :])
        u = np.log(path.progress_at(step, KAPPA) / self._end)
        ramps = np.maximum(u[None, :] - self.knots[:, None], 0.0)
        return {
            "floor": np.repeat(self.coef[:, :1], len(step), axis=1),
            "data": self.coef[:, 1:2] * data,
            "annealed": -gone,
            "drift": self.coef[:, LINEAR:] @ ramps,
        }

    def loss(self, path: Path, step: Floats, *, own: bool = True, seed: int = 1) -> Floats:
        """Draws of the loss on ``path`` at ``step``; shape (DRAWS, n), nats.

        ``own``: the path goes on from the first curve, which has strayed already; else it is a new run, that
        strays its own way.
        """
        step = np.atleast_1d(np.asarray(step, float))
        trend: Floats = np.sum(list(self.parts(path, step).values()), axis=0)
        u, sd = self._stray(path, step)
        between = np.outer(sd, sd) * np.exp(-np.abs(u[:, None] - u[None, :]) / self.prior.memory)
        if own:
            v, other = self._stray(self.first.path, self.first.step)
            k = np.outer(sd, other) * np.exp(-np.abs(u[:, None] - v[None, :]) / self.prior.memory)
            trend = trend + (k @ self.strays).T
            between = between - k @ self.inverse @ k.T
        root = np.linalg.cholesky(between + JITTER * np.eye(len(step)))
        return np.asarray(trend + np.random.default_rng(seed).standard_normal((DRAWS, len(step))) @ root.T)

    @property
    def _end(self) -> float:
        return float(self.first.path.progress_at(self.first.step[-1], KAPPA))

    def _stray(self, path: Path, step: Floats) -> tuple[Floats, Floats]:
        u = np.log(path.progress_at(step, KAPPA) / self._end)
        return u, stray(self.prior, path.eta_at(step))


def stray(prior: Prior, eta: Floats) -> Floats:
    """Sd of ``own``, nats."""
    return np.asarray(np.hypot(prior.stray[0], prior.stray[1] * (1.0 - np.minimum(eta, 1.0))))


def bend(prior: Prior, end: float) -> float:
    """Sd of the drift for a curve that has come to progress ``end``: as much of what is left to learn, wherever it stands."""
    return float(prior.bend * (end / START) ** -np.exp(prior.a[0]))


def fit(curves: Sequence[Observed], prior: Prior) -> Posterior:
    """The posterior given the curves of one or more runs of one model; ``curves[0]`` is the one to go on with.

    What was measured between two branches of it (``Observed.against``) tells of A, B and the drift, not of the floor.
    """
    first, grid = curves[0], Grid.of(prior)
    y = np.concatenate([c.loss for c in curves])
    own = np.repeat(np.arange(len(curves)), [len(c.loss) for c in curves])
    end = float(first.path.progress_at(first.step[-1], KAPPA))
    u = np.concatenate([np.log(c.path.progress_at(c.step, KAPPA) / end) for c in curves])
    sd = stray(prior, np.concatenate([c.path.eta_at(c.step) for c in curves]))
    near = np.exp(-np.abs(u[:, None] - u[None, :]) / prior.memory)
    noise = np.repeat([c.noise for c in curves], [len(c.loss) for c in curves])
    base = np.where(own[:, None] == own, np.outer(sd, sd) * near, 0.0) + np.diag(noise**2 + WOBBLE**2)
    gap = AHEAD / 20
    knots = np.arange(u.min(), AHEAD, gap)
    scale = bend(prior, end) * np.sqrt(gap)
    ramps = np.concatenate([_ramps(c, knots, end) for c in curves]) * scale  # (n, knots), unit prior
    root = np.linalg.cholesky(base + ramps @ ramps.T)
    ends = np.array([float(first.path.progress_at(first.step[-1], k)) for k in grid.kappa])
    powers, gone, later = _features(curves, grid, ends)
    pieces = believed(prior, grid, float(first.loss[-1]), ends)
    ones = np.concatenate([np.full(len(c.loss), float(c.against is None)) for c in curves])
    fits = _fits(root, (ones, y), (powers, gone, later), pieces)
    log_weight = fits + grid.log_weight
    if not np.isfinite(log_weight.max()):
        raise ValueError("no law of a falling loss fits")
    cell = _pick(log_weight)
    coef = np.empty((DRAWS, LINEAR + len(knots)))
    strays = np.empty((len(first.loss), DRAWS))
    inverse = np.linalg.inv(base)
    rng = np.random.default_rng(0)
    rr, ry = ramps.T @ inverse @ ramps, ramps.T @ (inverse @ y)
    mine = np.linalg.inv(base[: len(first.loss), : len(first.loss)])
    cells, which = np.unique(cell, axis=0, return_inverse=True)
    for i, (k, a, c, p, b) in enumerate(cells):
        mean, precision = (side[k, a, 0] for side in pieces[b])
        x = np.column_stack([ones, powers[k, a], -gone[k, c, p], -later[k, c, p]])
        weighted = x.T @ inverse
        h = np.block(
            [
                [weighted @ x + np.diag(precision), weighted @ ramps],
                [ramps.T @ weighted.T, rr + np.eye(len(knots))],
            ]
        )
        low = np.linalg.cholesky(h)
        middle = np.linalg.solve(h, np.concatenate([weighted @ y + precision * mean, ry]))
        who = np.flatnonzero(which.ravel() == i)
        coef[who] = _positive(middle, low, rng, len(who))
        left = y[:, None] - x @ coef[who, :LINEAR].T - ramps @ coef[who, LINEAR:].T
        strays[:, who] = mine @ left[: len(first.loss)]
    coef[:, LINEAR:] *= scale
    return Posterior(prior, first, ends, grid, cell, knots, coef, strays, mine)


def believed(prior: Prior, grid: Grid, loss: float, ends: Floats) -> list[tuple[Floats, Floats]]:
    """Means and precisions of L0, A, B and G for each piece of B's log-normal, each of shape (kappa, a, 1, 4).

    ``loss``: where the curve ends; ``ends``: S there, by kappa. A run that has come less far has more to learn, as
    the law itself says.
    """
    more = (ends[:, None] / START) ** -grid.a[None, :]
    gap = float(PLACES["B"][1] - PLACES["B"][0])
    pieces = []
    for size in grid.B:
        sd = PIECE * gap * prior.B[1] * size
        still = np.full_like(more, 1.0)
        mean = [loss - prior.A[0] * more, prior.A[0] * more, size * still, prior.G[0] * size * still]
        spread = [prior.L0 * still, prior.A[1] * more, sd * still, prior.G[1] * size * still]
        pieces.append((np.stack(mean, axis=-1)[:, :, None], np.stack(spread, axis=-1)[:, :, None] ** -2.0))
    return pieces


def _features(curves: Sequence[Observed], grid: Grid, ends: Floats) -> tuple[Floats, Floats, Floats]:
    """(S/S_end)^-a, shape (kappa, a, n), and R and R log(S/S_end), shape (kappa, C, p, n), of all points."""
    every = [_of_path(c.path, c.step, grid, ends) for c in curves]
    for i, c in enumerate(curves):
        if c.against is not None:
            other = _of_path(c.against, c.step, grid, ends)
            every[i] = [mine - its for mine, its in zip(every[i], other, strict=True)]
    powers, gone, later = (np.concatenate(parts, axis=-1) for parts in zip(*every, strict=True))
    return powers, gone, later


def _of_path(path: Path, step: Floats, grid: Grid, ends: Floats) -> list[Floats]:
    """The features of the points of one path."""
    powers, gone, later = [], [], []
    for k, kappa in enumerate(grid.kappa):
        u = np.log(path.progress_at(step, kappa) / ends[k])
        powers.append(np.exp(-grid.a[:, None] * u[None, :]))
        gone.append(released(path, step, kappa, grid.C, grid.p))
        later.append(gone[-1] * u)
    return [np.stack(powers), np.stack(gone), np.stack(later)]


def _ramps(seen: Observed, knots: Floats, end: float) -> Floats:
    """How far each point lies beyond each knot, log S; shape (n, knots)."""

    def of(path: Path) -> Floats:
        u = np.log(path.progress_at(seen.step, KAPPA) / end)
        return np.maximum(u[:, None] - knots[None, :], 0.0)

    return of(seen.path) if seen.against is None else of(seen.path) - of(seen.against)


def _fits(
    root: Floats,
    told: tuple[Floats, Floats],
    features: tuple[Floats, Floats, Floats],
    pieces: Sequence[tuple[Floats, Floats]],
) -> Floats:
    """Log evidence of the data in each cell, shape (kappa, a, C, p, B), times the chance that A and B are positive.

    Least squares for the four linear parameters in every cell at once: the Gram matrix of each cell is put together
    from inner products that many cells share.
    """
    (ones, y), (powers, *gone) = told, features
    n, (k, a), (c, p) = len(y), powers.shape[:2], gone[0].shape[1:3]
    flat = [powers.reshape(-1, n).T, *(-g.reshape(-1, n).T for g in gone)]
    white = np.linalg.solve(root, np.column_stack([ones, y, *flat]))
    one, wy, rest = white[:, 0], white[:, 1], white[:, 2:]
    x = rest[:, : k * a].reshape(n, k, a, 1)
    r, s = (part.reshape(n, k, 1, c * p) for part in np.split(rest[:, k * a :], 2, axis=1))
    columns: list[Floats] = [np.asarray(part) for part in (one.reshape(n, 1, 1, 1), x, r, s)]
    gram = np.empty((k, a, c * p, LINEAR, LINEAR))
    right = np.empty((k, a, c * p, LINEAR))
    for i, left in enumerate(columns):
        right[..., i] = np.einsum("n,nkar->kar", wy, left)
        for j, other in enumerate(columns[: i + 1]):
            gram[..., i, j] = gram[..., j, i] = _inner(left, other)
    found = np.stack([_evidence(gram, right, *piece) for piece in pieces], axis=-1)
    found -= 0.5 * (wy @ wy) + float(np.log(np.diag(root)).sum()) + n / 2 * np.log(2 * np.pi)
    return np.asarray(found.reshape(k, a, c, p, len(pieces)))


def _evidence(gram: Floats, right: Floats, mean: Floats, precision: Floats) -> Floats:
    """Log of the integral over the linear parameters under a normal prior, but for what all cells share."""
    spread = np.linalg.inv(gram + precision[..., None] * np.eye(LINEAR))
    side = right + precision * mean
    best = np.einsum("...ij,...j->...i", spread, side)
    found = 0.5 * (side * best).sum(-1) + 0.5 * np.linalg.slogdet(spread)[1]
    for i in POSITIVE:
        found = found - np.log1p(np.exp(-PROBIT * best[..., i] / np.sqrt(spread[..., i, i])))
    return np.asarray(found - 0.5 * (mean * precision * mean - np.log(precision)).sum(axis=-1))


def _positive(mean: Floats, low: Floats, rng: np.random.Generator, count: int) -> Floats:
    """Draws, shape (count, n), of a normal with precision ``low low^T`` whose A and B are positive."""
    z = rng.standard_normal((len(mean), TRIES * count))
    tries = (mean[:, None] + np.linalg.solve(low.T, z)).T.reshape(count, TRIES, len(mean))
    good = (tries[:, :, list(POSITIVE)] > 0).all(axis=2)
    chosen = tries[np.arange(count), np.argmax(good, axis=1)]
    chosen[:, list(POSITIVE)] = np.maximum(chosen[:, list(POSITIVE)], 0.0)
    return np.asarray(chosen)


def _inner(left: Floats, right: Floats) -> Floats:
    """Inner products over points, (n, k, a, r) with sides of length 1 spread out; matrix products where it can."""
    if left.shape[3] > 1 and right.shape[2] > 1:
        left, right = right, left
    if left.shape[2] > 1 and right.shape[3] > 1:  # (k, a, n) @ (k, n, r)
        return np.asarray(left[..., 0].transpose(1, 2, 0) @ right[:, :, 0].transpose(1, 0, 2))
    return np.asarray((left * right).sum(0))


def _pick(log_weight: Floats) -> NDArray[np.int64]:
    """Cells by their weight, evenly drawn, in random order; shape (DRAWS, 5)."""
    rng = np.random.default_rng(0)
    weight = np.exp(log_weight - log_weight.max()).ravel()
    places = (np.arange(DRAWS) + rng.random()) / DRAWS
    chosen = np.searchsorted(np.cumsum(weight) / weight.sum(), places)
    rng.shuffle(chosen)
    return np.stack(np.unravel_index(np.minimum(chosen, weight.size - 1), log_weight.shape), axis=1)


def drawn(
    rng: np.random.Generator, prior: Prior, path: Path, step: Floats, *, end: float, floor: float
) -> tuple[Floats, dict[str, float]]:
    """A noiseless curve at ``step`` from the prior, for a run that will be seen up to step ``end``, and its parameters."""
    grid = Grid.of(prior)
    weight = np.exp(grid.log_weight).ravel()
    cell = np.unravel_index(rng.choice(weight.size, p=weight / weight.sum()), grid.log_weight.shape)
    kappa, a, c, power = (
        float(values[i]) for values, i in zip((grid.kappa, grid.a, grid.C, grid.p), cell[:4], strict=True)
    )
    more = float(path.progress_at(end, kappa) / START) ** -a
    data, noise = abs(rng.normal(*prior.A)) * more, float(np.exp(rng.normal(np.log(prior.B[0]), prior.B[1])))
    growth = rng.normal(*prior.G) * noise
    s = path.progress_at(step, kappa) / path.progress_at(end, kappa)
    gone = released(path, step, kappa, np.array([c]), np.array([power]))[0, 0]
    u = np.log(path.progress_at(step, KAPPA) / path.progress_at(end, KAPPA))
    knots = np.arange(u.min(), AHEAD, AHEAD / 20)
    sway = bend(prior, float(path.progress_at(end, KAPPA)))
    bends = rng.normal(0.0, sway * np.sqrt(AHEAD / 20), len(knots))
    drift = bends @ np.maximum(u[None, :] - knots[:, None], 0.0)
    sd = stray(prior, path.eta_at(step))
    between = np.outer(sd, sd) * np.exp(-np.abs(u[:, None] - u[None, :]) / prior.memory)
    own = np.linalg.cholesky(between + JITTER * np.eye(len(step))) @ rng.standard_normal(len(step))
    curve = floor + noise + data * s**-a - (noise + growth * np.log(s)) * gone + drift + own
    return curve, {"A": data, "B": noise, "a": a, "C": c, "p": power, "kappa": kappa}
