"""A disk that fails: each change that this process makes to files is told before it comes about.

Run as a program, it kills a small job of ``prepare`` (SIGKILL, in a process of its own) before every so many of its
changes, half of the writes half done, runs it again, and prints what came of it as JSON.
"""

import builtins
import io
import json
import os
import random
import signal
import sys
from pathlib import Path

from unplateau.prepare import _assemble, sources
from unplateau.prepare._plan import Options
from unplateau.prepare.job import prepare

CHANGES = ("replace", "rename", "unlink", "remove", "mkdir", "rmdir", "fsync", "truncate", "ftruncate")
GROWS = ("open", "write", "mkdir", "fsync")  # what a full disk refuses


def watch(patch, before):
    """Call ``before(name, raw, data)`` before each change; ``patch`` is setattr, or a monkeypatch's."""

    def told(name, real):
        def change(*args, **more):
            before(name, None, b"")
            return real(*args, **more)

        return change

    class Raw(io.FileIO):
        def write(self, data):
            before("write", self, data)
            return super().write(data)

        def truncate(self, size=None):
            before("truncate", self, b"")
            return super().truncate(size)

    real = io.open

    def opened(file, mode="r", *args, **more):
        if "b" not in mode or not set(mode) & set("wax+"):
            return real(file, mode, *args, **more)
        before("open", None, b"")
        raw = Raw(file, mode.replace("b", ""), opener=more.get("opener"))
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    for name in CHANGES:
        patch(os, name, told(name, getattr(os, name)))
    patch(io, "open", opened)
    patch(builtins, "open", opened)


def corpus(folder, documents=60):
    """JSONL: random texts, some twice, some nearly so."""
    rng = random.Random(0)
    texts = [
        " ".join(f"w{rng.randrange(500)}" for _ in range(rng.randint(20, 200))) for _ in range(documents)
    ]
    texts += [*texts[:6], *(f"{t} and one more" for t in texts[6:12])]
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps({"text": text, "score": i % 5}) for i, text in enumerate(texts)]
    (folder / "a.jsonl").write_text("\n".join(rows[:40]))
    (folder / "b.jsonl").write_text("\n".join(rows[40:]))
    return str(folder)


def small(patch):
    """Many parts and many marks, though little data."""
    patch(sources, "SMALLEST_PART", 8_000)
    patch(_assemble, "MARK", 20_000)


def job(source, out, form="own"):
    return prepare([source], out, Options(tokenizer="bytes", format=form, dedup="drop", shard_tokens=8_000))


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def changes(patch, run):
    """How many changes ``run`` makes."""
    seen = []
    watch(patch, lambda name, *_: seen.append(name))
    run()
    return len(seen)


def kill_at(number):
    """Die right before the ``number``-th change; every other time within it, where it is a write."""
    left = [number]

    def before(name, raw, data):
        left[0] -= 1
        if left[0] < 0:
            if name == "write" and number % 2:
                os.write(raw.fileno(), bytes(data)[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

    return before


def apart(run):
    """``run`` in a process of its own; what it ended with, negative for a signal."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 70
    try:
        run()
        code = 0
    finally:
        os._exit(code)


def main(source, place, form, every):
    small(setattr)
    job(source, place / "whole", form)
    whole, count = contents(place / "whole"), place / "count"
    seen = place / "changes"
    apart(lambda: seen.write_text(str(changes(setattr, lambda: job(source, count, form)))))
    total, told = int(seen.read_text()), {"killed": 0, "differ": []}
    for number in range(random.Random(form).randrange(every), total, every):
        out = place / f"out{number}"
        killed = apart(lambda n=number, o=out: (watch(setattr, kill_at(n)), job(source, o, form)))
        told["killed"] += killed == -signal.SIGKILL
        code = apart(lambda o=out: job(source, o, form))
        if code or contents(out) != whole:
            told["differ"].append(number)
    sys.stdout.write(json.dumps({"changes": total, **told}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
