"""nanoGPT: a Python file of `key = value`, overrides `--key=value`, and both echoed in the log."""

from __future__ import annotations

import ast
import re
from typing import Any

from ..errors import UnreadableError
from ..run import Fact
from ._dialect import Dialect, Facts, Setting, Settings, as_kind, kept, told
from ._python import NotLiteralError, evaluate, parse_python

FROM_OWN = {
    **{n: n for n in ("n_layer", "n_head", "n_embd", "vocab_size", "block_size", "bias", "dropout")},
    **{n: n for n in ("batch_size", "gradient_accumulation_steps", "weight_decay", "beta1", "beta2")},
    **{n: n for n in ("grad_clip", "dtype", "compile", "device", "dataset", "eval_interval", "eval_iters")},
    **{n: n for n in ("log_interval", "init_from", "out_dir", "seed")},
    "learning_rate": "peak_lr",
    "min_lr": "floor_lr",
    "max_iters": "max_steps",
    "warmup_iters": "warmup_steps",
    "lr_decay_iters": "decay_end",
    "wandb_run_name": "run_name",
}
TO_OWN = {**{name: key for key, name in FROM_OWN.items()}, "schedule": "decay_lr"}

#: karpathy/nanoGPT, train.py, what it takes where the config is silent
DEFAULTS: dict[str, Any] = {
    "eval_interval": 2000,
    "log_interval": 1,
    "eval_iters": 200,
    "init_from": "scratch",
    "dataset": "openwebtext",
    "gradient_accumulation_steps": 40,
    "batch_size": 12,
    "block_size": 1024,
    "n_layer": 12,
    "n_head": 12,
    "n_embd": 768,
    "dropout": 0.0,
    "bias": False,
    "peak_lr": 6e-4,
    "max_steps": 600_000,
    "weight_decay": 1e-1,
    "beta1": 0.9,
    "beta2": 0.95,
    "grad_clip": 1.0,
    "warmup_steps": 2000,
    "decay_end": 600_000,
    "floor_lr": 6e-5,
    "compile": True,
}
ASSUMED = "assumed: nanoGPT's default"
#: settings that it has not, which forks and our own trainer print as if it had
FURTHER = ("architecture", "optimizer", "tied", "schedule")
FIXED = {"optimizer": "adamw", "architecture": "gpt2", "tied": True, "seed": 1337}
VOCAB = 50304  # GPT-2's 50257 rounded up to a multiple of 64; taken where no meta.pkl is found
#: init_from = 'gpt2...': the shapes of OpenAI's checkpoints (nanoGPT, model.py)
PRETRAINED = {"gpt2": (12, 12, 768), "gpt2-medium": (24, 16, 1024), "gpt2-large": (36, 20, 1280)}
PRETRAINED["gpt2-xl"] = (48, 25, 1600)
ECHO = re.compile(r"[ \t]{0,80}([A-Za-z_]\w{0,80})[ \t]{0,80}=(?!=)(.*)")


def complete(facts: Facts, settings: Settings) -> Facts:
    """What nanoGPT's train.py adds to its config: defaults, the schedule's name, the vocabulary."""
    facts = dict(facts)
    own = {name: key for key, name in FROM_OWN.items()}
    for name, value in DEFAULTS.items():
        if name not in facts and own[name] not in settings.unknown:
            facts[name] = told(name, value, ASSUMED)
    for name, value in FIXED.items():
        facts.setdefault(name, told(name, value, ASSUMED))
    return {**_vocabulary(_dtype(_schedule(facts, settings), settings), settings), **_further(settings)}


def _further(settings: Settings) -> Facts:
    found = {name: settings.found.pop(name) for name in FURTHER if name in settings.found}
    values = {name: as_kind(name, setting.value) for name, setting in found.items()}
    return {n: told(n, value, found[n].source) for n, value in values.items() if value is not None}


