"""Documents to shards and a manifest, in stages that are each taken up where they were left.

A: parts to pieces (``work``), beside each other. B: duplicate clusters. C: splits, and counts of them. D: pieces to
shards (``_assemble``). E: ``manifest.json``, which is written last: where it stands, all it names is whole.
Stages A to D are in ``_stages``; here are what is before and after them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..durable import sha256_of, write_durably
from ..errors import UnreadableError, UsageError, printable
from . import _pieces, _shares, work
from ._beside import beside
from ._chosen import load
from ._executor import Executor, Local
from ._files import apart
from ._locks import LOCK, alone, held, together
from ._plan import MANIFEST, WORK, Options, claim, fingerprint, stamps, still
from ._shares import Made, Share
from ._stages import MEASURED, Job, Progress, shards, silent
from .mapped import is_whole
from .shards import Written, layout_of
from .sources import Survey, short, survey
from .tokenizers import Check, check, tokenizer_of, train_bpe

ALPHABET, BPE = "alphabet.txt", "tokenizer.json"
BPE_CHARACTERS = 40_000_000  # that a BPE learns from, spread over all parts: a minute's training (BASELINES)
CHECKED = 1 << 20  # characters that two engines are held beside each other on


def prepare(
    sources: Sequence[str],
    out: Path,
    options: Options | None = None,
    *,
    executor: Executor | None = None,
    progress: Progress = silent,
    merge: bool = False,
) -> dict[str, Any]:
    """Prepare the documents of ``sources`` into ``out``; the manifest. Run again after a crash, it goes on.

    The bytes of ``out`` depend on the sources and ``options`` alone. Raises ``UsageError`` for a folder that holds
    something else, ``UnreadableError`` for what can't be read, ``UnplateauError`` for a second run or a full disk,
    and, where it shall only ``merge`` what ``prepare_share`` made, for parts that are not there.
    """
    options, executor = options or Options(), executor or Local()
    found = _surveyed(sources, options, out)
    with alone(out):
        plan = _plan_of(options, found)
        done = claim(out, plan, found)
        if done is not None:
            _check(out, done, found)
            done = _told_again(out, done, options.batch_tokens)
            shutil.rmtree(out / WORK, ignore_errors=True)  # where the run before ended right here
            return done
        if merge:
            _shares.refuse_missing(out / WORK, plan, found.parts, options)
        _pieces.swept(out / WORK / "pieces")
        return _run(_job(out, options, found, plan, executor=executor, progress=progress))


def prepare_share(
    sources: Sequence[str],
    out: Path,
    share: Share,
    options: Options | None = None,
    *,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> Made:
    """Make the pieces of one share in ``out``, beside other shares; ``prepare`` with ``merge`` does the rest.

    Raises what ``prepare`` does; ``UnplateauError`` also where the same share is being made.
    """
    options, executor = options or Options(), executor or Local()
    found = _surveyed(sources, options, out)
    with together(out):
        plan = _plan_of(options, found)
        if claim(out, plan, found) is not None:
            return Made(share, 0, 0, 0, merged=True)
        with _shares.taken(out / WORK, share):
            return _shares.make(_job(out, options, found, plan, executor=executor, progress=progress), share)


def _surveyed(sources: Sequence[str], options: Options, out: Path) -> Survey:
    found = survey(sources, replace(options.reading, limit=options.limit_docs))
    apart(sources, found.files, out)
    return found


def _plan_of(options: Options, found: Survey) -> str:
    return fingerprint(options, found, _named(options.tokenizer))


def _job(
    out: Path, options: Options, found: Survey, plan: str, *, executor: Executor, progress: Progress
) -> Job:
    with held(out / WORK / LOCK):  # of shares that come together, the first learns what has to be learnt
        tokenizer = _tokenizer(out / WORK, options, found, executor)
    layout_of(options.format, tokenizer.tokenizer.vocab_size)
    found = replace(found, notes=(*found.notes, *_in_vain(options, tokenizer.tokenizer.vocab_size)))
    return Job(out, options, found, plan, tokenizer, executor, progress)


def _in_vain(options: Options, size: int) -> Iterator[str]:
    """What was asked for and has no effect, or not all of it."""
    if options.train_bpe and size < options.train_bpe:
        yield f"the text gives a vocabulary of {size:,}, not of the {options.train_bpe:,} asked for"
    if options.filters.languages and not options.filters.removes("language"):
        yield "--language counts what it would remove; --filter language removes it"


def _named(spec: str) -> str:
    """A tokeniser by its content where it is a file."""
    path = Path(spec)
    path = path / "tokenizer.json" if path.is_dir() else path
    return sha256_of(path) if path.is_file() else spec


def _check(out: Path, manifest: Mapping[str, Any], found: Survey) -> None:
    """Refuse a finished folder whose shards are not as they were written, or whose sources are not as they were."""
    made = (out / MANIFEST).stat().st_mtime_ns
    newer = {path for path, written in stamps(found).items() if written > made}
    for file, source in zip(found.files, manifest["sources"], strict=True):
        if file.path in newer and work.sha256(file.path) != source["sha256"]:
            raise UsageError(
                f"{short(file.path)} has changed since {printable(str(out))} was prepared: give another --out"
            )
    for split in manifest["splits"].values():
        for file in split["files"]:
            if not is_whole(out, Written(**file)):
                raise UnreadableError(
                    f"{file['path']} is not as it was written: remove {MANIFEST} and all shards, and prepare again"
                )


def _told_again(out: Path, done: dict[str, Any], batch_tokens: int | None) -> dict[str, Any]:
    """The manifest of a finished folder, with the steps of a pass at another batch written where they are asked for."""
    from ._manifest import with_pass, write

    if (told := with_pass(done, batch_tokens)) != done:
        write(told, out / MANIFEST)
    return told


def _run(job: Job) -> dict[str, Any]:
    if job.assembly.closed() is None:
        shards(job)
    from ._manifest import manifest_of, write

    chosen, measured = load(job.work), json.loads((job.work / MEASURED).read_bytes())
    files = job.assembly.moved()
    extra = beside(job.tokenizer.tokenizer, job.options.format, job.out)
    hashes = list(job.executor.map(work.sha256, [f.path for f in job.survey.files]))
    still(job.out, job.survey)
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
