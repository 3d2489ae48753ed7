"""Pieces to shards, in the documents' order; each piece is let go of as it is written.

So the tokens lie on disk once. A run that was killed goes on from the last mark: pieces since then are made again. All shards get their names
together, at the end: until then they lie in the working folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..durable import sync, told, write_durably
from ..errors import UnreadableError
from . import _pieces
from ._pieces import Piece
from .mapped import is_whole
from .shards import Writer, Written
from .split import SPLITS

SEEN = "seen"
MARK = 64 << 20  # bytes between two marks: what is made again after a crash, at most, beside one piece
HELD = 64 << 20  # bytes of a piece that is held in memory while it is written
BLOCK = 1 << 22  # tokens taken from a piece at once
STATE, CLOSED = "shards.json", "closed.json"

Writers = Mapping[str, Writer]
Choice = Callable[
    [int], Mapping[str, NDArray[np.bool_]]
]  # a piece's number -> which documents go to which split


@dataclass(frozen=True, slots=True)
class Assembly:
    """Where shards are put together (``work``) and where they go (``out``), and how each split's writer is made."""

    work: Path
    out: Path
    plan: str
    writer: Callable[[Path, str, Mapping[str, Any] | None], Writer]

    @property
    def staging(self) -> Path:
        return self.work / "shards"

    def closed(self) -> dict[str, tuple[Written, ...]] | None:
        """The files of each split, where all are written; None before."""
        found = _read(self.work / CLOSED, self.plan)
        if found is None:
            return None
        return {name: tuple(Written(**one) for one in files) for name, files in found["splits"].items()}

    def writers(self) -> tuple[int, Writers]:
        """The first piece to take (those before it may be gone), and the writers as the last mark left them.

        Raises ``UnreadableError`` where the shards are not as they were left.
        """
        self.staging.mkdir(parents=True, exist_ok=True)
        found = _read(self.work / STATE, self.plan) or {"pieces": 0, "splits": {}}
        made: dict[str, Writer] = {}
        try:
            for name in (*SPLITS, SEEN):
                made[name] = self.writer(self.staging, name, found["splits"].get(name))
        except UnreadableError:
            leave(made)
            raise
        return found["pieces"], made

    def forget(self) -> None:
        """Begin anew: marks and shards are removed."""
        (self.work / STATE).unlink(missing_ok=True)
        for file in self.staging.glob("*") if self.staging.is_dir() else ():
            file.unlink()
        for file in self.staging.glob(".*") if self.staging.is_dir() else ():
            file.unlink()

    def mark(self, pieces: int, writers: Writers) -> None:
        """All that the first ``pieces`` gave is durable from here on."""
        states = {name: writer.mark() for name, writer in writers.items()}
        _write(self.work / STATE, {"plan": self.plan, "pieces": pieces, "splits": states})

    def close(self, writers: Writers) -> None:
        """Finish all shards; their names and hashes are kept before the first is moved."""
        files = {name: [one.as_dict() for one in writer.close()] for name, writer in writers.items()}
        _write(self.work / CLOSED, {"plan": self.plan, "splits": files})

    def moved(self) -> dict[str, tuple[Written, ...]]:
        """Give all shards their names in ``out``; done again, it moves what was not moved."""
        found = self.closed() or {}
        with told(self.out):
            for file in sorted(self.staging.glob("[!.]*")) if self.staging.is_dir() else ():
                file.replace(self.out / file.name)
            sync(self.out)
        for written in (one for files in found.values() for one in files):
            if not is_whole(self.out, written):
                (self.work / CLOSED).unlink(missing_ok=True)
                self.forget()
                raise UnreadableError(
                    f"{written.path} is not as it was written: run the same command again to make it anew"
                )
        return found


def leave(writers: Writers) -> None:
    """Let go of the files; what the last mark covers stays."""
    for writer in writers.values():
        writer.leave()


def assemble(
    assembly: Assembly,
    begun: tuple[int, Writers],
    pieces: Sequence[Piece],
    choose: Choice,
    told_of: Callable[[int, int], None],
) -> None:
    """Write the shards of all pieces from where ``begun`` left off; ``told_of(piece, tokens)`` as they go.

    Documents of a piece whose choice is in no split are left out. Pieces are removed; those that no mark covers have
    to be made again after a crash.
    """
    start, writers = begun
    size = 0
    for number in range(start, len(pieces)):
        tokens, lengths = _released(pieces[number])
        _put(tokens, lengths, choose(number), writers)
        _pieces.forgotten(pieces[number])
        size += tokens.nbytes
        told_of(number + 1, len(tokens))
        if size >= MARK:
            assembly.mark(number + 1, writers)
            size = 0
    assembly.close(writers)


def _released(piece: Piece) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Tokens and lengths of a piece, which then lies on disk no more; one that is too large for memory stays."""
    lengths = piece.column("lengths").astype(np.int64)
    if piece.tokens.nbytes > HELD:
        return piece.tokens, lengths
    tokens = np.array(piece.tokens)
    _pieces.forgotten(piece)
    return tokens, lengths


def _put(
    tokens: NDArray[Any],
    lengths: NDArray[np.int64],
    chosen: Mapping[str, NDArray[np.bool_]],
    writers: Writers,
) -> None:
    ends = np.cumsum(lengths)
    first = start = 0
    while first < len(ends):
        last = max(first + 1, int(np.searchsorted(ends, start + BLOCK, "right")))
        stop = int(ends[last - 1])
        here, some = lengths[first:last], tokens[start:stop]
        for name, flags in chosen.items():
            mine = flags[first:last]
            if mine.any():
                taken = some if mine.all() else some[np.repeat(mine, here)]
                writers[name].add(taken, here[mine])
        first, start = last, stop


def _read(path: Path, plan: str) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        if isinstance(found, dict) and found.get("plan") == plan:
            return found
    return None


def _write(path: Path, data: Mapping[str, Any]) -> None:
    write_durably(path, json.dumps(data).encode())
