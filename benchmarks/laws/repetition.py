"""The constants of laws/repetition.py, and how far the law is off on families of runs that were left out.

    python benchmarks/laws/repetition.py

A pair is two runs with equal parameters and equal tokens seen, one of them on fresh tokens alone (datablations_c4:
131 runs, 81 pairs; some levels with five seeds, which are one point of the fit). The share of the gap that val loses
comes from benchmarks/planted: runs on few characters, beside the same runs on many.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean

import numpy as np
import zstandard
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import norm, t

from unplateau.curve import Curve
from unplateau.derive import derive
from unplateau.laws import DRAWS
from unplateau.laws.repetition import SCALE, SHARE, Posterior, Text, fit, memorised
from unplateau.run import Fact, Run

BENCHMARKS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(BENCHMARKS / "curves"))
from curves import rows  # noqa: E402

Floats = NDArray[np.float64]

EVEN_GUESS = np.log(50257)  # nats; GPT-2's tokeniser
FRESH = 1.01  # passes: at most this is a run on fresh tokens
FITTED = 60.0  # passes; beyond them the bounds hold, which are not fitted
TAIL = 3  # degrees of freedom of the errors: one base run in ten is off by more than the seeds
AS_NORMAL = t.ppf(0.95, TAIL) / norm.ppf(0.95)  # the normal sd with the same 90 % interval
START = np.array([-5.0, 0.5, -0.3, np.log(0.005), np.log(0.25)])
CLEAR = 0.1  # nats; a smaller gap has no share that could be told
LOST = 7.0  # nats of excess; such a model has lost all that it knew
TEXTS = ("code", "speeches")
BINS = ((1.0, 5.1), (5.1, 15.0), (15.0, FITTED), (FITTED, 1000.0))  # passes
BAR, TABLED = 0.010, {"tabled published law": 0.0366, "tabled its data side": 0.0125, "tabled zero": 0.0164}
EPOCHS = 15.387756  # R_D* of Muennighoff et al. 2023
SIZES = 5.309743  # R_N*, the same
C4 = (521.0, 1488.0, 0.353)  # A, B, alpha = beta, the same

N, D, U, P, COST, BASE, WEIGHT = range(7)  # columns of ``pairs``


@cache
def pairs() -> Floats:
    """One row a level: parameters, tokens, unique tokens, passes, excess and base in nats, number of seeds."""
    groups: dict[tuple[float, float], list[tuple[float, float, float]]] = defaultdict(list)
    for row in rows("datablations_c4"):
        if row["tag"] != "opt":  # another optimiser is no repetition
            n, d, u, p, loss = (float(row[k]) for k in ("N", "D", "U", "epochs", "val_loss"))
            groups[n, d].append((u, p, loss))
    found = []
    for (n, d), runs in groups.items():
        base = [loss for _, p, loss in runs if p <= FRESH]
        for level in sorted({(u, p) for u, p, _ in runs if p > FRESH and base}):
            losses = [loss for u, p, loss in runs if (u, p) == level]
            found.append((n, d, *level, fmean(losses) - fmean(base), fmean(base), len(losses)))
    return np.array(found)


def law(theta: Floats, a: Floats) -> Floats:
    """The central line: ``excess`` without its bounds."""
    return np.asarray(
        (a[:, P] - 1)
        * np.exp(theta[0] + theta[1] * np.log(a[:, N] / SCALE) + theta[2] * np.log(a[:, U] / SCALE))
    )


def surprise(line: Floats, scales: Floats, a: Floats) -> float:
    """Minus log likelihood of Student's t; ``scales``: logarithms of stray and misfit."""
    stray, misfit = np.exp(scales)
    scale = np.hypot(stray * (1 - 1 / a[:, P]), misfit * line)
    prior = ((scales - START[3:]) / 0.6) ** 2 / 2  # few pairs tell the two errors apart
    return float(-(t.logpdf((a[:, COST] - line) / scale, TAIL) - np.log(scale)).sum() + prior.sum())


def refit(a: Floats) -> Floats:
    """ln k, c, -d, and the logarithms of the two scales of error."""
    return least(lambda x: surprise(law(x, a), x[3:], a), START)


def least(f: Callable[[Floats], float], start: Floats) -> Floats:
    options = {"maxiter": 6000, "maxfev": 6000, "xatol": 1e-4, "fatol": 1e-5}
    return np.asarray(minimize(f, start, method="Nelder-Mead", options=options).x)


