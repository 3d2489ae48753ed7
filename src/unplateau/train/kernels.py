"""Which kernels a run computes with: timed at its start, kept for this machine, and told in one line.

Four things are chosen where the settings leave them ``auto``: how attention is reckoned, which library multiplies
float32 matrices (``medium`` sends them to oneDNN on a CPU, to TF32 and below on a card), on a CPU that has both whether
matrices are multiplied in float32 or bfloat16, and whether the step is compiled. A short run takes PyTorch's defaults
untimed. A run that goes on keeps what it had.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from . import timings
from .attention import Attend, explicit, sdpa
from .machine import AUTO as AUTO_ON
from .models import model_kind
from .settings import Resolved, Settings
from .stopwatch import Kernel, of_kernels, relative_error

ATTENTION: Mapping[str, Attend] = {"sdpa": sdpa, "explicit": explicit}
PLAIN = Kernel("sdpa", "highest", "float32")  # what PyTorch does unasked
CPUINFO, CPU_LINES = Path("/proc/cpuinfo"), 9  # of the first processor: its name and model
TF32 = "high"  # on a card: nanoGPT allows it too
FP32_LIKE = 2e-6  # relative error of a product; float32 gives 2e-7 to 4e-7, bfloat16 2e-3
KEEP = 0.97  # what another one has to take of the plain one's time, that noise alone does not choose it
#: what bfloat16 has to take of float32's time to be taken unasked: measured .5 to .7 on a chip that has its products
CLEAR = 0.85
#: FLOP/s that a run of this code does at least: a core, measured 4e10; a card, a hundredth of an H200
LEAST_RATE = {"cpu": 4e10, "cuda": 1e13}
WORTH = 20.0  # seconds of a run that are worth the timing
#: of a step's time, what compiling saves: README's shape on two idle cores gave 2 to 10 % in float32 and 20 to 25 % in
#: bfloat16 (docs/LOG.md); and the seconds that it takes where nobody measured them here
GAIN = {"cpu": 0.2, "cpu float32": 0.05, "cuda": 0.3}
COLD = {"cpu": 26.0, "cuda": 60.0}
AUTO = ("attention", "matmul", "dtype", "compile")


@dataclass(frozen=True, slots=True)
class Timed:
    """``seconds`` of one block's passes by kernel, on one core or a card; ``flops`` of them; ``threads`` of the run."""

    seconds: Mapping[Kernel, float]
    flops: float
    threads: int = 1

    @property
    def kernel(self) -> Kernel:
        """The quickest; float32 where no other number format is clearly quicker, the plain one where it is as good.

        >>> found = Timed({PLAIN: 1.0, Kernel("sdpa", "medium", "float32"): 0.98}, 1.0).kernel
        >>> found == PLAIN
        True
        """
        formats = dict.fromkeys(kernel.dtype for kernel in self.seconds)
        first, *others = (self._best([k for k in self.seconds if k.dtype == dtype]) for dtype in formats)
        clear = [k for k in others if self.seconds[k] < CLEAR * self.seconds[first]]
        return min(clear, key=self.seconds.__getitem__, default=first)

    def _best(self, kernels: Sequence[Kernel]) -> Kernel:
        """Of one number format; the first is the plain one."""
        plain, best = kernels[0], min(kernels, key=self.seconds.__getitem__)
        return best if self.seconds[best] < KEEP * self.seconds[plain] else plain

    @property
    def rate(self) -> float:
        """FLOP/s of the quickest, all threads together."""
        return self.threads * self.flops / self.seconds[self.kernel]


def with_kernels(
    resolved: Resolved, device: torch.device, before: Mapping[str, Any] | None = None
) -> Resolved:
    """``resolved`` with nothing left ``auto`` of attention, products, number format and compiling.

    ``before``: the settings of a run that goes on; its kernels are kept, so that its numbers are.
    """
    open_ones = [name for name in AUTO if getattr(resolved.settings, name) == "auto"]
    if not open_ones:
        return resolved
    found = _kept(before or {}, device)
    places = dict.fromkeys(found, "as the run had it")
    if not set(open_ones) <= found.keys():
        chosen, where = _chosen(resolved.settings, device)
        found, places = {**chosen, **found}, {**dict.fromkeys(chosen, where), **places}
    values: dict[str, Any] = {name: found[name] for name in open_ones}
    origin = {**resolved.origin, **{name: places[name] for name in values}}
    if "dtype" in values:
        origin["dtype"] = f"{AUTO_ON.format(device.type)}: {places['dtype']}"
    return replace(resolved, settings=replace(resolved.settings, **values), origin=origin)


