"""Documents to shards and a manifest, in stages that are each taken up where they were left.

A: parts to pieces (``work``), beside each other. B: duplicate clusters. C: splits, and counts of them. D: pieces to
shards (``_assemble``). E: ``manifest.json``, which is written last: where it stands, all it names is whole.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableError
from . import _measure, _pieces, work
from ._assemble import SEEN, Assembly, Writers, assemble, leave
from ._durable import sha256_of, write_durably
from ._executor import Executor, Local
from ._measure import Measured
from ._pieces import Piece
from ._plan import MANIFEST, WORK, Options, alone, claim, fingerprint
from .dedup import Clusters, clusters, comparer
from .mapped import is_whole
from .shards import Writer, Written, layout_of, write_meta
from .sources import Survey, survey
from .split import SPLITS, Split, assign, cluster_keys, sampled
from .statistics import share_of_pairs
from .tokenizers import Characters, Check, check, tokenizer_of, train_bpe
from .work import Work

SPLIT, MEASURED, ALPHABET, BPE = "split.npz", "measured.json", "alphabet.txt", "tokenizer.json"
BPE_CHARACTERS = 40_000_000  # that a BPE learns from, spread over all parts: a minute's training (BASELINES)
CHECKED = 1 << 20  # characters that two engines are held beside each other on

Array = NDArray[Any]
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


@dataclass(frozen=True, slots=True)
class Chosen:
    """What stages A to C found, as it is kept: arrays by document, and what the manifest says of them."""

    part: Array
    seen: Array
    group: Array
    pairs: Array
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


def prepare(
    sources: Sequence[str],
    out: Path,
    options: Options | None = None,
    *,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Prepare the documents of ``sources`` into ``out``; the manifest. Run again after a crash, it goes on.

    The bytes of ``out`` depend on the sources and ``options`` alone. Raises ``UsageError`` for a folder that holds
    something else, ``UnreadableError`` for what can't be read, ``UnplateauError`` for a second run or a full disk.
    """
    options, executor = options or Options(), executor or Local()
    found = survey(sources, replace(options.reading, limit=options.limit_docs))
    with alone(out):
        plan = fingerprint(options, found, _named(options.tokenizer))
        done = claim(out, plan)
        if done is not None:
            _check(out, done)
            shutil.rmtree(out / WORK, ignore_errors=True)  # where the run before ended right here
            return done
        _pieces.swept(out / WORK / "pieces")
        tokenizer = _tokenizer(out / WORK, options, found, executor)
        layout_of(options.format, tokenizer.tokenizer.vocab_size)
        return _run(Job(out, options, found, plan, tokenizer, executor, progress))


def _named(spec: str) -> str:
    """A tokeniser by its content where it is a file."""
    path = Path(spec)
    path = path / "tokenizer.json" if path.is_dir() else path
    return sha256_of(path) if path.is_file() else spec


def _shards(job: Job) -> None:
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


