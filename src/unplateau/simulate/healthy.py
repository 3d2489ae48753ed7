"""A sound run drawn by a seed: 10 million to a billion parameters, as people train them."""

from __future__ import annotations

from math import ceil, log
from typing import Any

import numpy as np

from ..shape import Shape
from .plan import Plan, Text
from .world import density

SHAPES = (  # layers, width, heads: 10 million to a billion parameters with the vocabularies below
    *((8, 384, 6), (10, 512, 8), (12, 512, 8), (12, 768, 12), (16, 1024, 16), (24, 1024, 16)),
    *((24, 1280, 20), (24, 1536, 24), (24, 1792, 28)),
)
VOCABULARIES = (16_384, 32_000, 50_304, 65_536, 100_352)
BLOCKS = (512, 1024, 1024, 2048)  # tokens
BATCHES = (4, 8, 16, 32)  # sequences of one micro-batch
PER_PARAMETER = (12.0, 40.0)  # tokens; 20 are compute-optimal (Hoffmann et al. 2022)
CRITICAL = (
    1.5e5,
    6e5,
)  # tokens at 100 million parameters; Kaplan's guide gives .1M at a loss of 5, .5M at 3.6
CRITICAL_POWER = 0.25  # of the parameters: a larger model reaches a lower loss
NEAR = (0.5, 1.5)  # the batch over the critical one
STEPS = (1500, 40_000)
EVALUATIONS = (20, 60)  # over the run
ITERS = (50, 100, 200)  # batches of one evaluation
LINES = 1500  # of batch losses at most
INTERVALS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)  # steps
WARM = (0.02, 0.06)  # share of the run
LONGEST = 1000  # steps of warm-up
FLOORS = (0.1, 0.1, 0.05, 0.0)  # shares of the peak
FRESH = (1.2, 5.0)  # unique tokens over those seen
COPIES = (0.005, 0.04)  # share of the train split
#: nats of GPT-2's tokens of web text, and its bytes a token (docs/manifest.md)
UNIGRAM, BIGRAM, BYTES = 7.6, 5.1, 4.4


def healthy(
    seed: int,
    *,
    schedules: tuple[str, ...] = ("cosine",),
    architecture: str = "gpt2",
    steps: int | None = None,
) -> Plan:
    """A plan without a fault. ``steps``: its length, else what 12 to 40 tokens a parameter take.

    >>> plan = healthy(3)
    >>> plan.shape.params, plan.steps, plan == healthy(3)
    (704718336, 40000, True)
    """
    rng = np.random.default_rng(seed)
    shape = _shape(rng, architecture)
    params = _params(shape)
    text = Text(
        entropy=rng.uniform(1.7, 1.95),
        init=rng.uniform(0.02, 0.1),
        tau=rng.uniform(16.0, 26.0),
        power=float(rng.lognormal(log(0.477), 0.06)),
        bounce=float(rng.lognormal(0, 0.12)),
        critical=float(np.exp(rng.uniform(*np.log(CRITICAL)))) * (params / 1e8) ** CRITICAL_POWER,
        skill=float(rng.lognormal(0, 0.2)),
    )
    batch = _batch(rng, text.critical * rng.uniform(*NEAR), shape["block_size"])
    per_step = batch["batch_size"] * batch["gradient_accumulation_steps"] * shape["block_size"]
    tokens = params * float(np.exp(rng.uniform(*np.log(PER_PARAMETER))))
    lengths = _lengths(rng, steps, round(min(max(tokens / per_step, STEPS[0]), STEPS[1])))
    end = lengths["max_steps"]
    rates = _rates(rng, text.best_peak(params), end, str(rng.choice(schedules)))
    settings = {**shape, **batch, **lengths, **rates, **FIXED, "eval_iters": int(rng.choice(ITERS))}
    return Plan(seed, settings, _data(rng, end * per_step, shape["vocab_size"]), text)


FIXED = {
    "optimizer": "adamw",
    "beta1": 0.9,
    "beta2": 0.95,
    "weight_decay": 0.1,
    "grad_clip": 1.0,
    "dropout": 0.0,
    "dtype": "bfloat16",
    "init_from": "scratch",
}


def _shape(rng: np.random.Generator, architecture: str) -> dict[str, Any]:
    layers, width, heads = SHAPES[rng.integers(len(SHAPES))]
    shape = {"architecture": architecture, "n_layer": layers, "n_embd": width, "n_head": heads}
    shape |= {"vocab_size": int(rng.choice(VOCABULARIES)), "block_size": int(rng.choice(BLOCKS))}
    shape |= {"bias": False, "tied": architecture == "gpt2"}
    return shape


def _params(shape: dict[str, Any]) -> int:
    found = Shape.of(shape)
    assert found is not None
    return found.params


def _batch(rng: np.random.Generator, tokens: float, block: int) -> dict[str, int]:
    size = int(rng.choice(BATCHES))
    return {"batch_size": size, "gradient_accumulation_steps": max(1, round(tokens / size / block))}


def _lengths(rng: np.random.Generator, asked: int | None, natural: int) -> dict[str, int]:
    steps = asked or natural
    every = max(1, steps // int(rng.integers(*EVALUATIONS)))
    every = max(i for i in INTERVALS if i <= every)
    lines = next(i for i in INTERVALS if i >= steps / LINES)
    if asked is None:
        steps = every * ceil(steps / every)
    return {"max_steps": steps, "eval_interval": every, "log_interval": min(lines, every)}


def _rates(rng: np.random.Generator, best: float, steps: int, schedule: str) -> dict[str, Any]:
    peak = float(f"{best * rng.uniform(0.7, 1.0):.2g}")
    warm = min(LONGEST, max(1, round(steps * rng.uniform(*WARM))))
    rates = {"schedule": schedule, "peak_lr": peak, "warmup_steps": warm, "decay_end": steps}
    floor = FLOORS[rng.integers(len(FLOORS))] * (schedule != "linear")  # the Trainer's linear ends at 0
    rates["floor_lr"] = float(f"{peak * floor:.2g}")
    if schedule == "wsd":
        rates |= {"decay_start": round(steps * rng.uniform(0.75, 0.9)), "decay_form": "linear"}
    return rates


def _data(rng: np.random.Generator, seen: int, vocab: int) -> dict[str, Any]:
    unique, copies = round(seen * rng.uniform(*FRESH)), round(float(rng.uniform(*COPIES)), 4)
    nats = density(vocab)
    return {
        "train_tokens": round(unique / (1 - copies)),
        "unique_tokens": unique,
        "val_tokens": min(max(unique // 200, 100_000), 10_000_000),
        "bytes_per_token": round(BYTES * nats, 2),
        "unigram_entropy": round(UNIGRAM * nats + rng.uniform(-0.1, 0.1), 3),
        "bigram_entropy": round(BIGRAM * nats + rng.uniform(-0.1, 0.1), 3),
        "duplicate_share": copies,
        "val_overlap": round(float(rng.uniform(0.0, 0.001)), 5),
        "vocab_size": vocab,
    }
