"""Settings that make no run together, each told in one line before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import UsageError
from ..plugins import discover
from .settings import Settings

#: names -> the least that each may be
LEAST: Mapping[str, int] = {
    **dict.fromkeys(("n_layer", "n_head", "n_embd", "block_size", "batch_size"), 1),
    **dict.fromkeys(("gradient_accumulation_steps", "log_interval"), 1),
    **dict.fromkeys(("n_kv_head", "mlp_hidden", "vocab_size", "max_steps", "warmup_steps"), 0),
    **dict.fromkeys(("decay_start", "decay_end", "eval_interval", "eval_tokens", "eval_iters"), 0),
    **dict.fromkeys(("checkpoint_interval", "keep_every", "seed"), 0),
    **dict.fromkeys(("peak_lr", "floor_lr", "weight_decay", "grad_clip", "z_loss"), 0),
}
#: shares: at least 0, and below 1
SHARES = ("dropout", "label_smoothing", "beta1", "beta2", "ema")
POSITIONS = ("", "learned", "rope", "alibi", "none")
FORMS = ("linear", "1-sqrt", "cosine")
OPTIMIZERS = ("adamw", "muon")
NANOGPT = "gpt2", "adamw"
NOT_PLANNED = "recorded"  # a schedule that is read from a log


def check(settings: Settings, origin: Mapping[str, str]) -> None:
    """Raise ``UsageError`` for the first thing that is wrong, with the place it came from.

    >>> check(Settings(n_embd=100, n_head=3), {"n_head": "config.py:2"})
    Traceback (most recent call last):
    unplateau.errors.UsageError: n_head 3 (config.py:2) does not divide n_embd 100: give heads of equal width
    """
    for name, complaint in (*_ranges(settings), *_names(settings), *_together(settings)):
        value, where = getattr(settings, name), origin.get(name, "")
        raise UsageError(f"{name} {value}{f' ({where})' if where else ''} {complaint}")


def _ranges(s: Settings) -> Iterator[tuple[str, str]]:
    for name, least in LEAST.items():
        if getattr(s, name) < least:
            yield name, f"is too small: expected {least} or more"
    for name in SHARES:
        if not 0 <= getattr(s, name) < 1:
            yield name, "is no share: expected at least 0, and less than 1"


def _names(s: Settings) -> Iterator[tuple[str, str]]:
    known: dict[str, tuple[Any, ...]] = {
        "schedule": tuple(n for n in discover("schedules") if n != NOT_PLANNED),
        "positions": POSITIONS,
        "decay_form": FORMS,
        "optimizer": OPTIMIZERS,
    }
    for name, options in known.items():
        if getattr(s, name) not in options:
            yield name, f"is not known; expected one of {', '.join(o or 'nothing' for o in options)}"


def _together(s: Settings) -> Iterator[tuple[str, str]]:
    if s.n_embd % s.n_head:
        yield "n_head", f"does not divide n_embd {s.n_embd}: give heads of equal width"
    if s.n_kv_head and s.n_head % s.n_kv_head:
        yield "n_kv_head", f"does not divide n_head {s.n_head}: each key serves as many queries"
    end = s.decay_end or s.max_steps
    if s.schedule == "wsd" and s.decay_start >= end > 0:
        yield "decay_start", f"is not before the end of the decay at step {end:,}: give an earlier step"
    if s.nanogpt_ckpt and (s.architecture, s.optimizer) != NANOGPT:
        yield "nanogpt_ckpt", f"writes what nanoGPT resumes: {' with '.join(NANOGPT)} alone"
