"""What was asked for, and whether a folder may take it: new, or left by the same plan; one run at a time."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__
from ..durable import told, write_durably
from ..errors import UnplateauError, UsageError, printable
from .filters import Filters
from .shards import FORMATS, SHARD_TOKENS
from .sources import Reading, Survey
from .work import Dedup

WORK, PLAN, MANIFEST = ".work", "plan.json", "manifest.json"
DEDUP = ("keep", "drop", "off")


@dataclass(frozen=True, slots=True)
class Options:
    """How documents are prepared.

    ``tokenizer``: gpt2, bytes, chars or a path; ``train_bpe``: the size of one to learn instead. ``dedup``: what
    becomes of copies, off where near ones are not even looked for. ``limit_docs``, ``limit_tokens``: where to end.
    ``val_tokens``: tokens of val, where not the default. ``batch_tokens``: tokens of a step, for the manifest.
    """

    reading: Reading = field(default_factory=Reading)
    filters: Filters = field(default_factory=Filters)
    tokenizer: str = "gpt2"
    train_bpe: int | None = None
    dedup: Dedup = "keep"
    format: str = "own"
    seed: int = 0
    limit_docs: int | None = None
    limit_tokens: int | None = None
    val_tokens: int | None = None
    batch_tokens: int | None = None
    shard_tokens: int = SHARD_TOKENS

    def __post_init__(self) -> None:
        for name, known in (("dedup", DEDUP), ("format", FORMATS)):
            if getattr(self, name) not in known:
                raise UsageError(
                    f"--{name} wants one of {', '.join(known)}; found {printable(str(getattr(self, name)))!r}"
                )


def fingerprint(options: Options, survey: Survey, tokenizer: str) -> str:
    """sha256 of all that the result depends on: options, sources by name and size, the tokeniser, this version."""
    asked = {
        "version": __version__,
        "options": asdict(options),
        "files": [asdict(file) for file in survey.files],
        "parts": len(survey.parts),
        "reading": asdict(survey.reading),
        "tokenizer": tokenizer,
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def claim(out: Path, plan: str) -> dict[str, Any] | None:
    """Make ``out`` the folder of ``plan``; the manifest where the plan is done there already.

    Raises ``UsageError`` for a folder that holds something else.
    """
    if (done := _json(out / MANIFEST)) is not None:
        if done.get("plan") != plan:
            raise UsageError(
                f"{printable(str(out))} holds data that was prepared otherwise (other sources, options or version): "
                "give another --out"
            )
        return done
    mine = _json(out / WORK / PLAN)
    others = [p.name for p in out.iterdir() if p.name != WORK]
    if mine is None and others:
        raise UsageError(
            f"{printable(str(out))} is not empty (it holds {printable(others[0])}): give a folder that is new or empty"
        )
    if mine is not None and mine.get("plan") != plan:
        raise UsageError(
            f"{printable(str(out))} holds an unfinished run with other sources or options: run that again to finish "
            f"it, or remove {WORK} in it, or give another --out"
        )
    with told(out):
        (out / WORK).mkdir(exist_ok=True)
        write_durably(out / WORK / PLAN, json.dumps({"plan": plan}).encode())
    return None


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """One run at a time in ``out``, which is made; the second is refused with ``UnplateauError``."""
    with told(out):
        out.mkdir(parents=True, exist_ok=True)
    if os.name != "posix":
        yield
        return
    import fcntl

    handle = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UnplateauError(
            f"another run is working in {printable(str(out))}: wait for it, or give another --out"
        ) from None
    finally:
        os.close(handle)
