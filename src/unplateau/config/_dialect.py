"""What a dialect is: a table between a trainer's own keys and VOCABULARY's names, both ways."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

from ..errors import printable
from ..facts import VOCABULARY
from ..run import Fact

LARGEST = 10**18  # a configured number above this is no count
WORD = 400  # characters of a configured string that are kept
UNREAD = 200  # names of keys without a fact that are kept
SECRET = re.compile(r"key|token|secret|password|passwd|credential", re.IGNORECASE)

COUNTS = frozenset(
    [
        "n_layer",
        "n_head",
        "n_kv_head",
        "n_embd",
        "head_dim",
        "mlp_hidden",
        "vocab_size",
        "block_size",
        "batch_size",
        "world_size",
        "gradient_accumulation_steps",
        "tokens_per_step",
        "max_steps",
        "eval_interval",
        "eval_iters",
        "eval_tokens",
        "log_interval",
        "train_tokens",
        "unique_tokens",
        "val_tokens",
        "val_documents",
        "decay_end",
    ]
)
STEPS = frozenset(["warmup_steps", "decay_start", "seed"])
AMOUNTS = frozenset(
    [
        "epochs_planned",
        "peak_lr",
        "floor_lr",
        "beta1",
        "beta2",
        "weight_decay",
        "grad_clip",
        "dropout",
        "label_smoothing",
        "z_loss",
        "bytes_per_token",
        "unigram_entropy",
        "bigram_entropy",
        "val_divergence",
        "val_gap_error",
        "val_divergence_chance",
        "order_divergence",
        "order_divergence_chance",
    ]
)
FLAGS = frozenset(["bias", "tied", "compile", "char_level", "eval_modes_equal", "val_contiguous"])
DTYPES = {
    **dict.fromkeys(("bf16", "bfloat16", "torch.bfloat16", "bf16-mixed", "bf16-true"), "bfloat16"),
    **dict.fromkeys(("fp16", "float16", "half", "torch.float16", "16-mixed", "16-true", "16"), "float16"),
    **dict.fromkeys(("fp32", "float32", "float", "torch.float32", "32-true", "32", "no"), "float32"),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of a configuration: the trainer's own key, its value, and its place."""

    key: str
    value: Any
    source: str


@dataclass(slots=True)
class Settings:
    """A configuration as it was parsed, before anyone knows whose words it is in."""

    found: dict[str, Setting]
    name: str  # of the file, or of the place in a log
    skipped: list[str]  # places of code that was not run
    unknown: set[str]  # keys that such code sets
    claims: list[list[str]]

    def value(self, *keys: str) -> Any:
        """The value of the first of ``keys`` that is set, or None."""
        return next((self.found[k].value for k in keys if k in self.found), None)

    def source(self, *keys: str) -> str:
        return next((self.found[k].source for k in keys if k in self.found), self.name)


Facts = dict[str, Fact]


def as_told(facts: Facts, settings: Settings) -> Facts:
    """For a trainer whose words need no more than a table."""
    del settings
    return facts


@dataclass(frozen=True, slots=True)
class Dialect:
    """A trainer's own words.

    ``from_own``: its key -> VOCABULARY's name; ``complete`` adds what the table alone can't say: the
    trainer's defaults, ratios turned into steps; ``write`` turns canonical values into own ones; ``spell`` gives the own
    settings of those that are more than a key and a value, by VOCABULARY's name.
    """

    name: str
    from_own: Mapping[str, str]
    complete: Callable[[Facts, Settings], Facts] = as_told
    write: Mapping[str, Callable[[Any], Any]] | None = None
    spell: Callable[[Mapping[str, Any], Facts, Settings], dict[str, dict[str, Any]]] | None = None
    signs: tuple[str, ...] = ()  # keys that no other trainer has, and that carry no fact

    def knows(self, settings: Settings) -> int:
        """How many keys of ``settings`` are this trainer's own; distinctive ones weigh three."""
        known = sum(key in self.from_own for key in settings.found)
        return known + 3 * sum(key in settings.found for key in self.signs)

    def facts(self, settings: Settings) -> Facts:
        """The facts that ``settings`` tell, completed, with what was left unread."""
        facts: Facts = {}
        for setting in settings.found.values():
            name = self.from_own.get(setting.key)
            if name and name not in facts and (value := as_kind(name, setting.value)) is not None:
                facts[name] = told(name, value, setting.source)
        facts = self.complete(facts, settings)
        facts["config_dialect"] = Fact(self.name, "", settings.name)
        return {**facts, **_left_over(self, settings, facts)}


def _left_over(dialect: Dialect, settings: Settings, facts: Facts) -> Facts:
    unread = [k for k in settings.found if k not in dialect.from_own and not SECRET.search(k)][:UNREAD]
    lists = {
        "config_unread": [printable(name) for name in unread],
        "config_skipped": settings.skipped,
        "claims": settings.claims + claims_of_names(facts),
    }
    return {name: Fact(value, "", settings.name) for name, value in lists.items() if value}


