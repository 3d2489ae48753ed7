"""Runs whose cause is known, and what the diagnosis said of each: plain values that cross process borders."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "benchmarks" / "planted"), str(ROOT / "benchmarks" / "curves")]

from check import outcome  # noqa: E402 - a script beside its data, not an installed module

from unplateau.diagnosis import READINGS, SMALL, Diagnosis, diagnose  # noqa: E402
from unplateau.estimate import Estimate  # noqa: E402
from unplateau.hypotheses import Finding  # noqa: E402
from unplateau.plugins import discover  # noqa: E402
from unplateau.reading import read_runs  # noqa: E402
from unplateau.simulate import simulate  # noqa: E402

WORKERS = 2  # processes; the table is promised on two cores
SHARED = Path(os.environ.get("UNPLATEAU_SHARED") or ROOT.parent / "shared")
#: faults of the number rather than of the model: no loss comes back when they are mended, and they matter all the same
OF_THE_NUMBER = frozenset(
    {"eval-noise", "val-leak", "tokenizer-mismatch", "metric-unit", "val-mismatch", "broken-targets"}
)
ABSENT = "../shared is not beside the project (and UNPLATEAU_SHARED is not set)"


@dataclass(frozen=True, slots=True)
class Case:
    """A run and the truth about it. ``family``: the runs that are left out together with it."""

    name: str
    set: str  # the table it is counted in
    family: str
    cause: str
    log: Path | None = None
    config: Path | None = None
    train_tokens: int | None = None  # in the train split
    unique_tokens: int | None = None  # told to the diagnosis, where that is wanted
    gain: float | None = None  # nats that mending returned; None where nobody measured it
    noise: float = 0.0  # nats, sd of ``gain``
    unseen: bool = True  # no constant was chosen with this run in sight
    also: frozenset[str] = frozenset()  # causes that hold in it too, or that nobody can say of
    recipe: tuple[str, float, int, str] | None = None  # of a simulated run: cause, severity, seed, dialect

    @property
    def healthy(self) -> bool:
        return self.cause in READINGS

    @property
    def matters(self) -> bool:
        """The planted cause costs something, or spoils the number; true where the cost is not known."""
        return self.cause in OF_THE_NUMBER or self.gain is None or self.gain > SMALL


@dataclass(frozen=True, slots=True)
class Said:
    """One finding, without its words."""

    cause: str
    verdict: str
    probability: float | None  # as printed
    strength: float | None  # as the cause's own test gave it, before it was calibrated
    effect: Estimate | None
    gain: Estimate | None
    basis: str = ""  # of the effect, where that is no law

    @classmethod
    def of(cls, finding: Finding, strength: float | None = None) -> Said:
        gain = finding.remedy.gain if finding.remedy else None
        return cls(
            finding.cause, finding.verdict, finding.probability, strength, finding.effect, gain, finding.basis
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """A case and its diagnosis."""

    case: Case
    outcome: str  # right, "right, undecided", "a reading", abstained, wrong
    first: str | None  # the cause that the headline names
    accused: tuple[str, ...]  # supported causes that are not the true one
    said: tuple[Said, ...]  # as ranked

    def of(self, cause: str) -> Said | None:
        return next((s for s in self.said if s.cause == cause), None)

    @property
    def ranked(self) -> list[Said]:
        """What may be counted as an answer."""
        return [s for s in self.said if s.verdict in ("supported", "undecided")]


def judged(case: Case) -> Judged:
    """Read, diagnose, compare with the truth."""
    if case.recipe is not None:
        return _simulated(case, *case.recipe)
    return verdict(
        case, diagnose(read_runs(str(case.log), config=case.config, unique_tokens=case.unique_tokens)[0])
    )


def _simulated(case: Case, cause: str, severity: float, seed: int, dialect: str) -> Judged:
    """The run is written and read back, as a user's would be."""
    made = simulate(cause, severity, seed, dialect=dialect)
    with TemporaryDirectory() as scratch:
        for name, text in made.files.items():
            (Path(scratch) / name).write_text(text, "utf-8")
        run = read_runs(scratch)[0]
    cost = None if case.healthy else made.truth()["cost"]
    return verdict(replace(case, gain=cost), diagnose(run))


def verdict(case: Case, diagnosis: Diagnosis) -> Judged:
    """A cause that holds too is no false accusation; naming it first instead of the planted one is still wrong."""
    what, accused = outcome(diagnosis, case.cause)
    top, tests = diagnosis.first, discover("hypotheses")
    strengths = {
        f.cause: tests[f.cause].test(diagnosis.run).probability
        for f in diagnosis.findings
        if f.verdict != "untestable"
    }
    return Judged(
        case,
        what,
        top.cause if top else None,
        tuple(c for c in accused if c not in case.also),
        tuple(Said.of(f, strengths.get(f.cause)) for f in diagnosis.findings),
    )


def each(work: Any, items: Iterable[Any], workers: int = WORKERS) -> list[Any]:
    """``work`` of each item, in order, by several processes (none for ``workers`` of 0)."""
    items = list(items)
    if workers < 2 or len(items) < 2 * workers:
        return [work(item) for item in items]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(work, items, chunksize=max(1, len(items) // (8 * workers))))
