"""How often the diagnosis is right, how far off the numbers are: writes docs/accuracy.md and its plot.

    python benchmarks/accuracy.py [--out DIR] [--quick | --loop]

One command, two processes, below twenty minutes. Everything is measured on runs that were left out: of the
fit of a law or of the calibration by family, of the choice of thresholds where the table says so. ``--quick``
takes a handful of simulated runs and skips the laws: to try the command, not for the page. ``--loop`` measures the loop
alone, and puts its bars and its section into the page that is there; all else stays as it was measured.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from accuracy_parts import calibration, effects, forecasts, loop, planted, public, real, seconds
from accuracy_parts.forecasts import COVERS
from accuracy_parts.judge import ABSENT, ROOT, Judged, each, judged
from accuracy_parts.page import number, percent, table

DOCS = ROOT / "docs"
PLOT = "accuracy-reliability.svg"
#: the bars of the project's plan
ACCUSED, CALIBRATED, FIT, PROCESS = 0.05, 0.05, 0.2, 1.2  # share, share, CPU s, CPU s
SECTION = "\n## "
NEXT = "## Labelled real cases"  # the section behind the loop's
LEFT_OUT = "each table says what was left out.\n"
LATER = "each table says what was left out. The loop was measured by itself, later (--loop).\n"
LOOPS = "| loop: "  # how the rows of its bars begin
SETS = ("own corpus", "given runs", "simulated runs", public.SET)
#: laws that have a bar; without their script the bar is shown as not measured
WITH_BARS = ("schedule", "repetition")


#: how the name of a bar begins -> what is in the way; shown where such a bar is missed
IN_THE_WAY = {
    "expected calibration error, not refuted": "Causes in simulated runs can be plain to see and cost nothing there "
    "(a quarter of duplicates, a resume that heals, a constant rate over few steps): they hold without mattering. A map fitted on "
    "them would learn the simulator.",
    "90 % intervals that hold the measured cost": "Small models of characters at rates far below their best gain nothing by annealing (lr-not-annealed is priced too high); "
    "a mended model twice as large is not the compute-optimal one that capacity's effect speaks of.",
    "own final loss from 90 % of one run": "Half of the eight are decays to a tenth of the peak, seen half-way; how much noise low rates "
    "keep (p) is .9 there and .79 in the other origins, which is all that the law may know here (docs/LOG.md).",
    "after a cooldown from a constant rate, one short branch known": "What a cooldown releases grows by .04 nats from 15,000 to 50,000 steps; "
    "from one early branch the law tells half of that, and nothing in the other origins tells the rest (docs/LOG.md).",
    "90 % intervals that hold the truth, size law": "The pairs share their runs, so they hit or miss together.",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """A promise, and what was measured; ``met`` is None where nothing was."""

    what: str
    wanted: str
    measured: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Measured:
    """All that the page shows."""

    results: Sequence[Judged]
    real: Sequence[real.Answer]
    laws: Sequence[forecasts.Row]
    fits: Sequence[tuple[str, float]]
    processes: Sequence[tuple[str, float]]
    spent: float
    loop: Sequence[loop.Said] = ()
    classes: Sequence[effects.reference.Left] = ()

    def of(self, kind: str) -> list[Judged]:
        return [r for r in self.results if r.case.set == kind]


def measure(*, quick: bool) -> Measured:
    """Everything, two processes at a time; seconds last, when nothing else runs."""
    began = time.monotonic()
    seeds = (
        (range(70_001, 70_002), range(80_001, 80_005)) if quick else (planted.SEEDS, planted.HEALTHY_SEEDS)
    )
    with tempfile.TemporaryDirectory() as scratch:
        cases = [*planted.given(), *planted.corpus(Path(scratch))]
        cases += [*planted.told(cases), *planted.simulated(*seeds)]
        results = [*each(judged, cases), *public.judged()]
        looped = loop.measured(Path(scratch) / "loop", every=10 if quick else 1)
    laws, classes = ([], []) if quick else (forecasts.rows(), effects.reference.measured())
    answers, fits, processes = real.answers(), seconds.fits(), seconds.processes()
    return Measured(results, answers, laws, fits, processes, time.monotonic() - began, looped, classes)


def bars(found: Measured) -> list[Bar]:
    """Each bar beside its measured value; those of the laws in the order of their scripts."""
    looped = [Bar(*told) for told in loop.bars(found.loop)]
    return [
        *_accusations(found),
        *_calibrated(found),
        *_laws(found),
        *_priced(found),
        *_by_class(found),
        *looped,
        *_seconds(found),
    ]


def _accusations(found: Measured) -> list[Bar]:
    rows = []
    for kind in SETS:
        accused, healthy = planted.accused(found.of(kind))
        if healthy:
            share = percent(accused, healthy)
            rows.append(
                Bar(f"healthy runs falsely accused, {kind}", "5 %", share, accused <= ACCUSED * healthy)
            )
    return rows


def _calibrated(found: Measured) -> list[Bar]:
    """The map was fitted on the corpus: there its errors are of maps fitted without the run's text."""
    rows = []
    for kind in SETS:
        pairs = calibration.pairs(found.of(kind))
        given = _given(pairs, kind)
        for what, chosen in (("all", pairs), ("not refuted", calibration.looked_at(pairs))):
            values = [(given[id(p)], p.held) for p in chosen]
            if values:
                error = calibration.expected_error(values)
                title = f"expected calibration error, {what} ({len(values):,} pairs), {kind}"
                rows.append(Bar(title, number(CALIBRATED), number(error), error <= CALIBRATED))
    return rows


