"""The loop on planted runs: train them, probe them, keep what is needed to judge them, and print how often they are right.

    python loop.py all --out DIR [--jobs N] [--only WORD ...]      each case trained, then probed; what the next ones stand beside first
    python loop.py run --out DIR [--jobs N] [--only WORD ...]      trains only
    python loop.py probe --out DIR [--jobs N] [--only WORD ...]    `unplateau probe` with its own budget, 20 % of the tokens, of what is trained
    python loop.py pack --out DIR                                  into loop.jsonl.zst; what is not there yet is left out
    python loop.py score                                           judges what was packed

Each goes on where it was stopped, at any moment; a run that was under way is begun anew.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from loop_cases import LOOP, Planted
from make import EVALUATED, rendered
from texts import Data, build, harder

if TYPE_CHECKING:
    from types import ModuleType

HERE = Path(__file__).parent
ENDED = (0, 3)  # exit codes of a probe that is not to be begun again: done, or it says that it can't be
NICE = 19

Work = Callable[[Planted, Path], str]


def forks() -> ModuleType:
    """Torch, with one thread, and the trainer are loaded here, once for all processes."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import loop_forks
    import loop_train
    import torch

    torch.set_num_threads(1)
    assert loop_train.LOOP == LOOP
    return loop_forks


def data_of(data: Data, out: Path) -> None:
    """The tokens of a case, and their manifest as a user of nanoGPT gets it; made where they are missing."""
    folder = out / "data" / data.name
    with (out / "data/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "truth.json").exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        sizes = build(data, Path(), folder)
        (folder / "sizes.json").write_text(json.dumps(sizes))
        told = {**sizes, "val_harder": harder(folder)}
        words = ["prepare", "--manifest-only", str(folder)]
        if forks().logged(lambda: forks().main(words), out, out / "prepare.log"):
            raise SystemExit(f"{data.name}: prepare failed; see {out / 'prepare.err'}")
        (folder / "truth.json").write_text(json.dumps(told))


def run(one: Planted, out: Path) -> str:
    """All stages of a case."""
    from loop_train import trained

    data_of(one.case.data, out)
    folder = out / "runs" / one.case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stages = [one.case.config] if one.case.first is None else [one.case.first, one.case.config]
    for number, config in enumerate(stages):
        (folder / f"config{number}.py").write_text(rendered(config | {"dataset": one.case.data.name}))
        if forks().logged(lambda at=number: trained(one, at), out, folder / "train.log"):
            return "FAILED: " + " ".join((folder / "train.err").read_text().split()[-40:])
    (folder / "done").touch()
    return " ".join(EVALUATED.findall((folder / "train.log").read_text())[-1])


def probe(one: Planted, out: Path) -> str:
    """Probe a run at its end, as a user would."""
    folder = out / "runs" / one.case.name
    words = ["probe", str(folder / "run"), "--json", "--out", str(folder / "probed")]
    (folder / "probe.log").write_text("")
    code = forks().logged(lambda: forks().probed(words), out, folder / "probe.log")
    if code in ENDED:
        (folder / "probed.code").write_text(str(code))
    return (folder / "probe.err").read_text().strip().rpartition("\n")[2]


#: verb -> what is done of a case in turn, and the file that says that it is done
STEPS: dict[str, tuple[tuple[Work, str], ...]] = {
    "run": ((run, "done"),),
    "probe": ((probe, "probed.code"),),
    "all": ((run, "done"), (probe, "probed.code")),
}


def left(one: Planted, verb: str, out: Path) -> list[Work]:
    """What is to be done of a case; nobody is to judge a relief, so none is probed."""
    folder = out / "runs" / one.case.name
    steps = [work for work, done in STEPS[verb] if not (folder / done).exists()]
    trained = (folder / "done").exists() or verb == "all"
    return [work for work in steps if work is run or (trained and one.role != "relief")]


def each(verb: str, args: argparse.Namespace) -> None:
    """Every case that is wanted and not done, several at a time, each in a process of its own."""
    out = args.out.resolve()
    (out / "data").mkdir(parents=True, exist_ok=True)
    os.nice(args.nice)
    making, running = forks(), set()
    for one in LOOP:
        works = left(one, verb, out) if any(word in one.case.name for word in args.only) else []
        if not works:
            continue
        running.add(making.fork(lambda one=one, works=works: told(one, works, out), lambda: None))
        if len(running) >= args.jobs:
            running.discard(os.wait()[0])
    for pid in running:
        making.ended(pid)


def told(one: Planted, works: list[Work], out: Path) -> None:
    """Do it, and say how it went."""
    for work in works:
        began = time.monotonic()
        said = work(one, out)
        print(f"{one.case.name} {work.__name__}: {time.monotonic() - began:.0f} s, {said}", flush=True)
        if said.startswith("FAILED"):
            return


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
    parser.add_argument("verb", choices=(*STEPS, "pack", "score", "list"))
    parser.add_argument("--out", type=Path, default=Path("loop"), help="where runs go")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--nice", type=int, default=NICE, help="how far they step back for others")
    parser.add_argument("--only", nargs="*", default=[""], help="words, one of which the case's name holds")
    args = parser.parse_args()
    if args.verb in STEPS:
        each(args.verb, args)
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
