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
CPUINFO = Path("/proc/cpuinfo")
TF32 = "high"  # on a card: nanoGPT allows it too
FP32_LIKE = 2e-6  # relative error of a product; float32 gives 2e-7 to 4e-7, bfloat16 2e-3
KEEP = 0.97  # what another pair has to take of the plain one's time, that noise alone does not choose it
FUSED = 0.85  # of its time as timed, what explicit attention takes once compiled (docs/LOG.md)
#: FLOP/s that a run of this code does at least: a core, measured 4e10; a card, a hundredth of an H200
LEAST_RATE = {"cpu": 4e10, "cuda": 1e13}
WORTH = 20.0  # seconds of a run that are worth the timing
#: of a step's time, what compiling saves, and the seconds that it takes where nobody measured them here
GAIN = {"cpu": 0.15, "cuda": 0.3}
COLD = {"cpu": 26.0, "cuda": 60.0}
AUTO = ("attention", "matmul", "compile")


@dataclass(frozen=True, slots=True)
class Timed:
    """``pair``: what was quickest; ``rate``: FLOP/s that it did; ``error``: of its float32 products."""

    pair: Pair
    rate: float
    error: float


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
    least = LEAST_RATE[device.type] * (torch.get_num_threads() if device.type == "cpu" else 1)
    if _flops(settings) / least < WORTH:
        return plain, "too short a run to time kernels for"
    timed = _timed(settings, device)
    saved = GAIN[device.type] * _flops(settings) / timed.rate
    cost = timings.read(key("compile", settings, device)).get("seconds", COLD[device.type])
    worth = saved > float(cost) and can_compile(device)
    attention, matmul = timed.pair
    found = {"attention": attention, "matmul": matmul, "compile": "on" if worth else "off"}
    return found, f"timed on this machine ({_name(device)})"


def _flops(settings: Settings) -> float:
    """Of the whole run."""
    shape = model_kind(settings.architecture).shape(settings)
    return float(shape.flops_per_token) * settings.tokens_per_step * settings.max_steps


def can_compile(device: torch.device) -> bool:
    """False on a CPU without a C++ compiler: there is nothing to try."""
    names = [os.environ.get("CXX", ""), "g++", "clang++", "c++", "cl"]
    return device.type != "cpu" or any(shutil.which(name) for name in names if name)


def _timed(settings: Settings, device: torch.device) -> Timed:
    """The quickest pair, as this machine was found to have it, or timed now."""
    name = key("kernels", settings, device)
    kept = timings.read(name)
    try:
        pair = str(kept["attention"]), str(kept["matmul"])
        if pair[0] in ATTENTION:
            return Timed(pair, float(kept["rate"]), float(kept["error"]))
    except (KeyError, TypeError, ValueError):
        pass
    found = _measure(settings, device)
    attention, matmul = found.pair
    told = {"attention": attention, "matmul": matmul, "rate": found.rate, "error": found.error}
    timings.write(name, told)
    return found


def _measure(settings: Settings, device: torch.device) -> Timed:
    pairs, error = candidates(settings, device)
    found = of_pairs({pair: (ATTENTION[pair[0]], pair[1]) for pair in pairs}, settings, device)
    best = quickest(found.seconds, pairs[0])
    return Timed(best, found.flops / found.seconds[best], error)


def candidates(settings: Settings, device: torch.device) -> tuple[list[Pair], float]:
    """What is worth timing, the plain one first; and the relative error of ``medium``, where it is among them."""
    if device.type == "cuda":
        return [("sdpa", TF32)], 0.0
    error = relative_error("medium", settings.n_embd)
    precisions = ["highest", "medium"] if error < FP32_LIKE else ["highest"]
    return [(a, p) for a in ATTENTION for p in precisions], error


def quickest(seconds: Mapping[Pair, float], plain: Pair) -> Pair:
    """The pair with the least time; the plain one where that is as good.

    >>> quickest({("sdpa", "highest"): 1.0, ("sdpa", "medium"): 0.98}, ("sdpa", "highest"))
    ('sdpa', 'highest')
    """
    best = min(seconds, key=lambda pair: seconds[pair] * (FUSED if pair[0] == "explicit" else 1.0))
    return best if seconds[best] < KEEP * seconds[plain] or best[0] == "explicit" else plain


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
    return _cpu() or platform.processor() or platform.machine()


def _cpu() -> str:
    try:
        with CPUINFO.open(encoding="utf-8", errors="replace") as file:
            named = (line for line in file if line.startswith(("model name", "model\t", "stepping\t")))
            return " ".join(line.partition(":")[2].strip() for _, line in zip(range(3), named, strict=False))
    except OSError:
        return ""


def use(settings: Settings) -> Attend:
    """Set how float32 matrices are multiplied from here on; the attention for the model."""
    torch.set_float32_matmul_precision("highest" if settings.matmul == "auto" else settings.matmul)
    return ATTENTION["sdpa" if settings.attention == "auto" else settings.attention]


def in_words(settings: Settings, origin: Mapping[str, str]) -> str:
    """One line for people.

    >>> in_words(Settings(attention="explicit", matmul="medium", compile="off"), {"attention": "--attention"})
    'kernels: explicit attention (--attention), medium products, not compiled'
    """
    words = {
        "attention": f"{settings.attention} attention",
        "matmul": f"{settings.matmul} products",
        "compile": "compiled" if settings.compile == "on" else "not compiled",
    }
    places = {name: origin.get(name, "") for name in words}
    if len(set(places.values())) == 1 and places["attention"]:
        return f"kernels: {', '.join(words.values())} ({places['attention']})"
    told = [f"{words[n]} ({p})" if p else words[n] for n, p in places.items()]
    return f"kernels: {', '.join(told)}"
