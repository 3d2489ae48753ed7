"""A job in shares, for machines that run one command each: every ``of``-th part is one share's, and a merge ends it.

Shares put their pieces into one folder that all machines see, and know nothing of each other. What they leave is
what one run would have left there after its first stage, so that what follows is the same, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UnplateauError, UsageError, printable
from . import _pieces, work
from ._chosen import SPLIT
from ._locks import LOCK, held
from ._plan import Options
from ._stages import Job, enough
from .sources import Part

NAMED = 20  # ranges of shares that a message names
SCHEMA = "unplateau.shard/1"
MOST = 100_000  # shares: more than a Slurm array's tasks


@dataclass(frozen=True, slots=True)
class Share:
    """Number ``number``, from 0, of ``of`` shares: the parts ``number``, ``number + of``, and so on.

    So all shares come forward through the sources together, and a limit is met by all of them at about the same time.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def of_parts(self, parts: Sequence[Part]) -> Sequence[Part]:
        """Its own among all parts."""
        return parts[self.number :: self.of]


def share_of(text: str) -> Share:
    """The share that ``--shard`` names; raises ``UsageError``.

    >>> share_of("3/20")
    Share(number=3, of=20)
    """
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
    number, of = (int(found[1]), int(found[2])) if found else (0, 0)
    if not number < of <= MOST:
        raise UsageError(
            f"--shard wants I/N with I from 0 to N-1, as 0/20 to 19/20 (a Slurm array of 0-19); found {printable(text)!r}"
        )
    return Share(number, of)


@dataclass(frozen=True, slots=True)
class Made:
    """What a share made, and the numbers of the shares that have parts left to make."""

    share: Share
    parts: int
    documents: int
    tokens: int
    left: tuple[int, ...] = ()
    merged: bool = False  # the merge has begun or is done: there was nothing to do

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"schema": SCHEMA, "shard": self.share.number, "of": self.share.of} | {
            name: value for name, value in asdict(self).items() if name != "share"
        }


@contextmanager
def taken(folder: Path, share: Share) -> Iterator[None]:
    """The lock of a share, in the job's working ``folder``.

    Raises ``UnplateauError`` where another process is making it, ``UsageError`` where the job was cut otherwise.
    """
    with held(folder / LOCK):
        others = {of for of in _cuts(folder) if of != share.of}
        if others:
            raise UsageError(
                f"this folder was begun in {max(others)} shares; found --shard {share}: go on with "
                f"--shard I/{max(others)}, or leave --shard out to make what is left in one run"
            )
        (folder / f"share-{share.number}-of-{share.of}").touch()
    busy = f"shard {share} is being made by another process: wait for it"
    with held(folder / f"share-{share.number}-of-{share.of}", busy):
        yield


def _cuts(folder: Path) -> set[int]:
    """Into how many shares the job was cut, by those that were begun."""
    return {int(path.name.rpartition("-")[2]) for path in folder.glob("share-*-of-*")}


def make(job: Job, share: Share) -> Made:
    """The pieces of a share, made where they are not there yet, as far as the limits ask for them."""
    if (job.work / SPLIT).is_file() or job.assembly.closed() is not None:
        return Made(share, 0, 0, 0, merged=True)
    parts = share.of_parts(job.survey.parts)
    _pieces.swept(job.pieces, [part.number for part in parts])
    heads = _heads(job, parts)
    lost = missing(job.pieces, job.plan, job.survey.parts, job.options)
    left = tuple(sorted({part % share.of for part in lost}))
    documents, tokens = (sum(head[key] for head in heads) for key in ("documents", "tokens"))
    return Made(share, len(heads), documents, tokens, left)


def _heads(job: Job, parts: Sequence[Part]) -> list[Mapping[str, Any]]:
    heads: list[Mapping[str, Any]] = []
    before = _Before(job)
    if not parts or before.suffice(parts[0].number):
        return heads
    tokens = 0
    job.progress("tokenise", 0, len(parts), 0)
    for head in job.executor.map(work.maker_of(job.task(_pieces.FILES)), parts):
        heads.append(head)
        tokens += head["tokens"]
        job.progress("tokenise", len(heads), len(parts), tokens)
        if len(heads) < len(parts) and before.suffice(parts[len(heads)].number):
            break
    return heads


@dataclass
class _Before:
    """The pieces that are there, of all shares: what stands before a part, at least."""

    job: Job
    known: dict[int, tuple[int, int]] = field(default_factory=dict)

    def suffice(self, number: int) -> bool:
        """True where the pieces before part ``number`` hold all that the limits ask for."""
        options = self.job.options
        if options.limit_docs is None and options.limit_tokens is None:
            return False
        for part in range(number):
            if part not in self.known and (piece := _pieces.opened(self.job.pieces, part, self.job.plan)):
                self.known[part] = piece.documents, int(piece.head["tokens"])
        documents, tokens = (
            (sum(column) for column in zip(*self.known.values(), strict=True)) if self.known else (0, 0)
        )
        return enough(options, documents, tokens)


def missing(folder: Path, plan: str, parts: Sequence[Part], options: Options) -> list[int]:
    """The numbers of the parts that have no piece in ``folder``, up to where the limits are reached."""
    found: list[int] = []
    documents = tokens = 0
    for part in parts:
        piece = _pieces.opened(folder, part.number, plan)
        if piece is None:
            found.append(part.number)
            continue
        documents, tokens = documents + piece.documents, tokens + int(piece.head["tokens"])
        if enough(options, documents, tokens):
            break
    return found


def refuse_missing(folder: Path, plan: str, parts: Sequence[Part], options: Options) -> None:
    """Raise ``UnplateauError``, with the shards to make, where pieces are missing that a merge in ``folder`` needs."""
    if (folder / SPLIT).is_file():
        return  # begun before: then all were there, and some are let go of
    lost = missing(folder / "pieces", plan, parts, options)
    if not lost:
        return
    cuts = _cuts(folder)
    if not cuts:
        raise UnplateauError(
            "--merge found no shards: make them with --shard 0/N to N-1/N, or leave --merge out"
        )
    of = max(cuts)
    shares = ranges(sorted({part % of for part in lost}))
    raise UnplateauError(
        f"--merge lacks {len(lost):,} of {len(parts):,} parts: first run --shard I/{of} for I = {shares}"
    )


def ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers in words.

    >>> ranges([0, 1, 2, 5, 7, 8])
    '0 to 2, 5, 7, 8'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    told = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(told[:NAMED] + ([f"and {len(told) - NAMED} more"] if len(told) > NAMED else []))
