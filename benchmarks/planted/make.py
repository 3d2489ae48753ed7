"""Make the planted corpus: run unmodified nanoGPT on every case, then pack the logs.

    python make.py run --nanogpt DIR --texts DIR --out DIR [--seconds N] [--only WORD ...]
    python make.py pack --out DIR

``run`` needs torch, numpy and tokenizers; it goes on where it was stopped. ``pack`` needs zstandard.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from math import isfinite
from pathlib import Path

from cases import CASES, Case, Config
from texts import build, harder

HERE = Path(__file__).parent
CORPUS = HERE / "corpus.jsonl.zst"
LIMIT_S = 1200  # one stage of one case; far more than any needs
LEVEL = 19  # of zstd: packing is rare, reading is not
EVALUATED = re.compile(r"^step (\d{1,9}): train loss (\S{1,20}), val loss (\S{1,20})$", re.MULTILINE)


def rendered(config: Config) -> str:
    """A nanoGPT config file."""
    return "\n".join(f"{key} = {value!r}" for key, value in config.items()) + "\n"


def stages(case: Case) -> list[Config]:
    """The settings of each stage; a second one resumes."""
    last = case.config | {"dataset": case.data.name}
    if case.first is None:
        return [last]
    return [case.first | {"dataset": case.data.name}, last | {"init_from": "resume"}]


def forget(folder: Path, python: str) -> None:
    """Drop the optimiser's moments from the checkpoint, as a trainer does that saves only the model."""
    script = "import torch, sys; c = torch.load(sys.argv[1]); c['optimizer']['state'] = {}; torch.save(c, sys.argv[1])"
    subprocess.run([python, "-c", script, folder / "out/ckpt/ckpt.pt"], check=True)


def trained(folder: Path, config: Config, nanogpt: Path, python: str) -> str:
    """What nanoGPT prints for these settings."""
    (folder / "out/config.py").write_text(rendered(config))
    command = [python, "-u", str(nanogpt / "train.py"), "out/config.py", "--out_dir=out/ckpt"]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    return done.stdout.replace(f"{nanogpt}{os.sep}", "nanoGPT" + os.sep)


def workplace(case: Case, out: Path, nanogpt: Path, texts: Path) -> tuple[Path, dict[str, float]]:
    """A folder that nanoGPT can run in, with the case's data."""
    folder, data = out / "work" / case.name, out / "data" / case.data.name
    sizes = json.loads((data / "sizes.json").read_text()) if data.exists() else build(case.data, texts, data)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "out").mkdir(parents=True)
    (folder / "configurator.py").symlink_to(nanogpt / "configurator.py")
    (folder / "data").symlink_to(out / "data")
    return folder, sizes


def run(case: Case, out: Path, nanogpt: Path, texts: Path, python: str) -> None:
    """One case, all stages, into its folder."""
    began = time.monotonic()
    folder, sizes = workplace(case, out, nanogpt, texts)
    logs = []
    for config in stages(case):
        if logs and case.forget:
            forget(folder, python)
        logs.append(trained(folder, config, nanogpt, python))
    done = out / "runs" / case.name
    (done / "run").mkdir(parents=True, exist_ok=True)
    (done / "run/config.py").write_text(rendered(stages(case)[-1]))
    (done / "run/train.log").write_text("".join(logs))
    shutil.rmtree(folder)
    (done / "sizes.json").write_text(json.dumps(sizes))
    print(f"{case.name}: {time.monotonic() - began:.0f} s, {outcome(done)}", flush=True)


def finished(name: str, out: Path) -> bool:
    """Whether a case has been run."""
    return (out / "runs" / name / "sizes.json").exists()


def number(text: str) -> float | None:
    """A printed loss; unknown when it is not finite."""
    value = float(text)
    return value if isfinite(value) else None


def outcome(done: Path) -> dict[str, float | int | None]:
    """Final and best losses that the log shows."""
    rows = EVALUATED.findall((done / "run/train.log").read_text())
    losses = [value for value in (number(row[2]) for row in rows) if value is not None]
    last = rows[-1]
    return {
        "final_step": int(last[0]),
        "final_val": number(last[2]),
        "final_train": number(last[1]),
        "best_val": min(losses, default=None),
    }


def truth(case: Case, out: Path) -> dict[str, object]:
    """What was planted, and what it cost."""
    done = out / "runs" / case.name
    mended = out / "runs" / case.mended if case.mended else None
    ran = outcome(done)
    without = outcome(mended) if mended else None
    both = (ran["final_val"], without["final_val"] if without else None)
    gain = round(both[0] - both[1], 4) if None not in both else None
    data = {key: value for key, value in asdict(case.data).items() if key not in {"text", "tokenizer"}}
    return {
        "cause": case.cause,
        "severity": case.severity,
        "text": case.data.text,
        "tokenizer": case.data.tokenizer,
        "data": data,
        "run": ran,
        "mended": {"name": case.mended} | without if without else None,
        "gain": gain,
        "val_harder": measured(out / "data" / case.data.name),
    } | json.loads((done / "sizes.json").read_text())


def measured(folder: Path) -> float:
    """How much harder val is than train; kept beside the data, since it takes a second."""
    kept = folder / "harder.json"
    if not kept.exists():
        kept.write_text(json.dumps(harder(folder)))
    return json.loads(kept.read_text())


def pack(out: Path) -> int:
    """All finished runs into one compressed file of JSON lines."""
    import zstandard

    lines = []
    for case in sorted(CASES, key=lambda case: case.name):
        done = out / "runs" / case.name
        if not finished(case.name, out) or not finished(case.mended or case.name, out):
            continue
        facts = truth(case, out)
        (done / "truth.json").write_text(json.dumps(facts, indent=1))
        texts = {"config": (done / "run/config.py").read_text(), "log": (done / "run/train.log").read_text()}
        lines.append(json.dumps({"name": case.name, "truth": facts} | texts))
    CORPUS.write_bytes(zstandard.ZstdCompressor(level=LEVEL).compress(("\n".join(lines) + "\n").encode()))
    return len(lines)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=("run", "pack", "list"))
    parser.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT")
    parser.add_argument(
        "--texts", type=Path, help="a folder with sotu/ and moby-dick/, unpacked npm packages"
    )
    parser.add_argument("--out", type=Path, default=Path("planted"), help="where runs go")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has torch")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no case after this long")
    parser.add_argument("--only", nargs="*", default=[""], help="words, one of which the case's name holds")
    return parser.parse_args()


def main() -> None:
    """Run or pack."""
    args, began = arguments(), time.monotonic()
    out = args.out.resolve()
    if args.verb == "pack":
        print(f"{pack(out)} of {len(CASES)} runs, {CORPUS.stat().st_size:,} bytes")
    for case in CASES if args.verb == "run" else ():
        wanted = any(word in case.name for word in args.only) and not finished(case.name, out)
        if wanted and time.monotonic() - began < args.seconds:
            run(case, out, args.nanogpt.resolve(), args.texts.resolve(), args.python)
    for case in CASES if args.verb == "list" else ():
        print(case.wave, case.cause, case.name)


if __name__ == "__main__":
    main()
