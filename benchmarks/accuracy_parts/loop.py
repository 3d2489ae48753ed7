"""The loop on planted runs: what the diagnosis says with more and more evidence, up to probes, beside the measured truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import hypot, sqrt
from pathlib import Path

import numpy as np

from unplateau.diagnosis import SMALL, Diagnosis, diagnose
from unplateau.estimate import Z90
from unplateau.reading import read_runs

from . import effects, peers
from .judge import OF_THE_NUMBER, WORKERS, Case, Judged, each, verdict
from .page import number, percent, table
from .planted import also

import loop_pack  # isort: skip - judge puts its folder on the path

SEEN = Path(loop_pack.__file__).with_name("loop_seen.txt")  # names
GROUPS = ("log", "config", "manifest", "probes")  # each with those before it
NAMED, PROBED, ACCUSED, ASKS, COVERS = 0.80, 0.95, 0.05, 0.90, (0.80, 0.97)  # bars of the project's plan
#: planted cause -> causes that come with it by its making here, besides those of the other corpus
COMES_WITH = {
    "batch-too-large": frozenset(
        {"lr-too-low"}
    ),  # so few steps want a higher rate (benchmarks/probes_parts/truth.py)
    "tokenizer-mismatch": frozenset(
        {"val-mismatch"}
    ),  # what is planted into val alone makes val another text
}
LINES = ("step ", "iter ", "saving ")  # of nanoGPT's log, the config that it prints left out


@dataclass(frozen=True, slots=True)
class Said:
    """A diagnosis of one run with one group of evidence. ``testable``: that evidence can speak of the planted cause.

    ``asks``: where the planted cause is not settled, it says what is missing, or which probe would tell. ``dearer``: a cause
    that holds beside the planted one by the making of the run, and costs more by measure; empty where none does.
    """

    role: str
    group: str
    judged: Judged
    testable: bool
    asks: bool
    dearer: str = ""

    @property
    def right(self) -> bool:
        """The planted cause comes first, or what holds beside it and costs more."""
        return self.judged.outcome.startswith("right") or bool(
            self.dearer and self.judged.first == self.dearer
        )

    @property
    def counts(self) -> bool:
        """True for a planted cause that matters: what it costs is more than chance can be."""
        case = self.judged.case
        return self.role == "planted" and case.matters and (_of_the_number(case) or case.gain > _chance(case))

    @property
    def harmless(self) -> bool:
        """True for a planted cause that costs nothing that matters, whatever chance did."""
        case = self.judged.case
        small = case.gain is not None and case.gain + _chance(case) < SMALL
        return self.role == "planted" and small and not _of_the_number(case)

    @property
    def accused(self) -> tuple[str, ...]:
        """Supported causes that are wrong; the planted one too where it costs nothing."""
        case = self.judged.case
        idle = case.cause in {s.cause for s in self.judged.said if s.verdict == "supported"}
        return (*self.judged.accused, *((case.cause,) if self.harmless and idle else ()))

    @property
    def settled(self) -> bool:
        """The planted cause is supported."""
        found = self.judged.of(self.judged.case.cause)
        return found is not None and found.verdict == "supported"


def _of_the_number(case: Case) -> bool:
    return case.cause in OF_THE_NUMBER


def _chance(case: Case) -> float:
    """How far two runs may lie apart by chance, nats."""
    return Z90 * case.noise


def runs(scratch: Path) -> list[loop_pack.Kept]:
    """All that was packed."""
    return list(loop_pack.unpacked(scratch))


def reliefs(found: Sequence[loop_pack.Kept]) -> dict[str, frozenset[str]]:
    """Base -> causes that nobody planted and that cost its sound run something all the same, as measured.

    val-mismatch where a sound run on much text has a gap: val is the harder text by the luck of the draw.
    """
    costs: dict[str, set[str]] = defaultdict(set)
    for one in found:
        named = one.name.partition("without-")[2].partition(".")[0]
        if named and one.gain is not None and one.gain.value >= SMALL:
            costs[one.base].add(named)
        if (
            one.name.startswith("healthy.base.")
            and one.truth["gap"] is not None
            and one.truth["gap"] >= SMALL
        ):
            costs[one.base].add("val-mismatch")
    return {base: frozenset(causes) for base, causes in costs.items()}


def scatter(found: Iterable[loop_pack.Kept]) -> float:
    """Sd of the last loss between seeds of one sound run, nats: no effect that one pair of runs shows is known better."""
    ends: dict[str, list[float]] = defaultdict(list)
    for one in found:
        if one.role == "healthy" and one.truth.get("end") is not None:
            ends[one.name.rpartition(".")[0]].append(float(one.truth["end"]))
    groups = [np.array(rows) for rows in ends.values() if len(rows) > 1]
    freedom = sum(len(rows) - 1 for rows in groups)
    return (
        sqrt(sum(float(((rows - rows.mean()) ** 2).sum()) for rows in groups) / freedom) if freedom else 0.0
    )


def stray(found: Iterable[loop_pack.Kept]) -> frozenset[str]:
    """Names of the runs whose evaluation strays as far as where eval-noise was planted: the model's doing, and no less noise."""
    known = {one.name: one for one in found if one.truth.get("strays") is not None}
    planted = [one.truth["strays"] for one in known.values() if one.truth["cause"] == "eval-noise"]
    return frozenset(name for name, one in known.items() if planted and one.truth["strays"] >= min(planted))


