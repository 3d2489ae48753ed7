"""What a watch costs, how soon it speaks, and how often it wakes somebody twice.

    python benchmarks/watch.py flaps [--cases 40] [--keep FILE]
    python benchmarks/watch.py speed
    python benchmarks/watch.py memory [PATH]

``flaps`` replays runs evaluation by evaluation: of the trained runs in benchmarks/planted every n-th, simulated sound
ones, the reference run. For each rule (raised after so many evaluations in a row, cleared after so many) it counts what
is raised, what of that is cleared again, and what is raised a second time: a flap, which wakes somebody for nothing
new. RAISE and CLEAR of src/unplateau/watch/ledger.py are read off that table. ``--keep`` stores what was judged, so that
other rules can be tried at once.

``speed`` feeds the log of the reference run line by line to a warm watch: seconds from a written evaluation to its
judgement (the wait between two looks included), memory, and the share of a core that an idle watch takes.

``memory`` starts the verb itself, in its three faces, on the reference run or on PATH, and reads what it holds once
it has done nothing for ``SETTLED`` seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from planted.check import corpus_cases

import unplateau
from unplateau.diagnosis import READINGS, diagnose
from unplateau.errors import UnplateauError
from unplateau.reading import read_runs
from unplateau.run import Run
from unplateau.simulate import HEALTHY, simulate
from unplateau.watch.judging import RAISED, calm_of, held_by, until
from unplateau.watch.ledger import CLEAR, RAISE

HERE = Path(__file__).parent
EXAMPLE = Path(unplateau.__file__).parent / "examples" / "reference-run"
LAST = 30  # evaluations of a run that are replayed: those before are few points, and say little
RULES = [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (2, 4), (3, 2), (3, 3), (3, 5)]
CALM = "~"  # behind a name: it asks for nothing but to go on as planned
SETTLED, BUSY = 8, 0.05  # seconds in a row of which each takes less than so many of the processor
IDLE = 20.0  # seconds of doing nothing that are measured


def replayed(run: Run) -> list[list[str]]:
    """What held at each of the last evaluations, as the watch would have seen it then."""
    curve = run.series.get("val_loss")
    if curve is None or len(curve) < 6:
        return []
    return [_held(until(run, int(step) + 1)) for step in curve.step[-LAST:]]


def _held(run: Run) -> list[str]:
    """The names, those that ask for nothing but to go on with ``CALM`` behind."""
    found = diagnose(run)
    calm = calm_of(found)
    return sorted(name + CALM * (name in calm) for name in held_by(found))


def runs(cases: int) -> Iterator[tuple[str, str, Run]]:
    """Name, planted cause and run; the reference run's true causes are those that its end supports."""
    yield "reference", "", read_runs(EXAMPLE / "train.log")[0]
    with tempfile.TemporaryDirectory() as scratch:
        found = list(corpus_cases(HERE / "planted" / "corpus.jsonl.zst", Path(scratch)))
        for name, truth, folder in islice(found, 0, None, max(1, len(found) // cases)):
            yield (
                f"trained {name}",
                truth["cause"],
                read_runs(folder / "train.log", config=folder / "config.py")[0],
            )
        for seed in range(cases // 4):
            place = Path(scratch) / f"sound-{seed}"
            for path, data in simulate(HEALTHY, 0.0, seed).files.items():
                target = place / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(data)
            yield f"sound {seed}", "", read_runs(place)[0]


def turned(
    held: list[list[str]], raise_after: int, clear_after: int, names: set[str], planted: str
) -> Counter[str]:
    """The events of one run under a rule. ``accused``: raised, not planted, and asking for a change."""
    counts: Counter[str] = Counter()
    for name in names:
        row, missed, raised, before = 0, 0, False, 0
        for one in held:
            there = name in one or name + CALM in one
            row, missed = (row + 1, 0) if there else (0, missed + 1)
            if not raised and row >= raise_after:
                raised, before = True, before + 1
                counts["raised"] += 1
                counts["again"] += before > 1
                counts["accused"] += name in one and name != planted
            elif raised and missed >= clear_after:
                raised = False
                counts["cleared"] += 1
    return counts


def flaps(cases: int, keep: Path | None) -> None:
    """The table of rules."""
    told: list[tuple[str, str, list[list[str]]]] = []
    if keep is not None and keep.is_file():
        told = [json.loads(line) for line in keep.read_text().splitlines()]
    for name, cause, run in runs(cases) if not told else ():
        try:
            told.append((name, cause, replayed(run)))
        except UnplateauError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        if keep is not None:
            with keep.open("a") as file:
                file.write(json.dumps(told[-1]) + "\n")
    told = [one for one in told if one[2]]
    known = {n.removesuffix(CALM) for _, _, held in told for one in held for n in one}
    causes = known - set(RAISED) - set(READINGS)
    print(f"{len(told)} runs, {sum(len(held) for _, _, held in told)} evaluations")
    for what, names in (("causes to mend", causes), ("readings", set(READINGS)), ("curves", set(RAISED))):
        print(f"\n{what}\nraise  clear   raised  cleared  raised again  accused, not planted")
        for rule in RULES:
            counts: Counter[str] = Counter()
            for _, cause, held in told:
                counts += turned(held, *rule, names, cause)
            mark = "  <- the ledger's" if rule == (RAISE, CLEAR) else ""
            shown = f"{counts['accused']:8}" if what == "causes to mend" else ""
            row = f"{rule[0]:5} {rule[1]:6} {counts['raised']:8} {counts['cleared']:8} {counts['again']:13}"
            print(f"{row} {shown}{mark}")


FOLLOWER = """
import json, sys, time
from pathlib import Path
from unplateau.watch.watching import Watcher
watcher, seen = Watcher(Path(sys.argv[1])), None
while True:
    update = watcher.poll()
    if update is not None and update.runs and update.runs[0].evaluated != seen:
        seen = update.runs[0].evaluated
        print(json.dumps([seen, time.time()]), flush=True)
    time.sleep(watcher.wait)
"""


def speed() -> None:
    """Latency, memory and idling of a process that watches one log."""
    lines = (EXAMPLE / "train.log").read_text().splitlines(keepends=True)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "train.log"
        (Path(folder) / "config.py").write_bytes((EXAMPLE / "config.py").read_bytes())
        log.write_text("".join(lines[:20]))
        follower = subprocess.Popen(
            [sys.executable, "-c", FOLLOWER, str(log)], stdout=subprocess.PIPE, text=True
        )
        assert follower.stdout is not None
        follower.stdout.readline()
        took, used = [], cpu(follower.pid)
        with log.open("a") as file:
            for line in lines[20:]:
                file.write(line)
                file.flush()
                if line.startswith("step "):
                    written = time.time()
                    step = int(line.split(":")[0].removeprefix("step "))
                    while True:
                        seen, when = json.loads(follower.stdout.readline())
                        if seen == step:
                            break
                    took.append(when - written)
                    time.sleep(1.0)  # evaluations come minutes apart
        memory, before = resident(follower.pid), cpu(follower.pid)
        each = (before - used) / len(took)
        time.sleep(IDLE)
        idle = (cpu(follower.pid) - before) / IDLE
        follower.kill()
    took.sort()
    print(
        f"written to judged: median {statistics.median(took):.2f} s, the longest of {len(took)} {took[-1]:.2f} s"
    )
    print(f"of the processor {each:.2f} s an evaluation, all looks between two of them included")
    print(f"resident: {memory / 2**20:.0f} MiB; an idle watch takes {idle:.2%} of a core")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def memory(path: Path) -> None:
    """Resident memory of the lines, of the live page (no tab open) and of the view on a terminal."""
    for name, how in (("lines", ["--plain"]), ("live page", ["--serve"]), ("terminal", [])):
        with tempfile.TemporaryDirectory() as state:
            ours, theirs = pty.openpty()
            process = subprocess.Popen(
                [sys.executable, "-m", "unplateau", "watch", str(path), *how],
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env={**os.environ, "XDG_STATE_HOME": state, "TERM": "xterm-256color"},
            )
            os.close(theirs)
            threading.Thread(target=_drained, args=(ours,), daemon=True).start()
            still, used = 0, -1.0
            while still < SETTLED:
                time.sleep(1.0)
                now = cpu(process.pid)
                still, used = (still + 1 if now - used < BUSY else 0), now
            print(f"{name:10} {resident(process.pid) / 2**20:6.1f} MiB after {used:.1f} s of the processor")
            process.kill()
            process.wait()


def _drained(handle: int) -> None:
    """Read what a terminal would show, until its program ends."""
    with suppress(OSError):
        while os.read(handle, 1 << 16):
            pass


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(row.split()[1]) for row in rows if row.startswith("VmRSS"))


def cpu(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("flaps", "speed", "memory"))
    parser.add_argument("path", type=Path, nargs="?", default=EXAMPLE)
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    if given.what == "flaps":
        flaps(given.cases, given.keep)
    elif given.what == "memory":
        memory(given.path)
    else:
        speed()


if __name__ == "__main__":
    main()
