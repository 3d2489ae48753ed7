"""Kills a small job of ``prepare``, runs it again, and compares each byte with what an uninterrupted run leaves.

    python benchmarks/kills.py [--kills 200] [--syscalls] [--seed 0]

At random instants: all formats, one worker and two, copies kept and dropped; with two, the whole group of processes is
killed, or the parent alone, or a worker alone. A job is killed again and again until it gets through.
``--syscalls``: right before each call that changes the output folder (opening for writing, write, rename, fsync,
unlink, mkdir, ...), told to die there by ``strace -e inject=CALL:signal=KILL:when=N``. Ends with 1 where a byte differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path

from unplateau.errors import UnplateauError
from unplateau.prepare import _assemble, sources
from unplateau.prepare._executor import Local
from unplateau.prepare._plan import Options
from unplateau.prepare.job import prepare

CALLS = (
    *(
        "openat",
        "write",
        "pwrite64",
        "rename",
        "renameat",
        "renameat2",
        "fsync",
        "fdatasync",
        "unlink",
        "unlinkat",
    ),
    *("mkdir", "mkdirat", "rmdir", "ftruncate", "truncate", "link", "linkat", "symlink", "symlinkat"),
)
WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC")  # an openat that may change something
LINE = re.compile(r"(?:\[pid +\d+\] )?(\w+)\(")
FAILED = 3  # a job whose worker was killed says so and ends with this code


@dataclass(frozen=True, slots=True)
class Case:
    """One way to run the job."""

    form: str
    dedup: str
    workers: int = 1

    def __str__(self) -> str:
        return f"{self.form}, {self.dedup}, {self.workers} workers"


def corpus(folder: Path, documents: int) -> str:
    """JSONL in two files: random texts, some of them twice, some nearly so."""
    rng, words = random.Random(0), [f"w{i}" for i in range(500)]
    texts = [" ".join(rng.choices(words, k=rng.randint(20, 200))) for _ in range(documents)]
    texts += texts[: documents // 10]
    texts += [f"{text} and one more" for text in texts[: documents // 10]]
    rng.shuffle(texts)
    folder.mkdir(parents=True)
    rows = [json.dumps({"text": text, "score": i % 5}) for i, text in enumerate(texts)]
    for name, some in (("a", rows[::2]), ("b", rows[1::2])):
        (folder / f"{name}.jsonl").write_text("\n".join(some))
    return str(folder)


def job(case: Case, source: str, out: Path) -> int:
    """Run it here; the exit code."""
    sources.SMALLEST_PART, _assemble.MARK = 8_000, 20_000  # many parts and marks, though little data
    options = Options(tokenizer="bytes", format=case.form, dedup=case.dedup, shard_tokens=30_000)
    try:
        prepare([source], out, options, executor=Local(case.workers))
    except UnplateauError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def begun(case: Case, source: str, out: Path, gate: int | None = None) -> int:
    """The job in a process (and a group) of its own, which waits for a byte of ``gate``; its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        if gate is not None:
            os.read(gate, 1)
        code = job(case, source, out)
    except Exception:  # noqa: BLE001 - the process ends here, whatever it was
        traceback.print_exc()
    finally:
        os._exit(code)


def contents(folder: Path) -> dict[str, str]:
    found = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def reaped(pid: int) -> int:
    """The exit code of a process, negative for a signal; nothing of its group is left."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return code


# ---------------------------------------------------------------- at random instants


def victims(pid: int, case: Case, rng: random.Random) -> tuple[str, list[int]]:
    """Who is killed: what it is called, and the processes."""
    below = descendants(pid)
    how = rng.choice(["all", "parent", "worker"]) if case.workers > 1 and below else "parent"
    return how, {"all": [pid, *below], "parent": [pid], "worker": rng.sample(below, min(1, len(below)))}[how]


def descendants(pid: int) -> list[int]:
    """All processes below: workers, the server that forks them, and Python's tracker of their semaphores."""
    below = [int(p) for p in _read(f"/proc/{pid}/task/{pid}/children").split()]
    return below + [p for one in below for p in descendants(one)]


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def killed(case: Case, source: str, out: Path, after: float, rng: random.Random) -> str:
    """Run the job and kill it ``after`` seconds; how, or "" where it was done before."""
    pid = begun(case, source, out)
    end = time.monotonic() + after
    while time.monotonic() < end:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            break
        time.sleep(min(0.002, max(0.0, end - time.monotonic())))
    else:
        how, processes = victims(pid, case, rng)
        for one in processes:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if how == "worker" and code not in (0, FAILED):
            raise SystemExit(f"{case}: with a worker killed it ended with {code}")
        return how if code else ""  # what workers outlive their parent is left to end by themselves
    code = reaped(pid)
    if code:
        raise SystemExit(f"{case}: ended with {code} though nobody killed it")
    return ""