def _kept(before: Mapping[str, Any], device: torch.device) -> dict[str, str]:
    """Of a ``config.json``: what it says of kernels, as settings have it; the number format on a like device alone."""
    like = str(before.get("device", "")).startswith(device.type)
    names = ("attention", "matmul", "dtype") if like else ("attention", "matmul")
    found = {name: before[name] for name in names if isinstance(before.get(name), str)}
    if isinstance(before.get("compile"), bool):
        found["compile"] = "on" if before["compile"] else "off"
    return found


def _chosen(settings: Settings, device: torch.device) -> tuple[dict[str, str], str]:
    """A value for each of ``AUTO``, and where they come from."""
    plain: dict[str, str] = {**PLAIN._asdict(), "compile": "off"}
    if device.type not in LEAST_RATE or settings.parallel == "fsdp":
        return plain, f"PyTorch's own on {device.type}"
    if _flops(settings) / (LEAST_RATE[device.type] * _threads(device)) < WORTH:
        return plain, "too short a run to time kernels for"
    timed = _timed(settings, device)
    found = timed.kernel
    gain = GAIN.get(f"{device.type} {found.dtype}", GAIN[device.type])
    name = key("compile", replace(settings, dtype=found.dtype), device)
    cost = float(timings.read(name).get("seconds", COLD[device.type]))
    worth = gain * _flops(settings) / timed.rate > cost and can_compile(device)
    where = f"timed on this machine: {_name(device)}"
    return {**found._asdict(), "compile": "on" if worth else "off"}, where


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
    """Each one's time, as this machine was found to take it, or timed now."""
    name, kernels = key("kernels", settings, device), candidates(settings, device)
    kept = timings.read(name)
    try:
        seconds = {kernel: float(kept[" ".join(kernel)]) for kernel in kernels}
        if min(seconds.values()) > 0 and float(kept["flops"]) > 0:
            return Timed(seconds, float(kept["flops"]), _threads(device))
    except (KeyError, TypeError, ValueError):
        pass
    found = of_kernels({kernel: ATTENTION[kernel.attention] for kernel in kernels}, settings, device)
    told = {" ".join(kernel): seconds for kernel, seconds in found.seconds.items()}
    timings.write(name, told | {"flops": found.flops})
    return Timed(found.seconds, found.flops, _threads(device))


def candidates(settings: Settings, device: torch.device) -> list[Kernel]:
    """What is worth timing: float32 first, and of each number format the plain one."""
    if device.type == "cuda":
        return [Kernel("sdpa", TF32, settings.dtype)]
    formats = ["float32", "bfloat16"] if settings.dtype == "auto" else [settings.dtype]
    return [
        Kernel(attention, matmul, dtype)
        for dtype in formats
        for attention in ATTENTION
        for matmul in _matmuls(dtype, settings.n_embd)
    ]


def _matmuls(dtype: str, width: int) -> list[str]:
    """Precisions of float32 products that are like float32; where there are no such products, PyTorch's own."""
    if dtype == "float32" and relative_error("medium", width) < FP32_LIKE:
        return ["highest", "medium"]
    return ["highest"]


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

    >>> in_words(Settings(dtype="float32", attention="explicit", matmul="medium", compile="off"), {"attention": "--attention"})
    'kernels: float32, medium products, not compiled; explicit attention (--attention)'
    """
    words = {
        "dtype": settings.dtype,
        "attention": f"{settings.attention} attention",
        "matmul": f"{settings.matmul} products",
        "compile": "compiled" if settings.compile == "on" else "not compiled",
    }
    places: dict[str, list[str]] = {}  # what came from the same place is told together
    for name, word in words.items():
        places.setdefault(_place(name, origin), []).append(word)
    told = [", ".join(of) + (f" ({place})" if place else "") for place, of in places.items()]
    return f"kernels: {'; '.join(told)}"


def _place(name: str, origin: Mapping[str, str]) -> str:
    """Where a value came from; of ``auto on cpu: as train.py has it`` the end, for the line tells the value itself."""
    place = origin.get(name, "")
    return place.partition(": ")[2] if place.startswith(AUTO_ON.format("")) and ": " in place else place
