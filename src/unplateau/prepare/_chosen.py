"""Which documents are copies of which, and which split each is in: found once, and kept for the stages after."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..durable import write_durably
from ..errors import UnreadableError
from . import _pieces
from ._assemble import SEEN
from ._copies import Begin, Texts, find
from ._pieces import Piece
from .dedup import Clusters
from .split import SPLITS, Split, assign, cluster_keys, possible

if TYPE_CHECKING:
    from ._plan import Options
    from ._stages import Job

SPLIT = "split.npz"

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What stages A to C found, as it is kept: arrays by document, and what the manifest says of them."""

    part: Array
    seen: Array
    group: Array
    starts: Array  # first document of each piece, and the number of all
    told: Mapping[str, Any]

    def of(self, number: int) -> slice:
        """The documents of a piece."""
        return slice(int(self.starts[number]), int(self.starts[number + 1]))

    def choice(self, number: int) -> dict[str, Array]:
        """Which documents of a piece go to which split."""
        here = self.of(number)
        flags = {name: self.part[here] == code for code, name in enumerate(SPLITS)}
        return {**flags, SEEN: self.seen[here]}


def choose(job: Job, heads: Sequence[Mapping[str, Any]], pieces: Sequence[Piece]) -> Chosen:
    options = job.options
    starts = np.concatenate([[0], np.cumsum([p.documents for p in pieces])]).astype(np.int64)
    if not starts[-1]:
        raise UnreadableError(
            "no documents are left: the sources are empty, or --where and filters remove all"
        )
    lengths = np.concatenate([p.column("lengths") for p in pieces]).astype(np.int64)
    within = _within(options, lengths)
    if options.val_tokens is not None:
        possible(options.val_tokens, int(lengths[within].sum()))  # before copies are looked for
    begins = [
        Begin(piece, max(0, int(within.sum()) - start))
        for piece, start in zip(pieces, starts.tolist(), strict=False)
    ]
    copies = _clusters(job, begins, starts)
    found = _with_rest(copies, len(lengths))
    exact = np.concatenate([p.exact for p in pieces])
    keep = within & (found.first if options.dedup == "drop" else True)
    split = assign(found.cluster, exact, lengths, seed=options.seed, keep=keep, val_tokens=options.val_tokens)
    keys = cluster_keys(found.cluster, exact)
    from .fair import groups_of

    told = _told(job, heads, found, split, within=within, lengths=lengths)
    told["duplicates"] = copies.as_dict()
    return Chosen(split.part, split.seen, groups_of(keys, options.seed), starts, told)


def _with_rest(copies: Clusters, documents: int) -> Clusters:
    """The clusters with those of ``documents`` that lie beyond a limit, each alone."""
    rest = np.arange(len(copies.cluster), documents)
    none = np.zeros(len(rest), bool)
    exact, near = (np.concatenate([flags, none]) for flags in (copies.exact, copies.near))
    return replace(copies, cluster=np.concatenate([copies.cluster, rest]), exact=exact, near=near)


def _within(options: Options, lengths: Array) -> Array:
    """The documents before the limits."""
    within = np.ones(len(lengths), bool)
    if options.limit_docs is not None:
        within[options.limit_docs :] = False
    if options.limit_tokens is not None:
        within &= np.cumsum(lengths) - lengths < options.limit_tokens
    return within


def _clusters(job: Job, pieces: Sequence[Begin], starts: Array) -> Clusters:
    job.progress("find copies", 0, 1, 0)
    texts = Texts(job.pieces, job.plan, tuple(starts.tolist()), job.tokenizer.tokenizer)
    found = find(pieces, texts, job.executor, lambda done, of: job.progress("find copies", done, of + 1, 0))
    job.progress("find copies", 1, 1, 0)
    return found


def _told(
    job: Job,
    heads: Sequence[Mapping[str, Any]],
    found: Clusters,
    split: Split,
    *,
    within: Array,
    lengths: Array,
) -> dict[str, Any]:
    """What the manifest says of reading, copies and splits."""
    filtered: dict[str, int] = {}
    for head in heads:
        for reason, number in head["filtered"].items():
            filtered[reason] = filtered.get(reason, 0) + number
    train, damaged = split.part == 0, job.survey.damaged
    unique = int(lengths[train & found.first].sum())
    return {
        "read": sum(head["read"] for head in heads),
        "unmet": sum(head["unmet"] for head in heads),
        "kept": int(within.sum()),
        "filtered": filtered,
        "skipped": len(damaged) + sum(head["skipped"] for head in heads),
        "skipped_named": [*damaged, *(line for head in heads for line in head["skipped_named"])][:100],
        "bytes": sum(head["bytes"] for head in heads),
        "split": split.as_dict(),
        "unique_tokens": unique,
        "near_looked_for": job.options.dedup != "off",
        "parts": len(heads),
        "of_parts": len(job.survey.parts),
    }


def keep(job: Job, chosen: Chosen) -> None:
    """Keep what was chosen; the hashes have then done their work."""
    held = io.BytesIO()
    np.savez(
        held,
        part=chosen.part,
        seen=chosen.seen,
        group=chosen.group.astype(np.uint8),
        starts=chosen.starts,
        told=np.frombuffer(json.dumps(chosen.told).encode(), np.uint8),
        plan=np.frombuffer(job.plan.encode(), np.uint8),
    )
    write_durably(job.work / SPLIT, held.getvalue())
    for number in range(len(chosen.starts) - 1):
        for name in _pieces.HASHES:
            (job.pieces / _pieces.name_of(number) / name).unlink(missing_ok=True)


def load(folder: Path) -> Chosen:
    with np.load(folder / SPLIT, allow_pickle=False) as held:
        told = json.loads(held["told"].tobytes())
        group = held["group"].astype(np.int64)
        return Chosen(held["part"], held["seen"], group, held["starts"], told)
