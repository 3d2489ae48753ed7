"""An arm as a command line of the trainer, ``unplateau train WORDS``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..probes import Arm
from .site import CONFIG, Where

#: every arm: quiet, nothing sent anywhere, each step logged, the windows that all arms share
COMMON = (
    *("--log_style=none", "--log_interval=1", "--tensorboard=False", "--wandb=False", "--trackio=False"),
    *("--nanogpt_ckpt=False", "--keep_every=0", "--eval_iters=0"),
)
#: what a run from scratch is told of a run that is not ours
FRESH = (
    *("n_layer", "n_head", "n_embd", "block_size", "vocab_size", "bias", "dropout"),
    *("batch_size", "gradient_accumulation_steps", "seed", "max_steps", "schedule", "peak_lr", "floor_lr"),
    *("warmup_steps", "decay_end", "beta1", "beta2", "weight_decay", "grad_clip", "label_smoothing"),
)
NEEDED = ("n_layer", "n_head", "n_embd", "block_size", "batch_size", "peak_lr", "max_steps")
LEARNED_BY_GPT2 = "gpt2"  # the one architecture of another's that a fresh arm can be


def words_of(where: Where, arm: Arm, folder: Path) -> tuple[str, ...]:
    """The words that run ``arm`` into ``folder``. Raises ``UsageError`` where checkpoint, data or settings are missing."""
    if not where.data:
        raise UsageError(
            "the run's data are not here, or are not named: give --data DIR, what it was trained on"
        )
    begin = _branched(where) if arm.start or not arm.steps else _fresh(where)
    patched = [f"--{key}={_said(new)}" for key, (_, new) in arm.patch.items() if new is not None]
    ends = ["--eval_only=True"] if not arm.steps else [f"--max_steps={arm.start + arm.steps}"]
    told = (*begin, f"--dataset={where.data}", *COMMON, *ends, *patched, *arm.words)
    return (*_last(told), f"--out_dir={folder}")


def resumed(words: Sequence[str]) -> tuple[str, ...]:
    """The same arm, going on where it stopped.

    >>> resumed(("run/config.json", "--init_from=scratch", "--seed=1", "--out_dir=arm"))
    ('--seed=1', '--init_from=resume', '--out_dir=arm')
    """
    flags = [word for word in words if word.startswith("--") and not word.startswith("--init_from=")]
    return (*flags[:-1], "--init_from=resume", flags[-1])


def command(words: Sequence[str]) -> list[str]:
    """The process that trains it."""
    return [sys.executable, "-m", "unplateau", "train", *words]


def line(words: Sequence[str], verb: str = "train") -> str:
    """The command for a shell.

    >>> line(("--out_dir=my run",))
    "unplateau train '--out_dir=my run'"
    """
    return shlex.join(["unplateau", verb, *words])


def _branched(where: Where) -> list[str]:
    if where.checkpoint is None or where.supposed:
        raise UsageError(
            f"{where.folder.name} holds no checkpoint to branch from: expected checkpoints/ of a run, or nanoGPT's ckpt.pt"
        )
    return [f"--init_from={where.checkpoint}"]


def _fresh(where: Where) -> list[str]:
    if where.settings:
        return [str(where.folder / CONFIG), "--init_from=scratch"]
    run = where.run
    lacking = [name for name in NEEDED if not run.has(name)]
    if lacking or run.get("architecture") != LEARNED_BY_GPT2:
        missing = ", ".join(lacking) or "an architecture that we have (gpt2)"
        raise UsageError(f"a fresh arm needs the run's config: {missing} is not known; give --config FILE")
    told: Mapping[str, Any] = {name: run.get(name) for name in FRESH if run.has(name)}
    return ["--preset=nanogpt", "--init_from=scratch", *(f"--{n}={_said(v)}" for n, v in told.items())]


def _last(words: Sequence[str]) -> list[str]:
    """Each flag once, with its last value, where it first stood.

    >>> _last(["c.json", "--seed=1", "--n_layer=2", "--seed=3"])
    ['c.json', '--seed=3', '--n_layer=2']
    """
    return list({word.partition("=")[0]: word for word in words}.values())


def _said(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)