def _given(pairs: Sequence[calibration.Pair], kind: str) -> dict[int, float]:
    """The probability of each pair by a map that has not seen its family."""
    if kind == "own corpus":
        return {id(p): value for p, value in calibration.left_out(pairs)}
    return {id(p): p.printed for p in pairs}


def _laws(found: Measured) -> list[Bar]:
    measured = {r.law for r in found.laws}
    rows = [Bar(_titled(r), number(r.bar), number(r.ours), r.met) for r in found.laws if r.bar is not None]
    rows += [
        Bar(f"errors of the {law} law", "", "not measured", None) for law in WITH_BARS if law not in measured
    ]
    for law in sorted(measured):
        if (told := forecasts.covered([r for r in found.laws if r.law == law])) is not None:
            met = COVERS[0] <= told[0] <= COVERS[1]
            rows.append(Bar(f"90 % intervals that hold the truth, {law} law", "80 to 97 %", told[1], met))
    return rows


def _titled(row: forecasts.Row) -> str:
    return f"{row.what}, nats" + (f" (left out: {row.left_out})" if row.left_out else "")


def _priced(found: Measured) -> list[Bar]:
    """Of real runs, by laws; the simulated ones come from laws themselves, and reference classes have seen the corpus."""
    rows = [r for r in effects.effects(found.results) if r.by == effects.LAW and r.set != "simulated runs"]
    if not rows:
        what = "90 % intervals that hold the measured cost of a planted cause"
        return [Bar(what, "80 to 97 %", "not measured", None)]
    hits = sum(r.hit for r in rows)
    met = COVERS[0] <= hits / len(rows) <= COVERS[1]
    title = "90 % intervals that hold the measured cost of a planted cause, own corpus and given runs"
    return [Bar(title, "80 to 97 %", percent(hits, len(rows)), met)]


def _by_class(found: Measured) -> list[Bar]:
    """Reference classes of causes, each text left out in its turn."""
    held = [hit for one in found.classes if one.nothing is not None for hit in one.texts]
    what = "90 % intervals that hold the cost of a planted cause, reference classes, texts left out"
    if not held:
        return [Bar(what, "80 to 97 %", "not measured", None)]
    met = COVERS[0] <= sum(held) / len(held) <= COVERS[1]
    return [Bar(what, "80 to 97 %", percent(sum(held), len(held)), met)]


def _seconds(found: Measured) -> list[Bar]:
    fit, whole = dict(found.fits)["all laws"], dict(found.processes)["unplateau diagnose"]
    return [
        Bar("fit of all laws to the reference run, CPU s", number(FIT), number(fit), fit <= FIT),
        Bar(
            "diagnose of the reference run, whole process, CPU s",
            number(PROCESS),
            number(whole),
            whole <= PROCESS,
        ),
    ]


def bar_table(found: Sequence[Bar]) -> str:
    """One row a bar."""
    marks = {True: "yes", False: "**no**", None: "not measured"}
    return table(
        ["bar", "wanted", "measured", "met"], [[b.what, b.wanted, b.measured, marks[b.met]] for b in found]
    )