def _schedule(facts: Facts, settings: Settings) -> Facts:
    if "decay_lr" in settings.unknown:
        return facts
    decays = settings.value("decay_lr")
    if decays is None or decays:
        source = ASSUMED if decays is None else settings.source("decay_lr")
        return {**facts, "schedule": Fact("cosine", "", source)}
    # train.py asks for the schedule only `if decay_lr`: warmup is left out with it
    source = settings.source("decay_lr")
    kept_facts = {n: f for n, f in facts.items() if n not in {"floor_lr", "decay_end", "warmup_steps"}}
    warmup = Fact(0, "steps", f"{source}: no warmup without decay_lr")
    return {**kept_facts, "schedule": Fact("constant", "", source), "warmup_steps": warmup}


def _dtype(facts: Facts, settings: Settings) -> Facts:
    device = str(facts["device"].value) if "device" in facts else "cuda"
    if not device.startswith("cuda"):
        # train.py's autocast is a null context off the GPU, whatever dtype says
        return {**facts, "dtype": Fact("float32", "", "assumed: nanoGPT takes dtype on a GPU only")}
    if "dtype" in facts or "dtype" in settings.unknown:
        return facts
    return {**facts, "dtype": Fact("bfloat16", "", f"{ASSUMED} (float16 where the card has no bfloat16)")}


def _vocabulary(facts: Facts, settings: Settings) -> Facts:
    start = str(facts["init_from"].value) if "init_from" in facts else ""
    if start in PRETRAINED:
        layers, heads, width = PRETRAINED[start]
        shape = {"n_layer": layers, "n_head": heads, "n_embd": width, "vocab_size": 50257, "bias": True}
        return {**facts, **{n: told(n, v, settings.source("init_from")) for n, v in shape.items()}}
    named = str(facts["dataset"].value) if "dataset" in facts else ""
    if "vocab_size" not in facts and not named.endswith("_char"):
        facts = {**facts, "vocab_size": Fact(VOCAB, "", f"{ASSUMED}, taken where there is no meta.pkl")}
    return facts


def write_schedule(value: Any) -> Any:
    """``decay_lr`` for a schedule's name: nanoGPT knows cosine, or a constant."""
    return value != "constant"


DIALECT = Dialect(
    "nanogpt",
    {**FROM_OWN, "decay_lr": ""},
    complete,
    {"schedule": write_schedule},
    signs=("decay_lr", "eval_only", "always_save_checkpoint", "wandb_log", "learning_rate"),
)


def parse_echo(text: str, name: str) -> Settings:
    r"""The settings that a log repeats: the config's own text, then overrides, whose strings lack quotes.

    >>> seen = parse_echo("lr = 1e-3 # small\nout_dir = out/x\ndecay = 'a'", "log line 2")
    >>> {key: seen.value(key) for key in ('lr', 'out_dir', 'decay')}
    {'lr': 0.001, 'out_dir': 'out/x', 'decay': 'a'}
    """
    try:
        settings = parse_python(text, name)
    except UnreadableError:
        settings = Settings({}, name, [], set(), [])
    else:
        if not settings.skipped:
            return _placed(settings)
    values = {setting.key: setting.value for setting in settings.found.values()}
    for line in text.splitlines():
        if match := ECHO.match(line):
            _override(settings, match[1], _value(match[2], values), name)
            values[match[1]] = settings.value(match[1])
    return _placed(settings)


def _placed(settings: Settings) -> Settings:
    found = {key: Setting(key, s.value, settings.name) for key, s in settings.found.items()}
    return Settings(
        found, settings.name, [], settings.unknown, [[t, settings.name] for t, _ in settings.claims]
    )


def _value(text: str, values: dict[str, Any]) -> Any:
    text = text.strip()
    try:
        return evaluate(ast.parse(text[:4096], mode="eval").body, values)
    except (
        NotLiteralError,
        SyntaxError,
        ValueError,
        ArithmeticError,
        TypeError,
        RecursionError,
        MemoryError,
    ):
        # train.py prints the value of an override, and a string's value has no quotes
        return text.partition(" #")[0].strip()


def _override(settings: Settings, key: str, value: Any, source: str) -> None:
    settings.unknown.discard(key)
    if kept(key, value):
        settings.found[key] = Setting(key, value, source)
