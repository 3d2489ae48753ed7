"""The constants of laws/size.py, and how far the law is off on families of runs that were left out.

    python benchmarks/laws/size.py

Prints ``SHAPE`` and ``COUNTS`` as they stand in the law, then the table, what twins that a probe trains add to it, and the
constants of probes/twins.py. Pairs of runs that differ in size alone come
from benchmarks/curves, from benchmarks/planted (characters, down to 800 parameters) and from the law of
Besiroglu 2024, which stands for the 240 runs of Hoffmann 2022 that it was fitted to.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray
from scipy.optimize import least_squares

from unplateau.estimate import Z90, Estimate
from unplateau.laws._twins import Twins, held_against
from unplateau.laws.size import COUNTS, FLOORS, SHAPE, Count, Prior, Size

BENCHMARKS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(BENCHMARKS / "curves"))
from curves import rows  # noqa: E402

Floats = NDArray[np.float64]

EMBEDDINGS = (0.0, 0.25, 0.5, 1.0)  # ways to count them that are tried
#: ln g, ln u, a, b: mean and sd before any pair is seen. Kaplan 2020: ln .076, -, .8, 1; Besiroglu 2024: ln .08, 0, .35, .37
PRIOR = np.array([[np.log(0.08), 0.0, 0.55, 0.55], [0.5, 1.5, 0.25, 0.3]])
FAMILY = (0.2, 0.6)  # of ln g and ln u: sd between families that the fit allows for
PLENTY = 20.0  # tokens for each parameter of the larger model; below it the balance with the data counts
PAIR = 0.15  # of ln dL: sd within a family
INDEPENDENT = 6  # pairs; more of one family share their runs
LOSS = 0.006  # nats: two seeds (.0015), two rates that were not tuned alike
FLOOR = sum(FLOORS) / 2  # E / L where the constants are fitted
BESIROGLU = (1.8172, 482.01, 0.3478, 2085.43, 0.3658)  # E, A, a, B, b
GPT2, GEMSTONES = 50257, 50304  # vocabularies
MPL_TOKENS = 128 * 4096  # per step (Luo et al. 2025)
SCHAIPP_TOKENS = 51_200  # per step
DRAWN = 2000  # laws, for a prediction
TWICE, BENT, COPY = (
    9.0,
    1.6,
    0.3,
)  # pairs that may stand for twins: times the size, e-folds of width over depth, part of the cost
OF_TWINS = ("error", "coverage", "width")  # of the columns


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs that differ in size alone: parameters as (blocks, all), tokens, losses in nats."""

    family: str
    name: str
    small: tuple[float, float]
    large: tuple[float, float]
    tokens: float
    loss: float
    better: float
    stretched: float = 0.0  # e-folds of width over depth

    @property
    def gain(self) -> float:
        return self.loss - self.better

    @property
    def times(self) -> float:
        return self.large[0] / self.small[0]


def gemstones() -> Iterable[Pair]:
    """Models of one width and depth against larger ones, after a cooldown at 11B, 33B and 110B tokens."""
    losses: dict[tuple[int, int, float], dict[int, tuple[float, float]]] = defaultdict(dict)
    for row in rows("gemstones_cool_end"):
        tokens, model = float(row["tokens"]), (int(row["width"]), int(row["depth"]))
        key = (*model, float(row["params_active_precise"]))
        losses[key][round(tokens / 1.1e10)] = tokens, float(row["final_loss"])
    for one, two in combinations(sorted(losses, key=lambda k: k[2] - 2 * GEMSTONES * k[0]), 2):
        for at in (1, 3, 10):
            if at in losses[one] and at in losses[two]:
                (tokens, loss), (_, better) = losses[one][at], losses[two][at]
                sizes = [(n - 2 * GEMSTONES * width, n) for width, _, n in (one, two)]
                stretched = abs(float(np.log(one[0] / one[1] / two[0] * two[1])))
                name = f"{one[0]}x{one[1]} to {two[0]}x{two[1]} at {at}"
                yield Pair("gemstones", name, *sizes, tokens, loss, better, stretched)


