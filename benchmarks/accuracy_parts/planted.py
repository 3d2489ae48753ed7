"""Runs with a planted cause: our own corpus, the given ones, and simulated ones."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .judge import SHARED, Case, Judged
from .page import percent, table

import check  # isort: skip - judge puts its folder on the path

from unplateau.diagnosis import READINGS
from unplateau.simulate import HEALTHY
from unplateau.simulate.dialects import DIALECTS
from unplateau.simulate.faults import PLANTERS
from unplateau.state import WINDOW_SD

SEVERITIES = (0.35, 0.65, 0.95)  # tests and docs use other ones
SEEDS, HEALTHY_SEEDS = range(70_001, 70_007), range(80_001, 80_121)  # likewise
SEEN = Path(check.__file__).parent / "seen.txt"
HARDER = (
    0.05  # nats by which val is the harder text by the luck of the draw: a val mismatch that nobody planted
)
#: planted causes whose corpus gain is no cost: compared with a run of fewer steps (benchmarks/planted/README.md)
NOT_COMPARED = {"lr-rewarmed"}
SHARES = (
    "set",
    "planted",
    "named first",
    "first, undecided",
    "in the first three",
    "a reading or nothing",
    "another first",
)
OUTCOMES = ("right", "right, undecided", "a reading", "abstained", "wrong")
#: planted cause -> causes that come with it by its making, and why
COMES_WITH = {
    "duplicates": {"repetition"},  # copies of a passage are passes over it
    "no-warmup": {"lr-too-high"},  # planted at rates that only a warm-up makes bearable
    "batch-too-small": {
        "lr-too-high",
        "eval-noise",
    },  # the rate suited a batch ten times as large, which evals share
    "instability": {"lr-too-high", "over-regularised"},  # made by too high a rate x weight decay
    "lr-rewarmed": {"lr-not-annealed"},  # resumed at a high rate and stopped there
}


def corpus(scratch: Path) -> list[Case]:
    """Our own planted runs; unpacked below ``scratch``."""
    seen = set(SEEN.read_text("utf-8").split())
    cases = check.corpus_cases(check.HERE / "corpus.jsonl.zst", scratch)
    return [
        _case(name, truth, folder, "own corpus", truth["text"], unseen=name not in seen)
        for name, truth, folder in cases
    ]


def given(folder: Path = SHARED / "planted") -> list[Case]:
    """The planted runs that the project was given; none where they are not there."""
    cases = check.shared_cases(folder)
    return [_case(name, truth, where, "given runs", "given", unseen=False) for name, truth, where in cases]


def _case(name: str, truth: dict[str, Any], folder: Path, kind: str, family: str, *, unseen: bool) -> Case:
    return Case(
        name=name,
        set=kind,
        family=family,
        cause=truth["cause"],
        log=folder / "train.log",
        config=folder / "config.py",
        train_tokens=truth.get("train_tokens"),
        gain=None if truth["cause"] in NOT_COMPARED else truth["gain"],
        noise=2**0.5 * evaluation_noise((folder / "config.py").read_text("utf-8")),
        unseen=unseen,
        also=frozenset(also(truth)),
    )


def simulated(seeds: range = SEEDS, healthy: range = HEALTHY_SEEDS) -> list[Case]:
    """Runs from laws, of severities and seeds that nothing was chosen with; the dialects take turns."""
    sick = [(cause, severity, seed) for cause in PLANTERS for severity in SEVERITIES for seed in seeds]
    plans = [*sick, *((HEALTHY, 0.0, seed) for seed in healthy)]
    return [_simulated(*plan) for plan in plans if plan[0] not in READINGS]


def _simulated(cause: str, severity: float, seed: int) -> Case:
    names = [name for name, dialect in DIALECTS.items() if cause not in dialect.refused]
    return Case(
        name=f"{cause}.{severity:g}.{seed}",
        set="simulated runs",
        family="simulated",
        cause="still-learning" if cause == HEALTHY else cause,
        also=frozenset(COMES_WITH.get(cause, ())),
        recipe=(cause, severity, seed, names[seed % len(names)]),
    )


def told(cases: Sequence[Case]) -> list[Case]:
    """The repeated ones again, with the size of their data told: without it, no law can say what repeating cost."""
    return [
        replace(case, set=f"{case.set}, tokens told", unique_tokens=case.train_tokens)
        for case in cases
        if case.cause == "repetition" and case.train_tokens
    ]


def also(truth: dict[str, Any]) -> Iterator[str]:
    """Causes that hold beside the planted one by the making of the run."""
    yield from COMES_WITH.get(truth["cause"], ())
    if truth.get("val_harder", 0.0) > HARDER or truth.get("data", {}).get("noisy_val") is False:
        yield "val-mismatch"
    if truth["cause"] == "val-leak":
        yield "repetition"  # planted into a short train split, so that the leak is learnt by heart


def evaluation_noise(config: str) -> float:
    """Sd of one evaluation, nats, by the number of windows that nanoGPT's config asks for."""
    settings = dict(line.split(" = ", 1) for line in config.splitlines() if " = " in line)
    windows = float(settings.get("eval_iters", 200)) * float(settings.get("batch_size", 12))
    return WINDOW_SD / windows**0.5


def confusion(results: Sequence[Judged]) -> str:
    """One row a planted cause: what the headline said, and which other causes it named."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    others: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        rows[result.case.cause][result.outcome] += 1
        if result.outcome == "wrong" and result.first:
            others[result.case.cause][result.first] += 1
    rows["all"] = sum(rows.values(), Counter())
    head = ["planted", "runs", *OUTCOMES, "named instead"]
    return table(
        head,
        (
            [cause, counts.total(), *(counts[o] or "" for o in OUTCOMES), _listed(others[cause])]
            for cause, counts in sorted(rows.items(), key=lambda row: (row[0] == "all", row[0]))
        ),
    )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{cause} {n}" for cause, n in counts.most_common())


def by_severity(results: Sequence[Judged]) -> str:
    """The shares of simulated runs, one row for each strength of the cause."""
    groups: dict[float, list[Judged]] = defaultdict(list)
    for result in results:
        if result.case.recipe is not None and not result.case.healthy:
            groups[result.case.recipe[1]].append(result)
    return table(SHARES, ([f"{severity:g}", *shares(rows)] for severity, rows in sorted(groups.items())))


def shares(results: Sequence[Judged]) -> list[object]:
    """Runs; named first; right in the first three; abstained or only a reading; another named; of the planted causes."""
    planted = [r for r in results if not r.case.healthy]
    first = sum(r.outcome == "right" for r in planted)
    leaning = sum(r.outcome == "right, undecided" for r in planted)
    three = sum(r.case.cause in [s.cause for s in r.ranked[:3]] for r in planted)
    silent = sum(r.outcome in ("abstained", "a reading") for r in planted)
    wrong = sum(r.outcome == "wrong" for r in planted)
    return [len(planted), *(percent(n, len(planted)) for n in (first, leaning, three, silent, wrong))]


def accused(results: Sequence[Judged]) -> tuple[int, int]:
    """Healthy runs with a supported cause, and healthy runs."""
    healthy = [r for r in results if r.case.healthy]
    return sum(bool(r.accused) for r in healthy), len(healthy)
