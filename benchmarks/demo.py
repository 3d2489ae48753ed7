"""The demo with each of its causes and several seeds: is the cause found, and does mending win what was predicted?

    python benchmarks/demo.py --out DIR [--seeds N] [--cause NAME ...] [--done]    runs what is missing, writes demo.csv

Killed, it goes on. Processor seconds are those of all steps on one thread; on two idle cores the demo takes less.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from unplateau.demo.job import Loop, run
from unplateau.demo.place import Order
from unplateau.demo.planted import PLANTED, STEPS
from unplateau.demo.steps import Done, Step
from unplateau.errors import UnplateauError
from unplateau.estimate import Estimate
from unplateau.report import json
from unplateau.report.demo import document, ranked

TABLE = Path(__file__).with_suffix(".csv")
SEEDS = 5
REPORT = "report.json"


@dataclass(frozen=True, slots=True)
class Row:
    """One demo. ``place_*``: of the planted cause among those suspected, 0 where it is not; losses in nats per token."""

    cause: str
    seed: int
    before: str
    place_before: int
    after: str
    place_after: int
    mended: str
    predicted: str
    achieved: str
    hit: str
    cpu_seconds: int
    seconds: int


class Quiet:
    """Tells only which step begins."""

    def begins(self, step: Step, *, earlier: bool) -> None:
        if not earlier:
            print(f"  {step.line}", flush=True)

    def row(self, text: str) -> None:
        pass

    def ended(self, found: Done) -> None:
        pass

    def means(self, name: str, loop: Loop) -> None:
        pass


def row_of(loop: Loop) -> Row:
    """What the table has of one demo."""
    cause, told = loop.planted.cause, loop.verdict
    predicted = told.predicted if told else None
    return Row(
        cause,
        loop.order.seed,
        *_standing(loop.before, cause),
        *_standing(loop.after, cause),
        loop.mended,
        _short(predicted),
        _short(told.achieved if told else None),
        {True: "hit", False: "miss", None: ""}[told.hit if told else None],
        round(loop.cpu),
        round(loop.seconds),
    )


def _standing(findings: Sequence[dict[str, object]], cause: str) -> tuple[str, int]:
    """The verdict on ``cause`` with its probability, and its place."""
    one = next(f for f in findings if f["cause"] == cause)
    chance = one.get("probability")
    names = [f["cause"] for f in ranked(findings)]
    said = f"{one['verdict']} {chance:.2f}" if isinstance(chance, float) else str(one["verdict"])
    return said, names.index(cause) + 1 if cause in names else 0


def _short(one: Estimate | None) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})" if one else ""


def demos(out: Path, causes: Sequence[str], seeds: int, *, done: bool) -> Iterator[Row]:
    """Each demo in turn, all causes with the first seed first; one that fails is told, and left out."""
    for seed in range(1, seeds + 1):
        for cause in causes:
            folder = out / f"{cause}-{seed}"
            if done and not (folder / REPORT).exists():
                continue
            print(f"{cause} {seed}", flush=True)
            try:
                loop = run(Order(cause, seed, STEPS, folder), Quiet())
            except UnplateauError as error:
                if error.exit_code == 4:
                    raise
                print(f"  failed: {error}", flush=True)
                continue
            (folder / REPORT).write_text(json.dumps(document(loop)) + "\n")
            yield row_of(loop)


def write(rows: Sequence[Row]) -> None:
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(Row))
        writer.writerows(asdict(row).values() for row in sorted(rows, key=lambda r: (r.cause, r.seed)))


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("demo-runs"))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--cause", nargs="*", default=list(PLANTED))
    parser.add_argument("--done", action="store_true", help="only the table of those that are done")
    args = parser.parse_args()
    rows: list[Row] = []
    for row in demos(args.out.resolve(), args.cause, args.seeds, done=args.done):
        rows.append(row)
        print(*asdict(row).values(), sep=" | ", flush=True)
        write(rows)
    found = sum(row.mended == row.cause for row in rows)
    told = [row for row in rows if row.hit]
    print(f"{found} of {len(rows)} found; {sum(r.hit == 'hit' for r in told)} of {len(told)} predictions hit")


if __name__ == "__main__":
    main()
