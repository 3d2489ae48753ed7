"""What the probes that train show of causes that were planted: the constants of probes/*.py, from small real runs.

    python benchmarks/probes.py run --out DIR [--seconds S] [--only WORD ...]    trains; resumable, for hours if need be
    python benchmarks/probes.py fit --out DIR                                    prints the constants, writes probes.csv

Runs of nanoGPT's model, data order and optimiser (2 layers, 48 wide, 600 steps, characters) on two texts, healthy or
with a cause planted; each is probed at 60 % of its steps and at its end, at several budgets. What a cause truly costs is
measured too: by the run without it.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from probes_parts.cases import MID, Case, data_of, jobs
from probes_parts.truth import Row, cost_of, fitted, growth, told_apart

from unplateau.derive import derive
from unplateau.probes import (
    Arm,
    Probe,
    Site,
    Trial,
    batch_size,
    cooldown,
    learning_rate,
    precision,
    regularisation,
)
from unplateau.reading import read_runs
from unplateau.run import Run

PROBES = {
    one.PROBE.name: one.PROBE for one in (cooldown, learning_rate, batch_size, regularisation, precision)
}
TABLE = Path(__file__).with_suffix(".csv")


# --- runs


def trained(words: Mapping[str, object], folder: Path) -> None:
    """One run of the trainer into ``folder``, unless it is there; a half one is begun anew."""
    if (folder / "done").exists():
        return
    import torch

    from unplateau.train.configure import resolve
    from unplateau.train.loop import train

    torch.set_num_threads(1)
    shutil.rmtree(folder, ignore_errors=True)
    done = train(
        resolve(None, [f"--{key}={value}" for key, value in words.items()] + [f"--out_dir={folder}"])
    )
    if done.stopped:
        raise SystemExit(f"{done.stopped}: what is done is kept; run it again to go on")
    (folder / "done").touch()


def base(case: Case, out: Path) -> Path:
    """The run of a case."""
    folder = out / "runs" / case.name
    began = time.monotonic()
    fresh = not (folder / "done").exists()
    trained(case.config | {"dataset": data_of(case, out)}, folder)
    if fresh:
        print(f"{case.name}: {time.monotonic() - began:.0f} s", flush=True)
    return folder


# --- probes


def site_of(case: Case, out: Path, at: str, share: float) -> tuple[Run, Site]:
    """A run as it was at its middle or end, and where a probe may work on it: ``share`` of the tokens so far."""
    folder = base(case, out)
    (run,) = read_runs(folder)
    step = int(run.get("max_steps")) if at == "end" else round(MID * run.get("max_steps"))
    series = {name: curve.between(0, step + 1) for name, curve in run.series.items()}
    run = derive(replace(run, series=series))
    tokens = round(share * step * run.get("tokens_per_step"))
    return run, Site(step, folder / "checkpoints" / f"{step:08d}", data_of(case, out), tokens)


def probed(
    case: Case, out: Path, at: str, share: float, probe: Probe
) -> tuple[Trial, dict[str, Path]] | None:
    """A trial and the folders of its arms, run where they are missing; None where it can't be laid out."""
    run, site = site_of(case, out, at, share)
    trial = probe.design(run, site)
    if trial is None:
        return None
    assert trial.tokens <= site.tokens, (case.name, probe.name)
    folders = {
        arm.name: out / "arms" / f"{case.name}.{at}" / f"{probe.name}-{share:g}" / arm.name
        for arm in trial.arms
    }
    for arm in trial.arms:
        trained(words_of(case, out, site, arm), folders[arm.name])
    return trial, folders


def words_of(case: Case, out: Path, site: Site, arm: Arm) -> dict[str, object]:
    """What the trainer is told for an arm."""
    told: dict[str, object] = dict(case.config) | {"dataset": data_of(case, out)}
    if arm.start:
        told["init_from"] = site.checkpoint
    told |= {key: new for key, (_, new) in arm.patch.items()}
    return told | dict(word.removeprefix("--").split("=", 1) for word in arm.words)


# --- what they showed


def rows_of(out: Path) -> Iterator[Row]:
    """All readings of trials whose arms are there."""
    for case, at, share, name in jobs():
        place = out / "arms" / f"{case.name}.{at}" / f"{name}-{share:g}"
        if not place.is_dir():
            continue
        trial = PROBES[name].design(*site_of(case, out, at, share))
        folders = {arm.name: place / arm.name for arm in trial.arms} if trial else {}
        if trial is None or not all((folder / "done").exists() for folder in folders.values()):
            continue
        for told in PROBES[name].read(trial, folders):
            where = (case.name, at, share, trial.arms[0].steps)
            measure = (told.contrast.value, told.contrast.sd, cost_of(case, told.cause, at, out))
            yield Row(name, told.cause, *where, *measure)


def fit(out: Path) -> None:
    """Print the constants by probe, cause and budget; write the table."""
    rows = list(rows_of(out))
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(f.name for f in fields(Row))
        for row in rows:
            cells = [
                f"{v:.4f}" if isinstance(v, float) and n != "share" else v for n, v in asdict(row).items()
            ]
            writer.writerow(cells)
    for probe, cause in dict.fromkeys((row.probe, row.cause) for row in rows):
        of = [row for row in rows if (row.probe, row.cause) == (probe, cause)]
        for share in (*sorted({row.share for row in of}), None):
            some = [row for row in of if share is None or row.share == share]
            so, no = fitted(some, holds=True), fitted(some, holds=False)
            said = told_apart(some, so, no) if so and no else f"{len(some)} readings"
            print(f"{probe} {cause} {'all' if share is None else share}: {so} {no} {said}")
    print(f"what a cooldown wins grows with its length to the power of {growth(rows)}")


def main() -> None:
    """Run or fit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=("run", "fit"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--only", nargs="*", default=[""])
    args = parser.parse_args()
    out, began = args.out.resolve(), time.monotonic()
    if args.verb == "fit":
        fit(out)
        return
    for case, at, share, name in jobs():
        label = f"{name}-{share:g} {case.name}.{at}"
        if any(word in label for word in args.only) and time.monotonic() - began < args.seconds:
            probed(case, out, at, share, PROBES[name])


if __name__ == "__main__":
    main()
