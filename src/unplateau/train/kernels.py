"""Which kernels a run computes with: timed at its start, kept for this machine, and told in one line.

Three things are chosen where the settings leave them ``auto``: how attention is reckoned, which library multiplies
float32 matrices (``medium`` sends them to oneDNN on a CPU, to TF32 and below on a card), and whether the step is
compiled. A short run takes PyTorch's defaults untimed. A run that goes on keeps what it had.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from . import timings
from .attention import Attend, explicit, sdpa
from .models import model_kind
from .settings import Resolved, Settings
from .stopwatch import Pair, of_pairs, relative_error

ATTENTION: Mapping[str, Attend] = {"sdpa": sdpa, "explicit": explicit}
PLAIN: Pair = ("sdpa", "highest")  # what PyTorch does unasked
CPUINFO, CPU_LINES = Path("/proc/cpuinfo"), 9  # of the first processor: its name and model
TF32 = "high"  # on a card: nanoGPT allows it too
FP32_LIKE = 2e-6  # relative error of a product; float32 gives 2e-7 to 4e-7, bfloat16 2e-3
KEEP = 0.97  # what another pair has to take of the plain one's time, that noise alone does not choose it
#: FLOP/s that a run of this code does at least: a core, measured 4e10; a card, a hundredth of an H200
LEAST_RATE = {"cpu": 4e10, "cuda": 1e13}
WORTH = 20.0  # seconds of a run that are worth the timing
#: of a step's time, what compiling saves, and the seconds that it takes where nobody measured them here
GAIN = {"cpu": 0.1, "cuda": 0.3}
COLD = {"cpu": 26.0, "cuda": 60.0}
AUTO = ("attention", "matmul", "compile")


@dataclass(frozen=True, slots=True)
class Timed:
    """``seconds`` of one block's passes by pair, on one core or a card; ``flops`` of them; ``threads`` of the run."""

    seconds: Mapping[Pair, float]
    flops: float
    threads: int = 1

    @property
    def pair(self) -> Pair:
        """The quickest; the plain one (the first) where that is as good.

        >>> Timed({("sdpa", "highest"): 1.0, ("sdpa", "medium"): 0.98}, 1.0).pair
        ('sdpa', 'highest')
        """
        plain, best = next(iter(self.seconds)), min(self.seconds, key=self.seconds.__getitem__)
        return best if self.seconds[best] < KEEP * self.seconds[plain] else plain

    @property
    def rate(self) -> float:
        """FLOP/s of the quickest, all threads together."""
        return self.threads * self.flops / self.seconds[self.pair]


def with_kernels(
    resolved: Resolved, device: torch.device, before: Mapping[str, Any] | None = None
) -> Resolved:
    """``resolved`` with nothing left ``auto`` of attention, products and compiling.

    ``before``: the settings of a run that goes on; its kernels are kept, so that its numbers are.
    """
    open_ones = [name for name in AUTO if getattr(resolved.settings, name) == "auto"]
    if not open_ones:
        return resolved
    found, where = _kept(before or {}), "as the run had it"
    if not set(open_ones) <= found.keys():
        found, where = _chosen(resolved.settings, device)
    values: dict[str, Any] = {name: found[name] for name in open_ones}
    origin = {**resolved.origin, **dict.fromkeys(values, where)}
    return replace(resolved, settings=replace(resolved.settings, **values), origin=origin)


def _kept(before: Mapping[str, Any]) -> dict[str, str]:
    """Of a ``config.json``: what it says of kernels, as settings have it."""
    found = {name: before[name] for name in ("attention", "matmul") if isinstance(before.get(name), str)}
    if isinstance(before.get("compile"), bool):
        found["compile"] = "on" if before["compile"] else "off"
    return found


def _chosen(settings: Settings, device: torch.device) -> tuple[dict[str, str], str]:
    """A value for each of ``AUTO``, and where they come from."""
    plain = dict(zip(AUTO, (*PLAIN, "off"), strict=True))
    if device.type not in LEAST_RATE or settings.parallel == "fsdp":
        return plain, f"PyTorch's own on {device.type}"
    if _flops(settings) / (LEAST_RATE[device.type] * _threads(device)) < WORTH:
        return plain, "too short a run to time kernels for"
    timed = _timed(settings, device)
    saved = GAIN[device.type] * _flops(settings) / timed.rate
    cost = timings.read(key("compile", settings, device)).get("seconds", COLD[device.type])
    worth = saved > float(cost) and can_compile(device)
    attention, matmul = timed.pair
    found = {"attention": attention, "matmul": matmul, "compile": "on" if worth else "off"}
    return found, f"timed on this machine: {_name(device)}"


