"""Settings that make no run together, each told in one line before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import UsageError, printable
from ..plugins import discover
from .settings import INSPECTED, Settings
from .words import called, one_of

#: names -> the least that each may be
LEAST: Mapping[str, int] = {
    **dict.fromkeys(("n_layer", "n_head", "n_embd", "block_size", "batch_size"), 1),
    **dict.fromkeys(("gradient_accumulation_steps", "log_interval"), 1),
    **dict.fromkeys(("n_kv_head", "mlp_hidden", "vocab_size", "max_steps", "warmup_steps"), 0),
    **dict.fromkeys(("decay_start", "decay_end", "eval_interval", "eval_tokens", "eval_iters"), 0),
    **dict.fromkeys(("checkpoint_interval", "keep_every", "seed"), 0),
    **dict.fromkeys(("peak_lr", "floor_lr", "weight_decay", "grad_clip", "z_loss"), 0),
}
MOST = (1 << 63) - 1  # of a whole number: what torch's generators and numpy's integers take
#: shares: at least 0, and below 1
SHARES = ("dropout", "label_smoothing", "beta1", "beta2", "ema")
POSITIONS = ("", "learned", "rope", "alibi", "none")
FORMS = ("linear", "1-sqrt", "cosine")
OPTIMIZERS = ("adamw", "muon")
NANOGPT = "gpt2", "adamw"
#: what ``transformers`` has, and the positions that it has there
TRANSFORMERS = {"gpt2": "learned", "llama": "rope", "modern": "rope"}
DEFAULT = "default"  # an origin: the user said nothing
PRESET = "preset nanogpt", "preset modern"  # likewise
NOT_PLANNED = "recorded"  # a schedule that is read from a log


def check(settings: Settings, origin: Mapping[str, str], words: Mapping[str, str] | None = None) -> None:
    """Raise ``UsageError`` for the first thing that is wrong, in the user's own ``words`` for the settings.

    >>> check(Settings(n_embd=100, n_head=3), {"n_head": "config.py:2"})
    Traceback (most recent call last):
    unplateau.errors.UsageError: config.py:2: n_head is 3; expected a divisor of n_embd, which is 100
    >>> check(Settings(peak_lr=-1.0), {"peak_lr": "--learning_rate"})
    Traceback (most recent call last):
    unplateau.errors.UsageError: --learning_rate is -1; expected 0 or more
    """
    words = words or {}
    wrong = (*_ranges(settings), *_names(settings), *_together(settings, words), *_twice(settings, origin))
    for name, expected in wrong:
        where = origin.get(name, "")
        place = called(words.get(name, name), "" if where == DEFAULT else where)
        raise UsageError(f"{place} is {_shown(getattr(settings, name))}; expected {expected}")


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return repr(printable(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _ranges(s: Settings) -> Iterator[tuple[str, str]]:
    for name, least in LEAST.items():
        value = getattr(s, name)
        if value < least:
            yield name, f"{least} or more"
        elif isinstance(value, int) and value > MOST:
            yield name, f"{MOST} or less"
    for name in SHARES:
        if not 0 <= getattr(s, name) < 1:
            yield name, "at least 0 and below 1"


def _names(s: Settings) -> Iterator[tuple[str, str]]:
    if not s.out_dir.strip():
        yield "out_dir", "the name of a folder"
    known: dict[str, tuple[Any, ...]] = {
        "schedule": tuple(n for n in discover("schedules") if n != NOT_PLANNED),
        "positions": POSITIONS,
        "decay_form": FORMS,
        "optimizer": OPTIMIZERS,
    }
    for name, options in known.items():
        if getattr(s, name) not in options:
            yield name, one_of([option or "nothing" for option in options])


def _together(s: Settings, words: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if s.n_embd % s.n_head:
        yield "n_head", f"a divisor of n_embd, which is {s.n_embd}"
    if s.n_kv_head and s.n_head % s.n_kv_head:
        yield "n_kv_head", f"a divisor of n_head, which is {s.n_head}"
    end = s.decay_end or s.max_steps
    if s.schedule == "wsd" and s.decay_start >= end > 0:
        name = "decay_end" if s.decay_end else "max_steps"
        yield "decay_start", f"a step before the decay ends, at {words.get(name, name)} {end:,}"
    if {*s.inspect.replace(" ", "").split(",")} - {*INSPECTED, ""}:
        yield "inspect", f"some of {', '.join(INSPECTED)}"
    if s.nanogpt_ckpt and (s.architecture, s.optimizer) != NANOGPT:
        yield "nanogpt_ckpt", f"False, or {' with '.join(NANOGPT)}: nanoGPT resumes nothing else"
    if s.huggingface and s.positions not in ("", TRANSFORMERS.get(s.architecture)):
        yield "huggingface", f"False: transformers has no {s.architecture} with positions {s.positions}"
    if s.huggingface and s.architecture not in TRANSFORMERS:
        yield (
            "huggingface",
            f"False, or one of {', '.join(TRANSFORMERS)}: transformers has no {s.architecture}",
        )


def _twice(s: Settings, origin: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Two ways to say one thing, both said."""
    by_hand = [n for n in ("eval_tokens", "eval_iters") if origin.get(n, DEFAULT) not in (DEFAULT, *PRESET)]
    if s.eval_tokens and s.eval_iters and len(by_hand) == 2:
        yield "eval_iters", f"nothing beside eval_tokens, which is {s.eval_tokens}: keep one of the two"