def page(found: Measured) -> str:
    """docs/accuracy.md."""
    summary = bar_table(bars(found))
    parts = [
        "# How accurate it is",
        "<!-- written by benchmarks/accuracy.py (make bench-accuracy); run it again instead of editing this file -->",
        f"Measured in {found.spent / 60:.1f} minutes with Python {platform.python_version()}; {LEFT_OUT.strip()}",
        summary,
        *_missed([b for b in bars(found) if b.met is False]),
        *_causes(found), *loop.section(found.loop), *_real(found), *_probabilities(found), *_errors(found), *_costs(found), *_cpu(found),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def with_loop(told: str, found: Sequence[loop.Said]) -> str:
    """The page ``told`` with the loop's bars and section measured anew."""
    measured = [Bar(*row) for row in loop.bars(found)]
    rows = [row for row in bar_table(measured).splitlines() if row.startswith(LOOPS)]
    missed = _missed([bar for bar in measured if bar.met is False])
    whys = missed[1].splitlines() if missed else []
    head, _, causes = (
        told.partition(NEXT)[0].partition(loop.TITLE)[0].replace(LEFT_OUT, LATER).partition(SECTION)
    )
    lines = [line for line in head.splitlines() if not line.startswith(("| loop: ", "- loop: "))]
    last = max(n for n, line in enumerate(lines) if line.startswith("| "))
    in_way = max((n for n, line in enumerate(lines) if line.startswith("- ")), default=last)
    lines[in_way + 1 : in_way + 1] = whys
    lines[last + 1 : last + 1] = rows
    sections = [SECTION + causes.rstrip("\n"), *loop.section(found), NEXT + told.partition(NEXT)[2]]
    return "\n".join(lines) + "\n" + "\n\n".join(sections)


def _missed(missed: Sequence[Bar]) -> list[str]:
    """What is in the way of the bars that are not met, as far as it is known."""
    known = {
        s: why
        for s, why in (IN_THE_WAY | loop.IN_THE_WAY).items()
        if any(bar.what.startswith(s) for bar in missed)
    }
    listed = "\n".join(f"- {start}: {why}" for start, why in known.items())
    return ["What is in the way of those that are not met:", listed] if known else []


def _causes(found: Measured) -> list[str]:
    own = found.of("own corpus")
    groups = {
        "own corpus": own,
        "of these, unseen": [r for r in own if r.case.unseen],
        "of these, a cost worth mending": [r for r in own if r.case.matters],
        **{kind: found.of(kind) for kind in SETS[1:] if found.of(kind)},
    }
    shares = table(planted.SHARES, [[name, *planted.shares(rows)] for name, rows in groups.items()])
    healthy = table(
        ["set", "healthy runs with a supported cause"],
        [
            [name, percent(*planted.accused(rows))]
            for name, rows in groups.items()
            if planted.accused(rows)[1]
        ],
    )
    parts = ["## Causes on runs where the cause is known", CAUSES, shares, healthy]
    if found.of("simulated runs"):
        parts += [
            "Simulated runs by how strong the cause was made, 0 to 1:",
            planted.by_severity(found.of("simulated runs")),
        ]
    for kind in SETS:
        rows = found.of(kind)
        parts += [
            f"### {kind.capitalize()} ({len(rows)})",
            planted.confusion(rows) if rows else f"Not measured: {ABSENT}.",
        ]
    return parts


CAUSES = """Thresholds are physics, published rules, or were chosen with 95 runs of the corpus in sight; "unseen" are the
46 that were made after the last threshold was moved (benchmarks/planted/seen.txt lists the others). The given runs were seen. Simulated
runs come from laws, with severities and seeds that no test or threshold was tried on; public curves are real runs of others, whose schedule is
the only thing that differs. The diagnosis gets log and config. "A reading" says only how the curve moves: it accuses nobody, and counts as
an abstention. A cause that costs less than .012 nats here did no harm; not naming it is right, and still counted as not named. The README
of benchmarks/planted says what each run is. Public runs without annealing whose log ends with a single rate of 0 are taken for annealed."""


def _real(found: Measured) -> list[str]:
    title = NEXT
    if not found.real:
        return [title, f"Not measured: {ABSENT}. The cases may not be copied into the project."]
    return [title, REAL, real.summary(found.real), real.each_case(found.real)]


REAL = """Of 64 labelled cases those that carry a log or loss points; benchmarks/accuracy_parts/real_cases.toml says which causes are a right
answer to each, and why. This is no set that was left out: some causes were
written with the very faults in mind. Two loss points rarely tell a cause: saying nothing counts as abstained, a
reading of the curve too where a cause was to be named. "Accused wrongly": any supported cause that is no right answer, first or not."""


def _probabilities(found: Measured) -> list[str]:
    pairs = calibration.pairs(found.of("own corpus"))
    left = calibration.left_out(pairs)
    rows = []
    for kind in SETS:
        mine = calibration.pairs(found.of(kind))
        given = _given(mine, kind)
        for what, chosen in (("all", mine), ("not refuted", calibration.looked_at(mine))):
            if chosen:
                raw = calibration.expected_error([(p.strength, p.held) for p in chosen])
                new = calibration.expected_error([(given[id(p)], p.held) for p in chosen])
                there = calibration.expected_error([(given[id(p)], p.there) for p in chosen])
                rows.append([kind, what, len(chosen), raw, new, there])
    head = [
        "set",
        "pairs",
        "n",
        "error of the strength of evidence",
        "error of the probability",
        "counting causes that hold but cost nothing",
    ]
    looked = [(value, p.held) for p, value in left if p.verdict != "refuted"]
    return [
        "## Probabilities", PROBABILITIES, table(head, rows), f"![reliability]({PLOT})",
        "Causes that were not refuted, own corpus, each by a map fitted without its text:", calibration.reliability(looked),
    ]  # fmt: skip


PROBABILITIES = """A probability says that the cause holds and matters: that it was planted, and cost more than .012 nats (or spoilt the number).
One pair is one cause of one run; untestable ones have no probability. Each cause gives its evidence a strength; src/unplateau/calibration.py turns
that into the share of runs in which it held, as counted on the corpus (benchmarks/calibration.py refits it). Errors on the corpus are of maps
fitted without the run's text; no map was fitted on the other sets. Left out of the count: causes that came with the planted one by its making, and
readings of the curve on runs with a planted cause. A probability is that of runs like these, where a cause holds in one of about thirty pairs."""


def reliability_plot(found: Measured) -> str:
    """Strengths and probabilities of the corpus, refuted ones too."""
    left = calibration.left_out(calibration.pairs(found.of("own corpus")))
    return calibration.plot([(p.strength, p.held) for p, _ in left], [(value, p.held) for p, value in left])


def _errors(found: Measured) -> list[str]:
    if not found.laws:
        return [
            "## Forecasts and prices of the laws",
            "Not measured: no script of benchmarks/laws has a table.",
        ]
    text = "Mean absolute errors in nats; what was left out together stands in the table. `tabled`: published on these or like runs, not rerun."
    return ["## Forecasts and prices of the laws", text, forecasts.shown(found.laws)]


def _costs(found: Measured) -> list[str]:
    rows = effects.effects(found.results)
    priced = [r for r in rows if r.predicted is not None]
    told = [
        f"{len(mine)} of {len(rows)} planted costs were priced by {by}; {percent(sum(r.hit for r in mine), len(mine))} of the 90 % intervals hit."
        for by in effects.KINDS
        if (mine := [r for r in priced if r.by == by])
    ]
    parts = [
        "## What a cause was said to cost, against what mending it returned",
        COSTS,
        *told,
        effects.summary(rows),
        *([CLASSES, effects.classes(found.classes)] if found.classes else []),
    ]
    shown = [r for r in priced if r.set != "simulated runs"]
    return [*parts, effects.each_run(shown)] if shown else parts


COSTS = """Measured: final val loss of the run less that of the same run without the cause. A hit is a 90 % interval, widened by the noise of
the two evaluations, that holds it. "Needs a probe": no law prices the change (peak rate, dropout, precision, ...), or the cause was refuted.
Laws whose constants were fitted with the corpus among other families (benchmarks/laws says which) have seen its runs here; what they are off by on
families left out stands in the table above. The given runs were in no fit. A reference class is fitted to the corpus and the loop, so its rows on the
corpus are of runs that it has seen; how it does on others stands below."""
CLASSES = """What planted runs cost, as reference classes ([budget.md](budget.md)): each text left out in its turn (the addresses, Python's standard library, Moby
Dick), then each trainer (nanoGPT, ours). `sound` is the class by which noise of the data is priced; its error is of a sound run's own loss."""


def _cpu(found: Measured) -> list[str]:
    rows = [
        *((f"fit: {name}", s) for name, s in found.fits),
        *((f"process: {n}", s) for n, s in found.processes),
    ]
    return [
        "## CPU seconds",
        "Medians of five, on a machine that others may use.",
        table(["what", "CPU s"], rows),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=DOCS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--loop", action="store_true")
    options = parser.parse_args()
    if options.loop:
        path = options.out / "accuracy.md"
        with tempfile.TemporaryDirectory() as scratch:
            path.write_text(with_loop(path.read_text("utf-8"), loop.measured(Path(scratch))), "utf-8")
        return
    found = measure(quick=options.quick)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "accuracy.md").write_text(page(found), "utf-8")
    (options.out / PLOT).write_text(reliability_plot(found), "utf-8")
    for bar in bars(found):
        print(f"{bar.what}: {bar.measured} (bar {bar.wanted or 'none'}){'' if bar.met else '  <- not met'}")


if __name__ == "__main__":
    main()