def _check(out: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse a finished folder whose shards are not as they were written."""
    for split in manifest["splits"].values():
        for file in split["files"]:
            if not is_whole(out, Written(**file)):
                raise UnreadableError(
                    f"{file['path']} is not as it was written: remove {MANIFEST} and all shards, and prepare again"
                )


def _run(job: Job) -> dict[str, Any]:
    if job.assembly.closed() is None:
        _shards(job)
    from ._manifest import manifest_of, write

    chosen, measured = _load(job), json.loads((job.work / MEASURED).read_bytes())
    files = job.assembly.moved()
    extra = _extras(job)
    hashes = list(job.executor.map(work.sha256, [f.path for f in job.survey.files]))
    told = manifest_of(job, chosen.told, measured, files, extra=extra, hashes=hashes)
    write(told, job.out / MANIFEST)
    shutil.rmtree(job.work, ignore_errors=True)
    return told


# ---------------------------------------------------------------- the tokeniser


def _tokenizer(folder: Path, options: Options, found: Survey, executor: Executor) -> Check:
    """The tokeniser that was asked for, learnt or counted from the sources where it has to be, and checked."""
    reading = replace(found.reading, skip=True)
    if options.train_bpe:
        path = folder / BPE
        if not path.is_file():
            train_bpe(work.texts(found.parts, reading, BPE_CHARACTERS), options.train_bpe, path)
        tokenizer = tokenizer_of(str(path))
    elif options.tokenizer == "chars":
        tokenizer = tokenizer_of("chars", alphabet=_alphabet(folder / ALPHABET, found, executor))
    else:
        tokenizer = tokenizer_of(options.tokenizer)
    return check(tokenizer, work.texts(found.parts[:1], reading, CHECKED))


def _alphabet(path: Path, found: Survey, executor: Executor) -> str:
    if not path.is_file():
        parts = executor.map(partial(work.alphabet, replace(found.reading, skip=True)), found.parts)
        letters = "".join(sorted(set().union(*map(set, parts))))
        write_durably(path, letters.encode())
    return path.read_bytes().decode()


# ---------------------------------------------------------------- A: pieces


def _make(job: Job, begun: int, names: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """The heads of all pieces from ``begun`` on, made where they are not there; up to the limit asked for."""
    parts = job.survey.parts[begun:]
    reading = job.survey.reading
    mine = Work(
        job.pieces,
        reading,
        job.tokenizer.tokenizer,
        job.plan,
        job.options.filters,
        job.options.dedup,
        names,
    )
    heads: list[Mapping[str, Any]] = []
    tokens = documents = 0
    for head in job.executor.map(work.maker_of(mine), parts):
        heads.append(head)
        tokens, documents = tokens + head["tokens"], documents + head["documents"]
        job.progress("tokenise", len(heads), len(parts), tokens)
        if _enough(job.options, documents, tokens):
            break
    return heads


def _enough(options: Options, documents: int, tokens: int) -> bool:
    enough_docs = options.limit_docs is not None and documents >= options.limit_docs
    return enough_docs or (options.limit_tokens is not None and tokens >= options.limit_tokens)


# ---------------------------------------------------------------- B, C: clusters, splits


def _chosen(job: Job, begun: int) -> Chosen:
    """Clusters and splits: as they were kept, or found now. Pieces from ``begun`` on are then whole."""
    if (job.work / SPLIT).is_file():
        chosen = _load(job)
        if begun < len(chosen.starts) - 1:
            _make(job, begun, (_pieces.TOKENS, _pieces.DOCUMENTS, _pieces.LABELS))
        return chosen
    heads = _make(job, 0, _pieces.FILES)
    pieces = _opened(job, len(heads))
    chosen = _choose(job, heads, pieces)
    _keep(job, chosen)
    return chosen


def _opened(job: Job, count: int, begun: int = 0) -> list[Piece]:
    found = [_pieces.opened(job.pieces, n, job.plan) for n in range(begun, count)]
    if any(piece is None for piece in found):
        raise UnreadableError("a piece is gone from the working folder: run the same command again")
    return [piece for piece in found if piece is not None]


def _choose(job: Job, heads: Sequence[Mapping[str, Any]], pieces: Sequence[Piece]) -> Chosen:
    options = job.options
    starts = np.concatenate([[0], np.cumsum([p.documents for p in pieces])]).astype(np.int64)
    if not starts[-1]:
        raise UnreadableError(
            "no documents are left: the sources are empty, or --where and filters remove all"
        )
    lengths = np.concatenate([p.column("lengths") for p in pieces]).astype(np.int64)
    within = _within(options, lengths)
    found = _clusters(job, pieces, starts)
    exact = np.concatenate([p.signatures.exact for p in pieces])
    keep = within & (found.first if options.dedup == "drop" else True)
    split = assign(found.cluster, exact, lengths, seed=options.seed, keep=keep, val_tokens=options.val_tokens)
    keys = cluster_keys(found.cluster, exact)
    from .fair import groups_of

    pairs = sampled(keys, share_of_pairs(int(lengths[keep].sum())), options.seed, "pairs")
    told = _told(job, heads, found, split, within=within, lengths=lengths)
    return Chosen(split.part, split.seen, groups_of(keys, options.seed), pairs, starts, told)


def _within(options: Options, lengths: Array) -> Array:
    """The documents before the limits."""
    within = np.ones(len(lengths), bool)
    if options.limit_docs is not None:
        within[options.limit_docs :] = False
    if options.limit_tokens is not None:
        within &= np.cumsum(lengths) - lengths < options.limit_tokens
    return within


def _clusters(job: Job, pieces: Sequence[Piece], starts: Array) -> Clusters:
    job.progress("find copies", 0, 1, 0)
    tokenizer = job.tokenizer.tokenizer
    text_of = partial(_pieces.text_of, pieces, starts, tokenizer)
    found = clusters([piece.signatures for piece in pieces], comparer(text_of))
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
    train = split.part == 0
    unique = int(lengths[train & found.first].sum())
    return {
        "read": sum(head["read"] for head in heads),
        "kept": int(within.sum()),
        "filtered": filtered,
        "skipped": sum(head["skipped"] for head in heads),
        "skipped_named": [line for head in heads for line in head["skipped_named"]][:100],
        "bytes": sum(head["bytes"] for head in heads),
        "duplicates": found.as_dict(),
        "split": split.as_dict(),
        "unique_tokens": unique,
        "near_looked_for": job.options.dedup != "off",
        "parts": len(heads),
        "of_parts": len(job.survey.parts),
    }


def _keep(job: Job, chosen: Chosen) -> None:
    """Keep what was chosen; the hashes have then done their work."""
    held = io.BytesIO()
    np.savez(
        held,
        part=chosen.part,
        seen=chosen.seen,
        group=chosen.group.astype(np.uint8),
        pairs=chosen.pairs,
        starts=chosen.starts,
        told=np.frombuffer(json.dumps(chosen.told).encode(), np.uint8),
        plan=np.frombuffer(job.plan.encode(), np.uint8),
    )
    write_durably(job.work / SPLIT, held.getvalue())
    for number in range(len(chosen.starts) - 1):
        (job.pieces / _pieces.name_of(number) / _pieces.HASHES).unlink(missing_ok=True)


def _load(job: Job) -> Chosen:
    with np.load(job.work / SPLIT, allow_pickle=False) as held:
        told = json.loads(held["told"].tobytes())
        group = held["group"].astype(np.int64)
        return Chosen(held["part"], held["seen"], group, held["pairs"], held["starts"], told)


def _measured(job: Job, chosen: Chosen) -> dict[str, Any]:
    """Counts of all pieces, as they were kept or counted now."""
    if (job.work / MEASURED).is_file():
        found: dict[str, Any] = json.loads((job.work / MEASURED).read_bytes())
        return found
    vocab, columns = job.tokenizer.tokenizer.vocab_size, job.survey.reading.meta
    asked = []
    for number in range(len(chosen.starts) - 1):
        here = chosen.of(number)
        arrays = (a[here] for a in (chosen.part, chosen.seen, chosen.group, chosen.pairs))
        asked.append(_measure.Asked(job.pieces, number, job.plan, vocab, columns, *arrays))
    counted = job.executor.map(_measure.measure, asked)
    stretches = _measure.stretches_of(len(asked), vocab)
    total = _measure.added(_watched(job, "count", counted, len(asked)), vocab, stretches)
    told = _measure.as_dict(total, job.options.seed)
    if stretches is not None:
        told["order"] = _measure.drift(stretches[0], job.options.seed)
    write_durably(job.work / MEASURED, json.dumps(told).encode())
    return told


def _watched(job: Job, stage: str, found: Iterator[Measured], count: int) -> Iterator[Measured]:
    tokens = 0
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

    assemble(job.assembly, begun, pieces, chosen.choice, told_of)


def _extras(job: Job) -> list[Written]:
    """Files beside the shards: the tokeniser that was learnt, and what nanoGPT's sample.py needs."""
    tokenizer, found = job.tokenizer.tokenizer, []
    trained = job.work / BPE
    if trained.is_file():
        data = trained.read_bytes()
        found.append(Written(BPE, len(data), write_durably(job.out / BPE, data), 0, 0))
    if job.options.format == "nanogpt" and tokenizer.name != "gpt2":
        words = [*tokenizer.alphabet, "<|endoftext|>"] if isinstance(tokenizer, Characters) else ()
        found.append(write_meta(job.out, tokenizer.vocab_size, words))
    return found
