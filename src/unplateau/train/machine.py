"""The machine of a run: its device, the number format that it multiplies in, and what is to be remembered of it."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from ..devices import find
from ..errors import UsageError, printable
from .settings import Resolved, Settings

KINDS = ("cpu", "cuda", "mps")
AUTO = "auto on {}"  # where a number format comes from that nobody told
PRESET = "preset nanogpt"  # where settings come from that a nanoGPT config left out
#: mallopt(3) of glibc: a block that is freed stays with the process, and none is taken by mmap to be given back
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def device_of(settings: Settings) -> torch.device:
    """The device that ``settings`` ask for; ``auto`` is a card where there is one.

    Raises ``UsageError`` for one that this machine has not: a run that falls back unasked would take a hundred times
    as long.
    """
    name = settings.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = name.partition(":")[0]
    if kind not in KINDS:
        raise UsageError(f"device is {printable(name)!r}; expected auto, {', '.join(KINDS)} or cuda:1")
    if not _there(kind):
        raise UsageError(f"this machine has no {kind} device that torch can use; give --device=cpu, or auto")
    return torch.device(name)


def _there(kind: str) -> bool:
    if kind == "mps":
        return torch.backends.mps.is_available()
    return kind == "cpu" or torch.cuda.is_available()


def on(resolved: Resolved, device: torch.device) -> Resolved:
    """``resolved`` with its device by name and its number format by what that has.

    The format is left ``auto`` on a CPU that multiplies in bfloat16: ``kernels`` times it there.
    """
    s, origin = resolved.settings, dict(resolved.origin)
    if s.device == "auto":
        s, origin["device"] = replace(s, device=str(device)), "this machine"
    if s.dtype == "auto":
        number, where = _number_format(device, origin)
        s, origin["dtype"] = replace(s, dtype=number), where
    return replace(resolved, settings=s, origin=origin)


def _number_format(device: torch.device, origin: Mapping[str, str]) -> tuple[Any, str]:
    """What ``auto`` means, and why; ``auto`` where it is still to be timed."""
    where = AUTO.format(device.type)
    if device.type == "cpu" and PRESET in origin.values():
        return "float32", f"{where}: as train.py has it"
    if device.type == "cpu" and multiplies_in_bfloat16(device):
        return "auto", where
    half = device.type == "cuda" and multiplies_in_bfloat16(device)
    return "bfloat16" if half else "float32", where


def multiplies_in_bfloat16(device: torch.device) -> bool:
    """True for cards that need not emulate it, and for CPUs for which oneDNN has such products (AVX512, AMX, some Arm)."""
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - of torch 2.13 no public one
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def hold_memory(device: torch.device) -> None:
    """Have this process keep what it frees, on a CPU under glibc: each step wants the same blocks again.

    Else the largest ones go back to the system at each step, which fills them with zeros when they are taken anew: a
    tenth to a fifth of a step (docs/LOG.md). Elsewhere nothing is changed.
    """
    if device.type != "cpu" or platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)


def peak_flops(device: torch.device, dtype: str) -> float | None:
    """FLOP/s of the card at its best, where its data sheet is known; None for a CPU."""
    card = find(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    return card.peak(dtype) if card else None


def memory(device: torch.device) -> int:
    """Bytes: the most that was allocated on a card, or the most that this process ever held."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return 0
    import resource

    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held << 10  # getrusage(2): KiB on Linux, bytes on macOS


def environment(device: torch.device) -> dict[str, Any]:
    """What a run's numbers may depend on, without what names its user."""
    import numpy as np

    told: dict[str, Any] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "device": str(device),
    }
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        told |= {"gpu": card.name, "gpu_memory": card.total_memory, "cuda": torch.version.cuda}
    return told


def config_facts(device: torch.device) -> dict[str, Any]:
    """Of the machine, what the diagnosis has words for."""
    if device.type != "cuda":
        return {}
    card = torch.cuda.get_device_properties(device)
    return {"gpu": card.name, "gpu_memory": card.total_memory}
