"""Small while it waits: what reading and judging left free goes back to the system.

A process that is to stand beside a training for days may take 60 MB. Of what the live page takes, some 50 MB are
programs (Python, numpy, this package, the server); the rest is what glibc keeps free for the next time: after a
log was read and a page made some 3 MB, and as much again in an arena of its own for each thread (mallopt(3),
malloc_trim(3)). Elsewhere than on glibc nothing is done.
"""

from __future__ import annotations

import ctypes
from functools import cache

ARENA_MAX = -8  # M_ARENA_MAX of malloc.h


@cache
def _libc() -> ctypes.CDLL | None:
    """The C library, where it is glibc."""
    try:
        found = ctypes.CDLL(None)
    except OSError:
        return None
    return found if hasattr(found, "malloc_trim") and hasattr(found, "mallopt") else None


def one_arena() -> None:
    """All threads share one heap; call it before there are any. Only one works at a time here anyway."""
    if (libc := _libc()) is not None:
        libc.mallopt(ARENA_MAX, 1)


def trim() -> None:
    """Give back what is free; some ms."""
    if (libc := _libc()) is not None:
        libc.malloc_trim(0)
