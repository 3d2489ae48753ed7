"""The loop on planted runs: train them, probe them, keep what is needed to judge them, and print how often they are right.

    python loop.py run --out DIR [--jobs N] [--only WORD ...]      trains; about 25 s a run on an idle core
    python loop.py probe --out DIR [--jobs N] [--only WORD ...]    `unplateau probe` with its own budget, 20 % of the tokens
    python loop.py pack --out DIR                                  into loop.jsonl.zst; what is not there yet is left out
    python loop.py score                                           judges what was packed

Each goes on where it was stopped, at any moment; a run that was under way is begun anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from loop_cases import LOOP, Planted
from make import EVALUATED, rendered
from texts import Data, build, harder

from unplateau.probe.process import LIBC, _ends_with_parent

HERE = Path(__file__).parent
ENDED = (0, 3)  # exit codes of a probe that is not to be begun again: done, or it says that it can't be
LIMIT_S = 3600  # one process; far more than any needs
NICE = ("nice", "-n", "19")
PYTHON = (*NICE, sys.executable)
ALONE = os.environ | {"OMP_NUM_THREADS": "1"}
building = Lock()


def process(words: list[str], out: Path, log: Path) -> int:
    """A process in ``out``; what it prints goes to the end of ``log``, what it says of itself to ``log``.err."""
    with log.open("a") as said, log.with_suffix(".err").open("a") as err:
        done = subprocess.run(
            [*PYTHON, *words],
            cwd=out,
            env=ALONE,
            stdout=said,
            stderr=err,
            timeout=LIMIT_S,
            check=False,
            preexec_fn=_ends_with_parent if LIBC else None,
        )
    return done.returncode


def data_of(data: Data, out: Path) -> None:
    """The tokens of a case, and their manifest as a user of nanoGPT gets it; made where they are missing."""
    folder = out / "data" / data.name
    with building:
        if (folder / "truth.json").exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        sizes = build(data, Path(), folder)
        (folder / "sizes.json").write_text(json.dumps(sizes))
        told = {**sizes, "val_harder": harder(folder)}
        words = ["-m", "unplateau", "prepare", "--manifest-only", str(folder)]
        if process(words, out, out / "prepare.log"):
            raise SystemExit(f"{data.name}: prepare failed; see {out / 'prepare.err'}")
        (folder / "truth.json").write_text(json.dumps(told))


def run(one: Planted, out: Path) -> str:
    """All stages of a case."""
    data_of(one.case.data, out)
    folder = out / "runs" / one.case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stages = [one.case.config] if one.case.first is None else [one.case.first, one.case.config]
    for number, config in enumerate(stages):
        (folder / f"config{number}.py").write_text(rendered(config | {"dataset": one.case.data.name}))
        words = [str(HERE / "loop_train.py"), one.case.name, str(number)]
        if process(words, out, folder / "train.log"):
            return "FAILED: " + " ".join((folder / "train.err").read_text().split()[-40:])
    (folder / "done").touch()
    return " ".join(EVALUATED.findall((folder / "train.log").read_text())[-1])


def probe(one: Planted, out: Path) -> str:
    """Probe a run at its end, as a user would."""
    folder = out / "runs" / one.case.name
    words = ["-m", "unplateau", "probe", str(folder / "run"), "--json", "--out", str(folder / "probed")]
    (folder / "probe.log").write_text("")
    code = process(words, out, folder / "probe.log")
    if code in ENDED:
        (folder / "probed.code").write_text(str(code))
    return (folder / "probe.err").read_text().strip().rpartition("\n")[2]


def each(work: Callable[[Planted, Path], str], done: str, args: argparse.Namespace) -> None:
    """``work`` of every case that has no file ``done``, several at a time."""
    out = args.out.resolve()
    (out / "data").mkdir(parents=True, exist_ok=True)

    def one_of(one: Planted) -> None:
        folder, began = out / "runs" / one.case.name, time.monotonic()
        wanted = any(word in one.case.name for word in args.only) and not (folder / done).exists()
        if wanted and (done == "done" or (folder / "done").exists()):
            said = work(one, out)
            print(f"{one.case.name}: {time.monotonic() - began:.0f} s, {said}", flush=True)

    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(one_of, LOOP))


def scored() -> str:
    """The tables of what was packed."""
    sys.path.insert(0, str(HERE.parent))
    from accuracy_parts import loop

    with TemporaryDirectory() as scratch:
        return loop.show(loop.measured(Path(scratch)))


def main() -> None:
    """Run, probe, pack or score."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=("run", "probe", "pack", "score", "list"))
    parser.add_argument("--out", type=Path, default=Path("loop"), help="where runs go")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--only", nargs="*", default=[""], help="words, one of which the case's name holds")
    args = parser.parse_args()
    if args.verb == "run":
        each(run, "done", args)
    elif args.verb == "probe":
        each(probe, "probed.code", args)
    elif args.verb == "pack":
        from loop_pack import PACKED, pack

        there, probed = pack(args.out.resolve())
        print(f"{there} of {len(LOOP)} runs, {probed} of them probed, {PACKED.stat().st_size:,} bytes")
    elif args.verb == "score":
        print(scored())
    elif args.verb == "list":
        print(*(f"{one.role} {one.case.cause} {one.case.name}" for one in LOOP), sep="\n")


if __name__ == "__main__":
    main()
