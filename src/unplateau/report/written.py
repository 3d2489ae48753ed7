"""What ``unplateau report`` wrote, in words and as JSON: the verdict on each run, then the files with their sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..diagnosis import Diagnosis
from ..run import Fact
from .facts import measured
from .headline import headline
from .json import plain
from .lines import WIDTH, Line, render

SCHEMA = "unplateau.report/1"


@dataclass(frozen=True, slots=True)
class Written:
    """A file of a report. ``kind``: html, svg or png; ``size``: bytes."""

    path: Path
    kind: str
    size: int


def text(
    found: Sequence[Diagnosis],
    files: Sequence[Written],
    claims: Mapping[str, str],
    *,
    width: int = WIDTH,
    colour: bool = False,
) -> str:
    """The verdicts and the files."""
    return render(_lines(found, files, claims), width, colour=colour)


def _lines(found: Sequence[Diagnosis], files: Sequence[Written], claims: Mapping[str, str]) -> Iterator[Line]:
    for one in found:
        if len(found) > 1:
            yield Line(one.run.name, "dim", most=1)
        yield Line(headline(one, claims), "title")
    for file in files:
        yield Line(f"wrote {file.path} ({measured(Fact(file.size, 'bytes'))})", hang=2)


def document(
    found: Sequence[Diagnosis], files: Sequence[Written], claims: Mapping[str, str], apart: str = ""
) -> dict[str, Any]:
    """``report --json``; ``apart``: why several runs are not compared."""
    said = {
        "schema": SCHEMA,
        "runs": [_run(one, claims) for one in found],
        "compared": len(found) > 1 and not apart,
        "why_not_compared": apart or None,
        "files": [{"path": str(file.path), "kind": file.kind, "bytes": file.size} for file in files],
    }
    out: dict[str, Any] = plain(said)
    return out


def _run(found: Diagnosis, claims: Mapping[str, str]) -> dict[str, Any]:
    first = found.first
    return {
        "run": found.run.name,
        "verdict": headline(found, claims),
        "state": found.state.verdict,
        "cause": first.cause if first is not None else None,
        "probability": first.probability if first is not None else None,
    }