def constants(a: Floats) -> tuple[Floats, Floats, float, float]:
    """MEAN, COV (jackknife over model sizes), MISFIT, STRAY (both of the sizes that each of its fits left out)."""
    a = a[a[:, P] <= FITTED]
    sizes = np.unique(a[:, N])
    left = np.array([refit(a[a[:, N] != size])[:3] for size in sizes])
    off = left - left.mean(axis=0)
    cov = (len(left) - 1) / len(left) * off.T @ off
    line = np.empty(len(a))
    for theta, size in zip(left, sizes, strict=True):
        line[a[:, N] == size] = law(theta, a[a[:, N] == size])
    stray, misfit = np.exp(least(lambda x: surprise(line, x, a), START[3:])) * AS_NORMAL
    return refit(a)[:3], cov, float(misfit), float(stray)


def draws(a: Floats, known: tuple[Floats, Floats, float, float]) -> Floats:
    """The law's own draws for each row, with the constants that are given."""
    mean, cov, misfit, stray = known
    wide = np.block([[cov, np.zeros((3, 1))], [np.zeros((1, 3)), np.array([[misfit**2]])]])
    law_of = Posterior.drawn(np.random.default_rng(0), DRAWS, np.append(mean, 0.0), wide)
    costs = [law_of.excess(Text(r[N], r[U], 1, r[D], r[D]), r[P], EVEN_GUESS - r[BASE], stray) for r in a]
    return np.array(costs)


def published(a: Floats, *, sizes: bool = True) -> Floats:
    """Muennighoff et al. 2023, eq. 5 and 6 and the constants of their section 5; ``sizes``: the model's side too."""

    def loss(unique: Floats) -> Floats:
        tokens = unique * (1 + EPOCHS * -np.expm1(-np.maximum(a[:, D] / unique - 1, 0) / EPOCHS))
        best = np.minimum((C4[0] / C4[1]) ** (1 / C4[2]) * unique, a[:, N])
        params = best * (1 + SIZES * -np.expm1(-(a[:, N] / best - 1) / SIZES)) if sizes else a[:, N]
        return np.asarray(C4[0] * params ** -C4[2] + C4[1] * tokens ** -C4[2])

    return loss(a[:, U]) - loss(a[:, D])


def left_out(column: int) -> Floats:
    """Draws for each pair, from a fit that saw no pair with its value of ``column``."""
    a = pairs()
    found = np.empty((len(a), DRAWS))
    for value in np.unique(a[:, column]):
        mine = a[:, column] == value
        found[mine] = draws(a[mine], constants(a[~mine]))
    return found


def table() -> list[dict]:
    """See README.md."""
    a, scored = pairs(), []
    for name, column in (("model size", N), ("unique tokens", U)):
        found = left_out(column)
        for low, high in BINS:
            mine = (a[:, P] > low) & (a[:, P] <= high)
            scored.append(
                _row(f"repetition, over {low:.0f} to {high:.0f} passes", name, a[mine], found[mine])
            )
    return [*scored, *_planted_rows()]


def _row(what: str, left: str, a: Floats, found: Floats) -> dict:
    """Errors over pairs: a level with five seeds is five."""

    def error(guess: Floats) -> float:
        return float(np.average(np.abs(guess - a[:, COST]), weights=a[:, WEIGHT]))

    low, high = np.quantile(found, (0.05, 0.95), axis=1)
    first = a[:, P].max() <= BINS[0][1]
    peers = {"zero": 0 * a[:, N], "published law": published(a), "its data side": published(a, sizes=False)}
    return {
        "what": what,
        "ours": error(found.mean(axis=1)),
        "bar": BAR if first else None,
        "peers": {k: error(v) for k, v in peers.items()} | (TABLED if first else {}),
        "n": int(a[:, WEIGHT].sum()),
        "coverage": float(np.average((a[:, COST] >= low) & (a[:, COST] <= high), weights=a[:, WEIGHT])),
        "left_out": left,
    }


@cache
def planted() -> tuple[dict, ...]:
    """Runs of the corpus into which repetition or copies were planted: text, run, gain, and shares of the gap."""
    with zstandard.open(BENCHMARKS / "planted" / "corpus.jsonl.zst") as packed:
        cases = {c["name"]: c for c in map(json.loads, io.TextIOWrapper(packed, encoding="utf-8"))}
    mine = (c for c in cases.values() if c["truth"]["cause"] in ("repetition", "duplicates"))
    return tuple(_case(c, cases[c["truth"]["mended"]["name"]]) for c in mine)


