"""Small while it waits: what is not needed is not loaded, what reading and judging left free goes back to the system.

A process that is to stand beside a training for days may take 60 MB. Of what a watch takes, some 50 MB are programs
(Python, numpy, this package); 5 of them would be OpenSSL, which numpy.random loads by way of ``secrets`` and textual
by way of asyncio, and nobody here calls. The rest is what glibc keeps free for the next time: after a log was read
and a page made some 3 MB, and as much again in an arena of its own for each thread (mallopt(3), malloc_trim(3)).
Elsewhere than on glibc nothing is given back.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec

ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
OPENSSL = ("_hashlib", "_ssl", "ssl")  # the modules that load it
#: hashlib's own, by the versions of Python; where a distribution leaves one out, OpenSSL's are needed
HASHES = (("_md5",), ("_sha1",), ("_sha256", "_sha2"), ("_sha512", "_sha2"), ("_sha3",), ("_blake2",))


@contextmanager
def without_openssl() -> Iterator[None]:
    """What is imported within does without OpenSSL, as it would where Python was built without.

    hashlib then takes Python's own hashes, asyncio has no TLS; ``import ssl`` works again afterwards.
    """
    hidden = [name for name in OPENSSL if name not in sys.modules] if _has_hashes() else []
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type] # None: "is not there" (reference of import)
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def _has_hashes() -> bool:
    return all(any(find_spec(name) for name in names) for names in HASHES)


def lean() -> None:
    """Load what would load OpenSSL, without it; call it before anything else is imported, and before any thread."""
    with without_openssl():
        import hashlib  # noqa: F401
        import hmac  # noqa: F401
    one_arena()


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
    gc.collect()
    if (libc := _libc()) is not None:
        libc.malloc_trim(0)