def told(name: str, value: Any, source: str) -> Fact:
    """A fact with VOCABULARY's unit."""
    return Fact(value, VOCABULARY[name][0], source)


def as_kind(name: str, value: Any) -> Any:
    """``value`` as the fact ``name`` should be, or None where it can't be that.

    >>> as_kind("n_layer", "12"), as_kind("peak_lr", "1e-3"), as_kind("n_layer", -1), as_kind("bias", "False")
    (12, 0.001, None, False)
    """
    if name in COUNTS or name in STEPS:
        number = _number(value)
        whole = number is not None and number == int(number)
        return int(number) if whole and number >= (name in COUNTS) else None  # type: ignore[arg-type, operator]
    if name in AMOUNTS:
        number = _number(value)
        return number if number is not None and number >= 0 else None
    if name in FLAGS:
        return _flag(value)
    if isinstance(value, bool | list | dict | tuple) or value is None:
        return None
    text = printable(str(value).strip(), WORD)
    return DTYPES.get(text.lower(), text) if name == "dtype" else text or None


def _number(value: Any) -> float | int | None:
    if isinstance(value, str):
        try:
            value = float(value.replace("_", ""))
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    if abs(value) > LARGEST:
        return None
    return int(value) if isinstance(value, float) and value == int(value) and abs(value) > 1 else value


def _flag(value: Any) -> bool | None:
    words = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
    return value if isinstance(value, bool) else words.get(str(value).strip().lower())


def kept(key: str, value: Any) -> bool:
    """False for what looks like a secret: its value is dropped before anyone sees it.

    >>> kept("wandb_api_key", "abc"), kept("max_tokens", 10), kept("tokenizer", "gpt2")
    (False, True, True)
    """
    if re.fullmatch(r"tokenizer\w{0,40}", key.rpartition(".")[2].lower()):
        return True
    return not SECRET.search(key) or (isinstance(value, int | float) and not isinstance(value, bool))


# --- sizes that people claim

CLAIM = re.compile(
    r"~? ?(?<![\w.])(\d{1,5}(?:\.\d{1,3})?) ?([KMB])\b(?= ?-?param|illion param)", re.IGNORECASE
)
NAMED = re.compile(r"(?<![A-Za-z0-9.])(\d{1,5}(?:\.\d{1,3})?)([Mm])(?![A-Za-z0-9])")
NAMED_B = re.compile(
    r"(?:gpt2?|llama-?\d?|qwen\d?|mistral|pythia|opt)[-_](\d{1,3}(?:\.\d{1,3})?)[Bb](?![A-Za-z0-9])"
)
SIZES = {"K": 1e3, "M": 1e6, "B": 1e9}
COMMENT = 400  # characters of a comment that are looked at


def claims_of_comment(comment: str, source: str) -> list[list[str]]:
    """The numbers of parameters that a comment claims.

    >>> claims_of_comment("# Model (~125M parameters)", "config.py:17")
    [['~125M parameters', 'config.py:17']]
    """
    found = CLAIM.finditer(comment[:COMMENT])
    return [[f"{m[0].strip()} parameters", source] for m in found]


def claims_of_names(facts: Mapping[str, Fact]) -> list[list[str]]:
    """The sizes that a run's name or its folder claims."""
    claims = []
    for name in ("run_name", "out_dir"):
        text = str(facts[name].value)[:COMMENT] if name in facts else ""
        for match in (*NAMED.finditer(text), *NAMED_B.finditer(text)):
            unit = "B" if match.re is NAMED_B else "M"
            claims.append([f"{match[1]}{unit} in the name {text}", facts[name].source])
    return claims


def claimed_params(text: str) -> float | None:
    """The number of parameters that a claim's text speaks of.

    >>> claimed_params("~125M parameters"), claimed_params("4070 in the name x")
    (125000000.0, None)
    """
    match = re.match(r"~? ?(\d{1,5}(?:\.\d{1,3})?) ?([KMB])\b", text, re.IGNORECASE)
    return float(match[1]) * SIZES[match[2].upper()] if match else None


def total(wanted: Mapping[str, Any], facts: Facts, *, tokens: bool = False) -> int | None:
    """Sequences (or tokens) of one step as ``wanted`` has it, else as it is; None where that is not known."""
    names = ("batch_size", "gradient_accumulation_steps", *(("block_size",) if tokens else ()))
    parts = [wanted.get(name, facts[name].value if name in facts else None) for name in names]
    return prod(int(part) for part in parts) if all(parts) else None


def value_of(name: str, wanted: Mapping[str, Any], facts: Facts) -> Any:
    """A setting as ``wanted`` has it, else as it is."""
    return wanted.get(name, facts[name].value if name in facts else None)


def first(facts: Mapping[str, Fact], names: Iterable[str]) -> Any:
    """The value of the first known of ``names``."""
    return next((facts[n].value for n in names if n in facts), None)