def _case(case: dict, mended: dict) -> dict:
    truth, (step, train, val) = case["truth"], _evaluations(case)
    config = {k: int(v) for k, v in re.findall(r"^(\w+) = (\d+)$", case["config"], re.MULTILINE)}
    names = ("n_layer", "n_head", "n_embd", "block_size", "batch_size", "gradient_accumulation_steps")
    facts = {name: config[name] for name in names} | {"architecture": "gpt2", "bias": False, "tied": True}
    facts |= {"vocab_size": truth["vocab"], "train_tokens": truth["train_tokens"]}
    series = {"val_loss": Curve(step, val, "nats"), "train_loss": Curve(step, train, "nats")}
    run = Run(case["name"], "nanogpt", series, {k: Fact(v, "", "config.py") for k, v in facts.items()})
    late = (step > step[-1] / 2) & (val - train > CLEAR)
    return {
        "text": "code" if "code" in case["name"] else "speeches",
        "cause": truth["cause"],
        "run": derive(run),
        "gain": truth["gain"],
        "shares": ((val - _evaluations(mended)[2]) / (val - train))[late].tolist(),
    }


def _evaluations(case: dict) -> Floats:
    """Steps, train and val losses, three rows."""
    found = re.findall(r"^step (\d+): train loss ([\d.]+), val loss ([\d.]+)", case["log"], re.MULTILINE)
    return np.array(found, dtype=float).T


def _planted_rows() -> list[dict]:
    """What removing the repetition gains, by C4's constants alone and by the run's own gap; the share from the other text."""
    cases = [c for c in planted() if c["cause"] == "repetition"]
    return [
        _planted_row("from C4 alone", cases, lambda c: _price(c, gap=False)),
        _planted_row("with the run's own gap", cases, _price_by_the_other_text),
    ]


def _planted_row(how: str, cases: Sequence[dict], price: Callable[[dict], Floats]) -> dict:
    found, truth = np.array([price(c) for c in cases]), np.array([c["gain"] for c in cases])
    low, high = np.quantile(found, (0.05, 0.95), axis=1)
    return {
        "what": f"gain of fresh text, planted runs of .1M to .3M parameters, 9 to 61 passes, {how}",
        "ours": float(np.abs(found.mean(axis=1) - truth).mean()),
        "bar": None,
        "peers": {"zero": float(np.abs(truth).mean())},
        "n": len(cases),
        "coverage": float(np.mean((truth >= low) & (truth <= high))),
        "left_out": "text",
    }


def _price(case: dict, *, gap: bool) -> Floats:
    run: Run = case["run"]
    if not gap:
        run = Run(run.name, run.format, {"val_loss": run.series["val_loss"]}, run.facts)
    fresh = run.with_facts(unique_tokens=Fact(run.get("tokens_seen")))
    return -fit([run]).price(fresh, run.get("steps_done"))


def _price_by_the_other_text(case: dict) -> Floats:
    """Nearly as if the share had been fitted to the other text: it scales what the gap tells."""
    share, _ = _share([c for c in planted() if c["text"] != case["text"]])
    return _price(case, gap=True) * share / SHARE


def _share(cases: Sequence[dict]) -> tuple[float, float]:
    """SHARE and SHARE_SD (robust: by the median) over the evaluations of the last halves."""
    logs = np.log([share for c in cases for share in c["shares"]])
    middle = float(np.median(logs))
    return float(np.exp(middle)), 1.4826 * float(np.median(np.abs(logs - middle)))


def main() -> None:
    a = pairs()
    mean, cov, misfit, stray = constants(a)
    np.set_printoptions(precision=4, suppress=True)
    print(f"{len(rows('datablations_c4'))} runs, {a[:, WEIGHT].sum():.0f} pairs at {len(a)} levels")
    print(f"MEAN = {mean}\nCOV =\n{cov}\nMISFIT = {misfit:.2f}\nSTRAY = {stray:.4f}")
    for name, cases in (
        ("all", planted()),
        *((name, [c for c in planted() if c["text"] == name]) for name in TEXTS),
    ):
        print("SHARE = {:.2f}, SHARE_SD = {:.2f}".format(*_share(cases)), f"({name})")
    even = [r[COST] + r[BASE] - EVEN_GUESS for r in a if r[COST] > LOST]
    print(f"EVEN = {np.sqrt(np.mean(np.square(even))):.2f}")
    far = [r for r in a if r[P] > FITTED]
    print("beyond the fit: passes, excess, law, share of the memorisation bound")
    for r in far:
        print(
            f"  {r[P]:5.0f} {r[COST]:6.2f} {law(mean, r[None])[0]:6.2f} {SHARE * memorised(r[N], r[U]):6.2f}"
        )
    for row in table():
        peers = ", ".join(f"{k} {v:.4f}" for k, v in row["peers"].items())
        print(
            f"{row['what']} (left out: {row['left_out']}): {row['ours']:.4f}, covers {row['coverage']:.0%} of {row['n']}; {peers}"
        )


if __name__ == "__main__":
    main()
