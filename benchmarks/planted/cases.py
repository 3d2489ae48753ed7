"""The cases: healthy runs of many kinds, then each cause planted into some of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import chain

from texts import Data

Config = dict[str, int | float | bool | str]

USUAL: Config = {  # in nanoGPT's own order; what a case does not name
    "device": "cpu",
    "compile": False,
    "dtype": "float32",
    "eval_interval": 125,
    "eval_iters": 20,
    "log_interval": 10,
    "block_size": 32,
    "batch_size": 20,
    "gradient_accumulation_steps": 1,
    "n_layer": 2,
    "n_head": 4,
    "n_embd": 48,
    "dropout": 0.0,
    "learning_rate": 2e-3,
    "min_lr": 1e-4,
    "warmup_iters": 100,
    "max_iters": 1500,
    "lr_decay_iters": 1500,
    "beta2": 0.99,
    "weight_decay": 0.1,
    "always_save_checkpoint": False,
    "bias": False,
}


@dataclass(frozen=True, slots=True)
class Case:
    """One run: what was planted, the data, the settings, and the run without it."""

    name: str
    cause: str
    severity: str
    config: Config
    data: Data = field(default_factory=Data)
    mended: str | None = None  # the name of the run without the cause
    first: Config | None = (
        None  # settings changed for a first stage; the second resumes from its last checkpoint
    )
    forget: bool = False  # drop the optimiser's state between the stages
    wave: int = 3  # the order of work: 1 first


def healthy(name: str, wave: int, data: Data, cause: str = "still-learning", **over: float | bool) -> Case:
    """A run with nothing planted: it decays over its own length."""
    config = USUAL | over
    config["lr_decay_iters"] = config["max_iters"]
    return Case(f"healthy.{name}", cause, "none", config, data, wave=wave)


def base_of(name: str) -> Case:
    """The healthy case of that name."""
    return next(case for case in HEALTHY if case.name == f"healthy.{name}")


def plant(
    cause: str, severity: str, of: str, wave: int = 3, data: dict | None = None, **over: float | bool
) -> Case:
    """A healthy case with one thing changed."""
    base = base_of(of)
    return replace(
        base,
        name=f"{cause}.{severity}.{of}",
        cause=cause,
        severity=severity,
        config=base.config | over,
        data=replace(base.data, **(data or {})),
        mended=base.name,
        wave=wave,
    )


def rate(cause: str, times: float, of: str, wave: int = 3) -> Case:
    """The peak and the floor of the learning rate, both multiplied."""
    old = base_of(of).config
    change = {key: float(f"{old[key] * times:.6g}") for key in ("learning_rate", "min_lr")}
    return plant(cause, f"x{times:.3g}", of, wave, **change)


def rewarm(severity: str, of: str, wave: int = 3, **over: float | bool) -> Case:
    """Train to the end, then resume with a learning rate that is high again."""
    case = plant("lr-rewarmed", severity, of, wave, always_save_checkpoint=True)
    return replace(case, config=case.config | over, first=case.config)


def interrupt(cause: str, severity: str, of: str, at: int, wave: int = 3, *, forget: bool = False) -> Case:
    """Stop at a step and resume the same run, with or without the optimiser's state."""
    case = plant(cause, severity, of, wave, always_save_checkpoint=True)
    return replace(case, first=case.config | {"max_iters": at}, forget=forget)


MOBY, EARLY, LATE, CODE = Data("moby"), Data("sotu-early"), Data("sotu-late"), Data("code")
BPE512, BPE2048 = Data("sotu-late", "bpe512"), Data("sotu-early", "bpe2048")
BPE_MOBY, BPE_CODE = Data("moby", "bpe512"), Data("code", "bpe512")