def at_random(place: Path, kills: int, rng: random.Random) -> int:
    """Kill jobs ``kills`` times in all; how many ended with other bytes."""
    source, wrong, done, jobs = corpus(place / "in", 400), 0, Counter[str](), 0
    cases = [Case(*one) for one in product(("own", "nanogpt", "llmc"), ("keep", "drop"), (1, 2))]
    whole, took = {}, {}
    for case in cases:
        begin = time.monotonic()
        reaped(begun(case, source, place / "whole"))
        whole[case], took[case] = contents(place / "whole"), time.monotonic() - begin
        shutil.rmtree(place / "whole")
    for case in cycle(cases):
        out = place / f"out-{jobs}"
        while how := killed(case, source, out, rng.uniform(0, took[case]), rng):
            done[how] += 1
        jobs += 1
        if contents(out) != whole[case]:
            wrong += 1
            print(f"DIFFERS: {case}, in {out}", flush=True)
        else:
            shutil.rmtree(out)
        if sum(done.values()) >= kills:
            break
    told = ", ".join(f"{how} {n}" for how, n in sorted(done.items()))
    print(f"{sum(done.values())} kills at random instants ({told}) of {jobs} jobs: {wrong} with other bytes")
    return wrong


# ---------------------------------------------------------------- at each syscall


def traced(case: Case, source: str, out: Path, asked: list[str]) -> tuple[int, list[str]]:
    """The job under strace with ``asked``; its exit code, and what it called."""
    read, write = os.pipe()
    pid = begun(case, source, out, read)
    strace = subprocess.Popen(
        ["strace", "-f", "-y", "-s", "0", *asked, "-p", str(pid)], stderr=subprocess.PIPE, text=True
    )
    assert strace.stderr is not None
    strace.stderr.readline()  # "Process N attached"
    os.write(write, b"x")
    lines = strace.stderr.read().splitlines()
    strace.wait()
    for end in (read, write):
        os.close(end)
    return reaped(pid), lines


def points(lines: list[str], out: Path) -> Iterator[tuple[str, int]]:
    """The calls that change ``out``: name, and which of its name it is."""
    seen = Counter[str]()
    for line in lines:
        if (found := LINE.match(line)) is None or found[1] not in CALLS:
            continue
        seen[found[1]] += 1
        if str(out) in line and (found[1] != "openat" or WRITES.search(line)):
            yield found[1], seen[found[1]]


def at_syscalls(place: Path) -> int:
    """Kill a job before each call that changes its folder; how many ended with other bytes."""
    source, wrong, out = corpus(place / "few", 60), 0, place / "out"
    for case in (Case("own", "drop"), Case("nanogpt", "keep"), Case("llmc", "keep")):
        shutil.rmtree(out, ignore_errors=True)
        job(case, source, out)  # all that is imported late is there from now on
        whole = contents(out)
        shutil.rmtree(out)
        _, lines = traced(case, source, out, ["-e", f"trace={','.join(CALLS)}"])
        found, differ, missed = list(points(lines, out)), 0, 0
        for name, number in found:
            shutil.rmtree(out)
            inject = ["-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={number}"]
            code, _ = traced(case, source, out, inject)
            missed += code != -signal.SIGKILL
            code = reaped(begun(case, source, out))
            if code or contents(out) != whole:
                differ += 1
                print(f"DIFFERS: {case}, killed before {name} {number}: code {code}", flush=True)
        calls = ", ".join(f"{name} {n}" for name, n in Counter(name for name, _ in found).most_common())
        print(
            f"{case}: {len(found)} calls ({calls}), {missed} not reached, {differ} with other bytes",
            flush=True,
        )
        wrong += differ + missed
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--syscalls", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wrong = at_random(Path(folder), asked.kills, random.Random(asked.seed)) if asked.kills else 0
        if asked.syscalls:
            wrong += at_syscalls(Path(folder))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
