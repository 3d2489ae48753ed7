"""CPU seconds: of fitting the laws to one run, and of a whole diagnosis."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from unplateau.laws import Law
from unplateau.outlook import outlook
from unplateau.plugins import discover
from unplateau.reading import read_runs

from .judge import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import startup

ROUNDS = 5


def cpu(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median CPU seconds of ``work`` in this process, after one call to warm up."""
    work()
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def fits() -> list[tuple[str, float]]:
    """Each law on the reference run, and all together; laws that can't be fitted to it are left out."""
    run = read_runs(startup.LOG, config=Path(startup.CONFIG))[0]
    found = []
    for name, law in sorted(discover("laws").items()):
        if _fits(law, run):
            found.append((name, cpu(lambda law=law: law.fit([run]))))
    return [*found, ("all laws", cpu(lambda: outlook(run)))]


def _fits(law: Law, run: object) -> bool:
    try:
        law.fit([run])  # type: ignore[list-item]
    except ValueError:
        return False
    return True


def processes(rounds: int = ROUNDS) -> list[tuple[str, float]]:
    """Whole processes, as benchmarks/startup.py measures them."""
    found = []
    for name, command in startup.commands(None).items():
        startup.cpu(command)
        found.append((name, statistics.median(startup.cpu(command) for _ in range(rounds))))
    return found
