"""What nanoGPT's train.py prints before its first step, of a run of ours: its settings, sizes, and how it begins.

Programs that read its output, ours among them, take a run's settings from these lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from ..config.nanogpt import DEFAULTS, FIXED, FROM_OWN
from .models import model_kind
from .session import Session
from .settings import Resolved, Settings

#: settings that nanoGPT has no word for, with what its train.py does
FURTHER = {**FIXED, "schedule": "cosine", "device": "cuda"}
MILLION = 1e6  # parameters


def head(resolved: Resolved, session: Session) -> list[str]:
    """The lines, in the order of train.py."""
    s = resolved.settings
    lines = [*_settings(resolved), f"tokens per iteration will be: {s.tokens_per_step:,}"]
    if place := resolved.origin.get("vocab_size", ""):
        lines.append(f"found vocab_size = {s.vocab_size} (inside {place})")
    lines += [_begins(s), f"number of parameters: {_params(s) / MILLION:.2f}M", *_tensors(session.model)]
    if s.optimizer == "adamw":
        lines.append(f"using fused AdamW: {session.device.type == 'cuda'}")
    return [*lines, "compiling the model... (takes a ~minute)"] if s.compile == "on" else lines


def _settings(resolved: Resolved) -> Iterator[str]:
    """Those of a config file as it has them, the others where they are not train.py's own."""
    told = _in_its_words(resolved.settings)
    places = {key: resolved.origin.get(name, "").rpartition(":") for key, (name, _) in told.items()}
    files = {key: (file, int(line)) for key, (file, _, line) in places.items() if file and line.isdigit()}
    for file in dict.fromkeys(file for file, _ in files.values()):
        yield f"Overriding config with {file}:"
        mine = sorted((line, key) for key, (held, line) in files.items() if held == file)
        yield from (f"{key} = {told[key][1]!r}" for _, key in mine)
        yield ""
    for key, (name, value) in told.items():
        if key not in files and value != {**FURTHER, **DEFAULTS}.get(name):
            yield f"Overriding: {key} = {value}"


def _in_its_words(s: Settings) -> dict[str, tuple[str, Any]]:
    """nanoGPT's word -> ours, and the value as train.py would have it."""
    values = {**asdict(s), "compile": s.compile == "on", "dataset": _dataset(s.dataset)}
    words = {own: name for own, name in FROM_OWN.items() if name in values and name != "vocab_size"}
    words |= {name: name for name in FURTHER}
    if s.schedule == "constant":  # train.py's decay_lr=False, which has no warmup
        del words["schedule"]
        return {own: (name, values[name]) for own, name in words.items()} | {"decay_lr": ("decay_lr", False)}
    return {
        own: (name, values[name])
        for own, name in words.items()
        if not (name == "run_name" and not s.run_name)
    }


def _dataset(told: str) -> str:
    """Its name, where it lies in a folder ``data`` as train.py wants it."""
    place = Path(told)
    return place.name if place.parent.name == "data" else told


def _begins(s: Settings) -> str:
    if s.init_from == "scratch":
        return "Initializing a new model from scratch"
    return f"Resuming training from {s.out_dir if s.init_from == 'resume' else s.init_from}"


def _params(s: Settings) -> int:
    """Without learned positions, as nanoGPT counts."""
    return int(model_kind(s.architecture).shape(s).params)


def _tensors(model: nn.Module) -> list[str]:
    """Matrices decay, vectors don't."""
    found = []
    for word, decayed in (("decayed", True), ("non-decayed", False)):
        sizes = [p.numel() for p in model.parameters() if (p.dim() >= 2) is decayed]
        found.append(f"num {word} parameter tensors: {len(sizes)}, with {sum(sizes):,} parameters")
    return found
