"""One key and its value, as people write them: whose word it is, which setting it means, and of what type.

Our own names and nanoGPT's are both taken, in files and in ``--key=value`` alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from math import isfinite
from typing import Any, get_args

from ..config.nanogpt import FROM_OWN
from ..errors import UsageError, printable
from .settings import TYPES, choices

#: nanoGPT's word -> ours, where they differ
ALIASES: Mapping[str, str] = {
    **{own: name for own, name in FROM_OWN.items() if own != name and name in TYPES},
    "wandb_log": "wandb",
}
#: nanoGPT's words that ask for nothing that isn't done here anyway, and what is done
IDLE: Mapping[str, str] = {
    "always_save_checkpoint": "the last and the best checkpoint are both kept",
    "backend": "torchrun's devices tell it",
}
DECAY = "decay_lr"  # nanoGPT's: False is a constant rate without warmup
FLAGS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
NEAR = 0.6  # of difflib: how like a known key must be to be named as the nearest
KNOWN = (*TYPES, *ALIASES, *IDLE, DECAY, "preset")


def setting_of(key: str, where: str) -> str:
    """The setting that ``key`` means; raises ``UsageError`` with the nearest known one where there is none.

    >>> setting_of("learning_rate", "config.py:3"), setting_of("batch-size", "--batch-size")
    ('peak_lr', 'batch_size')
    >>> setting_of("n_layers", "config.py:2")
    Traceback (most recent call last):
    unplateau.errors.UsageError: config.py:2: there is no setting n_layers; did you mean n_layer?
    """
    plain = key.replace("-", "_")
    if plain in KNOWN:
        return ALIASES.get(plain, plain)
    near = get_close_matches(plain, KNOWN, n=1, cutoff=NEAR)
    flag, place = ("--", "") if where.startswith("--") else ("", f"{printable(where)}: ")
    hint = f"did you mean {flag}{near[0]}?" if near else "docs/train.md lists them all"
    raise UsageError(f"{place}there is no setting {flag}{printable(key)}; {hint}")


def called(word: str, where: str) -> str:
    """A setting as its user called it: the flag, or his word for it and its place in a file.

    >>> called("max_iters", "--max_iters"), called("max_iters", "config.py:3"), called("n_head", "")
    ('--max_iters', 'config.py:3: max_iters', 'n_head')
    """
    if where.startswith("--"):
        return printable(where)
    return f"{printable(where)}: {word}" if where else word


def typed(name: str, value: Any, where: str, word: str = "") -> Any:
    """``value`` as the setting ``name`` is typed; raises ``UsageError`` where it can't be that.

    ``word`` is what the user called it, where that is not ``name``.

    >>> typed("batch_size", "12", ""), typed("max_steps", "1e4", ""), typed("bias", "False", "")
    (12, 10000, False)
    >>> typed("compile", True, ""), typed("grad_clip", 1, "")
    ('on', 1.0)
    """
    kind = TYPES.get(name, bool if name == DECAY else str)
    found: Any = None
    if kind is bool:
        found = value if isinstance(value, bool) else FLAGS.get(str(value).strip().lower())
    elif kind in (int, float):
        found = _number(value, kind)
    elif not isinstance(value, list | dict):
        found = _word(name, value)
    if found is None:
        said = f"{called(printable(word or name), where)} is {printable(str(value))!r}"
        raise UsageError(f"{said}; expected {wanted(name)}")
    return found


def _number(value: Any, kind: type) -> int | float | None:
    if isinstance(value, str):
        try:
            value = float(value) if kind is float or "e" in value.lower() or "." in value else int(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    if kind is float:
        return float(value)
    return int(value) if value == int(value) else None


def _word(name: str, value: Any) -> str | None:
    if name == "compile" and (flag := FLAGS.get(str(value).lower())) is not None:
        return "on" if flag else "off"  # nanoGPT's is a bool
    text = "" if value is None else str(value)
    options = choices(name) if name in TYPES else ()
    return text if not options or text in options else None


def wanted(name: str) -> str:
    """What a setting takes, in words.

    >>> wanted("parallel"), wanted("n_layer")
    ('ddp or fsdp', 'a whole number')
    """
    kinds = {int: "a whole number", float: "a number", bool: "True or False", str: "text"}
    kind = TYPES.get(name, bool if name == DECAY else str)
    options = [str(option) for option in get_args(kind)]
    return one_of(options) if options else kinds.get(kind, "a value")


def one_of(options: Sequence[str]) -> str:
    """Options in words.

    >>> one_of(["linear", "cosine", "wsd"])
    'linear, cosine or wsd'
    """
    return " or ".join([", ".join(options[:-1]), options[-1]])
