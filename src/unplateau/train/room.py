"""How much memory a run may fill: the card's, or on a CPU that of the machine. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..devices import Card, find

CARDS = Path("/proc/driver/nvidia/gpus")  # where Linux's driver names its cards
MEMINFO = Path("/proc/meminfo")  # proc(5): MemTotal and SwapTotal, in KiB
GROUP = Path("/sys/fs/cgroup")  # cgroups(7): a container's own limits
LIMITS = (("memory.max", "memory.swap.max"), ("memory/memory.limit_in_bytes",))  # of version 2, and of 1
MACHINE = "memory and swap of this machine"
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Room:
    """``size`` bytes of what ``name`` says."""

    size: int
    name: str

    def __str__(self) -> str:
        """As people say it.

        >>> print(Room(80 * GIB, "A100 80GB"))
        80 GiB (A100 80GB)
        """
        return f"{self.size / GIB:.3g} GiB ({self.name})"


def room_of(device: str) -> Room | None:
    """What there is for a run on ``device``; None where nobody can tell without torch."""
    kind = device.partition(":")[0]
    found = card() if kind in ("auto", "cuda") else None
    if found is not None:
        return Room(found.memory, found.name) if found.memory else None
    return machine() if kind == "cpu" or (kind == "auto" and not CARDS.is_dir()) else None


def card() -> Card | None:
    """The card of this machine, by its driver's own word; None where there is none, or it is not known."""
    for told in sorted(CARDS.glob("*/information")) if CARDS.is_dir() else ():
        if (found := find(told.read_text(errors="replace"))) is not None:
            return found
    return None


def machine() -> Room | None:
    """RAM and swap together, or what a container may take of them."""
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines() if ":" in line)
        size = sum(int(lines[name].split()[0]) << 10 for name in ("MemTotal", "SwapTotal"))
    except (OSError, ValueError, KeyError, IndexError):
        size = _pages()
    size = min([size, *_limits()])
    return Room(size, MACHINE) if size > 0 else None


def _pages() -> int:
    """Where there is no ``/proc``: all pages of memory (sysconf(3)); 0 where that is not told either."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _limits() -> Iterator[int]:
    for names in LIMITS:
        try:
            yield sum(int((GROUP / name).read_text()) for name in names)
        except (OSError, ValueError):  # no such file, or "max": no limit
            continue
