"""Which process of a run this is, by what torchrun says in the environment. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import ElsewhereError, UnplateauError


@dataclass(frozen=True, slots=True)
class World:
    """Which of how many processes this is; ``local``: among those of this machine.

    >>> World.of({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"})
    World(rank=3, size=4, local=1)
    >>> World.of({}).leads
    True
    """

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """True for the one process that writes and speaks."""
        return self.rank == 0

    @staticmethod
    def of(environ: Mapping[str, str] = os.environ) -> World:
        """As torchrun tells it; alone where nobody does."""
        try:
            rank, size, local = (int(environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        except (KeyError, ValueError):
            return World()
        return World(rank, size, local) if 0 <= rank < size and local >= 0 else World()


@contextmanager
def once_a_machine() -> Iterator[None]:
    """Around what goes wrong in all processes of a machine alike: the first of them says it."""
    try:
        yield
    except UnplateauError as error:
        if World.of().local == 0:
            raise
        raise ElsewhereError(str(error)) from None
