"""How often the diagnosis names the planted cause first, abstains, or accuses wrongly.

    python benchmarks/planted/check.py [--shared DIR] [--corpus FILE] [--evidence log,config] [-v]

Reads run folders (DIR/*/run with truth.json beside) and the corpus of this folder. ``log`` gives the
diagnosis the log alone, ``config`` the config file too, ``tokens`` the number of training tokens too.
An accusation is a supported cause; ``still-learning`` and ``converged`` accuse nobody.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from unplateau.diagnosis import READINGS, Diagnosis, diagnose
from unplateau.reading import read_runs

HERE = Path(__file__).parent


def shared_cases(folder: Path) -> Iterator[tuple[str, dict, Path]]:
    for truth in sorted(folder.glob("*/truth.json")):
        yield truth.parent.name, json.loads(truth.read_text()), truth.parent / "run"


def corpus_cases(file: Path, scratch: Path) -> Iterator[tuple[str, dict, Path]]:
    import zstandard

    if not file.is_file():
        return
    with zstandard.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            folder = scratch / case["name"]
            folder.mkdir()
            (folder / "train.log").write_text(case["log"])
            (folder / "config.py").write_text(case["config"])
            yield case["name"], case["truth"], folder


def judge(folder: Path, truth: dict, evidence: set[str]) -> Diagnosis:
    config = folder / "config.py" if "config" in evidence else None
    tokens = truth.get("train_tokens") if "tokens" in evidence else None
    return diagnose(read_runs(str(folder / "train.log"), config=config, unique_tokens=tokens)[0])


def outcome(diagnosis: Diagnosis, cause: str) -> tuple[str, list[str]]:
    """right / reading / abstained / wrong, and the wrongly supported causes."""
    accused = [f.cause for f in diagnosis.findings if f.verdict == "supported" and f.cause not in READINGS]
    wrong = [c for c in accused if c != cause]
    top = diagnosis.first
    if top is not None and top.cause == cause:
        return ("right" if top.verdict == "supported" else "right, undecided"), wrong
    if top is None or top.verdict == "undecided":
        return "abstained", wrong
    return ("a reading" if top.cause in READINGS else "wrong"), wrong


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=HERE.parents[2] / "shared" / "planted")
    parser.add_argument("--corpus", type=Path, default=HERE / "corpus.jsonl.zst")
    parser.add_argument("--evidence", default="log,config")
    parser.add_argument("--verbose", "-v", action="store_true")
    options = parser.parse_args()
    evidence = set(options.evidence.split(","))
    with tempfile.TemporaryDirectory() as scratch:
        for name, cases in (
            ("shared/planted", list(shared_cases(options.shared))),
            ("corpus", list(corpus_cases(options.corpus, Path(scratch)))),
        ):
            if cases:
                table(name, cases, evidence, verbose=options.verbose)


def table(title: str, cases: list, evidence: set[str], *, verbose: bool) -> None:
    by_cause: dict[str, Counter] = defaultdict(Counter)
    accused, healthy, healthy_accused = Counter(), 0, 0
    for name, truth, folder in cases:
        diagnosis = judge(folder, truth, evidence)
        said, wrong = outcome(diagnosis, truth["cause"])
        by_cause[truth["cause"]][said] += 1
        accused.update(wrong)
        if truth["cause"] in READINGS:
            healthy += 1
            healthy_accused += bool(wrong)
        if verbose or said == "wrong":
            shown = [
                (f.cause, f.verdict[:4], round(f.probability or 0, 2))
                for f in diagnosis.findings
                if f.verdict in ("supported", "undecided")
            ]
            print(f"  {name:32} {truth['cause']:16} {said:17} {shown[:4]}")
    print(f"{title}: {len(cases)} runs, evidence {sorted(evidence)}")
    total = Counter()
    for cause, counts in sorted(by_cause.items()):
        total += counts
        print(f"  {cause:18} " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))
    print("  all: " + ", ".join(f"{n} {what}" for what, n in total.most_common()))
    print(f"  causes supported besides the planted one: {dict(accused.most_common())}")
    print(f"  healthy runs: {healthy}, with a supported cause: {healthy_accused}")


if __name__ == "__main__":
    main()
