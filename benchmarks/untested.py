"""How often a cause that could not be tested held and mattered: counts UNTESTED of src/unplateau/heard.py.

    python benchmarks/untested.py

On the planted corpus of this folder, with log and config. A pair is a run and a cause that its diagnosis calls
untestable; the cause held where it is the one that was planted and it cost ``SMALL`` nats or more. Faults of the number
(val-leak, eval-noise, ...) count by being planted: mending them returns no loss. Planted runs are no sample of what
people run, and a probe is asked for a run that stands; so the rate is a start, no finding.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from planted.check import corpus_cases, judge

from unplateau.heard import UNTESTED
from unplateau.hypotheses import SMALL

OF_THE_NUMBER = ("val-leak", "val-mismatch", "eval-noise", "tokenizer-mismatch", "metric-unit")
CORPUS = Path(__file__).parent / "planted" / "corpus.jsonl.zst"


def holds(cause: str, truth: dict) -> bool:
    gain = truth.get("gain")
    return cause == truth["cause"] and (cause in OF_THE_NUMBER or gain is None or gain >= SMALL)


def main() -> None:
    pairs, held = Counter(), Counter()
    with tempfile.TemporaryDirectory() as scratch:
        for _, truth, folder in corpus_cases(CORPUS, Path(scratch)):
            for finding in judge(folder, truth, {"log", "config"}).findings:
                if finding.verdict == "untestable":
                    pairs[finding.cause] += 1
                    held[finding.cause] += holds(finding.cause, truth)
    for cause, number in pairs.most_common():
        print(f"  {cause:20} {held[cause]:3} of {number:4}")
    rate = pairs and (held.total() + 0.5) / (pairs.total() + 1)
    print(f"  all: {held.total()} of {pairs.total()}; (held + 1/2) / (pairs + 1) = {rate:.3f}")
    print("as it stands in the code" if round(rate, 2) == UNTESTED else f"the code has {UNTESTED}")


if __name__ == "__main__":
    main()