def datablations() -> Iterable[Pair]:
    """Runs on C4 of tokens within a quarter of each other; the longer one is taken back by Besiroglu's data term.

    Left out: 3.9B parameters on 26B tokens, worse than .42B on 32B: that run failed.
    """
    runs = [
        (float(r["N"]), float(r["D"]), float(r["val_loss"]))
        for r in rows("datablations_c4")
        if float(r["epochs"]) <= 1
        and float(r["D"]) > 1e9
        and not r["tag"]
        and not r["name"].startswith("3b926b")
    ]
    _, _, _, scale, power = BESIROGLU
    for one, two in permutations(runs, 2):
        if two[0] > 1.2 * one[0] and abs(np.log(one[1] / two[1])) < 0.25:
            back = scale * (one[1] ** -power - two[1] ** -power)
            sizes = [(blocks_of(n), n) for n in (one[0], two[0])]
            name = f"{one[0]:.3g} to {two[0]:.3g} at {one[1]:.3g}"
            yield Pair("datablations", name, *sizes, one[1], one[2], two[2] + back)


def blocks_of(params: float) -> float:
    """Parameters without embeddings of a GPT-2 whose width is 80 times its depth."""
    low, high = 64.0, 20_000.0
    while high - low > 1:
        width = (low + high) / 2
        low, high = (width, high) if 12 * width**3 / 80 + GPT2 * width < params else (low, width)
    return params - GPT2 * low


