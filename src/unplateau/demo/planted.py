"""The mistakes that the demo makes, one for each cause, and the config that holds one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Value = int | float | str | bool

DATA, RUN = "data", "run"  # folders, below the demo's own
STEPS = 800  # of the run; some 20 s on two idle cores
EVALUATIONS = 20  # of the run: enough for a slope with its error
#: one step of so many warms up. With one of 20 the sound run itself ends at 2.39 nats, what pairs of letters give, with
#: one of 8 at 1.87 (docs/LOG.md): at the peak rate before attention has learnt to look back, chance decides
WARM = 8
KEPT = 4  # checkpoints of a run that are kept

#: nanoGPT's model, order of the data apart, so small that a minute is enough. The peak of 6e-3 is the best of 2e-3,
#: 6e-3 and 2e-2 for models of this size (benchmarks/planted/README.md)
SOUND: Mapping[str, Value] = {
    "preset": "nanogpt",
    "dataset": DATA,
    "out_dir": RUN,
    "device": "cpu",
    "dtype": "float32",
    "compile": "off",
    "attention": "explicit",
    "matmul": "highest",
    "n_layer": 2,
    "n_head": 4,
    "n_embd": 64,
    "block_size": 64,
    "batch_size": 16,
    "gradient_accumulation_steps": 1,
    "dropout": 0.0,
    "weight_decay": 0.1,
    "peak_lr": 6e-3,
    "floor_lr": 0.0,
    "warmup_steps": 100,
    "beta2": 0.99,
    "eval_tokens": 16_384,
    "log_interval": 5,
}


@dataclass(frozen=True, slots=True)
class Planted:
    """A mistake. ``settings``: what it changes of ``SOUND``; ``share``: of the steps, settings that are counted in steps."""

    cause: str
    mistake: str
    settings: Mapping[str, Value]
    share: Mapping[str, float]


def _planted(
    cause: str, mistake: str, share: Mapping[str, float] | None = None, **settings: Value
) -> Planted:
    return Planted(cause, mistake, settings, share or {})


#: the first one is shown where nothing is asked for
PLANTED: Mapping[str, Planted] = {
    one.cause: one
    for one in (
        _planted("lr-not-annealed", "the floor of the learning rate is half of its peak", floor_lr=3e-3),
        _planted(
            "lr-exhausted", "the learning rate is spent after a quarter of the steps", {"decay_end": 0.25}
        ),
        _planted("lr-too-high", "the learning rate is ten times too high", peak_lr=6e-2),
        _planted("lr-too-low", "the learning rate is sixty times too low", peak_lr=1e-4),
        _planted("over-regularised", "dropout of .3 on text that is read half a time", dropout=0.3),
        _planted("batch-too-small", "a step sees one window of 64 characters", batch_size=1),
    )
}


def settings_of(planted: Planted, seed: int, steps: int = STEPS) -> dict[str, Value]:
    """All that the trainer is told for a run of ``steps`` with the mistake in it."""
    each = max(1, steps // EVALUATIONS)
    counted = {
        "seed": seed,
        "max_steps": steps,
        "decay_end": steps,
        "warmup_steps": max(1, steps // WARM),
        "eval_interval": each,
        "checkpoint_interval": each,
        "keep_every": max(1, steps // KEPT),
    }
    return {**SOUND, **counted, **planted.settings, **{k: round(s * steps) for k, s in planted.share.items()}}


def config_of(planted: Planted, seed: int, steps: int = STEPS) -> str:
    r"""The config, TOML, with a word beside the mistake.

    >>> print(*config_of(PLANTED["lr-exhausted"], 1).splitlines()[:3], sep="\n")
    # a run of unplateau demo, with one mistake: the learning rate is spent after a quarter of the steps
    preset = "nanogpt"
    dataset = "data"
    """
    wrong = {*planted.settings, *planted.share}
    rows = [
        f"{key} = {said(value)}{'  # the mistake' if key in wrong else ''}"
        for key, value in settings_of(planted, seed, steps).items()
    ]
    return "\n".join((f"# a run of unplateau demo, with one mistake: {planted.mistake}", *rows, ""))


def said(value: Any) -> str:
    """A value as TOML has it.

    >>> said(True), said(3e-3), said("cpu")
    ('true', '0.003', '"cpu"')
    """
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)