def said(one: loop_pack.Kept, there: frozenset[str], apart: float = 0.0) -> list[Said]:
    """One run, with each group of evidence that there is; ``apart``: the ``scatter`` of runs."""
    groups = GROUPS if one.evidence is not None else GROUPS[:-1]
    return [_said(one, case_of(one, there, group, apart), group) for group in groups]


def _said(one: loop_pack.Kept, case: Case, group: str) -> Said:
    place = GROUPS.index(group)
    (run, *_) = read_runs(
        one.log if place else bare(one.log),
        config=one.config if place else None,
        data=one.manifest if place > 1 else None,
        evidence=[one.evidence] if place > 2 and one.evidence and any(one.evidence.iterdir()) else (),
    )
    return _judged(case, one, diagnose(run), group)


def bare(log: Path) -> Path:
    """The log without the config that nanoGPT prints at its head: losses and saves alone."""
    place = log.parent.with_name("bare") / log.name
    place.parent.mkdir(exist_ok=True)
    lines = log.read_text("utf-8").splitlines(keepends=True)
    place.write_text("".join(line for line in lines if line.startswith(LINES)), "utf-8")
    return place


def _judged(case: Case, one: loop_pack.Kept, found: Diagnosis, group: str) -> Said:
    judged = verdict(case, found)
    mine = next((f for f in found.findings if f.cause == case.cause), None)
    testable = mine is not None and mine.verdict != "untestable"
    asks = mine is not None and bool(mine.missing or mine.probes)
    return Said(one.role, group, judged, testable, asks, dearer(one))


def dearer(one: loop_pack.Kept) -> str:
    """A cause that holds beside the planted one, and costs more than it; none beside what spoils the number."""
    beside = one.truth.get("beside")
    if not beside or one.gain is None or one.truth["cause"] in OF_THE_NUMBER:
        return ""
    return str(beside["cause"]) if beside["gain"] > one.gain.value else ""


def case_of(one: loop_pack.Kept, there: frozenset[str], group: str, apart: float = 0.0) -> Case:
    """The truth about a run, in the words of the other tables; both runs of a pair have their share of chance."""
    gain = one.gain if one.role == "planted" else None
    return Case(
        name=one.name,
        set=f"loop, {group}",
        family=one.base,
        cause=str(one.truth["cause"]),
        gain=None if gain is None else gain.value,
        noise=0.0 if gain is None else hypot(gain.sd, sqrt(2) * apart),
        also=frozenset(also(one.truth)) | COMES_WITH.get(str(one.truth["cause"]), frozenset()) | there,
    )


def measured(scratch: Path, every: int = 1, workers: int = WORKERS) -> list[Said]:
    """Every ``every``-th run, judged by so many processes."""
    found = runs(scratch)
    there = reliefs(found)
    chosen = [one for one in found if one.role != "relief"][::every]
    apart, noisy = scatter(found), stray(found)
    pairs = [(one, holds(one, there, noisy), apart) for one in chosen]
    return [told for of_one in each(_of_pair, pairs, workers) for told in of_one]


def holds(one: loop_pack.Kept, there: dict[str, frozenset[str]], noisy: frozenset[str]) -> frozenset[str]:
    """Causes that hold in a run though nobody planted them, as measured."""
    return there.get(one.base, frozenset()) | ({"eval-noise"} if one.name in noisy else frozenset())


def _of_pair(pair: tuple[loop_pack.Kept, frozenset[str], float]) -> list[Said]:
    return said(*pair)


# --- tables