HEALTHY = [
    healthy("moby", 1, MOBY),
    healthy("early", 1, EARLY, n_embd=64, max_iters=1400, eval_interval=100),
    healthy("late", 1, LATE, max_iters=2000, min_lr=0.0, eval_interval=200, eval_iters=30),
    healthy("code", 1, CODE, n_embd=64, batch_size=24, max_iters=1600, eval_interval=100),
    healthy("bpe512", 1, BPE512, max_iters=1500, learning_rate=3e-3, min_lr=3e-4),
    healthy("bpe2048", 1, BPE2048, max_iters=1200, n_embd=32, eval_interval=100),
    healthy("short", 1, EARLY, max_iters=900, eval_interval=75, warmup_iters=50),
    healthy("dropout", 1, MOBY, dropout=0.1, max_iters=1700, eval_interval=150),
    healthy(
        "long",
        1,
        LATE,
        "converged",
        n_embd=24,
        max_iters=5000,
        min_lr=0.0,
        eval_interval=250,
        log_interval=20,
    ),
    healthy("big", 1, EARLY, n_layer=3, n_embd=96, max_iters=1500, block_size=48, eval_interval=150),
    # one model, four lengths: what twice the steps would have given is the next one
    healthy("ladder-700", 2, CODE, n_embd=32, max_iters=700, eval_interval=50, warmup_iters=50),
    healthy("ladder-1400", 2, CODE, n_embd=32, max_iters=1400, eval_interval=100),
    healthy("ladder-2800", 2, CODE, n_embd=32, max_iters=2800, eval_interval=200),
    healthy("ladder-5600", 2, CODE, n_embd=32, max_iters=5600, eval_interval=200, log_interval=50),
    healthy(
        "tiny-long",
        2,
        MOBY,
        "converged",
        n_embd=16,
        n_layer=1,
        max_iters=8000,
        min_lr=0.0,
        eval_interval=250,
        log_interval=100,
    ),
    healthy(
        "tiny-longer",
        3,
        EARLY,
        "converged",
        n_embd=16,
        n_layer=1,
        max_iters=12000,
        min_lr=0.0,
        eval_interval=500,
        log_interval=100,
    ),
    healthy("noisy-evals", 2, EARLY, eval_iters=5, max_iters=1300, eval_interval=50),
    healthy("many-evals", 2, LATE, eval_iters=10, max_iters=1200, eval_interval=25),
    healthy("few-evals", 2, MOBY, eval_iters=60, max_iters=1500, eval_interval=300),
    healthy("fair-evals", 2, LATE, eval_iters=100, max_iters=1000, eval_interval=100),
    healthy("batch-8", 2, MOBY, batch_size=8, learning_rate=1e-3, min_lr=1e-4, max_iters=2000),
    healthy(
        "batch-48",
        2,
        EARLY,
        batch_size=48,
        learning_rate=3e-3,
        min_lr=3e-4,
        max_iters=900,
        n_embd=32,
        eval_interval=90,
    ),
    healthy(
        "accumulate", 2, LATE, batch_size=10, gradient_accumulation_steps=3, max_iters=900, eval_interval=100
    ),
    healthy("block-64", 2, EARLY, block_size=64, batch_size=12, max_iters=1200, eval_interval=120),
    healthy("deep", 2, MOBY, n_layer=4, n_embd=40, max_iters=1200, eval_interval=120),
    healthy("wide", 2, LATE, n_layer=1, n_embd=96, max_iters=1500, eval_interval=150),
    healthy("gentle", 2, EARLY, learning_rate=1e-3, min_lr=1e-4, max_iters=1800, eval_interval=150),
    healthy(
        "brisk", 2, CODE, learning_rate=5e-3, min_lr=5e-4, warmup_iters=200, max_iters=1500, eval_interval=150
    ),
    healthy("beta-95", 2, MOBY, beta2=0.95, max_iters=1200, log_interval=1, eval_interval=100),
    healthy("beta-999", 4, LATE, beta2=0.999, max_iters=1500),
    healthy("bpe-moby", 3, BPE_MOBY, max_iters=1200, n_embd=32, eval_interval=100),
    healthy("bpe-code", 4, BPE_CODE, max_iters=1500, n_embd=48, eval_interval=150, min_lr=0.0),
    healthy("dropout-code", 4, CODE, dropout=0.05, max_iters=2500, eval_interval=250),
    healthy("no-decay", 4, EARLY, weight_decay=0.0, max_iters=1500),
    healthy("bias", 4, LATE, bias=True, max_iters=1300, eval_interval=100),
    healthy("two-epochs", 3, replace(MOBY, train=400_000), max_iters=1500),
    healthy("four-epochs", 4, replace(EARLY, train=300_000), max_iters=1800, n_embd=32, eval_interval=150),
    healthy("plain-evals", 1, LATE, batch_size=4, eval_iters=60, max_iters=1500, eval_interval=75),
    healthy("context-32", 2, EARLY, batch_size=20, block_size=32, n_embd=64, max_iters=1500),
    healthy(
        "keen",
        2,
        EARLY,
        learning_rate=6e-3,
        min_lr=0.0,
        batch_size=12,
        n_embd=64,
        max_iters=2000,
        eval_interval=200,
    ),
    healthy(
        "keen-code",
        2,
        CODE,
        learning_rate=6e-3,
        min_lr=1e-4,
        batch_size=12,
        max_iters=2000,
        eval_interval=200,
    ),
    healthy("fast", 2, LATE, learning_rate=1e-2, min_lr=1e-4, warmup_iters=200, max_iters=1500),
    healthy(
        "fast-deep",
        2,
        EARLY,
        learning_rate=1e-2,
        min_lr=1e-4,
        warmup_iters=200,
        max_iters=1200,
        n_layer=6,
        n_embd=32,
        eval_interval=100,
    ),
    healthy(
        "fast-bpe",
        3,
        BPE_MOBY,
        learning_rate=1e-2,
        min_lr=1e-4,
        warmup_iters=200,
        max_iters=1000,
        n_embd=32,
        eval_interval=100,
    ),
]

