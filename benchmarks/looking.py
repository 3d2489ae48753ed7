"""What the probes that look see on small runs, healthy and planted: their predictions are measured here.

    python benchmarks/looking.py train --out OUT [--only WORD ...]
    python benchmarks/looking.py look --out OUT
    python benchmarks/looking.py fit --out OUT

``train`` makes the runs (2 layers, 48 wide; ``looking_parts/cases.py`` lists them), ``look`` runs the arms of the probes
on them, ``fit`` prints the constants of the probes and writes ``looking.csv``. Each goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from math import hypot, log
from pathlib import Path
from types import ModuleType

import numpy as np
import zstandard
from looking_parts.cases import CASES, Case, build

from unplateau.errors import UnreadableError
from unplateau.probes import (
    Normal,
    Prediction,
    Reading,
    Trial,
    context,
    fresh_seen,
    gradients,
    more_windows,
    one_batch,
    targets,
)
from unplateau.probes._looked import ARM

HERE = Path(__file__).parent
TABLE = HERE / "looking.csv"
LIMIT_S = 1800
SIZE = re.compile(r"^(eval_iters|batch_size) = (\d{1,9})$", re.MULTILINE)
TOKENS = 32_768  # of each split
ANY = Normal(0.0, 1.0)  # what is read depends on no prediction
MADE = tuple(Prediction(cause, ANY, ANY, "") for cause in (*one_batch.CAUSES, "eval-noise"))


@dataclass(frozen=True)
class Row:
    """One reading of one case; ``data``: as nanoGPT has them (plain), or with fresh text (full)."""

    case: Case
    probe: str
    data: str
    reading: Reading


def done(case: Case, out: Path) -> bool:
    return (out / "runs" / case.name / "done").exists()


def train(case: Case, out: Path) -> None:
    """One run, in a process of its own."""
    began, folder = time.monotonic(), out / "runs" / case.name
    if not (out / "data" / case.data.name / "full").exists():
        build(case.data, out / "data" / case.data.name)
    shutil.rmtree(folder, ignore_errors=True)
    words = [sys.executable, "-m", "looking_parts.plant", case.name, str(out)]
    subprocess.run(words, cwd=HERE, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=LIMIT_S, check=True)
    (folder / "done").touch()
    print(f"{case.name}: {time.monotonic() - began:.0f} s", flush=True)


def look(case: Case, out: Path) -> None:
    """One arm that looks at all, with fresh text beside; in this process, for starting one takes as long."""
    from unplateau.train.configure import resolve
    from unplateau.train.loop import train as arm

    place = out / "runs" / case.name / "look"
    if "one-batch" in case.name or (place / "evaluations/inspect.json").exists():
        return
    shutil.rmtree(place, ignore_errors=True)
    words = [
        f"--init_from={out / 'runs' / case.name / 'run/checkpoints/last'}",
        f"--out_dir={place}",
        f"--dataset={out / 'data' / case.data.name / 'full'}",
        *("--eval_only", "--sampling=permutation", "--eval_iters=0", f"--eval_tokens={TOKENS}"),
        *("--inspect=all", "--log_style=none"),
    ]
    arm(resolve(None, words))
    print(f"{case.name}: looked at", flush=True)


def rows_of(case: Case, out: Path) -> list[Row]:
    """What each probe read of a case: on the data as nanoGPT has them, and with fresh text."""
    folder, trial = out / "runs" / case.name, Trial("", "", (), (*MADE, more_windows.FAIR), 0, 0.0)
    if "one-batch" in case.name:
        found = one_batch.read(trial, {one_batch.ARM: folder / "run"})[:1]
        return [Row(case, one_batch.NAME, "", one) for one in found]
    if not (folder / "look/evaluations/inspect.json").exists():
        return []
    with tempfile.TemporaryDirectory() as plain:
        told = json.loads((folder / "look/evaluations/inspect.json").read_text())
        told["windows"].pop("fresh", None)
        (Path(plain) / "evaluations").mkdir()
        (Path(plain) / "evaluations/inspect.json").write_text(json.dumps(told))
        places = {"plain": Path(plain), "full": folder / "look"}
        return [
            Row(case, probe.NAME, kind, one)
            for probe in (fresh_seen, more_windows, context, gradients, targets)
            for kind in (("plain", "full") if probe in (fresh_seen, more_windows) else ("plain",))
            for one in readings(case, probe, trial, places[kind])
        ]


def readings(case: Case, probe: ModuleType, trial: Trial, place: Path) -> tuple[Reading, ...]:
    try:
        return tuple(probe.read(trial, {ARM: place}))
    except UnreadableError as error:
        print(f"{case.name} {probe.NAME}: {error}", file=sys.stderr)
        return ()


def fit(rows: list[Row]) -> None:
    """Mean and sd of each contrast, with the cause and without it; and the table."""
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("case", "planted", "probe", "data", "cause", "contrast", "error", "unit"))
        for row in rows:
            told = row.reading
            numbers = f"{told.contrast.value:.4g}", f"{told.contrast.sd:.2g}", told.contrast.unit
            writer.writerow((row.case.name, row.case.cause, row.probe, row.data, told.cause, *numbers))
    for probe, data, cause in sorted({(r.probe, r.data, r.reading.cause) for r in rows}):
        mine = [r for r in rows if (r.probe, r.data, r.reading.cause) == (probe, data, cause)]
        print(f"{probe} {data} {cause}")
        for planted in sorted({r.case.cause for r in mine}):
            values = [r.reading.contrast.value for r in mine if r.case.cause == planted]
            errors = [r.reading.contrast.sd for r in mine if r.case.cause == planted]
            print(
                f"  {planted or 'healthy':26} n {len(values):3} mean {np.mean(values):+.4f} sd {np.std(values):.4f} "
                f"from {min(values):+.4f} to {max(values):+.4f} error {np.median(errors):.4f}"
            )


def evaluations(rows: list[Row]) -> None:
    """How far evaluations of the sizes in the planted corpus stray, by what one window strays here."""
    strays = np.mean(
        [r.reading.contrast.value for r in rows if r.reading.cause == "eval-noise" and not r.case.cause]
    )
    packed = zstandard.ZstdDecompressor().stream_reader((HERE / "planted/corpus.jsonl.zst").read_bytes())
    sizes: dict[str, list[float]] = {}
    for line in io.TextIOWrapper(packed, encoding="utf-8"):
        run = json.loads(line)
        told = dict(SIZE.findall(run["config"]))
        name = "eval-noise" if run["truth"]["cause"] == "eval-noise" else "all others"
        sizes.setdefault(name, []).append(strays - log(int(told["eval_iters"]) * int(told["batch_size"])) / 2)
    for name, values in sizes.items():
        print(
            f"evaluations {name:12} n {len(values)} ln nats: mean {np.mean(values):+.2f} sd {np.std(values):.2f}"
        )


def judged(rows: list[Row]) -> None:
    """How the predictions as they stand judge each: its log-odds."""
    said = [*fresh_seen.PREDICTIONS, more_windows.FAIR, *context.PREDICTIONS, *gradients.PREDICTIONS]
    said += targets.PREDICTIONS
    for row in rows:
        for one in one_batch.PREDICTIONS[:1] if row.probe == one_batch.NAME else said:
            if one.cause == row.reading.cause:
                print(
                    f"{log_odds(one, row.reading):+7.2f}  {row.probe:12} {row.data:5} {one.cause:18} {row.case.name}"
                )


def log_odds(said: Prediction, found: Reading) -> float:
    error = found.contrast.sd
    so, no = (hypot(side.sd, error) for side in (said.if_so, said.if_not))
    far = [(found.contrast.value - side.mean) / sd for side, sd in ((said.if_so, so), (said.if_not, no))]
    return (far[1] ** 2 - far[0] ** 2) / 2 + log(no / so)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=("train", "look", "fit"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[""], help="words, one of which the case's name holds")
    args = parser.parse_args()
    out = args.out.resolve()
    cases = [case for case in CASES if any(word in case.name for word in args.only)]
    for case in cases if args.verb == "train" else ():
        if not done(case, out):
            train(case, out)
    there = [case for case in cases if done(case, out)]
    for case in there if args.verb == "look" else ():
        look(case, out)
    if args.verb == "fit":
        rows = [row for case in there for row in rows_of(case, out)]
        fit(rows)
        evaluations(rows)
        judged(rows)


if __name__ == "__main__":
    main()