def _threads(device: torch.device) -> int:
    return torch.get_num_threads() if device.type == "cpu" else 1


def _flops(settings: Settings) -> float:
    """Of the whole run."""
    shape = model_kind(settings.architecture).shape(settings)
    return float(shape.flops_per_token) * settings.tokens_per_step * settings.max_steps


def can_compile(device: torch.device) -> bool:
    """False on a CPU without a C++ compiler: there is nothing to try."""
    names = [os.environ.get("CXX", ""), "g++", "clang++", "c++", "cl"]
    return device.type != "cpu" or any(shutil.which(name) for name in names if name)


def _timed(settings: Settings, device: torch.device) -> Timed:
    """Each pair's time, as this machine was found to take it, or timed now."""
    name, pairs = key("kernels", settings, device), candidates(settings, device)
    kept = timings.read(name)
    try:
        seconds = {pair: float(kept[" ".join(pair)]) for pair in pairs}
        if min(seconds.values()) > 0 and float(kept["flops"]) > 0:
            return Timed(seconds, float(kept["flops"]), _threads(device))
    except (KeyError, TypeError, ValueError):
        pass
    found = of_pairs({pair: (ATTENTION[pair[0]], pair[1]) for pair in pairs}, settings, device)
    timings.write(name, {" ".join(pair): s for pair, s in found.seconds.items()} | {"flops": found.flops})
    return Timed(found.seconds, found.flops, _threads(device))


def candidates(settings: Settings, device: torch.device) -> list[Pair]:
    """What is worth timing, the plain one first."""
    if device.type == "cuda":
        return [("sdpa", TF32)]
    precisions = ["highest", "medium"]
    if relative_error("medium", settings.n_embd) >= FP32_LIKE:
        precisions.remove("medium")
    return [(a, p) for a in ATTENTION for p in precisions]


def key(what: str, settings: Settings, device: torch.device) -> str:
    """What a timing depends on, as one line."""
    s = settings
    shape = (s.architecture, s.n_layer, s.n_head, s.n_kv_head, s.n_embd, s.mlp_hidden, s.vocab_size)
    rest = (s.batch_size, s.block_size, s.dropout, s.document_mask, s.positions, s.dtype)
    threads = torch.get_num_threads() if device.type == "cpu" else 0
    return " ".join(map(str, (what, _name(device), threads, torch.__version__, *shape, *rest)))


def _name(device: torch.device) -> str:
    """Of the processor."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    try:
        with CPUINFO.open(encoding="utf-8", errors="replace") as file:
            parts = [line.partition(":") for line in islice(file, CPU_LINES)]
    except OSError:
        parts = []
    told = {name.strip(): value.strip() for name, _, value in parts}
    name = told.get("model name") or platform.processor() or platform.machine()
    return f"{name} model {told['model']}" if "model" in told else name


def use(settings: Settings) -> Attend:
    """Set how float32 matrices are multiplied from here on; the attention for the model."""
    torch.set_float32_matmul_precision("highest" if settings.matmul == "auto" else settings.matmul)
    return ATTENTION["sdpa" if settings.attention == "auto" else settings.attention]


def in_words(settings: Settings, origin: Mapping[str, str]) -> str:
    """One line for people.

    >>> in_words(Settings(attention="explicit", matmul="medium", compile="off"), {"attention": "--attention"})
    'kernels: explicit attention (--attention); medium products, not compiled'
    """
    words = {
        "attention": f"{settings.attention} attention",
        "matmul": f"{settings.matmul} products",
        "compile": "compiled" if settings.compile == "on" else "not compiled",
    }
    places: dict[str, list[str]] = {}  # what came from the same place is told together
    for name, word in words.items():
        places.setdefault(origin.get(name, ""), []).append(word)
    told = [", ".join(of) + (f" ({place})" if place else "") for place, of in places.items()]
    return f"kernels: {'; '.join(told)}"