def mpl() -> Iterable[Pair]:
    """25M against 100M under nine schedules, at the middle and at the end; how they were counted is not told."""
    curves: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for row in rows("mpl_curves"):
        curves[row["run"], row["size_M"]][int(row["step"])] = float(row["loss"])
    for run in sorted({run for run, _ in curves}):
        one, two = curves[run, "25"], curves[run, "100"]
        shared = sorted(set(one) & set(two))
        for until in (len(shared) // 2, len(shared)):
            steps = shared[until - 7 : until]
            loss, better = (float(np.mean([c[s] for s in steps])) for c in (one, two))
            tokens = float(np.mean(steps)) * MPL_TOKENS
            yield Pair("mpl", f"{run} at {steps[-1]}", (25e6, 25e6), (100e6, 100e6), tokens, loss, better)


def schaipp() -> Iterable[Pair]:
    """Four models at a constant rate of 1e-3, at equal steps."""
    curves: dict[str, dict[int, float]] = defaultdict(dict)
    for row in rows("schaipp_val"):
        curves[row["run"]][int(row["step"])] = float(row["val_loss"])
    hot = {}
    for row in rows("schaipp_runs"):
        whole = not row["resume_step"] and not float(row["wsd_fract_decay"] or 0)
        if row["scheduler"] == "wsd" and float(row["lr"]) == 1e-3 and whole:
            depth, width = int(row["n_layer"]), int(row["n_embd"])
            blocks = float(row["N_nonemb"])
            hot[blocks, blocks + GEMSTONES * width] = curves[row["run"]], width / depth
    for one, two in combinations(sorted(hot), 2):
        for step in (3000, 5000, 9000, 16_000):
            window = (step - 400, step - 200, step)
            (a, aspect), (b, wider) = hot[one], hot[two]
            if all(s in a and s in b for s in window):
                loss, better = (float(np.mean([c[s] for s in window])) for c in (a, b))
                name, stretched = (
                    f"{one[0]:.3g} to {two[0]:.3g} at {step}",
                    abs(float(np.log(wider / aspect))),
                )
                yield Pair("schaipp", name, one, two, step * SCHAIPP_TOKENS, loss, better, stretched)


def characters() -> Iterable[Pair]:
    """nanoGPT on characters: each run that was planted too small, and the same one at a sound size."""
    cases = {}
    packed = zstandard.open(BENCHMARKS / "planted" / "corpus.jsonl.zst", "rb")
    for line in io.TextIOWrapper(packed, encoding="utf-8"):
        case = json.loads(line)
        cases[case["name"]] = case
    for name, case in cases.items():
        if case["truth"]["cause"] == "capacity":
            mended = cases[case["truth"]["mended"]["name"]]
            (loss, better), setting = (
                (c["truth"]["run"]["final_val"] for c in (case, mended)),
                partial(_set, case),
            )
            tokens = setting("max_iters") * setting("batch_size") * setting("block_size")
            yield Pair("characters", name, _nanogpt(case), _nanogpt(mended), tokens, loss, better)


def _set(case: dict, key: str) -> int:
    return int(re.search(rf"^{key} = (\d+)", case["config"], re.MULTILINE).group(1))


def _nanogpt(case: dict) -> tuple[float, float]:
    depth, width = _set(case, "n_layer"), _set(case, "n_embd")
    blocks = 12.0 * depth * width**2 + (2 * depth + 1) * width
    return blocks, blocks + case["truth"]["vocab"] * width


def published() -> Iterable[Pair]:
    """Besiroglu's law at 70M to 4B parameters (all counted), 2 and 4 times, 20 and 100 tokens per parameter."""
    floor, scale, power, data, fall = BESIROGLU
    for params in np.geomspace(70e6, 4e9, 4):
        for times in (2, 4):
            for each in (20, 100):
                tokens = each * params
                one, two = (floor + scale / n**power + data / tokens**fall for n in (params, times * params))
                sizes = [(blocks_of(n), n) for n in (params, times * params)]
                yield Pair("published", f"{params:.3g} x {times}, {each} each", *sizes, tokens, one, two)


SETS: tuple[Callable[[], Iterable[Pair]], ...] = (
    *(gemstones, datablations, mpl, schaipp, characters, published),
)
LEAST = 1.4  # times the blocks; below it the pair tells of shapes and noise


@cache
def pairs() -> tuple[Pair, ...]:
    return tuple(p for each in SETS for p in each() if p.times >= LEAST and p.large[1] > 1.2 * p.small[1])


def families(of: Sequence[Pair]) -> list[str]:
    return list(dict.fromkeys(p.family for p in of))


# --- the fit


def law(theta: Floats, embedding: float, floor: float = FLOOR) -> Prior:
    """One law, as the installed code holds it."""
    g, u = np.exp(theta[:2])
    return Prior(*(np.array([x]) for x in (embedding, g, u, theta[2], theta[3], floor)))


def predicted(prior: Prior, pair: Pair) -> Floats:
    """Nats that the larger model wins."""
    one, two = (blocks + prior.embedding * (total - blocks) for blocks, total in (pair.small, pair.large))
    return -pair.loss * prior.change(one, two, pair.tokens)


def residuals(theta: Floats, of: Sequence[Pair], embedding: float) -> Floats:
    """ln of measured over predicted gains."""
    one = law(theta, embedding)
    guess = np.array([max(1e-4, float(predicted(one, p)[0])) for p in of])
    return np.log(np.maximum([p.gain for p in of], LOSS / 2)) - np.log(guess)


def slope(theta: Floats, of: Sequence[Pair], embedding: float, i: int) -> Floats:
    """d ln gain / d theta[i]; by ln u it is near 0 where data are plenty, near 1 where they are scarce."""
    step = 1e-3 * np.eye(len(theta))[i]
    return (residuals(theta - step, of, embedding) - residuals(theta + step, of, embedding)) / 2e-3


def whitener(of: Sequence[Pair], shape: float) -> Floats:
    """What makes residuals independent and of unit variance: families share an error, pairs of one share runs."""
    cov = np.zeros((len(of), len(of)))
    for name in families(of):
        at = [i for i, p in enumerate(of) if p.family == name]
        felt = slope(PRIOR[0], [of[i] for i in at], 0.0, 1)
        cov[np.ix_(at, at)] = FAMILY[0] ** 2 + FAMILY[1] ** 2 * np.outer(felt, felt)
        for i in at:
            noise = (LOSS**2 + (shape * of[i].stretched) ** 2) / max(of[i].gain, LOSS) ** 2
            cov[i, i] += (PAIR**2 + noise) * max(1.0, len(at) / INDEPENDENT)
    return np.linalg.inv(np.linalg.cholesky(cov))


def constants(of: Sequence[Pair], embedding: float, shape: float = SHAPE) -> tuple[Floats, Floats]:
    """Mean and covariance of (ln g, ln u, a, b): most likely values and Laplace's approximation."""
    white = whitener(of, shape)
    found = least_squares(
        lambda t: np.append(white @ residuals(t, of, embedding), (t - PRIOR[0]) / PRIOR[1]),
        PRIOR[0],
        bounds=([-6, -6, 0.1, 0.1], [1, 6, 2.0, 2.0]),
    )
    return found.x, np.linalg.inv(found.jac.T @ found.jac)


@dataclass(frozen=True, slots=True)
class Left:
    """Pairs whose family the fit never saw: residuals, d ln gain / d ln u, and where data are plenty."""

    residual: Floats
    felt: Floats
    plenty: NDArray[np.bool_]


def left_out(of: Sequence[Pair], embedding: float) -> list[Left]:
    """One ``Left`` for each family."""
    found = []
    for name in families(of):
        theta, _ = constants([p for p in of if p.family != name], embedding)
        mine = [p for p in of if p.family == name and p.gain > 3 * LOSS]
        plenty = np.array([p.tokens / p.large[1] >= PLENTY for p in mine])
        found.append(Left(residuals(theta, mine, embedding), slope(theta, mine, embedding, 1), plenty))
    return found


def misfits(left: Sequence[Left]) -> tuple[float, float]:
    """Sd of ln g and ln u between families: g from pairs whose data are plenty, u from what it leaves of the rest.

    The constants' own error is part of these residuals and is drawn once more: six families are few, and
    without it no pair of datablations lies in its interval when that family is left out.
    """
    of_g = float(np.mean([np.mean(f.residual[f.plenty] ** 2) for f in left if f.plenty.any()]))
    scarce = [(f.residual[~f.plenty], f.felt[~f.plenty]) for f in left if not f.plenty.all()]
    over = np.mean([np.mean((r**2 - of_g) * felt**2) for r, felt in scarce])
    return of_g**0.5, float(max(0.0, over / np.mean([np.mean(felt**4) for _, felt in scarce])) ** 0.5)


def counts(of: Sequence[Pair]) -> tuple[Count, ...]:
    """The constants of the law: each way to count by how well it foretells families that are left out."""
    found, likely = [], []
    for embedding in EMBEDDINGS:
        mean, cov = constants(of, embedding)
        left = left_out(of, embedding)
        root = tuple(np.linalg.cholesky(cov)[np.tril_indices(len(cov))])
        found.append(Count(embedding, 0.0, tuple(mean), root, misfits(left)))
        likely.append(-len(left) / 2 * np.log(np.mean([np.mean(f.residual**2) for f in left])))
    share = np.exp(np.array(likely) - max(likely))
    return tuple(replace(c, share=float(s)) for c, s in zip(found, share / share.sum(), strict=True))


def shape_sd(of: Sequence[Pair]) -> float:
    """Nats for each e-fold of width over depth: what is left of the losses of gemstones around a smooth law."""
    mine = [p for p in of if p.family == "gemstones" and p.times < 12]
    mean, _ = constants([p for p in of if p.family == "gemstones"], 0.0, 0.0)
    left = np.array([p.gain - float(predicted(law(mean, 0.0), p)[0]) for p in mine])
    stretched = np.array([p.stretched for p in mine])
    return float(np.sqrt(np.sum(left**2) / np.sum(stretched**2)))


# --- how far it is off


def besiroglu(pair: Pair) -> float:
    """The published law as it is."""
    _, scale, power, _, _ = BESIROGLU
    return float(scale * (pair.small[1] ** -power - pair.large[1] ** -power))


def share_of_loss(pair: Pair) -> float:
    """The published law, multiplied so that it meets the run's loss."""
    floor, scale, power, data, fall = BESIROGLU
    here = floor + scale * pair.small[1] ** -power + data * pair.tokens**-fall
    return pair.loss / here * besiroglu(pair)


def rest_is_capacity(pair: Pair) -> float:
    """The published law, its capacity term set to what the other terms leave of the run's loss."""
    floor, _, power, data, fall = BESIROGLU
    rest = max(0.0, pair.loss - floor - data * pair.tokens**-fall)
    return float(rest * (1 - pair.times**-power))


PEERS = {
    "Besiroglu 2024": besiroglu,
    "the same, scaled to the run's loss": share_of_loss,
    "the same, capacity the rest of the loss": rest_is_capacity,
}
RANGES = {"1.4 to 6 times": (LEAST, 6.0), "more": (6.0, np.inf)}


@cache
def foretold(family: str) -> Prior:
    """Laws drawn from constants that never saw ``family``."""
    return Prior.draw(counts([p for p in pairs() if p.family != family]), DRAWN, 0)


def table() -> list[dict]:
    """Rows as README.md beside this file describes them; reads benchmarks/planted too."""
    found = []
    for family in families(pairs()):
        for words, (low, high) in RANGES.items():
            mine = [p for p in pairs() if p.family == family and low <= p.times < high]
            if mine and family != "published":
                found.append(row(f"gain of {words} the parameters, equal tokens, {family}", mine))
    return found


def twinned() -> list[tuple[Pair, Pair]]:
    """A pair that is foretold, and a smaller pair on fewer tokens of the same family: as a probe trains it."""
    near = [p for p in pairs() if p.times <= TWICE and p.stretched < BENT and p.family != "published"]
    return [
        (one, small)
        for one in near
        for small in near
        if small.family == one.family
        and small.large[0] < 1.05 * one.small[0]
        and small.tokens <= one.tokens
        and small.small[0] * small.tokens < COPY * one.small[0] * one.tokens
    ]


def of_twins() -> list[dict]:
    """Gains foretold with and without what a smaller pair won; mean width of the 90 % intervals beside the error."""
    found: dict[str, list] = {"without twins": [], "with twins": []}
    for one, small in twinned():
        share = small.gain / (small.loss * np.log(small.times))
        error = np.hypot(LOSS, SHAPE * small.stretched) / (small.loss * np.log(small.times))
        told = Estimate(share, share - Z90 * error, share + Z90 * error, "")
        twins = Twins(Size(*small.small), Size(*small.large), small.tokens, told)
        prior, size = foretold(one.family), Size(*one.small)
        after = held_against(prior, size, one.tokens, {0: twins}, n=DRAWN, seed=0)
        for words, law_of in zip(found, (prior, after), strict=True):
            low, high = np.quantile(predicted(law_of, one), (0.05, 0.95))
            off = abs(float(predicted(law_of, one).mean()) - one.gain)
            found[words].append((off, low <= one.gain <= high, high - low))
    return [
        {
            "what": f"gain of a larger pair, {words}",
            "n": len(rows),
            **dict(zip(OF_TWINS, np.mean(rows, axis=0), strict=True)),
        }
        for words, rows in found.items()
    ]


def slopes(each: Sequence[float]) -> tuple[float, float]:
    """Mean and sd of the share of the loss that an e-fold of parameters wins, with so many tokens for ``each`` parameter."""
    prior, found = Prior.draw(COUNTS, DRAWN, 0), []
    for params in (1e7, 1e8, 1e9):
        for tokens in each:
            ones = np.full(DRAWN, params)
            found.append(-prior.change(ones, 4 * ones, tokens * params) / np.log(4))
    return float(np.mean(found)), float(np.std(found))


def row(what: str, mine: Sequence[Pair]) -> dict:
    rng = np.random.default_rng(0)
    gains = np.array([p.gain for p in mine])
    draws = np.array(
        [predicted(foretold(p.family), p) + SHAPE * p.stretched * rng.standard_normal(DRAWN) for p in mine]
    )
    low, high = np.quantile(draws, (0.05, 0.95), axis=1)
    return {
        "what": what,
        "ours": float(np.mean(np.abs(draws.mean(axis=1) - gains))),
        "bar": None,
        "peers": {n: float(np.mean([abs(f(p) - p.gain) for p in mine])) for n, f in PEERS.items()},
        "n": len(mine),
        "coverage": float(np.mean((low <= gains) & (gains <= high))),
        "left_out": "family",
    }


def main() -> None:
    print(f"SHAPE = {shape_sd(pairs()):.3f}")
    for c in counts(pairs()):
        values = (tuple(round(float(x), 2) for x in row) for row in (c.mean, c.root, c.misfit))
        print(f"    Count({c.embedding}, {c.share:.2f}, {', '.join(map(str, values))}),")
    for r in table():
        peers = ", ".join(f"{n} {v:.3f}" for n, v in r["peers"].items())
        print(f"{r['what']:62} n {r['n']:3} MAE {r['ours']:.3f} coverage {r['coverage']:.0%}; {peers}")
    for r in of_twins():
        print(
            f"{r['what']:62} n {r['n']:3} MAE {r['error']:.3f} coverage {r['coverage']:.0%}, width {r['width']:.3f}"
        )
    for each in ((200, 400), (5, 20)):
        print(
            f"an e-fold of parameters, {each} tokens for each: {slopes(each)[0]:.3f} of the loss, sd {slopes(each)[1]:.3f}"
        )


if __name__ == "__main__":
    main()