RATES = [
    rate("lr-too-high", 30, "moby", 1),
    rate("lr-too-high", 10, "moby"),
    rate("lr-too-high", 60, "moby", 2),
    rate("lr-too-high", 10, "code", 2),
    rate("lr-too-high", 30, "code"),
    rate("lr-too-high", 60, "bpe512"),
    plant("lr-too-high", "x15", "late", 1, learning_rate=3e-2),
    rate("lr-too-high", 20, "late"),
    rate("lr-too-low", 1 / 30, "early", 1),
    rate("lr-too-low", 1 / 10, "early", 2),
    rate("lr-too-low", 1 / 100, "early"),
    rate("lr-too-low", 1 / 10, "bpe512"),
    rate("lr-too-low", 1 / 30, "bpe512", 2),
    rate("lr-too-low", 1 / 100, "code"),
    plant("lr-not-annealed", "constant", "code", 1, decay_lr=False),
    plant("lr-not-annealed", "constant", "keen", 2, decay_lr=False),
    plant("lr-not-annealed", "constant", "keen-code", 3, decay_lr=False),
    plant("lr-not-annealed", "constant", "fast", 2, decay_lr=False),
    plant("lr-not-annealed", "constant", "bpe512", decay_lr=False),
    plant("lr-not-annealed", "floor-.6", "keen", 2, min_lr=3.6e-3),
    plant("lr-not-annealed", "floor-.3", "keen-code", min_lr=1.8e-3),
    plant("lr-not-annealed", "floor-.5", "brisk", 2, min_lr=2.5e-3),
    plant("lr-not-annealed", "decay-5x", "keen", 2, lr_decay_iters=10000),
    plant("lr-not-annealed", "decay-10x", "late", lr_decay_iters=20000),
    plant("lr-not-annealed", "constant", "long", 2, decay_lr=False),
    plant("lr-not-annealed", "constant", "brisk", decay_lr=False),
    plant("lr-exhausted", "at-.25", "moby", 1, lr_decay_iters=375, min_lr=0.0),
    plant("lr-exhausted", "at-.15", "moby", lr_decay_iters=225, min_lr=0.0),
    plant("lr-exhausted", "at-.4", "moby", 2, lr_decay_iters=600, min_lr=0.0),
    plant("lr-exhausted", "at-.15", "code", 2, lr_decay_iters=240, min_lr=0.0),
    plant("lr-exhausted", "at-.25", "bpe512", lr_decay_iters=375, min_lr=0.0),
    plant("lr-exhausted", "at-.4", "late", lr_decay_iters=800, min_lr=0.0),
    plant("lr-exhausted", "at-.3-floor", "early", lr_decay_iters=420, min_lr=1e-5),
    replace(
        plant("no-warmup", "x15", "late", 1, warmup_iters=0, learning_rate=3e-2, min_lr=1e-4),
        mended="lr-too-high.x15.late",
    ),
    plant("no-warmup", "none", "brisk", 2, warmup_iters=0),
    plant("no-warmup", "none", "fast", 2, warmup_iters=0),
    plant("no-warmup", "none", "fast-deep", 2, warmup_iters=0),
    plant("no-warmup", "10", "fast-bpe", warmup_iters=10),
    plant("no-warmup", "none", "fast-bpe", warmup_iters=0),
    # without clipping, models this small only learn badly at a high rate: no spike, so no instability
    plant("lr-too-high", "x15-unclipped", "code", 1, grad_clip=0.0, beta2=0.999, learning_rate=3e-2, min_lr=3e-3),
    plant("lr-too-high", "x8-unclipped", "code", 2, grad_clip=0.0, beta2=0.999, learning_rate=1.6e-2, min_lr=1e-4),
    plant("lr-too-high", "x8-unclipped", "deep", 2, grad_clip=0.0, beta2=0.999, learning_rate=1.6e-2, min_lr=1e-4),
    # Adam with a first moment that is longer than the second bursts; so does learning rate x weight decay > 2
    plant("instability", "momentum-.99-.8", "moby", 2, grad_clip=0.0, beta1=0.99, beta2=0.8),
    plant("instability", "momentum-.98-.9", "early", 2, grad_clip=0.0, beta1=0.98, beta2=0.9),
    plant("instability", "momentum-.99-.9-clipped", "bpe512", 3, beta1=0.99, beta2=0.9),
    plant("instability", "momentum-.98-.8", "late", 3, grad_clip=0.0, beta1=0.98, beta2=0.8),
    plant("instability", "diverged", "moby", 2, grad_clip=0.0, learning_rate=5e-2, min_lr=5e-3, weight_decay=45.0),
    plant("instability", "diverged", "keen", 3, learning_rate=3e-2, min_lr=1e-3, weight_decay=80.0),
    plant("batch-too-small", "1", "early", 1, batch_size=1),
    plant("batch-too-small", "2", "early", 2, batch_size=2),
    plant("batch-too-small", "1", "bpe512", 2, batch_size=1),
    plant("batch-too-small", "2", "code", batch_size=2),
    plant("batch-too-small", "4", "brisk", batch_size=4),
    plant("batch-too-large", "x8-steps-8", "early", batch_size=160, max_iters=175, lr_decay_iters=175, warmup_iters=12, eval_interval=25),
    plant("batch-too-large", "x8-steps-8", "code", batch_size=192, max_iters=200, lr_decay_iters=200, warmup_iters=12, eval_interval=25),
]  # fmt: skip

