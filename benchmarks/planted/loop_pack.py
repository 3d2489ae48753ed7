"""What is kept of the loop: one JSON object a run, enough to judge it anew without training; and back into folders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path

import numpy as np
import zstandard
from cases import Config
from loop_cases import LOOP, Planted

from unplateau.estimate import Z90, Estimate
from unplateau.probes._ends import _windows, end_difference
from unplateau.probes._paired import UNIT, losses_of

PACKED = Path(__file__).parent / "loop.jsonl.zst"
LEVEL = 19  # of zstd: packing is rare, reading is not
KNOWN = {one.case.name: one for one in LOOP}
RUN = "run"  # what each run is called in its log: its name would tell the cause


@dataclass(frozen=True, slots=True)
class Kept:
    """A run of the loop in folders: ``evidence`` is None where it was not probed. ``gain``: nats that mending returned."""

    name: str
    role: str  # healthy, planted or relief
    base: str
    truth: dict[str, object]
    gain: Estimate | None
    log: Path
    config: Path
    manifest: Path
    evidence: Path | None


def pack(out: Path) -> tuple[int, int]:
    """Write all runs that are there with the runs without their cause; how many, and how many of them were probed."""
    there = [one for one in LOOP if _done(one.case.name, out) and _done(one.case.mended, out)]
    lines = [_line(one, out) for one in there]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    PACKED.write_bytes(zstandard.ZstdCompressor(level=LEVEL).compress(text.encode()))
    return len(lines), sum(line["probe"] is not None for line in lines)


def _done(name: str | None, out: Path) -> bool:
    return name is None or (out / "runs" / name / "done").exists()


def _line(one: Planted, out: Path) -> dict[str, object]:
    folder = out / "runs" / one.case.name
    data = out / "data" / one.case.data.name
    last = max(folder.glob("config*.py"))  # of the last stage
    gain = gain_of(one, out)
    truth = {
        "cause": one.case.cause,
        "severity": one.case.severity,
        "fault": one.fault,
        "gain": None if gain is None else [gain.value, gain.low, gain.high],
        "beside": _beside(one, out),
        **_end(folder / "truth/log.jsonl"),
        "strays": _strays(folder / "truth", one.case.config),
        "data": {k: v for k, v in asdict(one.case.data).items() if k not in ("text", "tokenizer")},
        **json.loads((data / "truth.json").read_text()),
    }
    return {
        "name": one.case.name,
        "role": one.role,
        "base": one.base,
        "seed": one.seed,
        "truth": truth,
        "config": last.read_text(),
        "log": _told(folder / "train.log", one, out),
        "manifest": json.loads((data / "manifest.json").read_text()),
        "probe": _probe(folder, one, out),
    }


def _end(log: Path) -> dict[str, float | None]:
    """Val loss on many windows (``end``), and how much harder val is than train there (``gap``); None where it is no number."""
    told = json.loads(log.read_text().splitlines()[-1])
    val, train = told["val_loss"], told["train_loss"]
    known = val is not None and train is not None
    return {"end": val, "gap": round(val - train, 4) if known else None}


def _strays(truth: Path, config: Config) -> float | None:
    """How far one val evaluation of the run's own size strays, nats (1 sd), by the scatter of many windows; None where any is no number."""
    found = losses_of(truth)
    rows = found.windows(max(found.evaluated), "val") if found.evaluated else None
    if rows is None or not np.all(np.isfinite(rows)):
        return None
    return round(float(np.std(rows)) / sqrt(float(config["eval_iters"]) * float(config["batch_size"])), 4)


def gain_of(one: Planted, out: Path) -> Estimate | None:
    """Val loss of the run less that of the run without the cause, on the same windows; of a relief, what it wins."""
    if one.role == "relief" or one.case.name.startswith("healthy.without-"):
        base = f"healthy.base.{one.base}.{one.seed}"
        return _less(base, one.case.name, out) if _done(base, out) else None
    return None if one.case.mended is None else _less(one.case.name, one.case.mended, out)


def _less(a: str, b: str, out: Path) -> Estimate:
    """Val loss of one less that of the other; its error is of the windows drawn from this val, on which both were evaluated."""
    one, other = (losses_of(out / "runs" / name / "truth") for name in (a, b))
    mine, others = _windows(one, "val"), _windows(other, "val")
    if one.plan is None or one.plan != other.plan or mine is None or others is None:
        return end_difference(one.folder, other.folder)
    found = mine - others
    half = Z90 * float(np.std(found)) / sqrt(len(found))
    return Estimate(float(found.mean()), float(found.mean()) - half, float(found.mean()) + half, UNIT)


def _beside(one: Planted, out: Path) -> dict[str, object] | None:
    """The cause that the run without the planted one still has, and what that costs; None where it is sound."""
    mended = KNOWN.get(one.case.mended or "")
    gain = None if mended is None or mended.role != "planted" else gain_of(mended, out)
    return None if gain is None or mended is None else {"cause": mended.case.cause, "gain": gain.value}


def _told(path: Path, one: Planted, out: Path) -> str:
    """A text without the names that give the cause or this machine away."""
    text = path.read_text()
    for name in (str(out / "runs" / one.case.name), f"runs/{one.case.name}"):
        text = text.replace(name, RUN)
    return text.replace(f"{out}/", "")


def _probe(folder: Path, one: Planted, out: Path) -> dict[str, object] | None:
    """The files of evidence by name, and what became of the process; None where it was not probed."""
    if not (folder / "probed.code").exists():
        return None
    files = sorted((folder / "probed/evidence").glob("*.json"))
    return {
        "code": int((folder / "probed.code").read_text()),
        "said": _told(folder / "probe.err", one, out).strip().rpartition("\n")[2],
        "evidence": {path.name: json.loads(_told(path, one, out)) for path in files},
    }


def unpacked(scratch: Path, file: Path = PACKED) -> Iterator[Kept]:
    """The runs that were packed, in folders below ``scratch``; none where nothing was."""
    if not file.is_file():
        return
    with zstandard.open(file, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            yield _kept(json.loads(line), scratch / f"{number:03d}")


def _kept(line: dict, folder: Path) -> Kept:
    for place in ("log", "evidence"):
        (folder / place).mkdir(parents=True)
    (folder / "log/train.log").write_text(line["log"])
    (folder / "config.py").write_text(line["config"])
    (folder / "manifest.json").write_text(json.dumps(line["manifest"]))
    probe = line["probe"]
    for name, found in (probe or {}).get("evidence", {}).items():
        (folder / "evidence" / name).write_text(json.dumps(found))
    gain = line["truth"]["gain"]
    return Kept(
        name=line["name"],
        role=line["role"],
        base=line["base"],
        truth=line["truth"],
        gain=None if gain is None else Estimate(*gain, "nats/token"),
        log=folder / "log/train.log",
        config=folder / "config.py",
        manifest=folder / "manifest.json",
        evidence=folder / "evidence" if probe else None,
    )
