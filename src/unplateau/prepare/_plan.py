"""What was asked for, and whether a folder may take it: new, or left by the same plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..durable import told, write_durably
from ..errors import UnreadableError, UsageError, printable
from ._locks import LOCK, held
from .embedded import SOURCE
from .filters import Filters
from .shards import FORMATS, SHARD_TOKENS
from .sources import Reading, Survey, short
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
        if self.train_bpe is not None and self.tokenizer != "gpt2":
            raise UsageError(
                f"--train-bpe learns a tokenizer; --tokenizer {printable(self.tokenizer)} names one"
            )
        for name, known in (("dedup", DEDUP), ("format", FORMATS)):
            if getattr(self, name) not in known:
                raise UsageError(
                    f"--{name} wants one of {', '.join(known)}; found {printable(str(getattr(self, name)))!r}"
                )


def fingerprint(options: Options, survey: Survey, tokenizer: str) -> str:
    """sha256 of all that the result depends on: options, sources by name and size, the tokeniser, this version."""
    asked = {
        "version": __version__,
        "options": asdict(replace(options, batch_tokens=None)),  # of which no byte of the shards depends
        "files": [asdict(file) for file in survey.files],
        "parts": len(survey.parts),
        "reading": asdict(survey.reading),
        "tokenizer": tokenizer,
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def stamps(survey: Survey) -> dict[str, int]:
    """When the files on this machine were last written, in nanoseconds: pieces of two states of one never meet."""
    local = (f.path for f in survey.files if "://" not in f.path and f.path != SOURCE)
    return {path: Path(path).stat().st_mtime_ns for path in local}


def changed(before: Mapping[str, int], survey: Survey) -> None:
    """Refuse, with ``UnreadableError``, files that were written since ``before``, their ``stamps``."""
    now = stamps(survey)
    if path := next((p for p in now if before.get(p, now[p]) != now[p]), None):
        raise UnreadableError(
            f"{short(path)} was written since this run began: remove {WORK} in the output folder to begin anew"
        )


def claim(out: Path, plan: str, survey: Survey) -> dict[str, Any] | None:
    """Make ``out`` the folder of ``plan``; the manifest where the plan is done there already.

    Raises ``UsageError`` for a folder that holds something else, ``UnreadableError`` for sources that changed.
    """
    if (done := _json(out / MANIFEST)) is not None:
        if done.get("plan") != plan:
            raise UsageError(
                f"{printable(str(out))} holds data that was prepared otherwise (other sources, options or version): "
                "give another --out"
            )
        return done
    others = [p.name for p in out.iterdir() if p.name not in (WORK, LOCK)]
    if others and not (out / WORK / PLAN).is_file():
        raise UsageError(
            f"{printable(str(out))} is not empty (it holds {printable(others[0])}): give a folder that is new or empty"
        )
    with told(out):
        (out / WORK).mkdir(exist_ok=True)
    with held(out / WORK / LOCK):  # shares of one job may come together
        _sign(out, plan, survey)
    return None


def _sign(out: Path, plan: str, survey: Survey) -> None:
    mine = _json(out / WORK / PLAN)
    if mine is None:
        signed = {"plan": plan, "written": stamps(survey)}
        write_durably(out / WORK / PLAN, json.dumps(signed).encode())
    elif mine.get("plan") != plan:
        raise UsageError(
            f"{printable(str(out))} holds an unfinished run with other sources or options: run that again to finish "
            f"it, or remove {WORK} in it, or give another --out"
        )
    else:
        changed(mine.get("written", {}), survey)


def still(out: Path, survey: Survey) -> None:
    """Refuse sources that were written while they were read: ``changed`` since the run began."""
    changed((_json(out / WORK / PLAN) or {}).get("written", {}), survey)


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