MODELS = [
    plant("capacity", "n8", "early", 1, n_layer=1, n_head=2, n_embd=8, learning_rate=5e-3),
    plant("capacity", "n16", "early", 2, n_layer=1, n_head=2, n_embd=16, learning_rate=5e-3),
    plant("capacity", "n24", "big", n_layer=1, n_head=2, n_embd=24, learning_rate=3e-3),
    plant("capacity", "n8", "big", 2, n_layer=1, n_head=2, n_embd=8, learning_rate=5e-3),
    plant("capacity", "n8-long", "long", n_layer=1, n_head=2, n_embd=8, learning_rate=5e-3),
    plant("capacity", "n16", "code", n_layer=1, n_head=2, n_embd=16, learning_rate=5e-3),
    plant("short-context", "4", "context-32", 2, block_size=4, batch_size=160),
    plant("short-context", "8", "context-32", block_size=8, batch_size=80),
    plant("short-context", "4", "code", 1, block_size=4, batch_size=192),
    plant("short-context", "8", "code", block_size=8, batch_size=96),
    plant("over-regularised", "dropout-.5", "code", 1, dropout=0.5),
    plant("over-regularised", "dropout-.3", "code", 2, dropout=0.3),
    plant("over-regularised", "dropout-.3", "early", dropout=0.3),
    plant("over-regularised", "dropout-.6", "early", 2, dropout=0.6),
    plant("over-regularised", "dropout-.5", "bpe512", dropout=0.5),
    plant("over-regularised", "decay-2", "moby", 2, weight_decay=2.0),
    plant("over-regularised", "decay-5", "moby", weight_decay=5.0),
    plant("over-regularised", "decay-5", "early", 2, weight_decay=5.0),
    plant("over-regularised", "decay-2", "late", weight_decay=2.0),
]

