"""Stages A to D of a job: pieces, duplicate clusters and splits (``_chosen``), counts, shards."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from ..durable import write_durably
from ..errors import UnreadableError
from . import _kept, _measure, _pieces, work
from ._assemble import Assembly, Writers, assemble, leave
from ._chosen import SPLIT, Chosen, choose, keep, load
from ._executor import Executor
from ._measure import Measured
from ._pieces import Piece
from ._plan import WORK, Options
from .shards import Writer
from .sources import Part, Survey
from .tokenizers import Check
from .work import Work

MEASURED = "measured.json"

_GONE = Piece(Path(), {})  # stands for one that its shards no longer need


def silent(_stage: str, _done: int, _total: int, _tokens: int) -> None:
    """Progress that nobody looks at: stage, parts done, of how many, tokens so far."""


Progress = Callable[[str, int, int, int], None]


@dataclass(frozen=True, slots=True)
class Job:
    """A plan at work: what was found and asked for, where it goes, who does it, and who is told."""

    out: Path
    options: Options
    survey: Survey
    plan: str
    tokenizer: Check
    executor: Executor
    progress: Progress

    @property
    def work(self) -> Path:
        return self.out / WORK

    @property
    def pieces(self) -> Path:
        return self.work / "pieces"

    @property
    def assembly(self) -> Assembly:
        return Assembly(self.work, self.out, self.plan, self.writer)

    def writer(self, folder: Path, split: str, state: Mapping[str, Any] | None) -> Writer:
        """The writer of one split, going on from ``state``."""
        tokenizer, options = self.tokenizer.tokenizer, self.options
        return Writer(
            folder,
            split,
            options.format,
            vocab_size=tokenizer.vocab_size,
            eot=tokenizer.eot,
            tokenizer=tokenizer.name,
            shard_tokens=options.shard_tokens,
            state=state,
        )

    def task(self, names: tuple[str, ...]) -> Work:
        """What parts are made to pieces with; of a piece that is there, the files ``names`` have to be whole."""
        tokenizer, options = self.tokenizer.tokenizer, self.options
        dedup = options.dedup if _pieces.BANDS in names else "off"
        return Work(self.pieces, self.survey.reading, tokenizer, self.plan, options.filters, dedup, names)


def shards(job: Job) -> None:
    """All stages up to the shards, each from where it was left."""
    begun = _begun(job)
    try:
        chosen = _chosen(job, begun[0])
        _measured(job, chosen)
        _assembled(job, chosen, begun)
    finally:
        leave(begun[1])


def _begun(job: Job) -> tuple[int, Writers]:
    """Where writing shards was left; begun anew where they are not as they were left."""
    try:
        return job.assembly.writers()
    except UnreadableError:
        job.assembly.forget()
        return job.assembly.writers()


# ---------------------------------------------------------------- A: pieces


def _make(job: Job, parts: Sequence[Part], names: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """The heads of the pieces of ``parts``, made where they are not there; up to the limit asked for."""
    heads: list[Mapping[str, Any]] = []
    tokens = documents = 0
    job.progress("tokenise", 0, len(parts), 0)
    for head in job.executor.map(work.maker_of(job.task(names)), parts):
        heads.append(head)
        tokens, documents = tokens + head["tokens"], documents + head["documents"]
        done = enough(job.options, documents, tokens)
        of = len(heads) if done else min(len(parts), _needed(job.options, len(heads), documents, tokens))
        job.progress("tokenise", len(heads), of, tokens)
        if done:
            break
    return heads


def _needed(options: Options, parts: int, documents: int, tokens: int) -> int:
    """How many parts it will take to the limits, by what ``parts`` gave that did not reach them; a guess."""
    limits = ((options.limit_docs, documents), (options.limit_tokens, tokens))
    return min((ceil(parts * most / found) for most, found in limits if most and found), default=sys.maxsize)


def enough(options: Options, documents: int, tokens: int) -> bool:
    """True once the limits are reached."""
    enough_docs = options.limit_docs is not None and documents >= options.limit_docs
    return enough_docs or (options.limit_tokens is not None and tokens >= options.limit_tokens)


# ---------------------------------------------------------------- B, C: clusters, splits, counts


def _chosen(job: Job, begun: int) -> Chosen:
    """Clusters and splits: as they were kept, or found now. Pieces from ``begun`` on are then whole."""
    if (job.work / SPLIT).is_file():
        chosen = load(job.work)
        again = job.survey.parts[begun : len(chosen.starts) - 1]
        _make(job, again, (_pieces.TOKENS, _pieces.DOCUMENTS, _pieces.LABELS))
        return chosen
    heads = _make(job, job.survey.parts, _pieces.FILES)
    pieces = _opened(job, len(heads))
    chosen = choose(job, heads, pieces)
    keep(job, chosen)
    return chosen


def _opened(job: Job, count: int, begun: int = 0) -> list[Piece]:
    found = [_pieces.opened(job.pieces, n, job.plan) for n in range(begun, count)]
    if any(piece is None for piece in found):
        raise UnreadableError("a piece is gone from the working folder: run the same command again")
    return [piece for piece in found if piece is not None]


def _measured(job: Job, chosen: Chosen) -> dict[str, Any]:
    """Counts of all pieces, as they were kept or counted now."""
    if (job.work / MEASURED).is_file():
        found: dict[str, Any] = json.loads((job.work / MEASURED).read_bytes())
        return found
    vocab, columns = job.tokenizer.tokenizer.vocab_size, job.survey.reading.meta
    splits = _kept.Splits(job.pieces, job.plan, chosen.part, chosen.starts)
    pairs = job.executor.map(partial(_kept.pairs, vocab, job.options.seed), [splits])  # beside the counts
    asked = []
    for number in range(len(chosen.starts) - 1):
        here = chosen.of(number)
        part, seen, group = chosen.part[here], chosen.seen[here], chosen.group[here]
        within = max(0, int(chosen.told["kept"] - chosen.starts[number]))
        asked.append(_measure.Asked(job.pieces, number, job.plan, vocab, columns, part, seen, group, within))
    counted = job.executor.map(_measure.measure, asked)
    stretches = _measure.stretches_of(len(asked), vocab)
    total = _measure.added(_watched(job, "count", counted, len(asked)), vocab, stretches)
    told = _measure.as_dict(total, job.options.seed)
    if stretches is not None:
        told["order"] = _measure.drift(stretches[0], job.options.seed)
    told["pairs"] = next(pairs)
    write_durably(job.work / MEASURED, json.dumps(told).encode())
    return told


def _watched(job: Job, stage: str, found: Iterator[Measured], count: int) -> Iterator[Measured]:
    tokens = 0
    job.progress(stage, 0, count, 0)
    for done, one in enumerate(found, 1):
        tokens += one.train.tokens + one.val.tokens
        job.progress(stage, done, count, tokens)
        yield one


# ---------------------------------------------------------------- D: shards


def _assembled(job: Job, chosen: Chosen, begun: tuple[int, Writers]) -> None:
    count = len(chosen.starts) - 1
    pieces = [*[_GONE] * begun[0], *_opened(job, count, begun[0])]

    tokens = 0

    def told_of(done: int, more: int) -> None:
        nonlocal tokens
        tokens += more
        job.progress("write", done, count, tokens)

    job.progress("write", begun[0], count, 0)
    assemble(job.assembly, begun, pieces, chosen.choice, told_of)