def row(found: Sequence[Said]) -> list[object]:
    """Of one group: the counts that the bars speak of."""
    hurt = [one for one in found if one.counts]
    shown = [one for one in hurt if one.testable]
    open_ = [one for one in hurt if not one.settled]
    named, named_shown = sum(one.right for one in hurt), sum(one.right for one in shown)
    three = sum(one.judged.case.cause in [s.cause for s in one.judged.ranked[:3]] for one in hurt)
    silent = sum(one.judged.outcome in ("abstained", "a reading") for one in hurt)
    return [
        percent(named, len(hurt)),
        percent(named_shown, len(shown)),
        percent(three, len(hurt)),
        percent(silent, len(hurt)),
        percent(sum(bool(one.accused) for one in found), len(found)),
        percent(sum(one.asks for one in open_), len(open_)),
    ]


HEAD = ("evidence", "runs", "named first", "of those testable", "in the first three", "abstains", "accuses wrongly", "asks, where not settled")  # fmt: skip


def summary(found: Sequence[Said]) -> str:
    """One row for each group of evidence; the last two are of the same runs, those that were probed."""
    probed = {one.judged.case.name for one in found if one.group == "probes"}
    groups = [(f"+ {name}" if name != "log" else name, _of(found, name)) for name in GROUPS[:3]]
    if probed:
        before = [one for one in _of(found, "manifest") if one.judged.case.name in probed]
        groups += [("the probed ones, before", before), ("the same, + probes", _of(found, "probes"))]
    return table(HEAD, ([name, len(rows), *row(rows)] for name, rows in groups if rows))


def _of(found: Sequence[Said], group: str) -> list[Said]:
    return [one for one in found if one.group == group]


def by_cause(found: Sequence[Said]) -> str:
    """One row a planted cause: how often it is named first with each evidence, and what else was supported."""
    rows: dict[str, list[Said]] = defaultdict(list)
    for one in found:
        rows[one.judged.case.cause].append(one)
    return table(
        ["planted", "gain, nats", *GROUPS, "accused wrongly, of all"],
        ([cause, _gains(mine), *(_first(mine, g) for g in GROUPS), _listed(mine)] for cause, mine in sorted(rows.items())),
    )  # fmt: skip


def _gains(found: Sequence[Said]) -> str:
    gains = [one.judged.case.gain for one in found if one.judged.case.gain is not None]
    return f"{number(min(gains))} to {number(max(gains))}" if gains else ""


def _first(found: Sequence[Said], group: str) -> str:
    mine = [one for one in found if one.group == group]
    right = sum(one.right for one in mine)
    return f"{right} of {len(mine)}" if mine else ""


