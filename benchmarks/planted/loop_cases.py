"""The cases of the loop: real runs of our trainer, with checkpoints, that ``probe`` can branch from.

Four sound runs (two texts, two tokenisers), then each cause planted into two of them at three severities. The run without
the cause is always in the list. So are runs that measure what a cause that nobody planted costs the sound ones (reliefs).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from cases import USUAL, Case, Config
from texts import Data

STEPS, MORE = 1200, 1800  # of a run, and of one that was made longer; of 600 most causes cost nothing yet
WARMUP = 200  # steps; with 60 two seeds of one run ended at 1.82 and 2.10 nats, with 200 at 1.834 and 1.837 (docs/LOG.md)
WINDOWS = 400  # of an evaluation of each split
SOUND: Config = USUAL | {
    "eval_interval": 60,
    "log_interval": 20,
    "warmup_iters": WARMUP,
    "learning_rate": 6e-3,  # the best of 2e-3, 6e-3 and 2e-2 for models of this size (README.md)
    "min_lr": 0.0,
    "max_iters": STEPS,
    "lr_decay_iters": STEPS,
}
DATA = {f"{text}-{kind}": Data(text, kind) for text in ("embedded", "stdlib") for kind in ("char", "bpe512")}
#: where a cause is planted, with the seed: causes take the two pairs in turn, so that each meets both texts and tokenisers
PAIRS = ((("embedded-char", 1), ("stdlib-bpe512", 2)), (("stdlib-char", 1), ("embedded-bpe512", 2)))
BESIDE = {"no-warmup": "lr-too-high", "val-leak": "repetition"}  # the run without the one has the other
OTHER = {"embedded": "stdlib", "stdlib": "embedded"}


@dataclass(frozen=True, slots=True)
class Planted:
    """A case with its seed. ``fault``: what is broken in the trainer while it runs (``loop_train``); ``role``: healthy, planted, or relief.

    A relief is a sound run with one thing changed: what it wins is what ``case.cause`` costs the sound run ``case.mended``.
    """

    case: Case
    base: str
    seed: int
    fault: str = ""
    role: str = "planted"


def sound(base: str, seed: int, name: str = "", **over: float | bool) -> Planted:
    """A healthy run."""
    label = f"healthy.{name or 'base'}.{base}.{seed}"
    return Planted(
        Case(label, "still-learning", "none", SOUND | over, DATA[base]), base, seed, role="healthy"
    )


def healthy() -> Iterator[Planted]:
    """Four sound runs, two seeds each, and what else nobody should be accused of."""
    for base in DATA:
        for seed in (1, 2):
            yield sound(base, seed)
        for seed in (1, 2):
            yield sound(base, seed, "longer", max_iters=MORE, lr_decay_iters=MORE)
        yield sound(base, 3, "evaluated-more", eval_interval=30)
        yield _interrupted(sound(base, 1, "resumed-well"), 600)
    for base, seed in pair_of("data-order"):
        yield _mixed(sound(base, seed, "mixed"))
    for base in DATA:
        for cause, over in RELIEFS.items():
            found = sound(base, 1, f"without-{cause}", **over)
            role = "healthy" if cause in ("capacity", "short-context") else "relief"
            case = replace(found.case, cause="still-learning" if role == "healthy" else cause)
            yield replace(found, case=case, role=role)


#: what would be less of each cause in a sound run
RELIEFS: dict[str, Config] = {
    "capacity": {"n_embd": 96},
    "short-context": {"block_size": 64, "batch_size": 10, "eval_iters": 40},
    "lr-too-high": {"learning_rate": 2e-3},
    "lr-too-low": {"learning_rate": 1.8e-2},
    "over-regularised": {"weight_decay": 0.0},
}


def _interrupted(found: Planted, at: int) -> Planted:
    return replace(found, case=replace(found.case, first=found.case.config | {"max_iters": at}))


def _mixed(found: Planted) -> Planted:
    kind = found.case.data.tokenizer
    return replace(found, case=replace(found.case, data=Data("mixed", kind)))


@dataclass(frozen=True, slots=True)
class Kind:
    """One severity of a cause: settings, data and fault that differ; ``mended``: the run without it, where not the sound one."""

    severity: str
    over: Config
    data: dict[str, float | bool | str] | None = None
    fault: str = ""
    mended: str = "healthy.base"
    first: Config | None = None


def _batch(size: int) -> Config:
    return {"batch_size": size, "eval_iters": WINDOWS // size}


def _fewer(times: int) -> Config:
    steps = STEPS // times
    return {
        **_batch(20 * times),
        "eval_iters": max(1, 20 // times),
        "max_iters": steps,
        "lr_decay_iters": steps,
        "warmup_iters": WARMUP // times,
        "eval_interval": 60 // times,
        "log_interval": max(1, 20 // times),
    }


def _rate(times: float) -> Config:
    return {"learning_rate": float(f"{6e-3 * times:.4g}")}


def _context(length: int) -> Config:
    return {"block_size": length, "batch_size": 640 // length}


def _rewarmed(rate: float, **over: float | bool) -> tuple[Config, Config]:
    return SOUND, {"max_iters": MORE, "learning_rate": rate, **over}


def kinds(other: str) -> dict[str, list[Kind]]:
    """Each cause, mild to strong; ``other`` is the other text."""
    again = {
        "x.1": _rewarmed(6e-4, decay_lr=False),
        "x.5": _rewarmed(3e-3, decay_lr=False),
        "x1": _rewarmed(6e-3, decay_lr=False),
    }
    return {
        "capacity": [
            Kind(f"n{n}", {"n_layer": 1, "n_head": 2, "n_embd": n, "learning_rate": 1e-2})
            for n in (24, 16, 8)
        ],
        "short-context": [Kind(str(n), _context(n)) for n in (16, 8, 4)],
        "repetition": [Kind(f"{n}k", {}, {"train": n * 1000}) for n in (80, 32, 12)],
        "duplicates": [Kind(f"{s:g}", {}, {"copies": s}) for s in (0.5, 0.8, 0.95)],
        "noisy-data": [Kind(f"{s:g}", {}, {"noise": s}) for s in (0.1, 0.2, 0.4)],
        "data-order": [
            Kind(f"{s:g}", {}, {"text": "mixed"}, f"order-{s:g}", "healthy.mixed") for s in (0.6, 0.3, 0.1)
        ],
        "lr-not-annealed": [
            Kind("floor-.3", {"min_lr": 1.8e-3}),
            Kind("decay-5x", {"lr_decay_iters": 5 * STEPS}),
            Kind("constant", {"decay_lr": False}),
        ],
        "lr-too-high": [Kind(f"x{t}", _rate(t)) for t in (3, 10, 30)],
        "lr-too-low": [Kind(f"x1-{t}", _rate(1 / t)) for t in (10, 30, 100)],
        "lr-exhausted": [Kind(f"at-{s:g}", {"lr_decay_iters": round(s * STEPS)}) for s in (0.6, 0.4, 0.25)],
        "no-warmup": [
            Kind(f"x{t}", _rate(t) | {"warmup_iters": 0}, mended=f"lr-too-high.x{t}") for t in (3, 10, 30)
        ],
        "lr-rewarmed": [
            Kind(name, later, first=first, mended="healthy.longer") for name, (first, later) in again.items()
        ],
        "batch-too-small": [Kind(str(n), _batch(n)) for n in (4, 2, 1)],
        "batch-too-large": [Kind(f"x{t}", _fewer(t)) for t in (4, 8, 15)],
        "instability": [
            Kind(f"momentum-{a:g}-{b:g}", {"beta1": a, "beta2": b, "grad_clip": 0.0})
            for a, b in ((0.98, 0.9), (0.98, 0.8), (0.99, 0.8))
        ],
        "frozen-parameters": [Kind(w, {}, fault=f"frozen-{w}") for w in ("half", "embedding", "matrices")],
        "over-regularised": [
            Kind("decay-2", {"weight_decay": 2.0}),
            Kind("dropout-.2", {"dropout": 0.2}),
            Kind("dropout-.4", {"dropout": 0.4}),
        ],
        "broken-targets": [Kind(w, {}, fault=f"targets-{w}") for w in ("two", "previous", "leak")],
        "tokenizer-mismatch": [Kind(f"{s:g}", {}, {"val": f"shifted-{s:g}"}) for s in (0.1, 0.3, 1.0)],
        "resume-state": [
            Kind(f"at-{at}", {}, fault="moments", first=SOUND | {"max_iters": at}) for at in (300, 600, 1020)
        ],
        "val-mismatch": [
            Kind("slice", {}, {"val": "slice"}),
            Kind("half", {}, {"val": f"half-{other}"}),
            Kind("other", {}, {"val": other}),
        ],
        "val-leak": [
            Kind(f"{n}k", {}, {"train": n * 1000, "val": "leak"}, mended=f"repetition.{n}k")
            for n in (80, 32, 12)
        ],
        "eval-noise": [Kind(str(n), {"eval_iters": n}) for n in (4, 2, 1)],
    }


def pair_of(cause: str) -> tuple[tuple[str, int], ...]:
    """Where a cause is planted: beside the runs without it."""
    return PAIRS[CAUSES.index(BESIDE.get(cause, cause)) % 2]


def planted() -> Iterator[Planted]:
    """Every cause at every severity, in two of the sound runs; the middle severity of all causes first, and that in one run first."""
    for level in (1, 2, 0):
        for place in range(2):
            for cause in CAUSES:
                yield _planted(cause, level, *pair_of(cause)[place])


def _planted(cause: str, level: int, base: str, seed: int) -> Planted:
    kind = kinds(OTHER[DATA[base].text])[cause][level]
    data = replace(DATA[base], **(kind.data or {}))
    name = f"{cause}.{kind.severity}.{base}.{seed}"
    mended = f"{kind.mended}.{base}.{seed}"
    case = Case(name, cause, kind.severity, SOUND | kind.over, data, mended=mended, first=kind.first)
    return Planted(case, base, seed, kind.fault)


def in_turn(sound: Iterable[Planted], sick: Iterable[Planted]) -> tuple[Planted, ...]:
    """The order of work, so that work cut short is of use: each run after the one without its cause.

    Sound runs; one severity of each cause; what else costs sound runs something; the next severity; the rest.
    """
    sound, sick, each = tuple(sound), tuple(sick), 2 * len(CAUSES)
    base = [one for one in sound if one.case.name.startswith("healthy.base.")]
    beside = [one for one in sound if one.case.name.startswith("healthy.without-")]
    order = [*base, *sick[:each], *beside, *sick[each : 2 * each], *sound, *sick]
    known = {one.case.name: one for one in order}
    names = (name for one in order for name in (one.case.mended, one.case.name) if name)
    return tuple(known[name] for name in dict.fromkeys(names))


CAUSES = tuple(kinds("stdlib"))
LOOP = in_turn(healthy(), planted())