DATA = [
    plant("repetition", "50k", "big", 1, {"train": 50_000}),
    plant("repetition", "20k", "early", 2, {"train": 20_000}),
    plant("repetition", "50k", "early", 2, {"train": 50_000}),
    plant("repetition", "100k", "early", 3, {"train": 100_000}),
    plant("repetition", "20k", "code", 2, {"train": 20_000}),
    plant("repetition", "50k", "code", 3, {"train": 50_000}),
    plant("repetition", "20k", "bpe512", 2, {"train": 20_000}),
    plant("repetition", "50k", "bpe512", 3, {"train": 50_000}),
    plant("repetition", "20k-piece", "moby", 3, {"train": 20_000, "contiguous": True}),
    plant("repetition", "150k", "big", 3, {"train": 150_000}),
    plant("duplicates", ".5", "early", 3, {"copies": 0.5}),
    plant("duplicates", ".8", "code", 3, {"copies": 0.8}),
    plant("noisy-data", ".2", "early", 1, {"noise": 0.2}),
    plant("noisy-data", ".1", "early", 3, {"noise": 0.1}),
    plant("noisy-data", ".4", "moby", 2, {"noise": 0.4}),
    plant("noisy-data", ".1", "code", 2, {"noise": 0.1}),
    plant("noisy-data", ".2", "bpe512", 3, {"noise": 0.2}),
    plant("noisy-data", ".2-train", "code", 2, {"noise": 0.2, "noisy_val": False}),
    plant("noisy-data", ".4-train", "early", 2, {"noise": 0.4, "noisy_val": False}),
    plant("noisy-data", ".2-train", "moby", 3, {"noise": 0.2, "noisy_val": False}),
    plant("tokenizer-mismatch", "shifted-val", "early", 3, {"val": "shifted"}),
    plant("tokenizer-mismatch", "shifted-val", "bpe512", 3, {"val": "shifted"}),
]

EVALUATION = [
    plant("val-mismatch", "moby", "early", 1, {"val": "moby"}),
    plant("val-mismatch", "code", "late", 2, {"val": "code"}),
    plant("val-mismatch", "sotu-early", "moby", 3, {"val": "sotu-early"}),
    plant("val-mismatch", "moby", "code", 2, {"val": "moby"}),
    plant("val-mismatch", "sotu-early", "late", 3, {"val": "sotu-early"}),
    plant("val-mismatch", "slice", "moby", 3, {"val": "slice"}),
    plant("val-mismatch", "slice", "code", 2, {"val": "slice"}),
    plant("val-mismatch", "moby", "bpe512", 3, {"val": "moby"}),
    plant("eval-noise", "1", "plain-evals", 1, eval_iters=1),
    plant("eval-noise", "2", "plain-evals", 2, eval_iters=2),
    plant("eval-noise", "1", "batch-8", 2, eval_iters=1),
    plant("eval-noise", "1", "moby", 3, eval_iters=1),
    plant("eval-noise", "2", "batch-8", 3, eval_iters=2),
    plant("val-leak", "50k", "early", 1, {"train": 50_000, "val": "leak"}),
    plant("val-leak", "20k", "code", 2, {"train": 20_000, "val": "leak"}),
    plant("val-leak", "150k", "big", 3, {"train": 150_000, "val": "leak"}),
    plant("val-leak", "20k", "bpe512", 3, {"train": 20_000, "val": "leak"}),
]

RESUMED = [
    rewarm("constant", "moby", 1, max_iters=2000, decay_lr=False),
    rewarm("cosine-2x", "late", 2, max_iters=2600, lr_decay_iters=4000),
    rewarm("cosine-1.4x", "early", 2, max_iters=2000, lr_decay_iters=2000),
    rewarm("constant", "keen", 2, max_iters=2600, decay_lr=False),
    rewarm("cosine-2x", "fast", 2, max_iters=1900, lr_decay_iters=3000),
    rewarm("warmup", "keen-code", 3, max_iters=2600, lr_decay_iters=5000, warmup_iters=2200),
    rewarm("x2", "bpe512", 3, max_iters=2000, learning_rate=6e-3, decay_lr=False),
    interrupt("resume-state", "moments-lost", "brisk", 600, 1, forget=True),
    interrupt("resume-state", "moments-lost", "code", 1400, 2, forget=True),
    interrupt("resume-state", "moments-lost", "moby", 1250, 3, forget=True),
    interrupt("still-learning", "resumed-well", "moby", 750, 2),
    interrupt("still-learning", "resumed-well", "code", 1200, 3),
]


def in_turn(cases: Iterable[Case]) -> list[Case]:
    """By waves, and in a wave each cause in its turn, so that work cut short is still broad."""
    seen: Counter[tuple[int, str]] = Counter()
    ranked = []
    for case in cases:
        ranked.append((case.wave, seen[case.wave, case.cause], case))
        seen[case.wave, case.cause] += 1
    return [case for _, _, case in sorted(ranked, key=lambda row: row[:2])]


CASES = in_turn(chain(HEALTHY, RATES, MODELS, DATA, EVALUATION, RESUMED))