def _listed(found: Sequence[Said]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for one in found:
        for cause in one.accused:
            counts[cause] += 1
    return ", ".join(f"{cause} {n}" for cause, n in sorted(counts.items(), key=lambda pair: -pair[1]))


def priced(found: Sequence[Said]) -> str:
    """Predicted against true effects: how many, their correlation, and how many intervals hold the truth."""
    lines = []
    for group, by in product(GROUPS, effects.KINDS):
        told = effects.effects([s.judged for s in _of(found, group) if s.role == "planted"])
        rows = [r for r in told if r.by == by]
        if len(rows) > 2:  # of two points the correlation is 1
            pairs = np.array([(r.predicted.value, r.measured) for r in rows if r.predicted])
            spread = float(np.corrcoef(pairs.T)[0, 1]) if np.all(pairs.std(0) > 0) else None
            lines.append([group, by, len(rows), spread, percent(sum(r.hit for r in rows), len(rows))])
    head = ["evidence", "priced by", "runs", "correlation with the truth", "90 % intervals that hold it"]
    return table(head, lines) if lines else "No planted cause was priced."


def bars(found: Sequence[Said]) -> list[tuple[str, str, str, bool | None]]:
    """The promises of the loop: what, wanted, measured, met (None where nothing could be measured)."""
    before, after = ([one for one in _of(found, group) if one.counts] for group in ("manifest", "probes"))
    shown = [one for one in before if one.testable]
    most = [_last(found, name) for name in dict.fromkeys(one.judged.case.name for one in found)]
    open_ = [one for one in most if one.counts and not one.settled]
    priced_ = effects.effects([one.judged for one in most if one.role == "planted"])
    return [
        _bar("planted cause named first, of those testable, log + config + manifest", NAMED, [one.right for one in shown]),
        _bar("planted cause named first, after probes", PROBED, [one.right for one in after]),
        _bar("runs with a wrong cause supported", ACCUSED, [bool(one.accused) for one in most], most=True),
        _bar("asks for what would tell, where it is not settled", ASKS, [one.asks for one in open_]),
        *(_covered(by, [r.hit for r in priced_ if r.by == by]) for by in effects.KINDS),
    ]  # fmt: skip


def _bar(
    what: str, bar: float, held: Sequence[bool], *, most: bool = False
) -> tuple[str, str, str, bool | None]:
    share = sum(held) / len(held) if held else None
    met = None if share is None else share <= bar if most else share >= bar
    return f"loop: {what}", f"{100 * bar:.0f} %", percent(sum(held), len(held)), met


def _covered(by: str, hits: Sequence[bool]) -> tuple[str, str, str, bool | None]:
    met = COVERS[0] <= sum(hits) / len(hits) <= COVERS[1] if hits else None
    return (
        f"loop: 90 % intervals that hold the true effect, by {by}",
        "80 to 97 %",
        percent(sum(hits), len(hits)),
        met,
    )


def _last(found: Sequence[Said], name: str) -> Said:
    """A run with all the evidence that there is of it."""
    return [one for one in found if one.judged.case.name == name][-1]


def section(found: Sequence[Said]) -> list[str]:
    """What docs/accuracy.md says of the loop."""
    if not found:
        return [TITLE, "Not measured: nothing is packed (benchmarks/planted/README.md says how)."]
    costs = "What the planted cause was said to cost:"
    return [
        TITLE,
        LOOP,
        summary(found),
        *_unseen(found),
        by_cause(found),
        costs,
        priced(found),
        *peers.peers(),
    ]


def _unseen(found: Sequence[Said]) -> list[str]:
    """The summary of the runs that nobody looked at while the causes were mended."""
    known = frozenset(SEEN.read_text("utf-8").split())
    rest = [one for one in found if one.judged.case.name not in known]
    said = f"{len(known)} of the runs (benchmarks/planted/loop_seen.txt) were in sight while causes were mended: the middle severity, half of the strongest, most sound ones. The rest alone, most of it the mildest severity; it has been looked at since it was judged first (docs/LOG.md has what it was then: 32 and 34 of 55 first, 6 accused, 14 of 25 asked):"
    return [said, summary(rest)] if rest else []


TITLE = "## The whole loop: planted runs with checkpoints, probed"
#: how the name of a bar begins -> what is in the way; shown where such a bar is missed
IN_THE_WAY = {
    "loop: planted cause named first, of those testable": "The mildest severity: a rate 3 times too high, a tenth of the best rate, four windows a step, a floor of a third, val from one slice "
    "of the text cost .04 to .7 nats here and look like sound runs by every published rule. Capacity is priced rightly and left undecided below 100 tokens a parameter.",
    "loop: planted cause named first, after probes": "The mildest severity: a rate 3 times too high, a tenth of the best one, four windows a step, a width of 16 or 24, no warm-up at 3 times the rate, val "
    "from one slice. A branch from the end of an annealed run tells neither rate nor batch (docs/LOG.md), and arms from the start told sound runs "
    "and planted ones apart in 4 of 7. Arms of a sound trainer show no fault of the trainer that made the run. Width is priced rightly, but sound runs gain as much by it.",
    "loop: runs with a wrong cause": "What was planted and returned nothing counts as accused wrongly: a floor of a third of the peak (-.04 to .01 nats), a frozen half of the weights (-.12).",
    "loop: asks for what would tell": "A cause that is refuted asks for nothing.",
    "loop: 90 % intervals that hold the true effect, by a law": "Models this small gain little by annealing from a third of the peak; nanoGPT's constant rate drops the warm-up too, so what mending it "
    "returned is of two causes.",
    "loop: 90 % intervals that hold the true effect, by a reference class": "Wide, as few runs and three texts are behind them.",
}

LOOP = """Small runs of our trainer in nanoGPT's mode, 23 of the causes at three severities on two texts and two tokenisers, and healthy ones
(benchmarks/planted/README.md). The truth is the run without the cause, of the same seed, both evaluated on the same fixed windows; its error is that of the windows, and of the scatter
between two seeds of a sound run. Counted are planted causes that cost at least .012 nats and more than chance (90 %), or spoil the number; where
one can only be planted beside another that costs more (no warm-up beside too high a rate), naming that first is right. "Accuses
wrongly": a supported cause that was not planted, comes not with the planted one by its making, and returned less than .012 nats when taken out of
the sound run (eval-noise: val strays less than where it was planted); or the planted one where it surely costs less. "Testable": the evidence
can speak of the planted cause. `probes` ran with the budget that is the default, 20 % of the run's tokens, at the end of the run, by our own
sound trainer also where the fault was in the one that made the run. `log` is without the config that nanoGPT prints."""


def show(found: Sequence[Said]) -> str:
    """For the terminal."""
    return "\n\n".join(section(found))
